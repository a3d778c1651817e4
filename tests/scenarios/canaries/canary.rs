//! Canaries: texts that nothing else has, and where each of them may be met again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use regex::bytes::{Regex, RegexBuilder};
use serde_json::json;

/// The search is one automaton for all forms of all canaries; this many bytes are plenty for it.
const AUTOMATON_MAX: usize = 64 << 20;

/// Something that is written, shown or sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Output {
    /// What nodes log, as text for people.
    TextLog,
    /// What nodes log, as JSON.
    JsonLog,
    /// What nodes write to standard output.
    Said,
    /// `/metrics`.
    Metrics,
    /// `/health`, `/ready`, and the metadata for clients.
    Pages,
    /// What the command line says, but for the next.
    Commands,
    /// What `key create` says, once.
    NewKeys,
    /// What the one is answered whose canaries these are.
    OwnAnswers,
    /// What everybody else is answered, and whoever presents what is not good.
    OtherAnswers,
    /// Command lines of nodes and all their children.
    CommandLines,
    /// Environments of the children.
    Environments,
    /// Request lines and headers, as upstreams got them.
    UpstreamHeads,
    /// Messages, as upstreams got them.
    UpstreamBodies,
    /// What the authorization server got that knows the gateway.
    Issuer,
    /// Records, checkpoints and keys of the audit.
    AuditFiles,
    /// What `audit query` and `audit export` give out.
    AuditAnswers,
    /// All that was ever written to the store.
    Store,
    /// Other files that nodes wrote.
    Files,
}

/// See the module docs.
#[derive(Clone, Debug)]
pub struct Canary {
    /// What it is.
    pub name: String,
    /// What is looked for.
    pub text: String,
    /// Where it may be met. If it may anywhere, it has to be: otherwise it was never let out.
    pub may: &'static [Output],
}

/// All of them.
#[derive(Debug, Default)]
pub struct Canaries(Mutex<Vec<Canary>>);

/// What was written, shown or sent, by where.
pub type Collected = BTreeMap<Output, Vec<u8>>;

/// How often each canary was found at each place.
pub type Found = BTreeMap<(usize, Output), usize>;

impl Canaries {
    /// Makes one, and gives its text.
    pub fn new_one(&self, name: &str, may: &'static [Output]) -> String {
        let random: [u8; 8] = switchboard::runtime::seal::random();
        let text = format!("canary{:016x}", u64::from_be_bytes(random));
        self.is(name, &text, may);
        text
    }

    /// Takes a text for one that is unique already.
    pub fn is(&self, name: &str, text: &str, may: &'static [Output]) {
        assert!(text.len() >= 12, "{name} is too short to be unique: {text}");
        self.0.lock().unwrap().push(Canary {
            name: name.to_owned(),
            text: text.to_owned(),
            may,
        });
    }

    /// Those there are by now.
    pub fn all(&self) -> Vec<Canary> {
        self.0.lock().unwrap().clone()
    }
}

/// A search for canaries in whatever form.
pub struct Search {
    pattern: Regex,
    /// Whose form it is.
    forms: BTreeMap<Vec<u8>, usize>,
}

impl Search {
    /// Looks for these.
    pub fn of(canaries: &[Canary]) -> Self {
        let forms: BTreeMap<_, _> = (canaries.iter().enumerate())
            .flat_map(|(index, canary)| {
                let forms = forms(&canary.text).into_iter();
                forms.map(move |form| (form.into_bytes(), index))
            })
            .collect();
        // Of two that begin alike the longer one comes first.
        let mut longest_first: Vec<_> = forms.keys().collect();
        longest_first.sort_by_key(|form| std::cmp::Reverse(form.len()));
        let texts = longest_first.into_iter();
        let texts = texts.map(|form| regex::escape(std::str::from_utf8(form).unwrap()));
        let pattern = RegexBuilder::new(&texts.collect::<Vec<_>>().join("|"))
            .size_limit(AUTOMATON_MAX)
            .dfa_size_limit(AUTOMATON_MAX)
            .build();
        Self {
            pattern: pattern.unwrap(),
            forms,
        }
    }

    /// The canaries in a text, each as often as it is there.
    pub fn found_in(&self, bytes: &[u8]) -> Vec<usize> {
        let found = self.pattern.find_iter(bytes);
        found.map(|found| self.forms[found.as_bytes()]).collect()
    }

    /// The canaries in everything.
    pub fn found(&self, collected: &Collected) -> Found {
        let mut found = Found::new();
        for (output, bytes) in collected {
            for canary in self.found_in(bytes) {
                *found.entry((canary, *output)).or_default() += 1;
            }
        }
        found
    }
}

/// A text as it is, and as it looks in JSON, in a URL, in hex, and somewhere within base64.
pub fn forms(text: &str) -> Vec<String> {
    let json = json!(text).to_string();
    let url: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let hex = text.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("memory can be written");
        hex
    });
    let mut forms = vec![
        text.to_owned(),
        json[1..json.len() - 1].to_owned(),
        url,
        hex.to_uppercase(),
        hex,
    ];
    for before in 0..3 {
        let bytes = [&vec![0; before], text.as_bytes()].concat();
        // What depends on its neighbours too is left out.
        let known = [0, 2, 3][before]..bytes.len() * 8 / 6;
        forms.push(STANDARD_NO_PAD.encode(&bytes)[known.clone()].to_owned());
        forms.push(URL_SAFE_NO_PAD.encode(&bytes)[known].to_owned());
    }
    forms.sort();
    forms.dedup();
    forms
}

/// What was looked for where, as a table, and everything that is where it must not be.
pub fn told(canaries: &[Canary], collected: &Collected, found: &Found) -> (String, Vec<String>) {
    let mut table = String::from("output           canaries      bytes  allowed  forbidden\n");
    for (output, bytes) in collected {
        let hits = |allowed: bool| -> usize {
            let here = found.iter().filter(|((_, place), _)| place == output);
            let here = here.filter(|((it, _), _)| canaries[*it].may.contains(output) == allowed);
            here.map(|(_, count)| count).sum()
        };
        writeln!(
            table,
            "{:<16} {:>8} {:>10} {:>8} {:>10}",
            format!("{output:?}"),
            canaries.len(),
            bytes.len(),
            hits(true),
            hits(false)
        )
        .expect("memory can be written");
    }
    let escaped = found.iter().filter_map(|((it, output), count)| {
        let Canary { name, text, may } = &canaries[*it];
        let context = || excerpt(&collected[output], text);
        (!may.contains(output))
            .then(|| format!("{name} is in {output:?}, {count} times: {}", context()))
    });
    let unseen = canaries.iter().enumerate().filter_map(|(index, canary)| {
        let may = canary.may;
        let seen = may
            .iter()
            .any(|output| found.contains_key(&(index, *output)));
        (!may.is_empty() && !seen)
            .then(|| format!("{} was never let out: it is not in {may:?}", canary.name))
    });
    let wrong = escaped.chain(unseen).collect();
    (table, wrong)
}

/// What stands around a text, for whoever has to find out how it came there.
fn excerpt(bytes: &[u8], text: &str) -> String {
    const AROUND: usize = 240;
    let forms = forms(text);
    let at = forms.iter().find_map(|form| {
        let mut windows = bytes.windows(form.len());
        windows.position(|window| window == form.as_bytes())
    });
    let at = at.unwrap_or_default();
    let part = &bytes[at.saturating_sub(AROUND)..(at + AROUND).min(bytes.len())];
    String::from_utf8_lossy(part).escape_debug().to_string()
}
