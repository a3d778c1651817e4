//! A decision with all that led to it, in words.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::decision::Decision;
use super::target::Target;
use super::{ADMIN, Policy};
use crate::identity::Caller;

/// A decision and why it came about. Displayed for operators, over several lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What was decided.
    pub decision: Decision,
    /// What the deciding rule says.
    pub says: String,
    /// The caller's roles, each with where it comes from.
    pub roles: BTreeMap<Arc<str>, String>,
    /// Which policy decided.
    pub version: Arc<str>,
    asked: String,
}

pub(super) fn explain(policy: &Policy, caller: &Caller, target: &Target<'_>) -> Explanation {
    let decision = policy.decide(caller, target);
    Explanation {
        says: says(policy, &decision),
        decision,
        roles: origins(policy, caller),
        version: policy.version().clone(),
        asked: format!("{} `{}`", target.kind, target.name),
    }
}

fn says(policy: &Policy, decision: &Decision) -> String {
    let Some(id) = decision.rule() else {
        return "no rule of these roles allows it".to_owned();
    };
    let rules = policy.0.roles.values().flat_map(|role| &role.rules);
    let rule = rules.into_iter().find(|rule| rule.id == *id);
    match rule {
        Some(rule) => format!("{id}, which {rule}"),
        None if id.as_str() == ADMIN => "the role `admin`, which may do everything".to_owned(),
        None => "nothing: there is no policy, everybody may do everything".to_owned(),
    }
}

fn origins(policy: &Policy, caller: &Caller) -> BTreeMap<Arc<str>, String> {
    let mut origins: BTreeMap<Arc<str>, String> = BTreeMap::new();
    for role in &caller.roles {
        origins.insert(role.clone(), "of the credential".to_owned());
    }
    for (at, binding) in policy.0.bindings.iter().enumerate() {
        if binding.is_of(caller) {
            let role = origins.entry(binding.role.clone());
            role.or_insert_with(|| format!("by bindings[{at}]"));
        }
    }
    for heir in policy.roles_of(caller) {
        let reached = policy.0.roles.get(&heir).into_iter();
        for role in reached.flat_map(|role| &role.reaches) {
            let role = origins.entry(role.clone());
            role.or_insert_with(|| format!("inherited by {heir}"));
        }
    }
    for (role, origin) in &mut origins {
        if &**role != ADMIN && !policy.0.roles.contains_key(role) {
            origin.push_str("; unknown here");
        }
    }
    origins
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.asked, self.decision.as_str())?;
        match &self.decision {
            Decision::Allowed { .. } => {}
            Decision::Hidden { .. } => write!(f, " (answers as if there were none)")?,
            Decision::Refused { refusal, .. } => write!(f, " ({refusal})")?,
            Decision::NeedsScopes { missing, .. } => {
                let missing: Vec<_> = missing.iter().map(AsRef::as_ref).collect();
                write!(f, " (lacks {})", missing.join(" "))?;
            }
        }
        write!(f, "\ndecided by: {}", self.says)?;
        let roles = self.roles.iter();
        let roles: Vec<_> = roles
            .map(|(role, from)| format!("{role} ({from})"))
            .collect();
        let roles = if roles.is_empty() {
            "none".to_owned()
        } else {
            roles.join(", ")
        };
        write!(f, "\nroles: {roles}\npolicy: {}", self.version)
    }
}
