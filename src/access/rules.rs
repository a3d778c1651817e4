//! The rules as they are now: a new configuration replaces them between two calls.

use std::sync::{Arc, PoisonError, RwLock};

use crate::policy::{Limits, Policy};

/// Who may call what, and how often.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Who may call what.
    pub policy: Policy,
    /// How often.
    pub limits: Limits,
}

impl Rules {
    /// Everybody may do everything, as often as they like.
    #[must_use]
    pub fn open() -> Self {
        Self {
            policy: Policy::open(),
            limits: Limits::default(),
        }
    }

    /// Whether there is nothing to be asked.
    #[must_use]
    pub fn are_open(&self) -> bool {
        self.policy.is_open() && self.limits.is_empty()
    }
}

/// The rules that hold at present. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Present(Arc<RwLock<Arc<Rules>>>);

impl Present {
    /// These hold, until others do.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(rules))))
    }

    /// The rules one call is judged by from its beginning to its end.
    #[must_use]
    pub fn get(&self) -> Arc<Rules> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// From now on these hold.
    pub fn set(&self, rules: Rules) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }
}
