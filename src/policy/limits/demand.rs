//! Which limits a call falls under.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::config::{Config, Most, OnFailure, What, Who};
use super::key::Key;
use super::rate::Rate;
use crate::identity::Caller;
use crate::policy::access::Complaint;
use crate::policy::names::{NamePattern, Separator};
use crate::runtime::sabotage::{self, Bug};

/// Rules of a configuration: each call is held against every one.
const RULES_MAX: usize = 1_000;

/// Stands for every tool that is in no list; none is called so.
const UNLISTED: &str = "";

/// All limits, compiled. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Limits(Arc<Compiled>);

#[derive(Debug, Default)]
struct Compiled {
    rules: Vec<Rule>,
    config: Config,
}

#[derive(Debug)]
struct Rule {
    name: Arc<str>,
    who: Who,
    what: Calls,
    most: Most,
}

#[derive(Debug)]
enum Calls {
    All,
    Tool(NamePattern),
    Server(NamePattern),
}

/// What a call needs to pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// A token for each of these.
    pub rates: Vec<Demand>,
    /// And a place in each of these.
    pub running: Vec<RunningDemand>,
}

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Of which bucket.
    pub key: Key,
    /// What flows into it.
    pub rate: Rate,
    /// What happens while nobody can count it.
    pub on_failure: OnFailure,
    /// The limit's name in the configuration.
    pub rule: Arc<str>,
}

/// One place among the calls that run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningDemand {
    /// What is counted.
    pub key: Key,
    /// How many may run.
    pub most: NonZeroU32,
    /// The limit's name in the configuration.
    pub rule: Arc<str>,
}

impl Limits {
    /// Checks and compiles limits.
    ///
    /// # Errors
    /// With everything that is wrong.
    pub fn new(config: &Config) -> Result<Self, Vec<Complaint>> {
        let mut complaints = Vec::new();
        if config.rules.len() > RULES_MAX {
            let problem = format!("there are {}; at most {RULES_MAX} fit", config.rules.len());
            let key = "limits".to_owned();
            complaints.push(Complaint { key, problem });
        }
        let mut rules = Vec::with_capacity(config.rules.len());
        for rule in &config.rules {
            let what = match &rule.what {
                What::All => Ok(Calls::All),
                What::Tool(tools) => NamePattern::new(tools, Separator::Dot).map(Calls::Tool),
                What::Server(servers) => {
                    NamePattern::new(servers, Separator::Dot).map(Calls::Server)
                }
            };
            match what {
                Ok(what) => rules.push(Rule {
                    name: rule.name.as_str().into(),
                    who: rule.who,
                    what,
                    most: rule.most,
                }),
                Err(error) => complaints.push(Complaint {
                    key: format!("limits.{}", rule.name),
                    problem: error.to_string(),
                }),
            }
        }
        if !complaints.is_empty() {
            return Err(complaints);
        }
        Ok(Self(Arc::new(Compiled {
            rules,
            config: config.clone(),
        })))
    }

    /// How many nodes share the limits when each counts alone.
    #[must_use]
    pub fn nodes(&self) -> NonZeroU32 {
        self.0.config.nodes
    }

    /// Whether there are any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.config.rules.is_empty() && self.0.config.roles.is_empty()
    }

    /// What a call of `tool` at `server` needs to pass. `roles` are all the caller has
    /// ([`super::super::Policy::all_roles_of`]); the limits of each of them hold. Names that are in no
    /// list count as one: clients invent any number of them, and the table of all has a bound.
    #[must_use]
    pub fn demands(
        &self,
        caller: &Caller,
        roles: &BTreeSet<Arc<str>>,
        server: &str,
        tool: &str,
        is_listed: bool,
    ) -> Demands {
        let mut demands = Demands::default();
        for rule in &self.0.rules {
            let of = match &rule.what {
                Calls::All => "",
                Calls::Tool(tools) if tools.matches(tool) => {
                    if is_listed {
                        tool
                    } else {
                        UNLISTED
                    }
                }
                Calls::Server(servers) if servers.matches(server) => server,
                Calls::Tool(_) | Calls::Server(_) => continue,
            };
            let user = match rule.who {
                Who::Tenant => "",
                Who::User => &caller.user,
            };
            let tenant = if sabotage::is(Bug::RateKeyWithoutTenant) {
                ""
            } else {
                &*caller.tenant
            };
            let key = Key::of(&[&rule.name, tenant, user, of]);
            demands.push(key, rule.most, &rule.name);
        }
        for (role, limits) in &self.0.config.roles {
            if !roles.contains(role.as_str()) {
                continue;
            }
            let rate = limits
                .per_user
                .map(|(rate, on_failure)| Most::Rate(rate, on_failure));
            let running = limits.concurrent.map(Most::Running);
            for (name, most) in [("per_user", rate), ("concurrent", running)] {
                if let Some(most) = most {
                    let rule: Arc<str> = format!("roles.{role}.limits.{name}").into();
                    let key = Key::of(&[&rule, &caller.tenant, &caller.user]);
                    demands.push(key, most, &rule);
                }
            }
        }
        demands
    }
}

/// Limits are the same if they were written the same.
impl PartialEq for Limits {
    fn eq(&self, other: &Self) -> bool {
        self.0.config == other.0.config
    }
}

impl Demands {
    fn push(&mut self, key: Key, most: Most, rule: &Arc<str>) {
        let rule = rule.clone();
        match most {
            Most::Rate(rate, on_failure) => self.rates.push(Demand {
                key,
                rate,
                on_failure,
                rule,
            }),
            Most::Running(most) => self.running.push(RunningDemand { key, most, rule }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::config::{RoleConfig, RuleConfig};
    use super::*;

    fn rule(name: &str, who: Who, what: What, most: Most) -> RuleConfig {
        let name = name.to_owned();
        RuleConfig {
            name,
            who,
            what,
            most,
        }
    }

    fn rate(text: &str) -> Most {
        Most::Rate(text.parse().unwrap(), OnFailure::Local)
    }

    fn limits() -> Limits {
        let analyst = RoleConfig {
            per_user: Some(("60/min".parse().unwrap(), OnFailure::Refuse)),
            concurrent: NonZeroU32::new(5),
        };
        Limits::new(&Config {
            rules: vec![
                rule("per_user", Who::User, What::All, rate("600/min")),
                rule("per_tenant", Who::Tenant, What::All, rate("900/min")),
                rule(
                    "per_tool",
                    Who::Tenant,
                    What::Tool("jira.*".into()),
                    rate("30/min"),
                ),
                rule(
                    "per_user_server",
                    Who::User,
                    What::Server("slack".into()),
                    rate("1/s"),
                ),
                rule(
                    "concurrent",
                    Who::User,
                    What::All,
                    Most::Running(NonZeroU32::MIN),
                ),
            ],
            roles: BTreeMap::from([("analyst".to_owned(), analyst)]),
            nodes: NonZeroU32::MIN,
        })
        .unwrap()
    }

    fn caller(tenant: &str, user: &str) -> Caller {
        Caller {
            tenant: tenant.into(),
            user: user.into(),
            ..Caller::local()
        }
    }

    fn demanded(caller: &Caller, roles: &[&str], server: &str, tool: &str) -> Vec<(String, Key)> {
        let roles = roles.iter().map(|role| (*role).into()).collect();
        let demands = limits().demands(caller, &roles, server, tool, true);
        let rates = demands
            .rates
            .into_iter()
            .map(|it| (it.rule.to_string(), it.key));
        let running = demands
            .running
            .into_iter()
            .map(|it| (it.rule.to_string(), it.key));
        rates.chain(running).collect()
    }

    #[test]
    fn invented_names_count_as_one() {
        let roles = BTreeSet::new();
        let key = |tool: &str, is_listed| {
            let alice = caller("t", "alice");
            let demands = limits().demands(&alice, &roles, "jira", tool, is_listed);
            let of_tool = demands
                .rates
                .iter()
                .find(|it| it.rule.starts_with("per_tool"));
            of_tool.expect("it falls under one").key.clone()
        };
        assert_eq!(key("jira.create_1", false), key("jira.create_2", false));
        assert_ne!(key("jira.create_1", true), key("jira.create_2", true));
        assert_ne!(key("jira.create_1", true), key("jira.create_1", false));
    }

    #[test]
    fn a_call_falls_under_every_limit_that_is_about_it() {
        let alice = caller("t", "alice");
        for (roles, server, tool, expected) in [
            (
                &[][..],
                "files",
                "files.read",
                "per_user per_tenant concurrent",
            ),
            (
                &[][..],
                "jira",
                "jira.get",
                "per_user per_tenant per_tool concurrent",
            ),
            (
                &[][..],
                "slack",
                "slack.say",
                "per_user per_tenant per_user_server concurrent",
            ),
            (
                &["analyst", "other"][..],
                "files",
                "files.read",
                "per_user per_tenant roles.analyst.limits.per_user concurrent \
                 roles.analyst.limits.concurrent",
            ),
        ] {
            let found = demanded(&alice, roles, server, tool);
            let names: Vec<_> = found.iter().map(|(rule, _)| rule.as_str()).collect();
            assert_eq!(names.join(" "), expected, "{tool}");
        }
    }

    /// Which limits two calls are counted together under.
    fn together(one: (&Caller, &str), other: (&Caller, &str)) -> String {
        let of = |(caller, tool): (&Caller, &str)| demanded(caller, &["analyst"], "jira", tool);
        let (one, other) = (of(one), of(other));
        let shared = one.iter().filter(|demand| other.contains(demand));
        let shared: Vec<_> = shared.map(|(rule, _)| rule.as_str()).collect();
        shared.join(" ")
    }

    #[test]
    fn calls_are_counted_together_as_far_as_the_limit_says() {
        let (alice, bob) = (caller("t", "alice"), caller("t", "bob"));
        let elsewhere = caller("u", "alice");
        let all = "per_user per_tenant per_tool roles.analyst.limits.per_user concurrent \
                   roles.analyst.limits.concurrent";
        for (one, other, expected) in [
            ((&alice, "jira.get"), (&alice, "jira.get"), all),
            (
                (&alice, "jira.get"),
                (&alice, "jira.set"),
                &*all.replace("per_tool ", ""),
            ),
            (
                (&alice, "jira.get"),
                (&bob, "jira.get"),
                "per_tenant per_tool",
            ),
            ((&alice, "jira.get"), (&bob, "jira.set"), "per_tenant"),
            ((&alice, "jira.get"), (&elsewhere, "jira.get"), ""),
        ] {
            assert_eq!(together(one, other), expected);
        }
    }

    #[test]
    fn a_pattern_that_means_nothing_is_refused_with_its_key() {
        let name = "per_tool.\"a b\"";
        let rules = vec![rule(
            name,
            Who::Tenant,
            What::Tool("a b".into()),
            rate("1/s"),
        )];
        let complaints = Limits::new(&Config {
            rules,
            ..Config::default()
        });
        let complaints = complaints.unwrap_err();
        assert_eq!(complaints[0].key, format!("limits.{name}"));
    }
}
