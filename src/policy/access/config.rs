//! What a policy is made of, before anything of it is checked.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

/// Roles, who has them, and which scopes imply which.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Config {
    /// Roles by their names. `admin` is built in.
    pub roles: BTreeMap<String, RoleConfig>,
    /// Who has which role besides those that their credential gives.
    pub bindings: Vec<BindingConfig>,
    /// A scope, and the narrower ones it implies.
    pub scopes: BTreeMap<String, Vec<String>>,
}

/// A role: what it allows and denies.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RoleConfig {
    /// Roles whose rules are also its own.
    pub inherits: Vec<String>,
    /// What it allows.
    pub allow: Vec<RuleConfig>,
    /// What it denies, whatever any role allows.
    pub deny: Vec<RuleConfig>,
}

/// A rule: names, and when it holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RuleConfig {
    /// Patterns of canonical names of tools.
    pub tools: Vec<String>,
    /// Patterns of URIs.
    pub resources: Vec<String>,
    /// Patterns of canonical names of prompts.
    pub prompts: Vec<String>,
    /// Scopes the caller needs besides the role.
    pub scopes: Vec<String>,
    /// Claims and the values they must have; below `args`, JSON pointers into the arguments.
    pub when: Map<String, Value>,
    /// Callers who may not call it are told so; otherwise it does not exist for them.
    pub visible: bool,
}

/// Who has a role.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BindingConfig {
    /// Which.
    pub role: String,
    /// Only callers of this tenant.
    pub tenant: Option<String>,
    /// Any of these must be true of the caller; of nobody in particular if there is none.
    pub any_of: Vec<Sign>,
}

/// Something by which a caller is known.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// A claim is a list with this text in it, or is this text.
    ClaimHas {
        /// Its name, or a JSON pointer to it.
        claim: String,
        /// The text.
        has: String,
    },
    /// A claim is this value.
    ClaimIs {
        /// Its name, or a JSON pointer to it.
        claim: String,
        /// The value: a text, a number, true or false.
        is: Value,
    },
    /// The API key belongs to an owner that fits this pattern.
    ApiKeyOwner(String),
    /// The subject of the client certificate fits this pattern.
    Certificate(String),
    /// The user, or the principal's key, is exactly this.
    Principal(String),
}

/// One thing that is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct Complaint {
    /// The path of the key, as in `roles.operator.allow[0].tools`.
    pub key: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}
