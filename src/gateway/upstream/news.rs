//! What an upstream tells of itself: lists that changed, resources that were updated.
//!
//! News wait for nobody: a change is a mark, and a hundred changes of one list are one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::protocol::subscription::Change;

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
    lists: Arc<Marks>,
    updated: Arc<dyn Fn(String) + Send + Sync>,
}

#[derive(Debug, Default)]
struct Marks {
    marked: Mutex<BTreeSet<List>>,
    wake: Notify,
}

impl News {
    /// News whose updates of resources go to `updated`, at once.
    pub(in crate::gateway) fn to(updated: Arc<dyn Fn(String) + Send + Sync>) -> Self {
        Self {
            lists: Arc::default(),
            updated,
        }
    }

    pub(super) fn changed(&self, list: List) {
        let marked = &self.lists.marked;
        marked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(list);
        self.lists.wake.notify_one();
    }

    pub(super) fn changed_all(&self) {
        for list in [List::Tools, List::Prompts, List::Resources] {
            self.changed(list);
        }
    }

    pub(super) fn updated(&self, uri: String) {
        (self.updated)(uri);
    }

    /// Waits until lists have changed, and says which.
    ///
    /// # Cancel safety
    /// May be dropped at any await; nothing is lost.
    pub(in crate::gateway) async fn lists(&self) -> BTreeSet<List> {
        loop {
            let taken = {
                let mut marked = self.lists.marked.lock();
                std::mem::take(
                    &mut **marked
                        .as_mut()
                        .unwrap_or_else(|poisoned| poisoned.get_mut()),
                )
            };
            if !taken.is_empty() {
                return taken;
            }
            self.lists.wake.notified().await;
        }
    }
}

impl std::fmt::Debug for News {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("News").finish_non_exhaustive()
    }
}
