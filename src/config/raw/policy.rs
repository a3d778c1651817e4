//! What can be written about who may call what, and how often.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::config::values::RateText;
use crate::policy::limits::rate::RATE_PATTERN;

/// What callers with a role may do. What no role allows is denied, and does not exist for them.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Role {
    /// Roles whose rules and limits are also those of this one.
    pub inherits: Vec<String>,
    /// What it allows.
    pub allow: Vec<Rule>,
    /// What it denies, whatever this role or another of the caller allows.
    pub deny: Vec<Rule>,
    /// Limits of callers with this role, besides those of `[limits]`.
    pub limits: RoleLimits,
}

/// Names, and when the rule holds. Names are exact, or have `*` for any text inside a segment, or
/// `**` for any text; segments are separated by `.` in names and by `/` in URIs.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Names of tools, as clients see them: `jira.create_issue`, `jira.get_*`.
    pub tools: Vec<String>,
    /// URIs of resources: `crm://accounts/**`.
    pub resources: Vec<String>,
    /// Names of prompts.
    pub prompts: Vec<String>,
    /// With `allow`: scopes the caller's token needs as well.
    pub scopes: Vec<String>,
    /// Holds only when these claims of the caller have these values, each one or a list of those that
    /// do. Below `args`: JSON pointers into the arguments, and the values that may stand there.
    pub when: BTreeMap<String, Value>,
    /// Callers who may not use it still find it in lists, and are told which role it needs.
    pub visible: bool,
}

/// Limits of callers with a role.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RoleLimits {
    /// Calls of each of them.
    pub per_user: Option<RateLimit>,
    /// Calls of each of them that run at a time, on each node.
    pub concurrent: Option<NonZeroU32>,
}

/// Who has a role.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Binding {
    /// The role: one of `[roles]`, or `admin`.
    pub role: String,
    /// Only callers of this tenant. Alone: all of them.
    pub tenant: Option<String>,
    /// Callers of whom any of these is true.
    pub any_of: Vec<AnyOf>,
}

/// Something by which callers are known: one of its keys, or `claim` with `has` or `is`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AnyOf {
    /// A claim, by its name or by a JSON pointer to it: `groups`, `/realm_access/roles`.
    pub claim: Option<String>,
    /// It is a list with this text in it, or is this text.
    pub has: Option<String>,
    /// It is exactly this.
    pub is: Option<Scalar>,
    /// The owner of the API key, with `*` for any text.
    pub api_key_owner: Option<String>,
    /// The subject of the client's certificate, with `*` for any text.
    pub certificate: Option<String>,
    /// The user, exactly.
    pub principal: Option<String>,
}

/// A text, a number, true or false.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Scalar(pub Value);

impl JsonSchema for Scalar {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// How often who may call what. Every limit that is about a call holds, and each counts every tenant
/// apart. Only work is counted: calls, reads and prompts, not lists.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CallLimits {
    /// All calls of each user.
    pub per_user: Option<RateLimit>,
    /// All calls of each tenant.
    pub per_tenant: Option<RateLimit>,
    /// Calls of each tool whose name fits.
    pub per_tool: BTreeMap<String, RateLimit>,
    /// Calls to each server (what names begin with) that fits.
    pub per_server: BTreeMap<String, RateLimit>,
    /// Calls of each user of each tool whose name fits.
    pub per_user_tool: BTreeMap<String, RateLimit>,
    /// Calls of each user to each server that fits.
    pub per_user_server: BTreeMap<String, RateLimit>,
    /// Calls that run at a time, on each node.
    pub concurrent: Running,
    /// What happens while the store that nodes share is away, where a limit does not say it: each
    /// node lets its share pass, nothing passes, or everything does.
    pub on_store_failure: OnFailure,
    /// How many nodes share the limits, for their shares while the store is away. Default: 1.
    pub nodes: Option<NonZeroU32>,
}

/// Calls that run at a time, on each node.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Running {
    /// Of each user.
    pub per_user: Option<NonZeroU32>,
    /// Of each tenant.
    pub per_tenant: Option<NonZeroU32>,
    /// Of each tool whose name fits.
    pub per_tool: BTreeMap<String, NonZeroU32>,
    /// To each server that fits.
    pub per_server: BTreeMap<String, NonZeroU32>,
}

/// What happens while the store that nodes share is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Each node lets its share pass.
    #[default]
    Local,
    /// Nothing passes.
    Refuse,
    /// Everything passes.
    Allow,
}

/// A rate, with what else is said of it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct RateTable {
    /// How many per time, as in `"600/min"`.
    rate: Option<RateText>,
    /// How many at once. Default: as many as in `rate`.
    burst: Option<NonZeroU32>,
    /// What happens while the store that nodes share is away. Default: `on_store_failure`.
    on_failure: Option<OnFailure>,
}

/// A rate, alone or with what else is said of it. That there is one is checked later.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct RateLimit(RateTable);

impl RateLimit {
    /// How many per time.
    #[must_use]
    pub const fn rate(&self) -> Option<RateText> {
        self.0.rate
    }

    /// How many at once.
    #[must_use]
    pub const fn burst(&self) -> Option<NonZeroU32> {
        self.0.burst
    }

    /// What happens while the store is away.
    #[must_use]
    pub const fn on_failure(&self) -> Option<OnFailure> {
        self.0.on_failure
    }
}

impl<'de> Deserialize<'de> for RateLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RateLimit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rate or a table")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RateLimit, E> {
                let rate = Some(text.parse().map_err(E::custom)?);
                Ok(RateLimit(RateTable {
                    rate,
                    ..RateTable::default()
                }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RateLimit, A::Error> {
                RateTable::deserialize(MapAccessDeserializer::new(map)).map(RateLimit)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for RateLimit {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RateLimit".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<RateTable>();
        json_schema!({ "anyOf": [{ "type": "string", "pattern": RATE_PATTERN }, table] })
    }
}
