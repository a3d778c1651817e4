//! Letters on their way out: a bounded queue, and the loop that carries it to the inboxes.
//!
//! Whoever sends never waits. When the store is away letters pile up and are sent again until it takes
//! them, so one may arrive twice; when too many have, all of them are dropped and each addressee is
//! told, once it can be, to doubt what it keeps.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::Notify;

use super::letter::{self, Topic};
use super::{Inner, Living, Parts};
use crate::runtime::ratelimited::warn_ratelimited;
use crate::runtime::seal;
use crate::store::{INBOX_MESSAGE_BYTES_MAX, Incarnation, Scope, StoreResult};

/// Letters that may wait: a few seconds' worth at the rate one store takes them.
const WAITING_MAX: usize = 10_000;
/// Their bytes.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Letters carried at once.
const BATCH: usize = 64;
/// How long carrying rests after a failure.
const AGAIN: Duration = Duration::from_millis(250);
/// How long a large body waits to be fetched.
const LARGE_TTL: Duration = Duration::from_secs(60);
/// How long stopping waits for the last letters.
const LAST: Duration = Duration::from_secs(2);

/// See the module docs.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    letters: VecDeque<(Incarnation, Bytes)>,
    bytes: usize,
    /// Whose letters were dropped.
    doubting: BTreeSet<Incarnation>,
}

impl Outbox {
    pub(super) fn put(&self, to: Incarnation, letter: Bytes) {
        let mut waiting = self.lock();
        if waiting.letters.len() >= WAITING_MAX || waiting.bytes >= WAITING_BYTES_MAX {
            let dropped = std::mem::take(&mut waiting.letters);
            waiting.bytes = 0;
            waiting.doubting.extend(dropped.iter().map(|(to, _)| *to));
            warn_ratelimited!("letters to other nodes were dropped", count = dropped.len());
        }
        waiting.bytes += letter.len();
        waiting.letters.push_back((to, letter));
        drop(waiting);
        self.arrived.notify_one();
    }

    /// The next letters to carry, at most a batch.
    fn take(&self) -> Vec<(Incarnation, Bytes)> {
        let mut waiting = self.lock();
        let count = waiting.letters.len().min(BATCH);
        let taken = waiting.letters.drain(..count).collect::<Vec<_>>();
        waiting.bytes -= taken.iter().map(|(_, letter)| letter.len()).sum::<usize>();
        taken
    }

    /// Puts letters that were not sent back where they were.
    fn put_back(&self, letters: Vec<(Incarnation, Bytes)>) {
        let mut waiting = self.lock();
        waiting.bytes += letters
            .iter()
            .map(|(_, letter)| letter.len())
            .sum::<usize>();
        for letter in letters.into_iter().rev() {
            waiting.letters.push_front(letter);
        }
    }

    fn take_doubting(&self) -> BTreeSet<Incarnation> {
        std::mem::take(&mut self.lock().doubting)
    }

    /// Lets these know that something they should have heard of did not reach them.
    pub(super) fn doubt(&self, who: impl IntoIterator<Item = Incarnation>) {
        let mut waiting = self.lock();
        waiting.doubting.extend(who);
        let any = !waiting.doubting.is_empty();
        drop(waiting);
        if any {
            self.arrived.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends for as long as it is polled.
pub(super) async fn send(node: &Inner, parts: &Parts) {
    loop {
        let arrived = node.outbox.arrived.notified();
        match carry(node, parts).await {
            Carried::Nothing => arrived.await,
            Carried::Some => {}
            Carried::Failed => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// Sends what is still there, for a short while.
pub(super) async fn send_rest(node: &Inner, parts: &Parts) {
    let rest = async { while matches!(carry(node, parts).await, Carried::Some) {} };
    if tokio::time::timeout(LAST, rest).await.is_err() {
        tracing::warn!("not every letter to other nodes could be sent");
    }
}

enum Carried {
    Nothing,
    Some,
    Failed,
}

async fn carry(node: &Inner, parts: &Parts) -> Carried {
    let letters = node.outbox.take();
    let doubting = node.outbox.take_doubting();
    if letters.is_empty() && doubting.is_empty() {
        return Carried::Nothing;
    }
    let doubt = letter::write(Topic::Doubt, parts.incarnation, node.keys.letter());
    let sending = letters.iter();
    let sending = sending.map(|(to, letter)| post(parts, *to, letter.clone()));
    let telling = doubting.iter().map(|to| post(parts, *to, doubt.clone()));
    let (sent, told) = tokio::join!(join_all(sending), join_all(telling));
    let failure = sent
        .iter()
        .chain(&told)
        .find_map(|outcome| outcome.as_ref().err());
    if let Some(error) = failure {
        warn_ratelimited!("letters to other nodes cannot be sent yet", %error);
    }
    let failed = failure.is_some();
    // One that is dead needs none any more.
    let Living { nodes, asleep, .. } = node.living.borrow().clone();
    let may_read = |to: &Incarnation| nodes.contains(to) || asleep.iter().any(|(it, _)| it == to);
    let unsent = letters.into_iter().zip(sent);
    let unsent = unsent.filter(|((to, _), outcome)| outcome.is_err() && may_read(to));
    node.outbox
        .put_back(unsent.map(|(letter, _)| letter).collect());
    let untold = doubting.into_iter().zip(told);
    let untold = untold.filter(|(to, outcome)| outcome.is_err() && nodes.contains(to));
    node.outbox.lock().doubting.extend(untold.map(|(to, _)| to));
    if failed {
        Carried::Failed
    } else {
        Carried::Some
    }
}

pub(super) async fn post(parts: &Parts, to: Incarnation, letter: Bytes) -> StoreResult<()> {
    if letter.len() <= INBOX_MESSAGE_BYTES_MAX {
        return parts.store.post(to, letter).await;
    }
    let name = format!("letter:{}", URL_SAFE_NO_PAD.encode(seal::random::<18>()));
    let expires = parts.clock.now().after(LARGE_TTL);
    let scope = Scope(name.as_str().into());
    parts.store.create(&scope, letter, expires).await?;
    let named = letter::write(Topic::Large, parts.incarnation, name.as_bytes());
    parts.store.post(to, named).await
}
