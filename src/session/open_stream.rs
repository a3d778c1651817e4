//! A stream from its beginning to its end: found by those who come back, and never left without
//! one who answers for it.
//!
//! [`OpenStream`] is what the runner of a call holds. Dropped while the log still lacks how its call
//! ended, because the store was away, it is written here until the log has it. Dropped before all was
//! said (the runner panicked), it is left to whoever reads it, because as long as this node lives
//! nobody else would dare to end it.

use std::sync::Arc;

use super::call_stream::{AGAIN, CallStream, Ran};
use super::event_log::{OwnedLog, StreamName};
use super::handle::SessionHandle;
use super::letters::News;
use super::readers::Readers;
use super::stand_in::Note;
use crate::node::Tenure;
use crate::protocol::jsonrpc::{Params, RequestId};
use crate::runtime::ratelimited::warn_ratelimited;
use crate::runtime::shutdown::Phase;
use crate::runtime::tasks::TaskKind;
use crate::service::event::{self, Event, EventReceiver};
use crate::telemetry::events::{Event as _, StoreFailed};
use crate::telemetry::labels::StoreOperation;

/// The stream of a running call; found by those who come back for as long as this lives.
#[derive(Debug)]
pub struct OpenStream {
    session: SessionHandle,
    stream: Arc<CallStream>,
    readers: Arc<Readers>,
    /// What it answers.
    requests: Vec<RequestId>,
}

impl std::ops::Deref for OpenStream {
    type Target = CallStream;

    fn deref(&self) -> &CallStream {
        &self.stream
    }
}

impl SessionHandle {
    /// Turns the answer to `requests` into a stream: durable if the store takes it, otherwise one
    /// that cannot be resumed and has no ids. `call` are the params if it is one `tools/call`.
    pub async fn begin_stream(
        &self,
        requests: &[RequestId],
        call: Option<&Params>,
    ) -> (OpenStream, EventReceiver) {
        let shared = &self.inner().shared;
        let name = StreamName::fresh(self.id());
        let readers = self.inner().now_and_then.readers(&name);
        let (connection, reader) = event::connection();
        let log = self.begin_log(&name, Note::of(self, requests, call)).await;
        let stream = Arc::new(CallStream::new(
            log,
            readers.clone(),
            connection,
            shared.config.unacknowledged,
        ));
        if stream.is_durable() && self.negotiated().version.has_priming_events() {
            let retry = shared.config.retry;
            stream.send_control(Event::Priming { retry }).await;
        }
        self.inner().now_and_then.add_stream(stream.clone());
        let open = OpenStream {
            session: self.clone(),
            stream,
            readers,
            requests: requests.to_vec(),
        };
        (open, reader)
    }

    /// The stream of a call that is made again: it goes on with `log` after number `last`.
    pub(super) fn go_on(
        &self,
        (log, tenure): (OwnedLog, Option<Tenure>),
        last: u64,
        readers: Arc<Readers>,
        request: RequestId,
    ) -> OpenStream {
        let unacknowledged = self.inner().shared.config.unacknowledged;
        let stream = CallStream::going_on((log, tenure), last, readers.clone(), unacknowledged);
        let stream = Arc::new(stream);
        self.inner().now_and_then.add_stream(stream.clone());
        OpenStream {
            session: self.clone(),
            stream,
            readers,
            requests: vec![request],
        }
    }

    /// The stream of a call that runs here, by name.
    #[must_use]
    pub fn stream(&self, name: &StreamName) -> Option<Arc<CallStream>> {
        self.inner().now_and_then.stream(name)
    }

    /// Begins a log, if this node may begin anything that must exist once: whoever finds its lease
    /// lapsed would end the stream while the call runs.
    async fn begin_log(&self, name: &StreamName, note: Note) -> Option<(OwnedLog, Tenure)> {
        let shared = &self.inner().shared;
        let tenure = shared.node.tenure()?;
        let note = note.to_bytes();
        let owner = shared.node.incarnation();
        let begun = OwnedLog::begin(shared.store.clone(), self.id().scope(), name, owner, note);
        match begun.await {
            Ok(log) => Some((log?, tenure)),
            Err(error) => {
                let operation = StoreOperation::Claim;
                StoreFailed { operation, error }.emit(&shared.metrics);
                None
            }
        }
    }
}

impl OpenStream {
    /// Hands what the call says to its client until the last of it has left. Runs beside the call,
    /// in the same task. A call that was overtaken is cancelled: its client has been told that its
    /// outcome is unknown.
    pub async fn pump(&self) {
        match run(&self.session, &self.stream).await {
            Ran::ToItsEnd | Ran::Owing => {}
            Ran::Overtaken => {
                for request in &self.requests {
                    let _still_ran = self.session.cancel(request);
                }
                // A session that was ended takes its streams with it, and no other node has to.
                let shared = &self.session.inner().shared;
                if !matches!(
                    shared.store.read(&self.session.id().scope()).await,
                    Ok(None)
                ) {
                    warn_ratelimited!(
                        "a call was overtaken and is cancelled: another node has ended its stream",
                        session = self.session.id().log_name()
                    );
                }
            }
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let (session, stream) = (self.session.clone(), self.stream.clone());
        let readers = self.readers.clone();
        if stream.owes_its_end() {
            let tasks = session.inner().shared.tasks.clone();
            tasks.spawn(TaskKind::Store, async move {
                write_end(&session, &stream).await;
                close(&session, &stream, &readers);
            });
            return;
        }
        close(&session, &stream, &readers);
        if let Some(log) = stream.log_left_open() {
            leave_to_readers(&session, log, stream.name(), &self.requests);
        }
    }
}

/// Nobody here writes it any more. Those here who read a log that its call has not ended look who
/// does.
fn close(session: &SessionHandle, stream: &CallStream, readers: &Readers) {
    session.inner().now_and_then.remove_stream(stream.name());
    readers.wake();
}

async fn run(session: &SessionHandle, stream: &CallStream) -> Ran {
    let shared = &session.inner().shared;
    let wake = |follower| {
        let name = stream.name().as_str().to_owned();
        shared.tell(follower, session.id(), News::Stored(name));
    };
    stream.run(&shared.node, wake).await
}

/// Tries until the store has it. When the process stops first, its lease ends, and whoever reads the
/// stream hears that nobody knows.
async fn write_end(session: &SessionHandle, stream: &CallStream) {
    let written = async { while run(session, stream).await == Ran::Owing {} };
    tokio::select! {
        () = written => {}
        () = session.inner().shared.shutdown.reached(Phase::Stopping) => {}
    }
}

/// Takes a stream from this node, if it is its, and nobody here writes it.
pub(super) fn leave_to_readers(
    session: &SessionHandle,
    log: OwnedLog,
    stream: &StreamName,
    requests: &[RequestId],
) {
    let (session, stream) = (session.clone(), stream.clone());
    let note = Note::taken_over(requests);
    let tasks = session.inner().shared.tasks.clone();
    tasks.spawn(TaskKind::Store, async move {
        let shared = &session.inner().shared;
        // Tried until the store answers. When the process stops first, its lease ends, which says the
        // same.
        while shared.shutdown.phase() < Phase::Stopping && session.stream(&stream).is_none() {
            match log.leave(shared.node.incarnation(), note.clone()).await {
                Ok(()) => return,
                Err(error) => {
                    warn_ratelimited!("a stream could not be left to its readers", %error);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = shared.shutdown.reached(Phase::Stopping) => {}
            }
        }
    });
}
