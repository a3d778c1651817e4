//! The variables that a program of somebody else sees.
//!
//! Ours may hold secrets, so it gets only what every program needs, and what is meant for it. It is
//! the one place besides `config/env.rs` that reads the environment: it passes on, and looks at nothing.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

/// What every program needs. The official SDKs pass on much the same.
const NEEDED: [&str; 9] = [
    "HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER",
];
/// The beginning of those for the parts of a locale.
const LOCALE: &[u8] = b"LC_";
/// The beginning of a function that a shell exported as a variable: it would be run.
const FUNCTION: &[u8] = b"()";

/// The variables of a program. Never shown: they may be secrets.
#[derive(Clone)]
pub enum Environment {
    /// All of ours.
    Inherited,
    /// Those of ours that every program needs, and these.
    With(BTreeMap<OsString, OsString>),
}

impl Default for Environment {
    fn default() -> Self {
        Self::With(BTreeMap::new())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inherited => f.write_str("Inherited"),
            Self::With(more) => f.debug_set().entries(more.keys()).finish(),
        }
    }
}

impl Environment {
    /// Every variable the program is to see.
    pub(super) fn variables(&self) -> BTreeMap<OsString, OsString> {
        let ours = std::env::vars_os();
        match self {
            Self::Inherited => ours.collect(),
            Self::With(more) => {
                let needed = ours.filter(|(name, value)| is_needed(name, value));
                needed.chain(more.clone()).collect()
            }
        }
    }
}

fn is_needed(name: &OsStr, value: &OsStr) -> bool {
    let is_named = NEEDED.iter().any(|needed| name == *needed);
    (is_named || name.as_encoded_bytes().starts_with(LOCALE))
        && !value.as_encoded_bytes().starts_with(FUNCTION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_every_program_needs_is_passed_on() {
        let passed = |name: &str, value: &str| is_needed(name.as_ref(), value.as_ref());
        assert!(passed("PATH", "/bin"));
        assert!(passed("LC_CTYPE", "C"));
        assert!(!passed("AWS_SECRET_ACCESS_KEY", "s3cret"));
        assert!(!passed("LD_PRELOAD", "a.so"));
        assert!(!passed("path", "/bin"));
        assert!(!passed("TERM", "() { evil; }"));
    }

    #[test]
    fn what_is_meant_for_the_program_comes_before_ours() {
        let more = BTreeMap::from([("PATH".into(), "/own".into()), ("TOKEN".into(), "t".into())]);
        let environment = Environment::With(more);
        let shown = format!("{environment:?}");
        assert!(
            shown.contains("TOKEN") && !shown.contains("/own"),
            "{shown}"
        );
        let variables = environment.variables();
        assert_eq!(variables[OsStr::new("PATH")], "/own");
        assert_eq!(variables[OsStr::new("TOKEN")], "t");
    }
}
