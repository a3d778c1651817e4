//! What limits are made of.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::rate::Rate;

/// Limits of calls, for everybody and for some roles.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Rules in the order in which they are written.
    pub rules: Vec<RuleConfig>,
    /// Limits of roles, by the names of the roles: each holds for those who have the role.
    pub roles: BTreeMap<String, RoleConfig>,
    /// How many nodes share the limits, for those that go on alone while the store is away.
    pub nodes: NonZeroU32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            roles: BTreeMap::new(),
            nodes: NonZeroU32::MIN,
        }
    }
}

/// One limit.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleConfig {
    /// What it is called in the configuration: `per_user`, `per_tool."jira.*"`.
    pub name: String,
    /// Whom it counts apart.
    pub who: Who,
    /// Which calls it counts, and whether each kind of them apart.
    pub what: What,
    /// How many.
    pub most: Most,
}

/// How many calls a limit lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Most {
    /// So many per time.
    Rate(Rate, OnFailure),
    /// So many at a time, on each node.
    Running(NonZeroU32),
}

/// Whom a limit counts apart. Tenants it always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// All of a tenant together.
    Tenant,
    /// Each user.
    User,
}

/// Which calls a limit counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// All together.
    All,
    /// Those of tools whose canonical names fit, each tool apart.
    Tool(String),
    /// Those to servers whose names fit, each server apart.
    Server(String),
}

/// What happens while the store that nodes share is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Each node lets its share pass.
    #[default]
    Local,
    /// Nothing passes.
    Refuse,
    /// Everything passes.
    Allow,
}

/// Limits of those who have a role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoleConfig {
    /// Calls of each of them.
    pub per_user: Option<(Rate, OnFailure)>,
    /// Calls of each of them at a time, on each node.
    pub concurrent: Option<NonZeroU32>,
}
