//! A stream from its beginning to its end: found by those who come back, and never left without
//! one who answers for it.
//!
//! [`OpenStream`] is what the runner of a call holds. Dropped before the log has ended (the call
//! panicked, or the log broke while the store was away), it hands the stream over to whoever reads
//! it, because as long as this node lives nobody else would dare to end it.

use std::sync::Arc;
use std::time::Duration;

use super::call_stream::{CallStream, Ran};
use super::event_log::{OwnedLog, StreamName};
use super::handle::SessionHandle;
use super::letters::News;
use super::readers::Readers;
use super::sessions::Shared;
use super::stand_in::Note;
use crate::protocol::jsonrpc::{Params, RequestId};
use crate::runtime::shutdown::Phase;
use crate::runtime::tasks::TaskKind;
use crate::service::event::{self, Event, EventReceiver};
use crate::telemetry::events::{Event as _, StoreFailed};
use crate::telemetry::labels::StoreOperation;

/// How long a handover that failed rests. One try a second costs nothing, and a reader notices no
/// sooner than that who lives.
const AGAIN: Duration = Duration::from_secs(1);

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
        let name = StreamName::random();
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
        (log, last): (OwnedLog, u64),
        readers: Arc<Readers>,
        request: RequestId,
    ) -> OpenStream {
        let unacknowledged = self.inner().shared.config.unacknowledged;
        let stream = CallStream::going_on(log, last, readers.clone(), unacknowledged);
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
    async fn begin_log(&self, name: &StreamName, note: Note) -> Option<OwnedLog> {
        let shared = &self.inner().shared;
        if !shared.node.holds_lease() {
            return None;
        }
        let note = serde_json::to_vec(&note).unwrap_or_default().into();
        let owner = shared.node.incarnation();
        let begun = OwnedLog::begin(shared.store.clone(), self.id().scope(), name, owner, note);
        match begun.await {
            Ok(log) => log,
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
        let shared = &self.session.inner().shared;
        let wake = |follower| {
            let name = self.stream.name().as_str().to_owned();
            shared.tell(follower, self.session.id(), News::Stored(name));
        };
        match self.stream.run(wake).await {
            Ran::ToItsEnd => {}
            Ran::Overtaken => {
                tracing::warn!(
                    session = self.session.id().log_name(),
                    "a call was overtaken and is cancelled: another node has ended its stream"
                );
                for request in &self.requests {
                    let _still_ran = self.session.cancel(request);
                }
            }
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.session
            .inner()
            .now_and_then
            .remove_stream(self.stream.name());
        if let Some(log) = self.stream.log_left_open() {
            leave_to_readers(&self.session, log);
        }
        // Those here who read a log that will not be ended by its call look who does.
        self.readers.wake();
    }
}

/// Takes a stream from this node, whatever its call does.
pub(super) fn leave_to_readers(session: &SessionHandle, log: OwnedLog) {
    let shared = session.inner().shared.clone();
    let tasks = shared.tasks.clone();
    tasks.spawn(TaskKind::Store, async move { let_go(&shared, &log).await });
}

/// Tries until the store answers. When the process stops first, its lease ends, which says the same.
async fn let_go(shared: &Shared, log: &OwnedLog) {
    while shared.shutdown.phase() < Phase::Stopping {
        match log.disown().await {
            // Also when it is somebody else's by now, or gone.
            Ok(_) => return,
            Err(error) => tracing::warn!(%error, "a stream could not be left to its readers"),
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = shared.shutdown.reached(Phase::Stopping) => {}
        }
    }
}
