//! Leases, and what a renewal finds out besides: whether the store lost data, and whether it takes
//! writes.
//!
//! A lease is a place in a sorted set by when it lapses, by the server's time. A server that came
//! back without its latest writes shows in the node's own lease, which then lapses earlier than the
//! node knows, and in its run id; one that was emptied shows in the partitions' generations.
//!
//! A store that is read but not written may go unnoticed by those who read, or by a node that nobody
//! asks for anything. A renewal is a write that happens anyway, at a known pace.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::{self, Cmd, Pipeline, Value};

use super::answers::Answer;
use super::apart::Apart;
use super::keys::{self, Partition};
use super::lanes::Shared;
use super::{failure, scripts};
use crate::runtime::clock::Timestamp;
use crate::store::{Incarnation, Renewed, StoreError, StoreResult};

/// Partitions of a cluster that one renewal looks at. A server that lost its data lost many of them:
/// a few renewals find one.
const LOOKED_AT: usize = 2;

/// The leases, from the side of one process.
#[derive(Debug, Default)]
pub(super) struct Leases {
    connection: Apart,
    /// Whose lease was renewed last from here, and when it would lapse.
    renewed: Mutex<Option<(Incarnation, u64)>>,
    /// Which of a cluster's partitions to look at next.
    next: AtomicUsize,
    /// Which run of the server answered last.
    server: Mutex<Option<String>>,
}

impl Leases {
    /// See [`crate::store::Store::renew`].
    pub(super) async fn renew(
        &self,
        shared: &Shared,
        node: Incarnation,
        lease: Duration,
    ) -> StoreResult<Renewed> {
        let cluster = shared.servers.is_cluster();
        let mut keys = vec![keys::LEASES.to_owned(), keys::PROBE.to_owned()];
        if !cluster {
            keys.extend(Partition::all().map(Partition::generation));
        }
        let mut renew = scripts::RENEW.run(keys.iter());
        renew
            .arg(node.0)
            .arg(millis(lease))
            .arg(keys::PROBE_LIFE_MS);
        // Seen before the store is asked, so that a partition first used meanwhile is not taken for
        // one that lost its generation.
        let in_use = in_use(shared);
        let mut asked = Pipeline::with_capacity(2);
        asked.add_command(renew);
        if shared.replicas > 0 {
            // Well before the next renewal is due.
            let patience = shared.timeout.min(lease / 3) / 2;
            asked.add_command(shared.wait(patience));
        }
        let mut answers = self.connection.run(shared, &asked, shared.timeout).await?;
        let copied = if shared.replicas > 0 {
            answers.pop()
        } else {
            None
        };
        let mut answer = Answer::new(answers.pop().unwrap_or(Value::Nil))?;
        let now = Timestamp(answer.number()?);
        let lapses = answer.number()?;
        let before = answer.number_or_nothing()?;
        let found = answer.list()?;
        let refused = answer.text_or_nothing()?;
        let living = answer.numbers()?;
        match refused {
            Some(why) => shared.refuses_writes(&why),
            None if !shared.has_enough(copied.as_ref()) => {
                shared.refuses_writes(failure::TOO_FEW_REPLICAS);
            }
            None => shared.takes_writes(),
        }
        if cluster {
            self.look_around(shared, &in_use).await?;
        } else {
            for partition in in_use {
                let found = found.get(partition.index());
                shared.generations.found(partition, text(found)?);
            }
        }
        let another_server = !cluster && self.is_another_server(shared).await;
        let mut living: Vec<_> = living.into_iter().map(Incarnation).collect();
        living.sort_unstable();
        let turned_back = self.turned_back(node, before, lapses);
        Ok(Renewed {
            living,
            now,
            lost: shared.generations.take_lost() || turned_back || another_server,
        })
    }

    /// Whether another run of a server answers than before: one that began anew, or a replica that
    /// became the primary. Either may lack what was written last. Where asking is not allowed, the
    /// lease alone must show it.
    async fn is_another_server(&self, shared: &Shared) -> bool {
        let mut info = redis::cmd("INFO");
        info.arg("server");
        let Ok(Value::BulkString(info)) = self.ask(shared, info).await else {
            return false;
        };
        let info = String::from_utf8_lossy(&info);
        let run = info.lines().find_map(|line| line.strip_prefix("run_id:"));
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *server, run.map(str::to_owned));
        before.is_some() && before != *server
    }

    /// See [`crate::store::Store::retire`].
    pub(super) async fn retire(&self, shared: &Shared, node: Incarnation) -> StoreResult<()> {
        let mut retire = redis::cmd("ZREM");
        retire.arg(keys::LEASES).arg(node.0);
        self.ask(shared, retire).await?;
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// Looks at some partitions of a cluster in turn; at all of them once one lost its data.
    async fn look_around(&self, shared: &Shared, in_use: &[Partition]) -> StoreResult<()> {
        let from = self.next.fetch_add(LOOKED_AT, Ordering::Relaxed);
        let turn = in_use.iter().cycle().skip(from % in_use.len().max(1));
        for partition in turn.take(LOOKED_AT.min(in_use.len())) {
            self.look(shared, *partition).await?;
        }
        if shared.generations.has_lost() {
            for partition in in_use {
                self.look(shared, *partition).await?;
            }
        }
        Ok(())
    }

    async fn look(&self, shared: &Shared, partition: Partition) -> StoreResult<()> {
        let mut look = redis::cmd("GET");
        look.arg(partition.generation());
        let found = self.ask(shared, look).await?;
        shared.generations.found(partition, text(Some(&found))?);
        Ok(())
    }

    async fn ask(&self, shared: &Shared, command: Cmd) -> StoreResult<Value> {
        let mut commands = Pipeline::with_capacity(1);
        commands.add_command(command);
        let run = self.connection.run(shared, &commands, shared.timeout);
        Ok(run.await?.pop().unwrap_or(Value::Nil))
    }

    /// Whether the lease stands as if this node had not renewed it last.
    fn turned_back(&self, node: Incarnation, before: Option<u64>, lapses: u64) -> bool {
        let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        let last = renewed.replace((node, lapses));
        // Nothing: it is a new one, lapsed long ago, or was lost. Who cannot tell looks again.
        last.is_some_and(|(of, last)| of == node && before.is_none_or(|before| before < last))
    }
}

/// The partitions that this process used.
fn in_use(shared: &Shared) -> Vec<Partition> {
    let in_use = |partition: &Partition| shared.generations.expected(*partition).is_some();
    Partition::all().filter(in_use).collect()
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
