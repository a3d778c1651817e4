//! What was decided, and what its caller is told.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::rule::RuleId;

/// Whether a caller may, and by which rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// They may.
    Allowed {
        /// The rule that says so.
        rule: RuleId,
    },
    /// They may not, and do not learn that it exists: answer as to an unknown name. No list shows it
    /// to them.
    Hidden {
        /// The rule that denies it; `None` if none allows it.
        rule: Option<RuleId>,
    },
    /// They may not, and are told why: [`Refusal`] is the text. Their lists show it.
    Refused {
        /// The rule that decided.
        rule: RuleId,
        /// Why.
        refusal: Refusal,
    },
    /// They might, with more scopes (step-up).
    NeedsScopes {
        /// The rule that asks for them.
        rule: RuleId,
        /// All that this needs, those they have among them.
        scopes: BTreeSet<Arc<str>>,
        /// Those they lack; never empty.
        missing: BTreeSet<Arc<str>>,
    },
}

/// Why a caller may not do what they may know of. Displayed for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What they wanted.
    pub name: Arc<str>,
    /// What is in the way.
    pub reason: Reason,
}

/// What is in the way of something that its caller may know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Only this role may.
    NeedsRole(Arc<str>),
    /// Their role may, but only if this is claimed for them: how they signed in, for example.
    NeedsClaim(String),
    /// Their role may, but only where this is so of the arguments.
    NeedsArguments(String),
    /// Their role may, but not where this is so of the arguments.
    DeniedArguments(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.reason {
            Reason::NeedsRole(role) => write!(f, "`{name}` needs the role `{role}`"),
            Reason::NeedsClaim(claim) => {
                write!(
                    f,
                    "`{name}` is allowed only to callers of whom the claim {claim}"
                )
            }
            Reason::NeedsArguments(wanted) => {
                write!(f, "`{name}` is allowed only where the argument {wanted}")
            }
            Reason::DeniedArguments(denied) => {
                write!(f, "`{name}` is not allowed where the argument {denied}")
            }
        }
    }
}

impl Decision {
    /// A word for it, for logs, audit records, metrics and test files.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Allowed { .. } => "allowed",
            Self::Hidden { .. } => "hidden",
            Self::Refused { .. } => "refused",
            Self::NeedsScopes { .. } => "needs_scopes",
        }
    }

    /// The rule that decided, if one did.
    #[must_use]
    pub const fn rule(&self) -> Option<&RuleId> {
        match self {
            Self::Allowed { rule }
            | Self::Refused { rule, .. }
            | Self::NeedsScopes { rule, .. } => Some(rule),
            Self::Hidden { rule } => rule.as_ref(),
        }
    }
}
