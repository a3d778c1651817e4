//! What holds for one caller, and the decision itself.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::decision::{Decision, Reason, Refusal};
use super::reading::{self, Reading};
use super::rule::{Effect, Rule, RuleId};
use super::target::{Arguments, Kind, Target};
use super::{ADMIN, Compiled};
use crate::identity::Caller;
use crate::protocol::raw::RawJson;

/// A caller before a policy: their roles and scopes are found, any number of names can be asked
/// about.
#[derive(Debug)]
pub struct Standing<'a> {
    policy: &'a Compiled,
    roles: BTreeSet<Arc<str>>,
    scopes: BTreeSet<&'a str>,
    claims: &'a Map<String, Value>,
}

/// What is in the way of what one rule allows.
#[derive(Debug)]
enum Way {
    /// Nothing.
    Clear,
    /// The caller lacks these scopes.
    Scopes(BTreeSet<Arc<str>>),
    /// The arguments are others.
    Arguments(String),
    /// The caller lacks a claim.
    Claim(String),
    /// The caller lacks the role.
    Role,
}

impl Way {
    /// How far the caller is from being allowed.
    fn distance(&self) -> (u8, usize) {
        match self {
            Self::Clear => (0, 0),
            Self::Scopes(missing) => (1, missing.len()),
            Self::Arguments(_) => (2, 0),
            Self::Claim(_) => (3, 0),
            Self::Role => (4, 0),
        }
    }
}

impl<'a> Standing<'a> {
    pub(super) fn new(policy: &'a Compiled, roles: BTreeSet<Arc<str>>, caller: &'a Caller) -> Self {
        let mut scopes = BTreeSet::new();
        for scope in &caller.scopes {
            scopes.insert(&**scope);
            let implied = policy.scopes.get(&**scope).into_iter().flatten();
            scopes.extend(implied.map(String::as_str));
        }
        Self {
            policy,
            roles,
            scopes,
            claims: &caller.claims,
        }
    }

    /// The caller's roles and all they inherit.
    #[must_use]
    pub const fn roles(&self) -> &BTreeSet<Arc<str>> {
        &self.roles
    }

    /// Whether the caller's lists show this. See [`super::Policy::is_listed`].
    #[must_use]
    pub fn is_listed(&self, kind: Kind, name: &str) -> bool {
        !matches!(
            self.decide(&Target::listed(kind, name)),
            Decision::Hidden { .. }
        )
    }

    /// Whether the caller may do this now; of something listed, whether they may with the right
    /// arguments. A resource has to be allowed both as its URI is written and as it may be read.
    #[must_use]
    pub fn decide(&self, target: &Target<'_>) -> Decision {
        let everything = |rule: &str| Decision::Allowed {
            rule: RuleId(rule.into()),
        };
        if self.policy.open {
            return everything("open");
        }
        if self.roles.contains(ADMIN) {
            return everything(ADMIN);
        }
        let decision = self.judge(target);
        if target.kind != Kind::Resource {
            return decision;
        }
        match (&decision, reading::read(target.name)) {
            (_, Reading::Climbing) => Decision::Hidden { rule: None },
            (Decision::Allowed { .. }, Reading::Plain(Cow::Owned(plain))) => {
                let read = self.judge(&Target {
                    name: &plain,
                    ..*target
                });
                if matches!(read, Decision::Allowed { .. }) {
                    decision
                } else {
                    read
                }
            }
            (_, Reading::Plain(_)) => decision,
        }
    }

    /// What rules say of the name as it is written.
    fn judge(&self, target: &Target<'_>) -> Decision {
        let arguments = Parsed::of(target);
        let denial = match self.denied(target, &arguments) {
            Denial::Always(decision) => return decision,
            Denial::ByArguments(refused) => Some(refused),
            Denial::None => None,
        };
        // Of those that are as near, the first one written.
        let nearest = self.allowing(target, &arguments);
        let nearest = nearest.min_by_key(|(way, _)| way.distance());
        let Some((way, rule)) = nearest else {
            return Decision::Hidden { rule: None };
        };
        let refused = |reason| refused(rule, target, reason);
        match (way, denial) {
            (Way::Role, _) => refused(Reason::NeedsRole(rule.role.clone())),
            (Way::Claim(claim), _) => refused(Reason::NeedsClaim(claim)),
            (Way::Arguments(_) | Way::Scopes(_) | Way::Clear, Some(denial)) => denial,
            (Way::Arguments(wanted), None) => refused(Reason::NeedsArguments(wanted)),
            (Way::Scopes(missing), None) => Decision::NeedsScopes {
                rule: rule.id.clone(),
                scopes: rule.scopes.clone(),
                missing,
            },
            (Way::Clear, None) => Decision::Allowed {
                rule: rule.id.clone(),
            },
        }
    }

    /// What the caller's own roles deny.
    fn denied(&self, target: &Target<'_>, arguments: &Parsed<'_>) -> Denial {
        let rules = self.rules(Effect::Deny, target);
        let mut denial = Denial::None;
        for rule in rules.filter(|rule| rule.unclaimed(self.claims).is_none()) {
            if !rule.asks_for_arguments() {
                if !rule.visible {
                    let rule = Some(rule.id.clone());
                    return Denial::Always(Decision::Hidden { rule });
                }
                // Nothing is denied to `admin`, whatever other roles they have.
                let reason = Reason::NeedsRole(ADMIN.into());
                denial = Denial::Always(refused(rule, target, reason));
            } else if matches!(denial, Denial::None)
                && let Some(arguments) = arguments.get()
                && rule.unmet(arguments).is_none()
            {
                let reason = Reason::DeniedArguments(rule.on_arguments());
                denial = Denial::ByArguments(refused(rule, target, reason));
            }
        }
        denial
    }

    /// The rules that allow this to somebody, as far as the caller may know of them.
    fn allowing<'t>(
        &'t self,
        target: &'t Target<'_>,
        arguments: &'t Parsed<'_>,
    ) -> impl Iterator<Item = (Way, &'t Rule)> {
        let own = self.rules(Effect::Allow, target).filter_map(|rule| {
            if let Some(claim) = rule.unclaimed(self.claims) {
                return rule.visible.then(|| (Way::Claim(claim.to_string()), rule));
            }
            let asked = if rule.asks_for_arguments() {
                arguments.get()
            } else {
                None
            };
            if let Some(wanted) = asked.and_then(|arguments| rule.unmet(arguments)) {
                return Some((Way::Arguments(wanted.to_string()), rule));
            }
            let missing = self.missing(rule);
            let way = if missing.is_empty() {
                Way::Clear
            } else {
                Way::Scopes(missing)
            };
            Some((way, rule))
        });
        let others = self.policy.roles.iter();
        let others = others.filter(|(name, _)| !self.roles.contains(*name));
        let others = others.flat_map(|(_, role)| &role.rules).filter(|rule| {
            rule.visible && rule.effect == Effect::Allow && rule.names(target.kind, target.name)
        });
        own.chain(others.map(|rule| (Way::Role, rule)))
    }

    /// The caller's rules about a name.
    fn rules<'t>(
        &'t self,
        effect: Effect,
        target: &'t Target<'_>,
    ) -> impl Iterator<Item = &'t Rule> {
        let roles = self
            .roles
            .iter()
            .filter_map(|name| self.policy.roles.get(name));
        let rules = roles.flat_map(|role| &role.rules);
        rules.filter(move |rule| rule.effect == effect && rule.names(target.kind, target.name))
    }

    fn missing(&self, rule: &Rule) -> BTreeSet<Arc<str>> {
        let missing = rule.scopes.iter();
        missing
            .filter(|scope| !self.scopes.contains(&***scope))
            .cloned()
            .collect()
    }
}

/// What the rules that deny come to.
enum Denial {
    None,
    /// Whatever the arguments are.
    Always(Decision),
    /// Because of the arguments; it shows only if something is allowed.
    ByArguments(Decision),
}

/// Arguments, parsed when a rule asks for them.
struct Parsed<'a> {
    /// `None` of what is not called yet.
    came: Option<Option<&'a RawJson>>,
    value: OnceCell<Value>,
}

impl<'a> Parsed<'a> {
    fn of(target: &Target<'a>) -> Self {
        let came = match target.arguments {
            Arguments::Unknown => None,
            Arguments::Known(arguments) => Some(arguments),
        };
        let value = OnceCell::new();
        Self { came, value }
    }

    fn get(&self) -> Option<&Value> {
        let came = self.came?;
        let value = self
            .value
            .get_or_init(|| came.map_or(Value::Null, RawJson::to_value));
        Some(value)
    }
}

fn refused(rule: &Rule, target: &Target<'_>, reason: Reason) -> Decision {
    Decision::Refused {
        rule: rule.id.clone(),
        refusal: Refusal {
            name: target.name.into(),
            reason,
        },
    }
}
