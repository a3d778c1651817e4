//! Change notices: levels, not edges.
//!
//! A [`Changes`] hub stands beside whatever can change. Those who want to hear hold a [`Watch`],
//! which keeps at most one mark per thing it asked for: ten changes of one resource while its
//! reader is slow are one notice. So a watch is bounded by its own filter, and announcing never
//! waits.
//!
//! Invariants: a watch hears only what its honoured filter names; dropping it forgets it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

use crate::protocol::subscription::{Change, SubscriptionFilter};

/// A digest of each list a principal may see; equal digests, equal lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CatalogDigest {
    /// Of the tools.
    pub tools: u64,
    /// Of the prompts.
    pub prompts: u64,
    /// Of the resources and templates.
    pub resources: u64,
}

impl CatalogDigest {
    /// Which lists differ from `seen`.
    pub fn changes_since(&self, seen: &Self) -> impl Iterator<Item = Change> {
        [
            (self.tools != seen.tools, Change::Tools),
            (self.prompts != seen.prompts, Change::Prompts),
            (self.resources != seen.resources, Change::Resources),
        ]
        .into_iter()
        .filter_map(|(differs, change)| differs.then_some(change))
    }
}

/// Where changes are announced.
#[derive(Debug, Default)]
pub struct Changes {
    watchers: Mutex<Watchers>,
}

/// Watchers by what they asked for, so that one resource's change wakes only its own readers.
#[derive(Debug, Default)]
struct Watchers {
    lists: Vec<Weak<Marks>>,
    resources: HashMap<String, Vec<Weak<Marks>>>,
}

/// One reader's view of what changed since it last looked.
#[derive(Debug)]
pub struct Watch {
    honoured: SubscriptionFilter,
    marks: Arc<Marks>,
}

#[derive(Debug, Default)]
struct Marks {
    filter: SubscriptionFilter,
    pending: Mutex<BTreeSet<Change>>,
    wake: Notify,
}

impl Changes {
    /// Starts to watch `filter`, all of which the caller has found watchable.
    #[must_use]
    pub fn watch(&self, filter: SubscriptionFilter) -> Watch {
        let marks = Arc::new(Marks {
            filter: filter.clone(),
            ..Marks::default()
        });
        let mut watchers = self.lock();
        if filter.tools_list_changed || filter.prompts_list_changed || filter.resources_list_changed
        {
            prune(&mut watchers.lists);
            watchers.lists.push(Arc::downgrade(&marks));
        }
        for uri in &filter.resource_subscriptions {
            let readers = watchers.resources.entry(uri.clone()).or_default();
            prune(readers);
            readers.push(Arc::downgrade(&marks));
        }
        Watch {
            honoured: filter,
            marks,
        }
    }

    /// Tells everyone who asked that `change` happened.
    pub fn announce(&self, change: &Change) {
        let mut watchers = self.lock();
        match change {
            Change::Tools | Change::Prompts | Change::Resources => {
                watchers.lists.retain(|reader| tell(reader, change));
            }
            Change::Resource(uri) => {
                if let Some(readers) = watchers.resources.get_mut(uri) {
                    readers.retain(|reader| tell(reader, change));
                    if readers.is_empty() {
                        watchers.resources.remove(uri);
                    }
                }
            }
        }
    }

    /// Whether anybody reads changes of this resource now.
    #[must_use]
    pub fn is_watched(&self, uri: &str) -> bool {
        self.lock()
            .resources
            .get(uri)
            .is_some_and(|readers| readers.iter().any(|reader| reader.strong_count() > 0))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops dead readers whenever the list is about to grow past twice its living size.
fn prune(readers: &mut Vec<Weak<Marks>>) {
    if readers.len() == readers.capacity() {
        readers.retain(|reader| reader.strong_count() > 0);
    }
}

fn tell(reader: &Weak<Marks>, change: &Change) -> bool {
    let Some(marks) = reader.upgrade() else {
        return false;
    };
    let wanted = match change {
        Change::Tools => marks.filter.tools_list_changed,
        Change::Prompts => marks.filter.prompts_list_changed,
        Change::Resources => marks.filter.resources_list_changed,
        Change::Resource(_) => true,
    };
    if wanted {
        marks
            .pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(change.clone());
        marks.wake.notify_one();
    }
    true
}

impl Watch {
    /// What of the wanted filter is watched.
    #[must_use]
    pub const fn honoured(&self) -> &SubscriptionFilter {
        &self.honoured
    }

    /// Waits for changes and takes all that are marked; never empty.
    ///
    /// # Cancel safety
    /// May be dropped at any await; nothing is lost.
    pub async fn changed(&self) -> BTreeSet<Change> {
        loop {
            let taken = std::mem::take(
                &mut *self
                    .marks
                    .pending
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner),
            );
            if !taken.is_empty() {
                return taken;
            }
            self.marks.wake.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(tools: bool, uris: &[&str]) -> SubscriptionFilter {
        SubscriptionFilter {
            tools_list_changed: tools,
            resource_subscriptions: uris.iter().map(ToString::to_string).collect(),
            ..SubscriptionFilter::default()
        }
    }

    #[tokio::test]
    async fn many_changes_of_one_thing_are_one_notice() {
        let changes = Changes::default();
        let watch = changes.watch(filter(true, &["a:b"]));
        for _ in 0..10 {
            changes.announce(&Change::Resource("a:b".into()));
            changes.announce(&Change::Tools);
        }
        assert_eq!(
            watch.changed().await.into_iter().collect::<Vec<_>>(),
            [Change::Tools, Change::Resource("a:b".into())]
        );
    }

    #[tokio::test]
    async fn nobody_hears_what_it_did_not_ask_for() {
        let changes = Changes::default();
        let watch = changes.watch(filter(false, &["a:b"]));
        changes.announce(&Change::Tools);
        changes.announce(&Change::Resource("c:d".into()));
        changes.announce(&Change::Resource("a:b".into()));
        assert_eq!(watch.changed().await.len(), 1);
    }

    #[test]
    fn a_dropped_watch_is_forgotten() {
        let changes = Changes::default();
        drop(changes.watch(filter(true, &["a:b"])));
        assert!(!changes.is_watched("a:b"));
        changes.announce(&Change::Resource("a:b".into()));
        assert!(changes.lock().resources.is_empty());
    }
}
