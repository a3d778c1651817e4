//! What a Redis holds when a story is over, and what it held on the way, read past the product.
//!
//! Of values only the few numbers are read that say who owns a stream and how far it is; what a
//! client was told is in no value that is looked into.

use std::collections::{BTreeMap, BTreeSet};

use crate::world::Redis;
use crate::world::redis::Reply;

/// Owners of streams, packed as the product packs them, that one script unpacks.
const UNPACKED_AT_ONCE: usize = 1_000;

/// What both scripts begin with: the numbers of a stream, as its session's record has it.
const NUMBERS: &str = r"
local function numbers(packed)
  local it = cmsgpack.unpack(string.sub(packed, 2))
  return {string.format('%.0f', it.epoch), it.owner, it.last, it.kept, it.ended > 0 and 1 or 0}
end";

/// Everything at one moment: of each key its name, its expiry, and what is in it.
const EVERYTHING: &str = r"
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind, inside = redis.call('TYPE', key).ok, {}
  if kind == 'hash' then
    local fields = redis.call('HGETALL', key)
    for i = 1, #fields, 2 do
      if string.sub(fields[i], 1, 2) == 't:' then
        inside[#inside + 1] = {string.sub(fields[i], 3), numbers(fields[i + 1])}
      end
    end
  elseif kind == 'stream' then
    for _, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do
      inside[#inside + 1] = string.match(entry[1], '^%d+')
    end
  elseif kind == 'zset' then
    inside = redis.call('ZRANGE', key, 0, -1)
  end
  found[#found + 1] = {key, redis.call('PEXPIRETIME', key), inside}
end
return found";

/// The numbers of streams that are given packed.
const UNPACK: &str = r"
local found = {}
for i, packed in ipairs(ARGV) do found[i] = numbers(packed) end
return found";

/// A stream, by its session and its name.
pub type StreamOf = (String, String);

/// A stream, as its session's record has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Grows with each takeover.
    pub epoch: u64,
    /// The run of a node that may write it; 0 is nobody.
    pub owner: u64,
    /// The number of its newest event.
    pub last: u64,
    /// How many events were not dropped.
    pub kept: u64,
    /// Whether nothing follows.
    pub ended: bool,
}

/// All that a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Keys that the layout does not know.
    pub unknown: Vec<String>,
    /// Keys that stay for ever.
    pub lasting: Vec<String>,
    /// All streams.
    pub streams: BTreeMap<StreamOf, Owned>,
    /// The numbers of the events in their logs.
    pub logs: BTreeMap<StreamOf, Vec<u64>>,
    /// Those that are listed as ended, to be forgotten some time.
    pub listed: BTreeSet<StreamOf>,
    /// The nodes that have a lease.
    pub living: BTreeSet<u64>,
}

/// A stream was written, or with nothing, forgotten.
pub type Change = (StreamOf, Option<Owned>);

impl Kept {
    /// Reads it all at one moment. `names` has what the history calls a session, by its id.
    pub async fn of(redis: &Redis, names: &BTreeMap<&str, &str>) -> Self {
        let mut kept = Self::default();
        let everything = redis
            .cli(&["EVAL_RO", &format!("{NUMBERS}{EVERYTHING}"), "0"])
            .await;
        for key in everything.list() {
            let [key, expires, inside] = key.list() else {
                panic!("a key has three parts: {key:?}");
            };
            let (key, inside) = (key.text(), inside.list());
            if expires.number() < 0 {
                kept.lasting.push(key.clone());
            }
            match Named::parse(&key) {
                Some(Named::Scope(scope)) => {
                    for thing in inside {
                        let stream = stream(names, scope, &thing.list()[0].text());
                        kept.streams.insert(stream, owned(&thing.list()[1]));
                    }
                }
                Some(Named::Ended(scope)) => {
                    let ended = inside.iter().map(|it| stream(names, scope, &it.text()));
                    kept.listed.extend(ended);
                }
                Some(Named::Log(scope, thing)) => {
                    let numbers = inside.iter().map(unsigned).collect();
                    kept.logs.insert(stream(names, scope, thing), numbers);
                }
                Some(Named::Leases) => kept.living = inside.iter().map(unsigned).collect(),
                Some(Named::OfNoStream) => {}
                None => kept.unknown.push(key),
            }
        }
        kept
    }
}

/// How streams came to what they are: every write of one, in order. Empty if the store kept no
/// journal.
pub async fn changes(redis: &Redis, names: &BTreeMap<&str, &str>) -> Vec<Change> {
    let mut written = Vec::new();
    let mut standing: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for command in redis.journal() {
        let name = command[0].to_ascii_lowercase();
        let keys = match name.as_slice() {
            b"hset" | b"hdel" => &command[1..2],
            b"unlink" | b"del" => &command[1..],
            _ => continue,
        };
        for key in keys {
            let key = String::from_utf8_lossy(key);
            let Some(Named::Scope(scope)) = Named::parse(&key) else {
                continue;
            };
            let things = standing.entry(scope.to_owned()).or_default();
            let of = |thing: &str| stream(names, scope, thing);
            match name.as_slice() {
                b"hset" => {
                    for pair in command[2..].chunks_exact(2) {
                        if let Some(thing) = thing_of(&pair[0]) {
                            written.push((of(&thing), Some(pair[1].clone())));
                            things.insert(thing);
                        }
                    }
                }
                b"hdel" => {
                    for thing in command[2..].iter().filter_map(|field| thing_of(field)) {
                        written.push((of(&thing), None));
                        things.remove(&thing);
                    }
                }
                _gone => {
                    let gone = std::mem::take(things);
                    written.extend(gone.iter().map(|thing| (of(thing), None)));
                }
            }
        }
    }
    unpacked(redis, written).await
}

/// Lets the server read what its scripts packed.
async fn unpacked(redis: &Redis, written: Vec<(StreamOf, Option<Vec<u8>>)>) -> Vec<Change> {
    let packed = written.iter().filter_map(|(_, packed)| packed.as_deref());
    let packed: Vec<&[u8]> = packed.collect();
    let (script, mut things) = (format!("{NUMBERS}{UNPACK}"), Vec::new());
    for some in packed.chunks(UNPACKED_AT_ONCE) {
        let mut command: Vec<&[u8]> = vec![b"EVAL_RO", script.as_bytes(), b"0"];
        command.extend(some);
        things.extend(redis.cli(&command).await.list().iter().map(owned));
    }
    let mut things = things.into_iter();
    let change = |(stream, packed): (StreamOf, Option<Vec<u8>>)| {
        (stream, packed.and_then(|_| things.next()))
    };
    written.into_iter().map(change).collect()
}

/// The stream that a field of a session's record is about.
fn thing_of(field: &[u8]) -> Option<String> {
    let thing = field.strip_prefix(b"t:")?;
    Some(String::from_utf8_lossy(thing).into_owned())
}

/// What a key is for, by its name (`sb:1:{partition}:kind`).
enum Named<'a> {
    Scope(&'a str),
    Ended(&'a str),
    Log(&'a str, &'a str),
    Leases,
    OfNoStream,
}

impl<'a> Named<'a> {
    fn parse(key: &'a str) -> Option<Self> {
        let (tag, kind) = key.strip_prefix("sb:1:{")?.split_once("}:")?;
        match (tag, kind.split_once(':').unwrap_or((kind, ""))) {
            ("nodes", ("leases", "")) => Some(Self::Leases),
            ("nodes", ("probe", "")) => Some(Self::OfNoStream),
            (tag, ("g", "")) if tag.starts_with('p') => Some(Self::OfNoStream),
            (tag, ("i", "")) if tag.starts_with('n') => Some(Self::OfNoStream),
            (_, ("s", scope)) => Some(Self::Scope(scope)),
            (_, ("e", scope)) => Some(Self::Ended(scope)),
            (_, ("l", name)) => {
                let (length, name) = name.split_once(':')?;
                let (scope, thing) = name.split_at_checked(length.parse().ok()?)?;
                Some(Self::Log(scope, thing.strip_prefix(':')?))
            }
            _ => None,
        }
    }
}

fn stream(names: &BTreeMap<&str, &str>, scope: &str, thing: &str) -> StreamOf {
    let session = names.get(scope).copied().unwrap_or(scope);
    (session.to_owned(), thing.to_owned())
}

fn owned(reply: &Reply) -> Owned {
    let [epoch, owner, last, kept, ended] = reply.list() else {
        panic!("a stream has five numbers: {reply:?}");
    };
    Owned {
        epoch: unsigned(epoch),
        owner: unsigned(owner),
        last: unsigned(last),
        kept: unsigned(kept),
        ended: ended.number() == 1,
    }
}

fn unsigned(reply: &Reply) -> u64 {
    match reply {
        // The number of a node may be any of 64 bits.
        Reply::Text(_) => reply.text().parse().expect("a number"),
        other => u64::try_from(other.number()).expect("it is not negative"),
    }
}
