//! The keys of one issuer: kept, asked for again, and waited for by all who need them at once.
//!
//! `freshness` decides; [`KeyCache`] does it. The issuer is asked by a task of its own, one at a
//! time: whoever waits may go away, and the others still get the answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::freshness::{Held, Known, Next, Seek};
use super::jwt::Parsed;
use super::key_set::KeySet;
use super::provider::Provider;
use super::refusal::{Refusal, Step};
use crate::runtime::clock::Clock;
use crate::runtime::tasks::{TaskKind, Tasks};

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct KeyCache {
    provider: Provider,
    max_stale: Duration,
    clock: Clock,
    tasks: Tasks,
    /// Those who wait for an answer watch it.
    known: watch::Sender<Known>,
}

impl KeyCache {
    /// Nothing is known yet, and nobody is asked before a token comes.
    pub(super) fn new(
        provider: Provider,
        max_stale: Duration,
        clock: Clock,
        tasks: Tasks,
    ) -> Arc<Self> {
        Arc::new(Self {
            provider,
            max_stale,
            clock,
            tasks,
            known: watch::Sender::default(),
        })
    }

    /// The keys to use now.
    ///
    /// # Errors
    /// [`Step::Unreachable`].
    ///
    /// # Cancel safety
    /// May be dropped at any await.
    pub(super) async fn current(self: &Arc<Self>) -> Result<Held, Refusal> {
        let now = self.clock.now();
        let next = self.decide(|known| {
            let next = known.next(now, self.max_stale);
            match next {
                Next::Ask | Next::AskBeside => known.begin(now),
                Next::Use | Next::Wait | Next::GiveUp(_) => {}
            }
            next
        });
        match next {
            Next::Use => {}
            Next::AskBeside => self.ask(),
            Next::Ask => {
                self.ask();
                self.answered().await;
            }
            Next::Wait => self.answered().await,
            Next::GiveUp(rest) => return Err(Refusal::unreachable(rest)),
        }
        let known = self.known.borrow();
        let now = self.clock.now();
        let held = known.usable(now, self.max_stale).cloned();
        held.ok_or_else(|| Refusal::unreachable(known.rest(now)))
    }

    /// Checks who signed a token; gives the keys that it was checked with.
    ///
    /// # Errors
    /// What [`KeySet::check`] says, once the issuer was asked for a key that is not known.
    pub(super) async fn check(self: &Arc<Self>, token: &Parsed<'_>) -> Result<Held, Refusal> {
        let before = self.known.borrow().asked_count();
        loop {
            let held = self.current().await?;
            match held.set.check(token) {
                Ok(()) => return Ok(held),
                Err(Step::Key) => self.seek(before).await?,
                Err(step) => return Err(Refusal::of(step)),
            }
        }
    }

    /// Asks for a key that is not there. When this is fine, the keys are others than before or were
    /// asked for since `before`; so a second time it is not.
    async fn seek(self: &Arc<Self>, before: u64) -> Result<(), Refusal> {
        let now = self.clock.now();
        let seek = self.decide(|known| {
            let seek = known.seek(now, before);
            match seek {
                Seek::Ask => known.begin_seeking(now),
                Seek::Wait | Seek::Absent | Seek::GiveUp(_) => {}
            }
            seek
        });
        match seek {
            Seek::Ask => self.ask(),
            Seek::Wait => {}
            Seek::Absent => return Err(Refusal::of(Step::Key)),
            Seek::GiveUp(rest) => return Err(Refusal::unreachable(rest)),
        }
        self.answered().await;
        Ok(())
    }

    /// Looks at what is known and notes what follows, in one.
    fn decide<T>(&self, decide: impl FnOnce(&mut Known) -> T) -> T {
        let mut decided = None;
        self.known.send_if_modified(|known| {
            decided = Some(decide(known));
            false
        });
        decided.expect("invariant: the function is called once")
    }

    /// Starts to ask, which was noted.
    fn ask(self: &Arc<Self>) {
        let mut asking = Asking {
            keys: self.clone(),
            answer: None,
        };
        self.tasks
            .spawn(TaskKind::Upkeep, async move { asking.ask().await });
    }

    async fn answered(&self) {
        let mut known = self.known.subscribe();
        // It fails only when the sender is gone, and that is held here.
        known.wait_for(|known| !known.is_asking()).await.ok();
    }
}

/// An issuer that is being asked. However this ends, nobody waits for it any longer.
struct Asking {
    keys: Arc<KeyCache>,
    answer: Option<KeySet>,
}

impl Asking {
    async fn ask(&mut self) {
        let provider = &self.keys.provider;
        match provider.keys(self.keys.clock.now()).await {
            Ok(set) => self.answer = Some(set),
            Err(error) => {
                let issuer = provider.issuer();
                tracing::warn!(issuer, %error, "the keys of an issuer could not be had");
            }
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let answer = self.answer.take();
        self.keys.known.send_modify(|known| known.end(answer));
    }
}
