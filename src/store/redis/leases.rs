//! Leases, and what a renewal finds out besides: whether the store lost data.
//!
//! A lease is a place in a sorted set by when it lapses, by the server's time. A server that came
//! back without its latest writes shows in the node's own lease, which then lapses earlier than the
//! node knows; one that was emptied shows in the partitions' generations.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::{Pipeline, Value};

use super::answers::Answer;
use super::apart::Apart;
use super::keys::{self, PARTITIONS, Partition};
use super::lanes::Shared;
use super::scripts;
use crate::runtime::clock::Timestamp;
use crate::store::{Incarnation, Renewed, StoreError, StoreResult};

/// Partitions of a cluster that one renewal looks at; all are seen in two.
const LOOKED_AT: usize = PARTITIONS as usize / 2;

/// The leases, from the side of one process.
#[derive(Debug, Default)]
pub(super) struct Leases {
    connection: Apart,
    /// Whose lease was renewed last from here, and when it would lapse.
    renewed: Mutex<Option<(Incarnation, u64)>>,
    /// Which partition of a cluster to look at next.
    next: AtomicUsize,
}

impl Leases {
    /// See [`crate::store::Store::renew`].
    pub(super) async fn renew(
        &self,
        shared: &Shared,
        node: Incarnation,
        lease: Duration,
    ) -> StoreResult<Renewed> {
        let mut commands = Pipeline::new();
        let mut renew = scripts::RENEW.run([keys::LEASES].iter());
        renew.arg(node.0).arg(millis(lease));
        commands.add_command(renew);
        let cluster = shared.servers.is_cluster();
        if !cluster {
            let generations: Vec<_> = Partition::all().map(Partition::generation).collect();
            commands.cmd("MGET").arg(&generations);
        }
        let run = async |commands: Pipeline| {
            let run = self.connection.run(shared, &commands, shared.timeout);
            run.await
        };
        // Seen before the store is asked, so that a partition first used meanwhile is not taken for
        // one that lost its generation.
        let known = self.to_look_at(shared, cluster);
        let mut answers = run(commands).await?.into_iter();
        let mut answer = Answer::new(answers.next().unwrap_or(Value::Nil))?;
        let now = Timestamp(answer.number()?);
        let lapses = answer.number()?;
        let before = answer.number_or_nothing()?;
        let living = answer.numbers()?;
        if cluster {
            for partition in known {
                let mut look = Pipeline::new();
                look.cmd("GET").arg(partition.generation());
                let found = run(look).await?.into_iter().next();
                shared.generations.found(partition, text(found.as_ref())?);
            }
        } else {
            let Some(Value::Array(found)) = answers.next() else {
                return Err(StoreError::Damaged("an answer that is none of ours".into()));
            };
            for partition in known {
                let found = found.get(partition.index());
                shared.generations.found(partition, text(found)?);
            }
        }
        let mut living: Vec<_> = living.into_iter().map(Incarnation).collect();
        living.sort_unstable();
        let turned_back = self.turned_back(node, before, lapses);
        Ok(Renewed {
            living,
            now,
            lost: shared.generations.take_lost() || turned_back,
        })
    }

    /// See [`crate::store::Store::retire`].
    pub(super) async fn retire(&self, shared: &Shared, node: Incarnation) -> StoreResult<()> {
        let mut commands = Pipeline::new();
        commands.cmd("ZREM").arg(keys::LEASES).arg(node.0);
        let run = self.connection.run(shared, &commands, shared.timeout);
        run.await?;
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// The partitions to look at now: those in use, of a cluster some of them in turn.
    fn to_look_at(&self, shared: &Shared, cluster: bool) -> Vec<Partition> {
        let in_use = |partition: &Partition| shared.generations.expected(*partition).is_some();
        if !cluster {
            return Partition::all().filter(in_use).collect();
        }
        let from = self.next.fetch_add(LOOKED_AT, Ordering::Relaxed) % usize::from(PARTITIONS);
        let turn = Partition::all().cycle().skip(from).take(LOOKED_AT);
        turn.filter(in_use).collect()
    }

    /// Whether the lease stands as if this node had not renewed it last.
    fn turned_back(&self, node: Incarnation, before: Option<u64>, lapses: u64) -> bool {
        let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        let last = renewed.replace((node, lapses));
        // Nothing: it is a new one, lapsed long ago, or was lost. Who cannot tell looks again.
        last.is_some_and(|(of, last)| of == node && before.is_none_or(|before| before < last))
    }
}

fn text(value: Option<&Value>) -> StoreResult<Option<&str>> {
    match value {
        Some(Value::Nil) => Ok(None),
        Some(Value::BulkString(bytes)) => std::str::from_utf8(bytes)
            .map(Some)
            .map_err(|_| StoreError::Damaged("a generation that is none".into())),
        _ => Err(StoreError::Damaged("an answer that is none of ours".into())),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
