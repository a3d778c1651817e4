//! What can be written for the audit.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::defaults;
use crate::config::values::{ByteSize, Period};

/// The record of what happened: every call, and whatever concerns access. Nothing is recorded
/// without a `sink`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// `file:DIRECTORY` (relative to the working directory), a directory for each node, or `stdout`:
    /// lines on standard output, which whoever reads them keeps.
    pub sink: Option<String>,
    /// What happens to calls while nothing can be recorded: they are refused, or they go on.
    pub on_failure: OnFailure,
    /// How long a call waits for its record.
    pub patience: Period,
    /// The directory of what proves records whole; best on another disk. Default: `audit/checkpoints`
    /// in the data directory.
    pub checkpoints: Option<String>,
    /// The directory of the keys of what is personal; its backups need not be kept for as long as those
    /// of records. Default: `audit/vault` in the data directory.
    pub vault: Option<String>,
    /// Bytes of a file of records.
    pub segment_size: ByteSize,
    /// How long a file of records is written to.
    pub segment_age: Period,
    /// Whether arguments and results are kept.
    pub payloads: Payloads,
    /// Bytes of arguments, and of a result, that are kept.
    pub max_payload: ByteSize,
    /// What is taken out before anything is recorded.
    pub redaction: Redaction,
    /// How long records are kept.
    pub retention: Retention,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            sink: None,
            on_failure: OnFailure::Closed,
            patience: defaults::AUDIT_PATIENCE,
            checkpoints: None,
            vault: None,
            segment_size: defaults::AUDIT_SEGMENT_SIZE,
            segment_age: defaults::AUDIT_SEGMENT_AGE,
            payloads: Payloads::Redacted,
            max_payload: defaults::AUDIT_PAYLOAD,
            redaction: Redaction::default(),
            retention: Retention::default(),
        }
    }
}

/// What happens to calls while nothing can be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// They are refused.
    Closed,
    /// They go on, and their records wait in memory.
    Open,
}

/// Whether arguments and results are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Payloads {
    /// As redaction leaves them.
    Redacted,
    /// Not at all.
    Off,
}

/// What is taken out before anything is recorded.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redaction {
    /// What is done with what is found: `drop`, `mask`, `token` (a keyed hash, so that equal values
    /// stay equal), `encrypt` (for whoever has the cluster's keys).
    pub action: String,
    /// The same for single classes: `pointer`, `key`, `credentials`, `pem`, `jwt`, `api_key`, `card`,
    /// `iban`, `national_id`, `email`, `phone`, `ip`, `high_entropy`. `keep` leaves a class in tools
    /// that are named under `tools`.
    pub actions: BTreeMap<String, String>,
    /// Names of members that hold secrets, as regular expressions.
    pub keys: Vec<String>,
    /// What is known of single tools, by the names that clients call them by. All others are looked
    /// through for every class.
    pub tools: BTreeMap<String, RedactedTool>,
}

impl Default for Redaction {
    fn default() -> Self {
        Self {
            action: "mask".to_owned(),
            actions: BTreeMap::new(),
            keys: crate::audit::redact::Rules::KEYS.map(str::to_owned).into(),
            tools: BTreeMap::new(),
        }
    }
}

/// What is known of a tool.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RedactedTool {
    /// What is taken out of its arguments and results, as JSON pointers in which a step may be `*`.
    pub pointers: Vec<String>,
}

/// How long records are kept.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// What is known of calls.
    pub metadata: Period,
    /// Their arguments and results.
    pub payloads: Period,
    /// Everything else that happened.
    pub security: Period,
    /// Tenants of whom nothing is deleted or erased.
    pub legal_hold: Vec<String>,
    /// Other times for single tenants.
    pub tenants: BTreeMap<String, TenantRetention>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            metadata: defaults::AUDIT_METADATA,
            payloads: defaults::AUDIT_PAYLOADS,
            security: defaults::AUDIT_SECURITY,
            legal_hold: Vec::new(),
            tenants: BTreeMap::new(),
        }
    }
}

/// How long records of a tenant are kept. Default: as those of the others.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantRetention {
    /// What is known of calls.
    pub metadata: Option<Period>,
    /// Their arguments and results.
    pub payloads: Option<Period>,
    /// Everything else that happened.
    pub security: Option<Period>,
}
