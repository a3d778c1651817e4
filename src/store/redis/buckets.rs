//! Buckets of tokens: one script takes from all that share a shelf.

use deadpool_redis::redis::Value;
use futures_util::FutureExt as _;
use futures_util::future::try_join_all;

use super::RedisStore;
use super::answers::Answer;
use super::keys::Shelf;
use super::lanes::{Call, Place};
use super::scripts;
use crate::store::buckets::{Ask, Buckets, Given};
use crate::store::{StoreError, StoreFuture, StoreResult};

/// What is asked of the buckets of one shelf, and where each stands among all that was asked.
struct Batch {
    shelf: Shelf,
    places: Vec<usize>,
    call: Call,
}

impl Batch {
    fn new(shelf: Shelf) -> Self {
        let call = Call {
            script: &scripts::TAKE,
            place: Place::Buckets(shelf),
            keys: Vec::new(),
            args: Vec::new(),
            // Lost with a primary, a bucket is full again: less is wrong than waiting would cost.
            replicated: false,
        };
        Self {
            shelf,
            places: Vec::new(),
            call,
        }
    }

    fn push(&mut self, at: usize, ask: &Ask) {
        self.places.push(at);
        self.call.keys.push(self.shelf.bucket(&ask.key));
        let (micros, nanos) = (ask.interval_nanos / 1_000, ask.interval_nanos % 1_000);
        self.call
            .args
            .push(format!("{micros}.{nanos:03}").into_bytes());
        for number in [ask.burst, ask.want, ask.back] {
            self.call.args.push(number.to_string().into_bytes());
        }
    }
}

impl Buckets for RedisStore {
    fn take(&self, asks: Vec<Ask>) -> StoreFuture<Vec<Given>> {
        let mut batches: Vec<Batch> = Vec::new();
        for (at, ask) in asks.iter().enumerate() {
            let shelf = Shelf::of(&ask.key);
            if let Some(batch) = batches.iter_mut().find(|batch| batch.shelf == shelf) {
                batch.push(at, ask);
            } else {
                let mut batch = Batch::new(shelf);
                batch.push(at, ask);
                batches.push(batch);
            }
        }
        let asked = batches.into_iter().map(|batch| {
            let answer = self.lanes.ask(batch.call);
            async move { given(answer.await?, &batch.places) }
        });
        let answers = try_join_all(asked);
        async move {
            let mut all: Vec<_> = answers.await?.into_iter().flatten().collect();
            all.sort_unstable_by_key(|(at, _)| *at);
            Ok(all.into_iter().map(|(_, given)| given).collect())
        }
        .boxed()
    }
}

/// Of `take.lua`, asked for the buckets that stand at these places.
fn given(answer: Value, places: &[usize]) -> StoreResult<Vec<(usize, Given)>> {
    let numbers = Answer::new(answer)?.numbers()?;
    if numbers.len() != 3 * places.len() {
        return Err(StoreError::Damaged("an answer that is none of ours".into()));
    }
    let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let given = numbers.chunks_exact(3).zip(places).map(|(three, at)| {
        let given = Given {
            tokens: count(three[0]),
            retry_after_us: three[1],
            left: count(three[2]),
        };
        (*at, given)
    });
    Ok(given.collect())
}
