//! What an upstream tells of itself: lists that changed, resources that were updated.
//!
//! News wait for nobody: a change is a mark, and a hundred changes of one list are one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Heard, Upstream};
use crate::identity::Principal;
use crate::protocol::subscription::Change;
use crate::protocol::version::Era;

/// One of an upstream's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::gateway) enum List {
    /// Of tools.
    Tools,
    /// Of prompts.
    Prompts,
    /// Of resources and their templates.
    Resources,
}

impl List {
    /// That it changed, as clients are told.
    pub(super) const fn change(self) -> Change {
        match self {
            Self::Tools => Change::Tools,
            Self::Prompts => Change::Prompts,
            Self::Resources => Change::Resources,
        }
    }
}

/// Where news of one line go.
#[derive(Clone)]
pub(in crate::gateway) struct News {
    upstream: Weak<Upstream>,
    /// Whose calls it is for; nobody's, where the lists are read.
    whom: Option<Principal>,
}

/// Lists that are to be read again.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// It was told where they are read: clients are told so, whatever is read.
    pub(super) told: Marks,
    /// It was told by a process that may have lists of its own: clients are told of what is different.
    pub(super) elsewhere: Marks,
}

/// Some of the lists.
#[derive(Debug, Default)]
pub(super) struct Marks {
    marked: Mutex<BTreeSet<List>>,
    wake: Notify,
}

impl News {
    /// News of a line for the calls of `whom`, or of the one on which the lists are read.
    pub(super) fn of(upstream: &Arc<Upstream>, whom: Option<Principal>) -> Self {
        Self {
            upstream: Arc::downgrade(upstream),
            whom,
        }
    }

    /// News of nothing.
    #[cfg(test)]
    pub(super) fn to_nobody() -> Self {
        Self {
            upstream: Weak::new(),
            whom: None,
        }
    }

    /// A list changed, as far as this line tells.
    pub(super) fn changed(&self, list: List) {
        let Some(upstream) = self.upstream.upgrade() else {
            return;
        };
        match self.whom {
            None => upstream.changed.told.mark(list),
            Some(_) => upstream.changed.elsewhere.mark(list),
        }
    }

    /// A resource was updated.
    pub(super) fn updated(&self, uri: &str) {
        let Some(upstream) = self.upstream.upgrade() else {
            return;
        };
        // Where one line serves everybody, it concerns everybody.
        let whom = (self.whom.as_ref()).filter(|_| upstream.last_era() != Some(Era::Stateless));
        upstream.tell(Heard::Updated(uri, whom));
    }
}

impl Changed {
    /// Nothing of these has to be read any more.
    pub(super) fn forget(&self, lists: &BTreeSet<List>) {
        for marks in [&self.told, &self.elsewhere] {
            marks.lock().retain(|list| !lists.contains(list));
        }
    }
}

impl Marks {
    fn mark(&self, list: List) {
        self.lock().insert(list);
        self.wake.notify_one();
    }

    /// Waits until lists have changed, and then as long for others, and says which.
    ///
    /// # Cancel safety
    /// May be dropped at any await; nothing is lost.
    pub(super) async fn gathered(&self, time: Duration) -> BTreeSet<List> {
        loop {
            while self.lock().is_empty() {
                self.wake.notified().await;
            }
            tokio::time::sleep(time).await;
            let taken = std::mem::take(&mut *self.lock());
            if !taken.is_empty() {
                return taken;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<List>> {
        self.marked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for News {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("News").finish_non_exhaustive()
    }
}
