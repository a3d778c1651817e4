//! The pins of one upstream as all nodes have them, now and after a restart: kept in the store.
//!
//! A [`KeptPins`] has a copy here, by which lists are judged without asking anybody, and a record in the
//! store, in a scope of its own. [`KeptPins::agree`] makes one of both: what stands in the store was
//! seen before anything that is only here.
//!
//! The store is asked before the lists of an upstream are shown for the first time, and told of whatever
//! is new in them; no call asks it. Where it is away, nobody waits for longer than [`PATIENCE`]: until it
//! is back, what this node sees is taken for the first. Then it is compared with what the others saw,
//! and judged again where it was not the first after all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::pins::{DefinitionHash, Pins};
use crate::runtime::clock::Clock;
use crate::store::{CasOutcome, Scope, Store, StoreError, StoreResult, Version};

/// How long lists wait for the store before they are shown for the first time.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// How often a store is asked that could not keep what was learned.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// How long pins are kept after the last look at them: an upstream that comes back within a year is
/// the one that was trusted.
const KEPT: Duration = Duration::from_secs(400 * 24 * 3_600);
/// How often it is written against other nodes, which see the same upstream at the same time.
const ATTEMPTS: u32 = 10;

/// See the module docs.
#[derive(Debug)]
pub(super) struct KeptPins {
    store: Arc<dyn Store>,
    clock: Clock,
    scope: Scope,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pins: Arc<Pins>,
    /// Whether something was learned that the store may not have.
    is_unkept: bool,
    /// Whether somebody sees to that.
    is_seen_to: bool,
}

impl KeptPins {
    /// Those of the upstream of this name; none are known before the store was asked.
    pub(super) fn new(store: Arc<dyn Store>, clock: Clock, upstream: &str) -> Self {
        Self {
            store,
            clock,
            scope: Scope(format!("pins:{upstream}").into()),
            state: Mutex::default(),
        }
    }

    /// The pins as far as they are known here.
    pub(super) fn now(&self) -> Arc<Pins> {
        self.lock().pins.clone()
    }

    /// Remembers what is seen for the first time. Whether the caller is to [`Self::keep`] it: nobody
    /// else does.
    pub(super) fn learn(&self, seen: &[(String, DefinitionHash)]) -> bool {
        let mut state = self.lock();
        if seen.is_empty() || !Arc::make_mut(&mut state.pins).learn(seen.iter().cloned()) {
            return false;
        }
        state.is_unkept = true;
        !std::mem::replace(&mut state.is_seen_to, true)
    }

    /// Keeps whatever was learned.
    ///
    /// # Errors
    /// When the store does not take it; the caller tries again.
    pub(super) async fn keep(&self) -> StoreResult<()> {
        loop {
            self.agree().await?;
            let mut state = self.lock();
            state.is_seen_to = state.is_unkept;
            if !state.is_seen_to {
                return Ok(());
            }
        }
    }

    /// Takes over what others saw first, and tells them what was seen here only.
    ///
    /// # Errors
    /// When the store does not answer, or not with pins.
    ///
    /// # Cancel safety
    /// Dropped, it may have done part of that; nothing is lost.
    pub(super) async fn agree(&self) -> StoreResult<()> {
        for _ in 0..ATTEMPTS {
            let (stored, version) = self.stored().await?;
            let pins = {
                let mut state = self.lock();
                let pins = Arc::new(state.pins.after(&stored));
                state.pins = pins.clone();
                pins
            };
            if pins.has_the_same_as(&stored) || self.write(&pins, version).await? {
                let mut state = self.lock();
                // More may have been learned meanwhile.
                state.is_unkept &= !Arc::ptr_eq(&state.pins, &pins);
                return Ok(());
            }
        }
        let problem = "other nodes wrote the same pins again and again";
        Err(StoreError::Unavailable(problem.to_owned()))
    }

    /// What stands in the store, and which write that is. Its end is put off when half its time is over.
    async fn stored(&self) -> StoreResult<(Pins, Option<Version>)> {
        let Some(record) = self.store.read(&self.scope).await? else {
            return Ok((Pins::default(), None));
        };
        let pins = Pins::decode(&record.value);
        let pins = pins.map_err(|error| StoreError::Damaged(error.to_string()))?;
        let now = self.clock.now();
        if record.expires < now.after(KEPT / 2) {
            let touched = vec![(self.scope.clone(), now.after(KEPT))];
            self.store.touch(touched).await?;
        }
        Ok((pins, Some(record.version)))
    }

    /// Whether they were written: nobody else wrote since `version`.
    async fn write(&self, pins: &Pins, version: Option<Version>) -> StoreResult<bool> {
        let (store, scope) = (&self.store, &self.scope);
        match version {
            None => {
                let expires = self.clock.now().after(KEPT);
                store.create(scope, pins.encode(), expires).await
            }
            Some(version) => {
                let written = store.compare_and_set(scope, version, pins.encode());
                Ok(matches!(written.await?, CasOutcome::Written(_)))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::pins::Verdict;
    use super::*;
    use crate::protocol::members::Members;
    use crate::runtime::clock::Timestamp;
    use crate::store::Bounds;
    use crate::store::memory::MemoryStore;

    fn hash(text: &str) -> DefinitionHash {
        let definition = serde_json::json!({"name": "search", "description": text}).to_string();
        DefinitionHash::of(&Members::of(&definition).unwrap())
    }

    fn seen(name: &str, text: &str) -> Vec<(String, DefinitionHash)> {
        vec![(name.to_owned(), hash(text))]
    }

    fn clock() -> Clock {
        Clock::manual(Timestamp(1_000_000))
    }

    fn store(clock: &Clock) -> Arc<dyn Store> {
        Arc::new(MemoryStore::new(clock.clone(), Bounds::default()))
    }

    #[tokio::test]
    async fn of_nodes_that_see_different_tools_the_first_is_believed_by_all() {
        let clock = clock();
        let store = store(&clock);
        let node = || KeptPins::new(store.clone(), clock.clone(), "jira");
        let (one, other) = (node(), node());
        assert!(one.learn(&seen("search", "Finds.")));
        assert!(other.learn(&seen("search", "Sends.")));

        one.keep().await.unwrap();
        other.keep().await.unwrap();

        assert_eq!(one.now().corrections(), 0);
        assert_eq!(other.now().corrections(), 1, "it is judged again");
        let restarted = node();
        restarted.agree().await.unwrap();
        for node in [one, other, restarted] {
            let pins = node.now();
            assert_eq!(pins.judge("search", &hash("Finds."), None), Verdict::Same);
        }
        let elsewhere = KeptPins::new(store, clock, "wiki");
        elsewhere.agree().await.unwrap();
        let judged = elsewhere.now().judge("search", &hash("Sends."), None);
        assert_eq!(judged, Verdict::New, "upstreams have nothing in common");
    }

    #[tokio::test]
    async fn what_nodes_learn_at_the_same_time_is_all_kept() {
        let clock = clock();
        let store = store(&clock);
        let node = || KeptPins::new(store.clone(), clock.clone(), "jira");
        let nodes = [node(), node(), node()];
        for (at, node) in nodes.iter().enumerate() {
            node.learn(&seen(&at.to_string(), "Finds."));
        }
        let keeping = nodes.iter().map(KeptPins::keep);
        for kept in futures_util::future::join_all(keeping).await {
            kept.unwrap();
        }
        let restarted = node();
        restarted.agree().await.unwrap();
        for at in 0..nodes.len() {
            let judged = restarted
                .now()
                .judge(&at.to_string(), &hash("Finds."), None);
            assert_eq!(judged, Verdict::Same, "{at}");
        }
    }

    #[tokio::test]
    async fn one_at_a_time_sees_to_what_was_learned() {
        let clock = clock();
        let pins = KeptPins::new(store(&clock), clock, "jira");
        assert!(!pins.learn(&[]));
        assert!(pins.learn(&seen("a", "A")));
        assert!(!pins.learn(&seen("b", "B")), "somebody does");
        assert!(!pins.learn(&seen("a", "A")));
        pins.keep().await.unwrap();
        assert!(!pins.learn(&seen("b", "B")), "it is known");
        assert!(pins.learn(&seen("c", "C")));
    }

    #[tokio::test]
    async fn pins_outlast_a_year_without_a_look_and_go_when_nobody_looks_for_longer() {
        let clock = clock();
        let store = store(&clock);
        let node = || KeptPins::new(store.clone(), clock.clone(), "jira");
        node().learn(&seen("search", "Finds."));
        let first = node();
        first.learn(&seen("search", "Finds."));
        first.keep().await.unwrap();
        for (years, kept) in [(1, Verdict::Same), (1, Verdict::Same), (2, Verdict::New)] {
            clock.advance(years * 365 * Duration::from_secs(24 * 3_600));
            let later = node();
            later.agree().await.unwrap();
            let judged = later.now().judge("search", &hash("Finds."), None);
            assert_eq!(judged, kept);
        }
    }
}
