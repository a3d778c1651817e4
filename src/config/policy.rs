//! Roles, bindings, scopes and limits: from what was written to what decides.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::layers::Ground;
use super::raw::{self, Raw};
use super::settings::{AuthSettings, PolicySettings};
use crate::policy::access::{self, BindingConfig, Complaint, Policy, RoleConfig, RuleConfig, Sign};
use crate::policy::limits::config::{self, Config, Most, OnFailure, What, Who};
use crate::policy::limits::{Limits, Rate};

/// Resolves both. What is wrong is complained about, and then counts for nothing.
///
/// Where nobody is authenticated and no role is written, everybody may do everything.
pub(super) fn resolve(raw: &Raw, auth: &AuthSettings, ground: &mut Ground) -> PolicySettings {
    let access = access(raw, ground);
    let is_empty = access.roles.is_empty() && access.bindings.is_empty();
    let access = Policy::new(&access).unwrap_or_else(|complaints| {
        complain(&complaints, ground);
        of_nothing()
    });
    let access = if is_empty { Policy::open() } else { access };
    let limits = limits(raw, ground);
    let limits = Limits::new(&limits).unwrap_or_else(|complaints| {
        complain(&complaints, ground);
        Limits::default()
    });
    PolicySettings { access, limits }.beside(auth)
}

impl PolicySettings {
    /// The same beside this authentication: where somebody has to prove who they are, nothing is open.
    #[must_use]
    pub fn beside(self, auth: &AuthSettings) -> Self {
        let access = if self.access.is_open() && !auth.is_empty() {
            of_nothing()
        } else {
            self.access
        };
        Self { access, ..self }
    }
}

fn of_nothing() -> Policy {
    Policy::new(&access::Config::default()).expect("invariant: a policy of nothing is one")
}

fn complain(complaints: &[Complaint], ground: &mut Ground) {
    for Complaint { key, problem } in complaints {
        ground.complain_within(key, problem);
    }
}

fn access(raw: &Raw, ground: &mut Ground) -> access::Config {
    let roles = raw.roles.iter().map(|(name, role)| {
        let role = RoleConfig {
            inherits: role.inherits.clone(),
            allow: role.allow.iter().map(rule).collect(),
            deny: role.deny.iter().map(rule).collect(),
        };
        (name.clone(), role)
    });
    let bindings = raw.bindings.iter().enumerate().map(|(at, binding)| {
        let any_of = format!("bindings[{at}].any_of");
        if binding.any_of.is_empty() && ground.is_set(&any_of) {
            let problem = if binding.tenant.is_some() {
                "names nobody: leave it out to give the role to the whole tenant"
            } else {
                "names nobody: write who has the role, as in [{ api_key_owner = \"ci\" }]"
            };
            ground.refuse_within(&any_of, problem);
        }
        let signs = binding
            .any_of
            .iter()
            .enumerate()
            .filter_map(|(place, sign)| {
                let key = format!("{any_of}[{place}]");
                let read = self::sign(sign);
                read.map_err(|problem| ground.refuse_within(&key, problem))
                    .ok()
            });
        BindingConfig {
            any_of: signs.collect(),
            role: binding.role.clone(),
            tenant: binding.tenant.clone(),
        }
    });
    access::Config {
        roles: roles.collect(),
        bindings: bindings.collect(),
        scopes: raw.scopes.clone(),
    }
}

fn rule(raw: &raw::Rule) -> RuleConfig {
    let when = raw.when.iter();
    RuleConfig {
        tools: raw.tools.clone(),
        resources: raw.resources.clone(),
        prompts: raw.prompts.clone(),
        scopes: raw.scopes.clone(),
        when: when
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        visible: raw.visible,
    }
}

fn sign(raw: &raw::AnyOf) -> Result<Sign, &'static str> {
    let raw::AnyOf {
        claim,
        has,
        is,
        api_key_owner,
        certificate,
        principal,
    } = raw.clone();
    match (claim, has, is, api_key_owner, certificate, principal) {
        (Some(claim), Some(has), None, None, None, None) => Ok(Sign::ClaimHas { claim, has }),
        (Some(claim), None, Some(is), None, None, None) => Ok(Sign::ClaimIs { claim, is: is.0 }),
        (None, None, None, Some(owner), None, None) => Ok(Sign::ApiKeyOwner(owner)),
        (None, None, None, None, Some(subject), None) => Ok(Sign::Certificate(subject)),
        (None, None, None, None, None, Some(principal)) => Ok(Sign::Principal(principal)),
        (Some(_), None, None, None, None, None) => Err("`claim` needs `has` or `is`"),
        _ => Err(
            "write one of `claim` with `has`, `claim` with `is`, `api_key_owner`, `certificate` \
             and `principal`; write another entry for another",
        ),
    }
}

fn limits(raw: &Raw, ground: &mut Ground) -> Config {
    let written = &raw.limits;
    let mut reader = Reader {
        default: on_failure(written.on_store_failure),
        ground,
        rules: Vec::new(),
    };
    reader.rate("per_user", Who::User, written.per_user.as_ref());
    reader.rate("per_tenant", Who::Tenant, written.per_tenant.as_ref());
    let (tool, server): (Named, Named) = (What::Tool, What::Server);
    for (name, who, what, rates) in [
        ("per_tool", Who::Tenant, tool, &written.per_tool),
        ("per_server", Who::Tenant, server, &written.per_server),
        ("per_user_tool", Who::User, tool, &written.per_user_tool),
        (
            "per_user_server",
            Who::User,
            server,
            &written.per_user_server,
        ),
    ] {
        reader.rates(name, who, what, rates);
    }
    let running = &written.concurrent;
    reader.running("per_user", Who::User, running.per_user);
    reader.running("per_tenant", Who::Tenant, running.per_tenant);
    for (name, what, most) in [
        ("per_tool", tool, &running.per_tool),
        ("per_server", server, &running.per_server),
    ] {
        for (pattern, most) in most {
            let name = format!("concurrent.{name}.{pattern}");
            reader.push(
                name,
                Who::Tenant,
                what(pattern.clone()),
                Most::Running(*most),
            );
        }
    }
    let roles = raw.roles.iter().map(|(name, role)| {
        let key = format!("roles.{name}.limits.per_user");
        let per_user = role.limits.per_user.as_ref();
        let limits = config::RoleConfig {
            per_user: per_user.and_then(|rate| reader.read(&key, rate)),
            concurrent: role.limits.concurrent,
        };
        (name.clone(), limits)
    });
    let roles: BTreeMap<_, _> = roles
        .filter(|(_, limits)| *limits != config::RoleConfig::default())
        .collect();
    Config {
        roles,
        rules: reader.rules,
        nodes: written.nodes.unwrap_or(NonZeroU32::MIN),
    }
}

/// What a pattern of names is of.
type Named = fn(String) -> What;

/// Reads limits, one after the other.
struct Reader<'a> {
    default: OnFailure,
    ground: &'a mut Ground,
    rules: Vec<config::RuleConfig>,
}

impl Reader<'_> {
    fn rate(&mut self, name: &str, who: Who, raw: Option<&raw::RateLimit>) {
        let read = raw.and_then(|raw| self.read(&format!("limits.{name}"), raw));
        if let Some((rate, on_failure)) = read {
            self.push(
                name.to_owned(),
                who,
                What::All,
                Most::Rate(rate, on_failure),
            );
        }
    }

    fn rates(&mut self, name: &str, who: Who, what: Named, raw: &BTreeMap<String, raw::RateLimit>) {
        for (pattern, raw) in raw {
            let name = format!("{name}.{pattern}");
            if let Some((rate, on_failure)) = self.read(&format!("limits.{name}"), raw) {
                self.push(
                    name,
                    who,
                    what(pattern.clone()),
                    Most::Rate(rate, on_failure),
                );
            }
        }
    }

    fn running(&mut self, name: &str, who: Who, most: Option<NonZeroU32>) {
        if let Some(most) = most {
            let name = format!("concurrent.{name}");
            self.push(name, who, What::All, Most::Running(most));
        }
    }

    fn push(&mut self, name: String, who: Who, what: What, most: Most) {
        self.rules.push(config::RuleConfig {
            name,
            who,
            what,
            most,
        });
    }

    fn read(&mut self, key: &str, raw: &raw::RateLimit) -> Option<(Rate, OnFailure)> {
        let Some(rate) = raw.rate() else {
            let problem = "says no rate: write `rate`, as in { rate = \"600/min\", burst = 20 }";
            self.ground.complain_within(key, problem);
            return None;
        };
        let rate = match raw.burst().map(|burst| rate.0.with_burst(burst.get())) {
            None => rate.0,
            Some(Ok(rate)) => rate,
            Some(Err(error)) => {
                let key = format!("{key}.burst");
                self.ground.complain_within(&key, error.to_string());
                return None;
            }
        };
        Some((rate, raw.on_failure().map_or(self.default, on_failure)))
    }
}

const fn on_failure(raw: raw::OnFailure) -> OnFailure {
    match raw {
        raw::OnFailure::Local => OnFailure::Local,
        raw::OnFailure::Refuse => OnFailure::Refuse,
        raw::OnFailure::Allow => OnFailure::Allow,
    }
}
