//! Change notices: levels, not edges.
//!
//! A [`Changes`] hub stands beside whatever can change. Those who want to hear hold a [`Watch`],
//! which keeps at most one mark per thing it asked for: ten changes of one resource while its
//! reader is slow are one notice. So a watch is bounded by its own filter, and announcing never
//! waits.
//!
//! What is announced in one hub can be passed on ([`Changes::pass_on_to`]), to be announced by the
//! same service on other nodes: [`Announced`] is a change on its way there, [`Elsewhere`] what comes
//! from there.
//!
//! Invariants: a watch hears only what its honoured filter names; dropping it forgets it. What was
//! heard from elsewhere is never passed on again.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::identity::Caller;
use crate::protocol::subscription::{Change, SubscriptionFilter};
use crate::runtime::seal;

/// A digest of each list a principal may see; equal digests, equal lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogDigest {
    /// Of the tools.
    pub tools: u64,
    /// Of the prompts.
    pub prompts: u64,
    /// Of the resources and templates.
    pub resources: u64,
}

/// A digest of a list: of its entries as the newest revision reads them, in their order.
#[must_use]
pub fn list_digest<'a>(entries: impl Iterator<Item = &'a str>) -> u64 {
    let entries = entries.map(str::as_bytes).collect::<Vec<_>>();
    let digest = seal::digest(&entries);
    let digest = digest.iter().take(8);
    digest.fold(0, |digest, byte| digest << 8 | u64::from(*byte))
}

impl CatalogDigest {
    /// Of the digest of each list.
    #[must_use]
    pub const fn of_lists(tools: u64, prompts: u64, resources: u64, templates: u64) -> Self {
        Self {
            tools,
            prompts,
            // Turned, so that two lists that trade places are a change.
            resources: resources ^ templates.rotate_left(1),
        }
    }

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

/// A change on its way to the same service on other nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Announced {
    /// What changed.
    pub change: Change,
    /// Of a task: the session that made it.
    pub of: Option<Arc<str>>,
}

/// What happened on other nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// This was announced.
    Announced(Announced),
    /// A node is gone: tasks may have ended with it.
    NodeGone,
    /// Something was announced that did not come here.
    Missed,
}

/// Takes what is to be announced elsewhere, at once and without waiting.
pub type PassOn = Arc<dyn Fn(Announced) + Send + Sync>;

/// Where changes are announced.
#[derive(Default)]
pub struct Changes {
    watchers: Mutex<Watchers>,
    /// Absent where there is nobody elsewhere.
    pass_on: OnceLock<PassOn>,
}

/// Watchers by what they asked for, so that one resource's change wakes only its own readers.
#[derive(Debug, Default)]
struct Watchers {
    lists: Vec<Weak<Marks>>,
    resources: Readers,
    /// By task id.
    tasks: Readers,
    /// By the session whose tasks they are.
    tasks_of: Readers,
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

    fn tell(&mut self, name: &str, change: &Change, concerns: impl Fn(&Caller) -> bool) {
        if let Some(readers) = self.by_name.get_mut(name) {
            readers.retain(|reader| tell(reader, change, &concerns));
            if readers.is_empty() {
                self.by_name.remove(name);
            }
        }
    }

    /// Tells the readers of every name that what they read changed.
    fn tell_all(&mut self, change: impl Fn(&str) -> Change) {
        self.by_name.retain(|name, readers| {
            let change = change(name);
            readers.retain(|reader| tell(reader, &change, &|_| true));
            !readers.is_empty()
        });
    }
}

/// Fewer names than this are not worth looking through.
const PRUNE_AT_LEAST: usize = 64;

/// One reader's view of what changed since it last looked.
#[derive(Debug)]
pub struct Watch {
    honoured: SubscriptionFilter,
    marks: Arc<Marks>,
    /// What it rests on, if anything.
    kept: Option<Kept>,
    /// Which changes concern its reader.
    concerns: Option<Concerns>,
}

/// Says of each change whether its reader is to hear of it.
pub type Concerned = Box<dyn FnMut(&Change) -> bool + Send>;

struct Concerns(Mutex<Concerned>);

impl fmt::Debug for Concerns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Concerns")
    }
}

/// Something that lasts as long as a watch.
struct Kept(#[expect(dead_code, reason = "it is dropped with the watch")] Box<dyn Send + Sync>);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

#[derive(Debug)]
struct Marks {
    caller: Arc<Caller>,
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
    pub fn watch(&self, caller: &Arc<Caller>, filter: SubscriptionFilter) -> Watch {
        let marks = Arc::new(Marks {
            caller: caller.clone(),
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
            kept: None,
            concerns: None,
        }
    }

    /// Lets `watch` hear of tasks as well: these, all of which the caller has found, and those of
    /// that session. Each of these is marked from the start, so that nothing that happened
    /// meanwhile is missed.
    pub fn watch_tasks(&self, watch: &mut Watch, ids: BTreeSet<String>, of: Option<Arc<str>>) {
        let mut watchers = self.lock();
        for id in &ids {
            watchers.tasks.add(id.as_str().into(), &watch.marks);
        }
        if let Some(session) = &of {
            watchers.tasks_of.add(session.clone(), &watch.marks);
        }
        drop(watchers);
        for id in &ids {
            watch.marks.mark(Change::Task(id.clone()));
        }
        watch.honoured.task_ids = ids;
        watch.honoured.tasks_of = of;
    }

    /// Tells everyone who watches this task, or the tasks of its session, that its status changed.
    pub fn announce_task(&self, id: &str, of: Option<&Arc<str>>) {
        let change = Change::Task(id.to_owned());
        self.tell_task(&change, id, of);
        self.pass_on(change, of);
    }

    /// Tells everyone who asked that `change` happened.
    pub fn announce(&self, change: &Change) {
        self.announce_to(change, |_| true);
        self.pass_on(change.clone(), None);
    }

    /// Announces here what happened elsewhere.
    pub fn hear(&self, elsewhere: &Elsewhere) {
        match elsewhere {
            Elsewhere::Announced(Announced { change, of }) => match change {
                Change::Task(id) => self.tell_task(change, id, of.as_ref()),
                Change::Tools | Change::Prompts | Change::Resources | Change::Resource(_) => {
                    self.announce_to(change, |_| true);
                }
            },
            // Whoever watches a task by its id looks how it stands. What a session hears of its
            // tasks names them, so here there is nothing to say to it.
            Elsewhere::NodeGone => self.lock().tasks.tell_all(|id| Change::Task(id.to_owned())),
            Elsewhere::Missed => {
                for list in [Change::Tools, Change::Prompts, Change::Resources] {
                    self.announce_to(&list, |_| true);
                }
                let mut watchers = self.lock();
                let resource = |uri: &str| Change::Resource(uri.to_owned());
                watchers.resources.tell_all(resource);
                watchers.tasks.tell_all(|id| Change::Task(id.to_owned()));
            }
        }
    }

    /// Passes on what is announced here from now on. Once: a hub has one way out.
    ///
    /// # Panics
    /// When it has one already.
    pub fn pass_on_to(&self, pass_on: PassOn) {
        let first = self.pass_on.set(pass_on).is_ok();
        assert!(first, "changes are passed on one way");
    }

    /// Passes a change on, without telling anybody here.
    pub fn pass_on(&self, change: Change, of: Option<&Arc<str>>) {
        if let Some(pass_on) = self.pass_on.get() {
            pass_on(Announced {
                change,
                of: of.cloned(),
            });
        }
    }

    fn tell_task(&self, change: &Change, id: &str, of: Option<&Arc<str>>) {
        let mut watchers = self.lock();
        watchers.tasks.tell(id, change, |_| true);
        if let Some(session) = of {
            watchers.tasks_of.tell(session, change, |_| true);
        }
    }

    /// Tells those who asked and whom `concerns` lets hear that `change` happened. Not passed on:
    /// who is concerned is known here only.
    pub fn announce_to(&self, change: &Change, concerns: impl Fn(&Caller) -> bool) {
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

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names of tasks and sessions are secrets of their clients.
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

/// Drops dead readers whenever the list is about to grow past twice its living size.
fn prune(readers: &mut Vec<Weak<Marks>>) {
    if readers.len() == readers.capacity() {
        readers.retain(|reader| reader.strong_count() > 0);
    }
}

fn tell(reader: &Weak<Marks>, change: &Change, concerns: &impl Fn(&Caller) -> bool) -> bool {
    let Some(marks) = reader.upgrade() else {
        return false;
    };
    let wanted = match change {
        Change::Tools => marks.lists.tools,
        Change::Prompts => marks.lists.prompts,
        Change::Resources => marks.lists.resources,
        Change::Resource(_) | Change::Task(_) => true,
    };
    if wanted && concerns(&marks.caller) {
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

    /// The watch, with something to be dropped when it is: what it rests on.
    #[must_use]
    pub fn keeping(mut self, kept: Box<dyn Send + Sync>) -> Self {
        self.kept = Some(Kept(kept));
        self
    }

    /// The watch, of changes alone of which `concerns` says so.
    #[must_use]
    pub fn concerning(mut self, concerns: Concerned) -> Self {
        self.concerns = Some(Concerns(Mutex::new(concerns)));
        self
    }

    /// Waits for changes and takes all that are marked; never empty.
    ///
    /// # Cancel safety
    /// May be dropped at any await; nothing is lost.
    pub async fn changed(&self) -> BTreeSet<Change> {
        loop {
            let mut taken = std::mem::take(
                &mut *self
                    .marks
                    .pending
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner),
            );
            if let Some(Concerns(concerns)) = &self.concerns {
                let mut concerns = concerns.lock().unwrap_or_else(PoisonError::into_inner);
                taken.retain(|change| concerns(change));
            }
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
        let watch = changes.watch(&Arc::new(Caller::local()), filter(true, &["a:b"]));
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
        let watch = changes.watch(&Arc::new(Caller::local()), filter(false, &["a:b"]));
        changes.announce(&Change::Tools);
        changes.announce(&Change::Resource("c:d".into()));
        changes.announce(&Change::Resource("a:b".into()));
        assert_eq!(watch.changed().await.len(), 1);
    }

    #[tokio::test]
    async fn only_those_concerned_hear() {
        let changes = Changes::default();
        let [alice, bob] = ["alice", "bob"].map(|name| Arc::new(Caller::known_as(name)));
        let alices = changes.watch(&alice, filter(true, &["a:b"]));
        let bobs = changes.watch(&bob, filter(true, &["a:b"]));
        changes.announce_to(&Change::Tools, |caller| *caller == *alice);
        changes.announce(&Change::Resource("a:b".into()));
        assert_eq!(alices.changed().await.len(), 2);
        assert_eq!(bobs.changed().await.len(), 1);
    }

    #[tokio::test]
    async fn what_is_announced_is_passed_on_and_what_was_heard_is_not() {
        let [here, there] = [(), ()].map(|()| Arc::new(Changes::default()));
        let watch = there.watch(&Arc::new(Caller::local()), filter(true, &["a:b"]));
        let (heard, passed) = (there.clone(), Arc::new(Mutex::new(0)));
        let count = passed.clone();
        here.pass_on_to(Arc::new(move |announced| {
            heard.hear(&Elsewhere::Announced(announced));
        }));
        there.pass_on_to(Arc::new(move |_| *count.lock().unwrap() += 1));
        here.announce(&Change::Tools);
        here.announce(&Change::Resource("a:b".into()));
        here.announce_to(&Change::Prompts, |_| true);
        assert_eq!(
            watch.changed().await.into_iter().collect::<Vec<_>>(),
            [Change::Tools, Change::Resource("a:b".into())]
        );
        assert_eq!(*passed.lock().unwrap(), 0);
    }

    #[tokio::test]
    async fn whoever_missed_something_hears_of_all_it_watches_once() {
        let changes = Changes::default();
        let mut watch = changes.watch(&Arc::new(Caller::local()), filter(true, &["a:b", "c:d"]));
        changes.watch_tasks(&mut watch, BTreeSet::from(["t".to_owned()]), None);
        assert_eq!(watch.changed().await, [Change::Task("t".into())].into());
        changes.hear(&Elsewhere::Missed);
        changes.hear(&Elsewhere::NodeGone);
        assert_eq!(
            watch.changed().await.into_iter().collect::<Vec<_>>(),
            [
                Change::Tools,
                Change::Resource("a:b".into()),
                Change::Resource("c:d".into()),
                Change::Task("t".into())
            ]
        );
    }

    #[test]
    fn a_dropped_watch_is_forgotten() {
        let changes = Changes::default();
        drop(changes.watch(&Arc::new(Caller::local()), filter(true, &["a:b"])));
        assert!(!changes.is_watched("a:b"));
        changes.announce(&Change::Resource("a:b".into()));
        assert!(changes.lock().resources.by_name.is_empty());
    }

    #[test]
    fn names_that_nobody_reads_do_not_pile_up() {
        let changes = Changes::default();
        for round in 0..10 * PRUNE_AT_LEAST {
            drop(changes.watch(
                &Arc::new(Caller::local()),
                filter(false, &[&format!("a:{round}")]),
            ));
        }
        assert!(changes.lock().resources.by_name.len() <= PRUNE_AT_LEAST);
    }
}
