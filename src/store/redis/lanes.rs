//! Lanes: a few connections, each with a queue before it, on which all of a partition's commands go
//! in the order in which they were asked.
//!
//! [`Lanes::ask`] puts a [`Call`] into its lane's queue at once, so that pipelined appends keep
//! their order. Each lane is a task on the main runtime: it takes what waits, sends it in one
//! pipeline, waits for the answers, and takes the next. When a pipeline fails all that waited behind
//! it fails with it, so that of appends called one after the other no later one is stored after an
//! earlier one was lost.
//!
//! Leases and inboxes have connections of their own ([`super::apart`]): no storm here delays them.
//!
//! A connection that breaks is usually not the only one: the others of this process are then made anew
//! before they are used again, rather than each failing a call of its own.
//!
//! Invariants: a call is answered within the timeout, counted from when it was asked; while the
//! breaker is open nothing is sent but one probe at a time, which nobody has to ask for: a node that
//! is not ready is asked for nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::{self, Cmd, Pipeline, RedisResult, Value};
use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::breaker::{Admission, Breaker};
use super::connection::{Connection, Servers};
use super::failure::{self, Verdict, judge};
use super::generations::Generations;
use super::keys::{self, Partition};
use super::queue::Queue;
use super::scripts::{self, Script};
use crate::runtime::seal;
use crate::runtime::tasks::{TaskKind, Tasks};
use crate::store::{Health, StoreError, StoreResult};

/// Lanes: two saturate a server of one thread; two more even out large values.
const LANES: usize = 4;

/// What a script says when the partition is in another generation than expected.
const OTHER_GENERATION: i64 = -1;

/// One script to run.
#[derive(Debug)]
pub(super) struct Call {
    /// Which.
    pub(super) script: &'static Script,
    /// What it is about.
    pub(super) place: Place,
    /// The keys it works on, besides the partition's generation.
    pub(super) keys: Vec<String>,
    /// Its arguments, besides the expected generation.
    pub(super) args: Vec<Vec<u8>>,
    /// Whether replicas must have it before it counts, where that is configured.
    pub(super) replicated: bool,
}

/// What a call is about, which decides about its lane and, in a cluster, its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Scopes of a partition.
    Partition(Partition),
    /// The inbox of a node.
    Inbox(u64),
    /// A part of all buckets.
    Buckets(keys::Shelf),
}

/// All lanes, and what they share.
#[derive(Debug)]
pub(super) struct Lanes {
    queues: Vec<Arc<Queue<Asked>>>,
    shared: Arc<Shared>,
}

/// What lanes, leases and inboxes share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Where connections come from.
    pub(super) servers: Servers,
    /// What was seen of the partitions.
    pub(super) generations: Generations,
    /// How long an operation may take.
    pub(super) timeout: Duration,
    /// How many replicas must have a write before it counts.
    pub(super) replicas: usize,
    breaker: Mutex<Breaker>,
    open: AtomicBool,
    /// Whether the last renewal of a lease found that it does not write.
    read_only: AtomicBool,
    /// Counts connections that broke.
    broken: AtomicU64,
}

/// A lane's connection, and how many had broken when it was made.
type Kept = Option<(Connection, u64)>;

/// A call and who waits for its answer.
#[derive(Debug)]
struct Asked {
    call: Call,
    at: Instant,
    answer: oneshot::Sender<StoreResult<Value>>,
}

impl Lanes {
    /// Starts the lanes; they connect when there is something to do.
    pub(super) fn start(
        servers: Servers,
        timeout: Duration,
        replicas: usize,
        tasks: &Tasks,
    ) -> Self {
        let shared = Arc::new(Shared {
            servers,
            generations: Generations::new(),
            timeout,
            replicas,
            breaker: Mutex::new(Breaker::default()),
            open: AtomicBool::new(false),
            read_only: AtomicBool::new(false),
            broken: AtomicU64::new(0),
        });
        let queues: Vec<_> = (0..LANES).map(|_| Arc::new(Queue::new())).collect();
        for queue in &queues {
            tasks.spawn(TaskKind::Upkeep, serve(shared.clone(), queue.clone()));
        }
        Self { queues, shared }
    }

    /// What all share.
    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Asks now; the answer comes when the future is polled.
    pub(super) fn ask(
        &self,
        call: Call,
    ) -> impl Future<Output = StoreResult<Value>> + Send + use<> {
        let lane = match call.place {
            Place::Partition(partition) => partition.index() % LANES,
            Place::Inbox(node) => usize::try_from(node % LANES as u64).unwrap_or_default(),
            Place::Buckets(shelf) => shelf.index() % LANES,
        };
        let (answer, answered) = oneshot::channel();
        let bytes = call.args.iter().map(Vec::len).sum();
        let asked = Asked {
            call,
            at: Instant::now(),
            answer,
        };
        let pushed = self.queues[lane].push(asked, bytes);
        async move {
            pushed?;
            let closed = |_| Err(StoreError::Unavailable("it is closed".into()));
            answered.await.unwrap_or_else(closed)
        }
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        for queue in &self.queues {
            queue.close();
        }
    }
}

/// The life of one lane.
async fn serve(shared: Arc<Shared>, queue: Arc<Queue<Asked>>) {
    let mut connection = None;
    loop {
        let batch = match shared.probe_due() {
            None => Ok(queue.take().await),
            Some(due) => tokio::time::timeout_at(due, queue.take()).await,
        };
        let Ok(batch) = batch else {
            shared.probe(&mut connection).await;
            continue;
        };
        let Some(batch) = batch else { return };
        if shared.breaker().admit(Instant::now().into_std()) == Admission::Refuse {
            fail(
                batch,
                &StoreError::Unavailable("it did not answer lately".into()),
            );
            continue;
        }
        let calls: Vec<&Call> = batch.iter().map(|asked| &asked.call).collect();
        let deadline = batch.first().map_or_else(Instant::now, |asked| asked.at) + shared.timeout;
        match tokio::time::timeout_at(deadline, shared.send(&mut connection, &calls)).await {
            Ok(Ok(answers)) => shared.settle(&mut connection, batch, answers),
            failed => {
                shared.lose(&mut connection);
                shared.failed();
                let error = match failed {
                    Ok(Ok(_)) | Err(_) => failure::late(shared.timeout),
                    Ok(Err(error)) => failure::store_error(&error),
                };
                fail(batch, &error);
                fail(queue.drain(), &error);
            }
        }
    }
}

fn fail(asked: Vec<Asked>, error: &StoreError) {
    for Asked { answer, .. } in asked {
        // Whoever asked may have gone.
        let _gone = answer.send(Err(error.clone()));
    }
}

impl Shared {
    /// What is known without asking.
    pub(super) fn health(&self) -> Health {
        if self.read_only.load(Ordering::Acquire) {
            Health::ReadOnly
        } else if self.open.load(Ordering::Acquire) {
            Health::Away
        } else {
            Health::Well
        }
    }

    /// It was asked to write, and does not.
    pub(super) fn refuses_writes(&self, why: &str) {
        if !self.read_only.swap(true, Ordering::AcqRel) {
            tracing::warn!(why, "the store takes no writes");
        }
    }

    /// It wrote.
    pub(super) fn takes_writes(&self) {
        if self.read_only.swap(false, Ordering::AcqRel) {
            tracing::info!("the store takes writes again");
        }
    }

    /// Waits until enough replicas have all that was written on a connection.
    pub(super) fn wait(&self, patience: Duration) -> Cmd {
        let millis = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let mut wait = redis::cmd("WAIT");
        // Zero would be for ever.
        wait.arg(self.replicas).arg(millis.max(1));
        wait
    }

    /// Whether that is so, by the answer to [`Self::wait`].
    pub(super) fn has_enough(&self, answer: Option<&Value>) -> bool {
        match answer {
            Some(Value::Int(count)) => usize::try_from(*count).unwrap_or(0) >= self.replicas,
            None | Some(_) => self.replicas == 0,
        }
    }

    /// A lane's connection, made anew if others broke since it was made.
    async fn connected<'a>(&self, kept: &'a mut Kept) -> RedisResult<&'a mut Connection> {
        let broken = self.broken.load(Ordering::Acquire);
        let fresh = match kept.take() {
            Some((connection, when)) if when == broken => connection,
            Some(_) | None => self.servers.connect().await?,
        };
        let (connection, _) = kept.insert((fresh, broken));
        Ok(connection)
    }

    /// Lets go of a connection that broke.
    fn lose(&self, kept: &mut Kept) {
        if kept.take().is_some() {
            self.one_broke();
        }
    }

    /// Lets everybody know that a connection broke.
    pub(super) fn one_broke(&self) {
        self.broken.fetch_add(1, Ordering::AcqRel);
    }

    /// When to probe although nobody asks for anything, if the store is away.
    fn probe_due(&self) -> Option<Instant> {
        match *self.breaker() {
            Breaker::Open { until, .. } => Some(until.into()),
            Breaker::Closed { .. } | Breaker::Probing { .. } => None,
        }
    }

    /// Finds out whether the store can be written again.
    async fn probe(&self, kept: &mut Kept) {
        if self.breaker().admit(Instant::now().into_std()) == Admission::Refuse {
            return;
        }
        let mut write = redis::cmd("SET");
        write
            .arg(keys::PROBE)
            .arg(1)
            .arg("PX")
            .arg(keys::PROBE_LIFE_MS);
        let writing = async { write.exec_async(self.connected(kept).await?).await };
        if let Ok(Ok(())) = tokio::time::timeout(self.timeout, writing).await {
            self.succeeded();
        } else {
            self.lose(kept);
            self.failed();
        }
    }

    /// One trip, connecting first if need be. Each call has its own answer.
    async fn send(
        &self,
        connection: &mut Kept,
        calls: &[&Call],
    ) -> RedisResult<Vec<RedisResult<Value>>> {
        let connection = self.connected(connection).await?;
        self.learn(connection, calls).await?;
        if !self.servers.is_cluster() {
            return self.pipeline(connection, calls).await;
        }
        // A cluster takes a pipeline per slot. The order within each is kept, which is all that counts.
        let mut answers: Vec<Option<RedisResult<Value>>> = calls.iter().map(|_| None).collect();
        let mut slots: Vec<(Place, Vec<usize>)> = Vec::new();
        for (at, call) in calls.iter().enumerate() {
            match slots.iter_mut().find(|(place, _)| *place == call.place) {
                Some((_, calls)) => calls.push(at),
                None => slots.push((call.place, vec![at])),
            }
        }
        let pipelines = slots.into_iter().map(|(_, places)| {
            let mut connection = connection.clone();
            async move {
                let calls: Vec<_> = places.iter().map(|at| calls[*at]).collect();
                let answers = self.pipeline(&mut connection, &calls).await;
                (places, answers)
            }
        });
        for (places, found) in join_all(pipelines).await {
            for (at, answer) in places.into_iter().zip(found?) {
                answers[at] = Some(answer);
            }
        }
        let answers = answers.into_iter();
        Ok(answers
            .map(|answer| answer.unwrap_or_else(|| Err(failure::unexpected())))
            .collect())
    }

    /// One pipeline; asked again, once, from the first script the server did not know.
    async fn pipeline(
        &self,
        connection: &mut Connection,
        calls: &[&Call],
    ) -> RedisResult<Vec<RedisResult<Value>>> {
        let mut answers = self.trip(connection, calls).await?;
        let unknown = |answer: &RedisResult<Value>| matches!(answer, Err(error) if judge(error) == Verdict::Unloaded);
        if let Some(first) = answers.iter().position(unknown) {
            connection.load_scripts().await?;
            // Those behind it may have been done meanwhile; then they are refused now, and no gap
            // comes of it.
            let again = self.trip(connection, &calls[first..]).await?;
            answers.splice(first.., again);
        }
        Ok(answers)
    }

    async fn trip(
        &self,
        connection: &mut Connection,
        calls: &[&Call],
    ) -> RedisResult<Vec<RedisResult<Value>>> {
        let mut commands = Pipeline::with_capacity(calls.len() + 1);
        let expected: Vec<_> = calls.iter().map(|call| self.expected(call)).collect();
        for (call, expected) in calls.iter().zip(&expected) {
            commands.add_command(call.command(expected.as_deref()));
        }
        let replicated = self.replicas > 0 && calls.iter().any(|call| call.replicated);
        if replicated {
            // Half the time: the answer must still come back.
            commands.add_command(self.wait(self.timeout / 2));
        }
        let mut answers = connection.run(&commands).await?;
        let acknowledged = if replicated { answers.pop() } else { None };
        let acknowledged = acknowledged.map(Value::extract_error).transpose()?;
        let enough = !replicated || self.has_enough(acknowledged.as_ref());
        if answers.len() != calls.len() {
            return Err(failure::unexpected());
        }
        let answers = answers.into_iter().zip(calls).zip(expected);
        Ok(answers
            .map(|((answer, call), expected)| {
                let answer = answer.extract_error()?;
                if let (Place::Partition(partition), Some(expected)) = (call.place, expected)
                    && says_other_generation(&answer)
                {
                    self.generations.changed(partition, &expected);
                    return Err(failure::refusal("the store was emptied"));
                }
                if call.replicated && !enough {
                    return Err(failure::refusal(failure::TOO_FEW_REPLICAS));
                }
                Ok(answer)
            })
            .collect())
    }

    fn expected(&self, call: &Call) -> Option<Arc<str>> {
        match call.place {
            // Learned before the trip; forgotten since, it is refused by the script.
            Place::Partition(partition) => Some(
                self.generations
                    .expected(partition)
                    .unwrap_or_else(|| "".into()),
            ),
            Place::Inbox(_) | Place::Buckets(_) => None,
        }
    }

    /// Learns the generations of partitions that are to be used and were not seen yet.
    async fn learn(&self, connection: &mut Connection, calls: &[&Call]) -> RedisResult<()> {
        let unseen = |call: &Call| match call.place {
            Place::Partition(partition) => self.generations.expected(partition).is_none(),
            Place::Inbox(_) | Place::Buckets(_) => false,
        };
        if !calls.iter().any(|call| unseen(call)) {
            return Ok(());
        }
        // All of them at once, so that it happens once; of a cluster those that are needed now.
        let unknown = self.generations.unknown();
        let ask = |partition: Partition| {
            let mut cmd = scripts::GENERATION.run([partition.generation()].iter());
            cmd.arg(Generations::random());
            cmd
        };
        if self.servers.is_cluster() {
            let needed = unknown.into_iter().filter(|partition| {
                let place = Place::Partition(*partition);
                calls.iter().any(|call| call.place == place)
            });
            for partition in needed {
                let found: String = ask(partition).query_async(connection).await?;
                self.generations.found(partition, Some(&found));
            }
            return Ok(());
        }
        let mut commands = Pipeline::with_capacity(unknown.len());
        for partition in &unknown {
            commands.add_command(ask(*partition));
        }
        let found: Vec<String> = commands.query_async(connection).await?;
        for (partition, found) in unknown.into_iter().zip(&found) {
            self.generations.found(partition, Some(found));
        }
        Ok(())
    }

    /// Hands out answers and lets the breaker know how it went.
    fn settle(&self, connection: &mut Kept, batch: Vec<Asked>, answers: Vec<RedisResult<Value>>) {
        let verdicts = answers
            .iter()
            .map(|answer| answer.as_ref().err().map(judge));
        let (mut works, mut unable, mut away) = (false, false, false);
        for verdict in verdicts {
            match verdict {
                None | Some(Verdict::Damaged | Verdict::Refused) => works = true,
                Some(Verdict::Unable | Verdict::Unloaded) => unable = true,
                Some(Verdict::Away) => away = true,
            }
        }
        if away {
            self.lose(connection);
        }
        // Reads that work beside writes that do not are worth going on for.
        if works || !(unable || away) {
            self.succeeded();
        } else {
            self.failed();
        }
        for (asked, answer) in batch.into_iter().zip(answers) {
            let answer = answer.map_err(|error| failure::store_error(&error));
            let _gone = asked.answer.send(answer);
        }
    }

    fn succeeded(&self) {
        self.breaker().succeeded();
        if self.open.swap(false, Ordering::AcqRel) {
            tracing::info!("the store is back");
        }
    }

    fn failed(&self) {
        let chance = f64::from(u16::from_be_bytes(seal::random())) / f64::from(u16::MAX);
        let mut breaker = self.breaker();
        breaker.failed(Instant::now().into_std(), chance);
        let open = !breaker.is_closed();
        drop(breaker);
        if self.open.swap(open, Ordering::AcqRel) != open {
            tracing::warn!("the store is away; it is probed until it is back");
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call {
    fn command(&self, generation: Option<&str>) -> Cmd {
        let mut cmd = match (self.place, generation) {
            (Place::Partition(partition), Some(generation)) => {
                let of_partition = partition.generation();
                let keys: Vec<_> = [&of_partition].into_iter().chain(&self.keys).collect();
                let mut cmd = self.script.run(keys.into_iter());
                cmd.arg(generation);
                cmd
            }
            (Place::Partition(_) | Place::Inbox(_) | Place::Buckets(_), _) => {
                self.script.run(self.keys.iter())
            }
        };
        for arg in &self.args {
            cmd.arg(arg.as_slice());
        }
        cmd
    }
}

fn says_other_generation(answer: &Value) -> bool {
    matches!(answer, Value::Array(items) if items.first() == Some(&Value::Int(OTHER_GENERATION)))
}
