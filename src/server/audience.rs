//! Who may see something that is offered.
//!
//! [`Audience`] is everybody, or those a predicate lets in. To anybody else the thing does not
//! exist: lists, digests, change notices and calls answer as if it had never been registered.
//!
//! Concurrency: predicates are asked in the middle of answering, so they look and never wait.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use crate::identity::Caller;

type Predicate = Arc<dyn Fn(&Caller) -> bool + Send + Sync>;

/// Everybody, unless somebody says otherwise.
#[derive(Clone, Default)]
pub(super) struct Audience(Option<Predicate>);

impl Audience {
    /// Lets in only those whom `predicate` lets in too.
    pub(super) fn narrow(&mut self, predicate: impl Fn(&Caller) -> bool + Send + Sync + 'static) {
        self.0 = Some(match self.0.take() {
            None => Arc::new(predicate),
            Some(before) => Arc::new(move |caller| before(caller) && predicate(caller)),
        });
    }

    /// Those of either.
    pub(super) fn or(self, other: Self) -> Self {
        Self(match (self.0, other.0) {
            (Some(one), Some(other)) => Some(Arc::new(move |caller| one(caller) || other(caller))),
            (None, _) | (_, None) => None,
        })
    }

    pub(super) const fn is_everybody(&self) -> bool {
        self.0.is_none()
    }

    /// Whether `caller` is among them. Whoever a predicate panics at is not.
    pub(super) fn has(&self, caller: &Caller) -> bool {
        self.0.as_ref().is_none_or(|predicate| {
            std::panic::catch_unwind(AssertUnwindSafe(|| predicate(caller))).unwrap_or_else(|_| {
                tracing::error!("a visibility predicate panicked; nobody sees what it guards");
                false
            })
        })
    }
}
