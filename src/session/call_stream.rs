//! The stream of one call: what the call says goes into its event log, then to the client.
//!
//! A call becomes durable when it outlives the grace or says something before its result. From then
//! on every message is appended to the log before it leaves. [`super::gate`] decides what leaves;
//! here is what it needs: the log, the connection, and those who wait. Appends are pipelined:
//! [`CallStream::send`] returns once a message is on its way, and waits only while too many are
//! unacknowledged or the connection is full. The task that runs the call also runs
//! [`CallStream::run`], which hands stored messages to the connection in order.
//!
//! Losing the connection changes nothing for the call: messages go on into the log, and whoever
//! comes back with the last event id reads them from there ([`super::replay`]), on any node.
//!
//! When the store did not take something, the log is claimed anew once it answers again; until then
//! messages leave without numbers, or wait if nobody is connected.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytestring::ByteString;
use tokio::sync::{Notify, Semaphore};

use super::event_log::{OwnedLog, StreamName};
use super::gate::{Answer, Gate, Phase, Way};
use super::readers::Readers;
use crate::node::{Node, Tenure};
use crate::runtime::sabotage::{self, Bug};
use crate::service::event::{Event, EventSender};
use crate::store::{AppendOutcome, Claimed, Incarnation, StoreFuture};

/// How long a claim that failed rests. One try a second costs nothing, and a reader notices no sooner
/// than that who lives.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// See the module docs.
#[derive(Debug)]
pub struct CallStream {
    /// Those who read the log here while the call still runs.
    readers: Arc<Readers>,
    state: Mutex<State>,
    said: Notify,
    /// One permit per message that may be on its way into the store. Closed when nothing leaves
    /// any more.
    unacknowledged: Semaphore,
    /// Fires when the connection was let go.
    let_go: Notify,
}

struct State {
    gate: Gate,
    /// `None` when the log could not be begun: the stream then cannot be resumed.
    log: Option<OwnedLog>,
    /// In which it was claimed.
    tenure: Option<Tenure>,
    /// What the store will say, in the order it was asked; nothing for what no log keeps.
    answers: VecDeque<Option<StoreFuture<AppendOutcome>>>,
    connection: Option<EventSender>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}

/// A log that was claimed anew.
struct Reclaimed {
    log: OwnedLog,
    standing: Claimed,
    tenure: Option<Tenure>,
}

/// How a stream was run to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ran {
    /// All was said.
    ToItsEnd,
    /// All was said and has left, but the log does not have it all. Run again, it gets it.
    Owing,
    /// Another node speaks for the call now, or its session is gone: it is to stop.
    Overtaken,
}

impl CallStream {
    /// A stream that writes to `log` and, while it lasts, to `connection`.
    pub(super) fn new(
        log: Option<(OwnedLog, Tenure)>,
        readers: Arc<Readers>,
        connection: EventSender,
        unacknowledged: usize,
    ) -> Self {
        let (log, tenure) = log.unzip();
        Self {
            state: Mutex::new(State {
                gate: Gate::new(log.is_some()),
                log,
                tenure,
                answers: VecDeque::new(),
                connection: Some(connection),
            }),
            readers,
            said: Notify::new(),
            unacknowledged: Semaphore::new(unacknowledged),
            let_go: Notify::new(),
        }
    }

    /// A stream that goes on with `log` after number `last`; whoever wants it reads the log.
    pub(super) fn going_on(
        (log, tenure): (OwnedLog, Option<Tenure>),
        last: u64,
        readers: Arc<Readers>,
        unacknowledged: usize,
    ) -> Self {
        Self {
            state: Mutex::new(State {
                gate: Gate::going_on(last),
                log: Some(log),
                tenure,
                answers: VecDeque::new(),
                connection: None,
            }),
            readers,
            said: Notify::new(),
            unacknowledged: Semaphore::new(unacknowledged),
            let_go: Notify::new(),
        }
    }

    /// Its name within the session.
    #[must_use]
    pub fn name(&self) -> &StreamName {
        self.readers.stream()
    }

    /// Whether it can be resumed.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.lock().log.is_some()
    }

    /// Sends a message; waits while the store or the client is slow.
    pub async fn send(&self, data: ByteString) {
        // Closed: nothing leaves any more.
        if let Ok(permit) = self.unacknowledged.acquire().await {
            permit.forget();
            self.begin(|gate| gate.say(data));
        }
    }

    /// Says the last messages, or that there will be none. [`CallStream::run`] then ends.
    pub fn last(&self, messages: Vec<ByteString>) {
        self.begin(|gate| gate.last(messages));
    }

    /// Lets the connection go; the stream goes on.
    pub fn release_connection(&self) {
        self.change(Gate::disconnect);
    }

    /// Sends something that is no message and has no place in the log.
    pub async fn send_control(&self, event: Event) {
        self.deliver(event).await;
    }

    /// Hands stored messages to the connection, in order, until the last one has left, and wakes
    /// those who read the log. Runs beside the call, in the same task. The log is this node's.
    pub(super) async fn run(&self, node: &Node, wake: impl Fn(Incarnation)) -> Ran {
        // Kept while messages come and go: each would begin the wait anew.
        let mut mending = None;
        loop {
            let said = self.said.notified();
            if sabotage::is(Bug::NoOutputGate) {
                self.deliver_settled().await;
            }
            let next = self.lock().answers.pop_front();
            if let Some(asked) = next {
                let answer = match asked {
                    Some(asked) => self.answer(asked, &wake).await,
                    None => Answer::NotLogged,
                };
                let mut done = false;
                let sure = self.is_sure(node);
                self.change(|gate| done = gate.settle(answer, sure));
                self.deliver_settled().await;
                self.unacknowledged.add_permits(usize::from(done));
                self.readers.wake();
            } else if self.is_broken() {
                self.wake_unaware(&wake);
                let claiming = mending.get_or_insert_with(|| Box::pin(self.reclaim(node)));
                tokio::select! {
                    () = said => {}
                    // How the call ended may wait for the log, and the call with it.
                    () = self.disconnected() => self.release_connection(),
                    claimed = claiming => {
                        mending = None;
                        self.mend(claimed, self.is_sure(node));
                        self.deliver_settled().await;
                        self.readers.wake();
                    }
                }
            } else {
                self.wake_unaware(&wake);
                said.await;
            }
            let phase = self.lock().gate.phase();
            let ran = match phase {
                Phase::Speaking => continue,
                Phase::Owing => Ran::Owing,
                Phase::Ended => Ran::ToItsEnd,
                Phase::Overtaken => Ran::Overtaken,
            };
            self.wake_unaware(&wake);
            self.unacknowledged.close();
            self.release_connection();
            return ran;
        }
    }

    fn is_broken(&self) -> bool {
        self.lock().gate.is_broken()
    }

    /// Whether this node still writes it.
    pub(super) fn is_written_here(&self) -> bool {
        matches!(self.lock().gate.phase(), Phase::Speaking | Phase::Owing)
    }

    /// Whether all was said, and only the log lacks it.
    pub(super) fn owes_its_end(&self) -> bool {
        self.lock().gate.phase() == Phase::Owing
    }

    /// The log, if nobody here will end it any more and it has not ended.
    pub(super) fn log_left_open(&self) -> Option<OwnedLog> {
        let state = self.lock();
        state.log.clone().filter(|_| state.gate.leaves_log_open())
    }

    /// Waits until the connection is of no use; for ever if there is none.
    async fn disconnected(&self) {
        let connection = self.lock().connection.clone();
        match connection {
            Some(connection) => connection.closed().await,
            None => std::future::pending().await,
        }
    }

    /// Whether nobody can have taken the log over.
    fn is_sure(&self, node: &Node) -> bool {
        node.is_still_in(self.lock().tenure)
    }

    /// Claims the broken log anew; `None` if it is another's.
    async fn reclaim(&self, node: &Node) -> Option<Reclaimed> {
        let log = self.lock().log.clone()?;
        loop {
            tokio::time::sleep(AGAIN).await;
            let tenure = node.tenure();
            match log.reclaim(node.incarnation()).await {
                Ok(claimed) => {
                    return claimed.map(|(log, standing)| Reclaimed {
                        log,
                        standing,
                        tenure,
                    });
                }
                Err(error) => tracing::debug!(%error, "an event log cannot be claimed anew yet"),
            }
        }
    }

    /// Goes on with a log that was claimed anew.
    fn mend(&self, reclaimed: Option<Reclaimed>, sure: bool) {
        let mut state = self.lock();
        let mut done = 0;
        // Said since: no log keeps it.
        for asked in std::mem::take(&mut state.answers) {
            assert!(asked.is_none(), "invariant: a broken log is asked nothing");
            done += usize::from(state.gate.settle(Answer::NotLogged, sure));
        }
        if let Some(Reclaimed {
            log,
            standing,
            tenure,
        }) = reclaimed
        {
            let owed = state.gate.owed();
            let appends = state.gate.mended(standing.last_seq, standing.ended);
            done += owed - appends.len();
            let asked = appends.into_iter().map(|append| Some(log.append(append)));
            state.answers.extend(asked);
            (state.log, state.tenure) = (Some(log), tenure);
        } else {
            state.gate.overtake();
        }
        drop(state);
        self.unacknowledged.add_permits(done);
    }

    /// Waits for the store. While that takes time, others may learn of what is there already.
    async fn answer(
        &self,
        mut asked: StoreFuture<AppendOutcome>,
        wake: impl Fn(Incarnation),
    ) -> Answer {
        match futures_util::poll!(&mut asked) {
            Poll::Ready(outcome) => outcome.into(),
            Poll::Pending => {
                self.wake_unaware(wake);
                asked.await.into()
            }
        }
    }

    fn wake_unaware(&self, wake: impl Fn(Incarnation)) {
        let unaware = self.lock().gate.unaware();
        unaware.into_iter().for_each(wake);
    }

    async fn deliver_settled(&self) {
        loop {
            let next = self.lock().gate.next();
            let Some(delivery) = next else {
                return;
            };
            self.deliver(Event::Message {
                seq: delivery.seq,
                data: delivery.data,
            })
            .await;
        }
    }

    /// Hands something to the connection, unless it is let go while there is no room.
    async fn deliver(&self, event: Event) {
        let let_go = self.let_go.notified();
        let connection = self.lock().connection.clone();
        let Some(connection) = connection else {
            return;
        };
        let gone = tokio::select! {
            biased;
            sent = connection.send(event) => sent.is_err(),
            () = let_go => true,
        };
        if gone {
            self.release_connection();
        }
    }

    fn begin(&self, say: impl FnOnce(&mut Gate) -> Way) {
        let mut state = self.lock();
        let asked = match say(&mut state.gate) {
            // Asked while the gate is locked: order of numbers is order in the log.
            Way::Log(append) => state.log.as_ref().map(|log| log.append(append)),
            Way::Straight => None,
            Way::Closed => return,
        };
        state.answers.push_back(asked);
        drop(state);
        self.said.notify_one();
    }

    fn change(&self, change: impl FnOnce(&mut Gate)) {
        let mut state = self.lock();
        change(&mut state.gate);
        let let_go = !state.gate.is_connected() && state.connection.take().is_some();
        drop(state);
        if let_go {
            self.let_go.notify_waiters();
            // With nobody connected the call need not wait for its end to leave.
            self.said.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
