//! What an operator should know of what upstreams list.
//!
//! Warnings are values: whoever made a list decides how loud they are and how often.

use std::fmt;
use std::time::{Duration, Instant};

use super::config::Pin;
use super::definition::{Kind, NoRoom, Unfit};
use super::part::{BYTES_MAX, ENTRIES_MAX};
use super::pins::DefinitionHash;
use crate::protocol::param_headers::AnnotationError;
use crate::runtime::log_budget::LogBudget;

/// Most warnings that are kept of one list; a broken upstream earns one per entry.
pub(super) const WARNINGS_MAX: usize = 100;
/// How often as many are logged of one endpoint: an upstream may change what is wrong with it at any time.
const LOGGED_EACH: Duration = Duration::from_secs(60);
/// Longest name that a warning repeats, in characters.
const NAME_CHARS_MAX: usize = 128;

/// How many warnings of an endpoint are logged.
pub(super) fn budget() -> LogBudget {
    let most = u32::try_from(WARNINGS_MAX).unwrap_or(u32::MAX);
    LogBudget::new(most, LOGGED_EACH, Instant::now())
}

/// As much of an upstream's name for something as is repeated.
pub(super) fn shortened(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
}

/// Something an operator should know of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Warning {
    /// The upstream's name in the configuration.
    pub(super) upstream: String,
    /// What the entry is of.
    pub(super) kind: Kind,
    /// What the upstream calls it, or its place in the list where it has no name; shortened.
    pub(super) entry: String,
    /// What is the matter with it.
    pub(super) problem: Problem,
}

/// What is the matter with an entry; each text completes "the entry …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    /// No client should be shown it.
    #[error("is left out: it {0}")]
    Unfit(#[from] Unfit),
    /// The upstream lists another of that name before.
    #[error("is left out: it is listed twice")]
    Twice,
    /// Another entry is shown by the name it would have.
    #[error("is left out: upstream {by:?} already shows one as {shown:?}")]
    Taken {
        /// Whose that is.
        by: String,
        /// The name.
        shown: String,
    },
    /// The upstream lists more than is taken.
    #[error(
        "is left out with all that follow: more than {ENTRIES_MAX} entries or {BYTES_MAX} bytes"
    )]
    TooMuch,
    /// What its texts say is not all that is seen of them.
    #[error("is shown as it is: its texts have characters that nobody sees, but a model reads")]
    Deceives,
    /// It asks for headers against the rules.
    #[error("is shown without the headers it asks for: {0}")]
    AnnotationsRemoved(AnnotationError),
    /// Its calls cannot name a session.
    #[error("has a session of its own for each call: it cannot be told one, as its arguments {0}")]
    NoHandle(NoRoom),
    /// It is another than the one seen first.
    #[error(
        "is another than the one first seen, {was}, and is {}: to accept it, set its name in \
         `pins` to {is}",
        .pin.what_it_does()
    )]
    Changed {
        /// The one seen first, or accepted since.
        was: DefinitionHash,
        /// The one it is now.
        is: DefinitionHash,
        /// What that leads to.
        pin: Pin,
    },
}

/// Warnings up to a bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Warnings {
    /// The first of them.
    pub(super) said: Vec<Warning>,
    /// How many more there were.
    pub(super) unsaid: usize,
}

impl Pin {
    const fn what_it_does(self) -> &'static str {
        match self {
            Self::Warn => "shown all the same",
            Self::Hide => "left out",
            Self::Block => "blocked",
        }
    }
}

impl Warnings {
    /// Says to operators of `endpoint` those that were not among what was said `before`: lists are read again
    /// and again, and what is wrong with them stays.
    pub(super) fn log(&self, endpoint: &str, before: Option<&Self>, budget: &mut LogBudget) {
        if before == Some(self) {
            return;
        }
        let is_new = |said: &&Warning| !before.is_some_and(|before| before.said.contains(said));
        for Warning {
            upstream,
            kind,
            entry,
            problem,
        } in self.said.iter().filter(is_new)
        {
            let Some(suppressed) = budget.admit(Instant::now()) else {
                continue;
            };
            let suppressed = (suppressed > 0).then_some(suppressed);
            tracing::warn!(endpoint, upstream, ?kind, entry, %problem, suppressed, "an upstream lists what is not as it should be");
        }
        if self.unsaid > 0 && budget.admit(Instant::now()).is_some() {
            tracing::warn!(
                endpoint,
                count = self.unsaid,
                "an upstream lists more of the like"
            );
        }
    }

    /// Adds one, while there is room.
    pub(super) fn add(&mut self, upstream: &str, kind: Kind, entry: &str, problem: Problem) {
        if self.said.len() == WARNINGS_MAX {
            self.unsaid += 1;
            return;
        }
        self.said.push(Warning {
            upstream: upstream.to_owned(),
            kind,
            entry: shortened(entry),
            problem,
        });
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, entry, problem) = (self.kind, &self.entry, &self.problem);
        write!(f, "{kind} {entry:?} {problem}")
    }
}
