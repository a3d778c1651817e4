//! Who may call what: roles, their rules, and what they come to for one caller and one name.
//!
//! A [`Policy`] is compiled once from a [`Config`]. [`Policy::standing`] finds what roles a caller
//! has, [`Standing::decide`] what follows for a [`Target`]: deny before allow, and what nobody allows
//! is denied. The role `admin` is built in: it may do everything, and nothing is denied to it.
//!
//! What a caller may not do does not exist for them, unless a rule that is `visible` names it: then
//! it is in their lists, and a call is told which role it needs.
//!
//! It does not authenticate, and knows nothing of statuses: who is asked answers.
//!
//! Invariants:
//! - What is [`Decision::Hidden`] is in no list, and everything else is.
//! - A decision depends on nothing but the policy, the caller and the target.

mod binding;
mod claims;
mod closure;
mod config;
mod decision;
mod explain;
mod reading;
mod rule;
mod standing;
mod target;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use config::{BindingConfig, Complaint, Config, RoleConfig, RuleConfig, Sign};
pub use decision::{Decision, Reason, Refusal};
pub use explain::Explanation;
pub use rule::RuleId;
pub use standing::Standing;
pub use target::{Kind, Target};

use binding::Binding;
use closure::{Closure, closure};
use rule::{Effect, Rule};

use crate::identity::Caller;
use crate::runtime::seal;

/// The role that may do everything.
pub const ADMIN: &str = "admin";

/// Roles of a policy. Following what they inherit recurses at most so deep.
const ROLES_MAX: usize = 500;
/// Rules of a role, of either kind, and bindings of a policy: a decision looks at each.
const RULES_MAX: usize = 1_000;
/// Scopes that imply others.
const SCOPES_MAX: usize = 500;
/// Bytes of a digest that tell two policies apart in logs and audit records.
const VERSION_BYTES: usize = 8;

/// Roles, rules and bindings, compiled. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Policy(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    version: Arc<str>,
    /// Everybody may do everything.
    open: bool,
    roles: BTreeMap<Arc<str>, Role>,
    bindings: Vec<Binding>,
    scopes: Closure,
}

#[derive(Debug)]
struct Role {
    rules: Vec<Rule>,
    /// Its own name, and those of all roles it inherits.
    reaches: BTreeSet<Arc<str>>,
}

impl Policy {
    /// Checks and compiles a policy. One without roles leaves everything to `admin`.
    ///
    /// # Errors
    /// With everything that is wrong.
    pub fn new(config: &Config) -> Result<Self, Vec<Complaint>> {
        let mut complaints = Vec::new();
        let reaches = inherited(config, &mut complaints);
        let roles = config.roles.iter().map(|(name, role)| {
            let reaches = reaches.get(name).into_iter().flatten();
            let role = Role {
                rules: rules(name, role, &mut complaints),
                reaches: reaches.map(|name| name.as_str().into()).collect(),
            };
            (name.as_str().into(), role)
        });
        let roles = roles.collect();
        bounded(
            "bindings",
            config.bindings.len(),
            RULES_MAX,
            &mut complaints,
        );
        let is_role = |name: &str| name == ADMIN || config.roles.contains_key(name);
        let bindings = config.bindings.iter().enumerate().map(|(at, binding)| {
            Binding::new(
                binding,
                is_role,
                &format!("bindings[{at}]"),
                &mut complaints,
            )
        });
        let bindings = bindings.collect();
        let scopes = implied(config, &mut complaints);
        if !complaints.is_empty() {
            return Err(complaints);
        }
        Ok(Self(Arc::new(Compiled {
            version: version(config),
            open: false,
            roles,
            bindings,
            scopes,
        })))
    }

    /// No policy at all: everybody may do everything. For where nobody is authenticated.
    #[must_use]
    pub fn open() -> Self {
        Self(Arc::new(Compiled {
            version: "open".into(),
            open: true,
            roles: BTreeMap::new(),
            bindings: Vec::new(),
            scopes: Closure::new(),
        }))
    }

    /// Whether everybody may do everything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.open
    }

    /// The rule by which `admin` may do everything, and everybody where the policy is open.
    #[must_use]
    pub fn admin_rule(&self) -> RuleId {
        RuleId(if self.0.open { "open" } else { ADMIN }.into())
    }

    /// Whether roles are written, and this is none of them, nor `admin`.
    #[must_use]
    pub fn lacks(&self, role: &str) -> bool {
        !self.0.roles.is_empty() && role != ADMIN && !self.0.roles.contains_key(role)
    }

    /// Names this policy and no other: the same on every node that has the same configuration.
    #[must_use]
    pub fn version(&self) -> &Arc<str> {
        &self.0.version
    }

    /// The roles a caller has: those of their credential, and those that bindings give them. What
    /// these inherit is not among them.
    #[must_use]
    pub fn roles_of(&self, caller: &Caller) -> BTreeSet<Arc<str>> {
        let bound = self
            .0
            .bindings
            .iter()
            .filter(|binding| binding.is_of(caller));
        let bound = bound.map(|binding| binding.role.clone());
        caller.roles.iter().cloned().chain(bound).collect()
    }

    /// The same with all they inherit: whose rules and limits hold for the caller.
    #[must_use]
    pub fn all_roles_of(&self, caller: &Caller) -> BTreeSet<Arc<str>> {
        let mut all = BTreeSet::new();
        for role in self.roles_of(caller) {
            if let Some(role) = self.0.roles.get(&role) {
                all.extend(role.reaches.iter().cloned());
            }
            all.insert(role);
        }
        all
    }

    /// What holds for a caller, to be asked about many names.
    #[must_use]
    pub fn standing<'a>(&'a self, caller: &'a Caller) -> Standing<'a> {
        Standing::new(&self.0, self.all_roles_of(caller), caller)
    }

    /// Whether a caller may do this now.
    #[must_use]
    pub fn decide(&self, caller: &Caller, target: &Target<'_>) -> Decision {
        self.standing(caller).decide(target)
    }

    /// Whether a caller's lists show this: it may be allowed with some arguments, or they are to
    /// know of it.
    #[must_use]
    pub fn is_listed(&self, caller: &Caller, kind: Kind, name: &str) -> bool {
        self.standing(caller).is_listed(kind, name)
    }

    /// A decision with all that led to it, in words.
    #[must_use]
    pub fn explain(&self, caller: &Caller, target: &Target<'_>) -> Explanation {
        explain::explain(self, caller, target)
    }
}

/// Policies are the same if they say the same.
impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.version() == other.version()
    }
}

/// What each role inherits.
fn inherited(config: &Config, complaints: &mut Vec<Complaint>) -> Closure {
    bounded("roles", config.roles.len(), ROLES_MAX, complaints);
    let before = complaints.len();
    for (name, role) in &config.roles {
        let mut complain = |key: String, problem: String| {
            complaints.push(Complaint { key, problem });
        };
        if name == ADMIN {
            let problem = "`admin` is built in: it may do everything; choose another name";
            complain(format!("roles.{name}"), problem.to_owned());
        }
        for inherited in &role.inherits {
            let problem = if inherited == ADMIN {
                "`admin` is not inherited: who has it may do everything; bind it instead".to_owned()
            } else if config.roles.contains_key(inherited) {
                continue;
            } else {
                format!("there is no role {inherited:?}")
            };
            complain(format!("roles.{name}.inherits"), problem);
        }
    }
    if complaints.len() > before {
        return Closure::new();
    }
    let inherits = |name: &str| {
        let role = config.roles.get(name);
        role.map_or(&[][..], |role| role.inherits.as_slice())
    };
    closure(config.roles.keys().map(String::as_str), inherits).unwrap_or_else(|path| {
        complaints.push(Complaint {
            key: format!("roles.{}.inherits", path[0]),
            problem: format!("inherits itself: {}", path.join(" -> ")),
        });
        Closure::new()
    })
}

/// Denials first.
fn rules(name: &str, role: &RoleConfig, complaints: &mut Vec<Complaint>) -> Vec<Rule> {
    let shared: Arc<str> = name.into();
    let mut rules = Vec::new();
    for (member, effect, written) in [
        ("deny", Effect::Deny, &role.deny),
        ("allow", Effect::Allow, &role.allow),
    ] {
        bounded(
            &format!("roles.{name}.{member}"),
            written.len(),
            RULES_MAX,
            complaints,
        );
        for (at, rule) in written.iter().enumerate() {
            let key = format!("roles.{name}.{member}[{at}]");
            rules.push(Rule::new(rule, effect, &shared, &key, complaints));
        }
    }
    rules
}

/// Which scopes come with each.
fn implied(config: &Config, complaints: &mut Vec<Complaint>) -> Closure {
    bounded("scopes", config.scopes.len(), SCOPES_MAX, complaints);
    for (broader, narrower) in &config.scopes {
        for scope in std::iter::once(broader).chain(narrower) {
            if !rule::is_scope(scope) {
                complaints.push(Complaint {
                    key: format!("scopes.{broader}"),
                    problem: format!("{scope:?} is no scope: {}", rule::SCOPE_FORM),
                });
            }
        }
    }
    let implies = |name: &str| config.scopes.get(name).map_or(&[][..], Vec::as_slice);
    closure(config.scopes.keys().map(String::as_str), implies).unwrap_or_else(|path| {
        complaints.push(Complaint {
            key: format!("scopes.{}", path[0]),
            problem: format!("implies itself: {}", path.join(" -> ")),
        });
        Closure::new()
    })
}

fn bounded(key: &str, count: usize, most: usize, complaints: &mut Vec<Complaint>) {
    if count > most {
        complaints.push(Complaint {
            key: key.to_owned(),
            problem: format!("there are {count}; at most {most} fit"),
        });
    }
}

fn version(config: &Config) -> Arc<str> {
    let text = serde_json::to_string(config).expect("invariant: a policy is plain values");
    let digest = seal::digest(&[b"policy", text.as_bytes()]);
    let digits = digest[..VERSION_BYTES]
        .iter()
        .map(|byte| format!("{byte:02x}"));
    digits.collect::<String>().into()
}
