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

use crate::identity::Principal;
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
    resources: Readers,
    /// By task id, and by the session whose tasks they are.
    tasks: Readers,
}

/// Readers by the name of what they asked for.
#[derive(Debug, Default)]
struct Readers {
    by_name: HashMap<Arc<str>, Vec<Weak<Marks>>>,
    /// How many names there may be before those without a living reader are dropped.
    prune_at: usize,
}

impl Readers {
    fn add(&mut self, name: Arc<str>, reader: &Arc<Marks>) {
        if self.by_name.len() >= self.prune_at {
            // At most twice as many names are kept as have readers, at constant cost per name.
            let lives = |readers: &[Weak<Marks>]| readers.iter().any(|it| it.strong_count() > 0);
            self.by_name.retain(|_, readers| lives(readers));
            self.prune_at = (2 * self.by_name.len()).max(PRUNE_AT_LEAST);
        }
        let readers = self.by_name.entry(name).or_default();
        prune(readers);
        if readers.is_empty() {
            // Most names have one reader: room for one, not for the four a list begins with.
            readers.reserve_exact(1);
        }
        readers.push(Arc::downgrade(reader));
    }

    fn tell(&mut self, name: &str, change: &Change, concerns: impl Fn(&Principal) -> bool) {
        if let Some(readers) = self.by_name.get_mut(name) {
            readers.retain(|reader| tell(reader, change, &concerns));
            if readers.is_empty() {
                self.by_name.remove(name);
            }
        }
    }
}

/// Fewer names than this are not worth looking through.
const PRUNE_AT_LEAST: usize = 64;

/// One reader's view of what changed since it last looked.
#[derive(Debug)]
pub struct Watch {
    honoured: SubscriptionFilter,
    marks: Arc<Marks>,
}

#[derive(Debug)]
struct Marks {
    principal: Principal,
    lists: Lists,
    pending: Mutex<BTreeSet<Change>>,
    wake: Notify,
}

/// Which lists a reader wants to hear of. What else it asked for is where it is found.
#[derive(Clone, Copy, Debug)]
struct Lists {
    tools: bool,
    prompts: bool,
    resources: bool,
}

impl Marks {
    fn mark(&self, change: Change) {
        self.pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(change);
        self.wake.notify_one();
    }
}

impl Changes {
    /// Starts to watch `filter`, all of which the caller has found watchable.
    #[must_use]
    pub fn watch(&self, principal: &Principal, filter: SubscriptionFilter) -> Watch {
        let marks = Arc::new(Marks {
            principal: principal.clone(),
            lists: Lists {
                tools: filter.tools_list_changed,
                prompts: filter.prompts_list_changed,
                resources: filter.resources_list_changed,
            },
            pending: Mutex::default(),
            wake: Notify::new(),
        });
        let mut watchers = self.lock();
        if filter.tools_list_changed || filter.prompts_list_changed || filter.resources_list_changed
        {
            prune(&mut watchers.lists);
            watchers.lists.push(Arc::downgrade(&marks));
        }
        for uri in &filter.resource_subscriptions {
            watchers.resources.add(uri.as_str().into(), &marks);
        }
        Watch {
            honoured: filter,
            marks,
        }
    }

    /// Lets `watch` hear of tasks as well: these, all of which the caller has found, and those of
    /// that session. Each of these is marked from the start, so that nothing that happened
    /// meanwhile is missed.
    pub fn watch_tasks(&self, watch: &mut Watch, ids: BTreeSet<String>, of: Option<Arc<str>>) {
        let mut watchers = self.lock();
        for key in ids.iter().map(|id| id.as_str().into()).chain(of.clone()) {
            watchers.tasks.add(key, &watch.marks);
        }
        drop(watchers);
        for id in &ids {
            watch.marks.mark(Change::Task(id.clone()));
        }
        watch.honoured.task_ids = ids;
        watch.honoured.tasks_of = of;
    }

    /// Tells everyone who watches this task, or the tasks of its session, that its status changed.
    pub fn announce_task(&self, id: &str, of: Option<&str>) {
        let change = Change::Task(id.to_owned());
        let mut watchers = self.lock();
        for key in [Some(id), of].into_iter().flatten() {
            watchers.tasks.tell(key, &change, |_| true);
        }
    }

    /// Tells everyone who asked that `change` happened.
    pub fn announce(&self, change: &Change) {
        self.announce_to(change, |_| true);
    }

    /// Tells those who asked and whom `concerns` lets hear that `change` happened.
    pub fn announce_to(&self, change: &Change, concerns: impl Fn(&Principal) -> bool) {
        let mut watchers = self.lock();
        match change {
            Change::Tools | Change::Prompts | Change::Resources => {
                watchers
                    .lists
                    .retain(|reader| tell(reader, change, &concerns));
            }
            Change::Resource(uri) => watchers.resources.tell(uri, change, concerns),
            // Whose they are was settled when the watch began.
            Change::Task(id) => watchers.tasks.tell(id, change, |_| true),
        }
    }

    /// Whether anybody reads changes of this resource now.
    #[must_use]
    pub fn is_watched(&self, uri: &str) -> bool {
        self.lock()
            .resources
            .by_name
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

fn tell(reader: &Weak<Marks>, change: &Change, concerns: &impl Fn(&Principal) -> bool) -> bool {
    let Some(marks) = reader.upgrade() else {
        return false;
    };
    let wanted = match change {
        Change::Tools => marks.lists.tools,
        Change::Prompts => marks.lists.prompts,
        Change::Resources => marks.lists.resources,
        Change::Resource(_) | Change::Task(_) => true,
    };
    if wanted && concerns(&marks.principal) {
        marks.mark(change.clone());
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
        let watch = changes.watch(&Principal::local(), filter(true, &["a:b"]));
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
        let watch = changes.watch(&Principal::local(), filter(false, &["a:b"]));
        changes.announce(&Change::Tools);
        changes.announce(&Change::Resource("c:d".into()));
        changes.announce(&Change::Resource("a:b".into()));
        assert_eq!(watch.changed().await.len(), 1);
    }

    #[tokio::test]
    async fn only_those_concerned_hear() {
        let changes = Changes::default();
        let [alice, bob] = ["alice", "bob"].map(Principal::from_key);
        let alices = changes.watch(&alice, filter(true, &["a:b"]));
        let bobs = changes.watch(&bob, filter(true, &["a:b"]));
        changes.announce_to(&Change::Tools, |principal| *principal == alice);
        changes.announce(&Change::Resource("a:b".into()));
        assert_eq!(alices.changed().await.len(), 2);
        assert_eq!(bobs.changed().await.len(), 1);
    }

    #[test]
    fn a_dropped_watch_is_forgotten() {
        let changes = Changes::default();
        drop(changes.watch(&Principal::local(), filter(true, &["a:b"])));
        assert!(!changes.is_watched("a:b"));
        changes.announce(&Change::Resource("a:b".into()));
        assert!(changes.lock().resources.by_name.is_empty());
    }

    #[test]
    fn names_that_nobody_reads_do_not_pile_up() {
        let changes = Changes::default();
        for round in 0..10 * PRUNE_AT_LEAST {
            drop(changes.watch(&Principal::local(), filter(false, &[&format!("a:{round}")])));
        }
        assert!(changes.lock().resources.by_name.len() <= PRUNE_AT_LEAST);
    }
}
