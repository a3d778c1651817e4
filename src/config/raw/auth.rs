//! `[auth]` as it is written: the proofs that are accepted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::defaults;
use crate::config::values::Period;

/// The proofs of who is calling that are accepted. Without any, nobody is asked.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// API keys, made with `switchboard key create`. The table alone is enough.
    pub api_keys: Option<ApiKeys>,
}

/// API keys.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ApiKeys {
    /// How long a key is good that is made without a word about that; at most a year.
    pub life: Period,
}

impl Default for ApiKeys {
    fn default() -> Self {
        Self {
            life: defaults::API_KEY_LIFE,
        }
    }
}
