//! What the audit is to do, as plain values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::redact::Rules;

const DAY: Duration = Duration::from_secs(86_400);

/// Everything [`super::Audit::open`] needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where records go.
    pub sink: Sink,
    /// Where segments and their keys are.
    pub places: Places,
    /// What happens to calls while nothing can be written.
    pub on_failure: OnFailure,
    /// How long a call waits for its record.
    pub patience: Duration,
    /// Bytes of a segment; the records written together with the last may go over it.
    pub segment_size: u64,
    /// How long a segment is written to.
    pub segment_age: Duration,
    /// Whether inputs and outputs are kept.
    pub payloads: Payloads,
    /// Bytes of an input or an output, redacted; the rest is cut.
    pub payload_max: usize,
    /// What is taken out.
    pub rules: Rules,
    /// How long things are kept.
    pub retention: Retention,
}

impl Config {
    /// What holds unless somebody says something else, for records in this directory.
    #[must_use]
    pub fn in_directory(places: Places) -> Self {
        Self {
            sink: Sink::Directory,
            places,
            on_failure: OnFailure::Closed,
            patience: Duration::from_secs(5),
            segment_size: 64 << 20,
            segment_age: DAY,
            payloads: Payloads::Redacted,
            payload_max: 16 << 10,
            rules: Rules::default(),
            retention: Retention::default(),
        }
    }

    /// The same for a command, whose standard output holds its answer and nothing else.
    #[must_use]
    pub fn beside_an_answer(mut self) -> Self {
        if self.sink == Sink::Stdout {
            self.sink = Sink::Stderr;
        }
        self
    }
}

/// Where records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Into segments in [`Places::records`].
    Directory,
    /// To standard output, line by line; who reads it keeps it.
    Stdout,
    /// To standard error, where a command writes what a node would write to standard output.
    Stderr,
}

/// Three directories. Whoever can change all of them and has the cluster's keys can change history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Segments of records.
    pub records: PathBuf,
    /// What proves them whole: signed checkpoints and the anchors of open segments.
    pub checkpoints: PathBuf,
    /// The keys of what is personal. Without them it is noise, and so are its backups.
    pub vault: PathBuf,
}

/// What happens to calls while nothing can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// They are refused.
    Closed,
    /// They go on; records wait in memory, and the oldest are lost when there are too many.
    Open,
}

/// Whether inputs and outputs are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payloads {
    /// As redaction leaves them.
    Redacted,
    /// Not at all; what they commit to is still recorded.
    Off,
}

/// How long things are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Unless a tenant has its own.
    pub default: Keep,
    /// By tenant.
    pub tenants: BTreeMap<String, Keep>,
    /// Tenants of whom nothing is deleted or erased.
    pub legal_hold: BTreeSet<String>,
}

/// How long the records of a tenant are kept, by class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// What is known of calls.
    pub metadata: Duration,
    /// Their inputs and outputs.
    pub payloads: Duration,
    /// Everything else that happened.
    pub security: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            metadata: DAY * 400,
            payloads: DAY * 30,
            security: DAY * 730,
        }
    }
}

impl Retention {
    /// How long things of a tenant are kept; nothing while there is a legal hold on them.
    #[must_use]
    pub fn of(&self, tenant: &str) -> Option<Keep> {
        if self.is_held(tenant) {
            return None;
        }
        Some(self.tenants.get(tenant).copied().unwrap_or(self.default))
    }

    /// The same legal holds, and nothing is ever too old: for who writes a record in passing.
    #[must_use]
    pub fn without_age(&self) -> Self {
        Self {
            default: Keep {
                metadata: Duration::MAX,
                payloads: Duration::MAX,
                security: Duration::MAX,
            },
            tenants: BTreeMap::new(),
            legal_hold: self.legal_hold.clone(),
        }
    }

    /// Whether nothing of that tenant may go.
    #[must_use]
    pub fn is_held(&self, tenant: &str) -> bool {
        self.legal_hold.contains(tenant)
    }
}
