//! The scripts: one for each operation, so that each is atomic and one trip.
//!
//! Those on a scope begin with a look at its partition's generation (`prelude.lua`) and refuse a
//! scope whose record is gone, so that nothing that was removed comes back. Time in a script is the
//! server's. What a script finds damaged it refuses with the error code `DAMAGED`.

use std::sync::LazyLock;

use deadpool_redis::redis::{self, Cmd};

/// A script and the name by which the server knows it.
#[derive(Debug)]
pub(super) struct Script {
    text: &'static str,
    digest: LazyLock<String>,
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = [$($file:literal),+];)+) => {
        $($(#[$doc])* pub(super) static $name: Script = {
            const TEXT: &str = concat!($(include_str!(concat!("scripts/", $file, ".lua")), "\n"),+);
            Script { text: TEXT, digest: LazyLock::new(|| digest(TEXT)) }
        };)+

        /// All of them, to be loaded on every new connection.
        pub(super) static ALL: &[&Script] = &[$(&$name),+];
    };
}

scripts! {
    /// Reads or makes a partition's generation.
    GENERATION = ["generation"];
    /// See [`crate::store::Store::create`].
    CREATE = ["prelude", "create"];
    /// See [`crate::store::Store::read`].
    READ = ["prelude", "record", "read"];
    /// See [`crate::store::Store::compare_and_set`].
    COMPARE_AND_SET = ["prelude", "record", "compare_and_set"];
    /// See [`crate::store::Store::touch`]; the scopes of one partition.
    TOUCH = ["prelude", "things", "touch"];
    /// See [`crate::store::Store::remove`].
    REMOVE = ["prelude", "things", "remove"];
    /// See [`crate::store::Store::claim`].
    CLAIM = ["prelude", "things", "claim"];
    /// See [`crate::store::Store::ownership`].
    OWNERSHIP = ["prelude", "things", "ownership"];
    /// See [`crate::store::Store::append`].
    APPEND = ["prelude", "things", "append"];
    /// See [`crate::store::Store::read_log`].
    READ_LOG = ["prelude", "things", "read_log"];
    /// See [`crate::store::Store::post`].
    POST = ["post"];
    /// See [`crate::store::Store::receive`].
    RECEIVE = ["receive"];
    /// See [`crate::store::Store::renew`].
    RENEW = ["renew"];
    /// See [`crate::store::buckets::Buckets::take`]; the buckets of one shelf.
    TAKE = ["take"];
}

impl Script {
    /// The command that loads it.
    pub(super) fn load(&self) -> Cmd {
        let mut cmd = redis::cmd("SCRIPT");
        cmd.arg("LOAD").arg(self.text);
        cmd
    }

    /// The command that runs it on these keys; the arguments follow.
    pub(super) fn run<K: AsRef<[u8]>>(&self, keys: impl ExactSizeIterator<Item = K>) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(self.digest.as_str()).arg(keys.len());
        for key in keys {
            cmd.arg(key.as_ref());
        }
        cmd
    }
}

fn digest(text: &str) -> String {
    redis::Script::new(text).get_hash().to_owned()
}
