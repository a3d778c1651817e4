//! A session of the session era over one pipe: everything in, everything out, in one place.
//!
//! stdio and HTTP+SSE both work like this: messages come in one after the other, calls run side by
//! side, and whatever a session says goes out through the same queue. The session lives exactly as
//! long as the pipe.
//!
//! Spec: basic/transports, stdio (every revision); 2024-11-05 basic/transports, HTTP with SSE.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytestring::ByteString;
use futures_util::future::join_all;
use tokio_util::task::TaskTracker;

use super::config::{Context, Endpoint};
use super::reply::Refused;
use super::session_call::{self, Answering};
use super::session_line::SessionLine;
use super::streamable_http::session_era::{initialize_result, read_initialize};
use crate::identity::Caller;
use crate::protocol::encode;
use crate::protocol::jsonrpc::{Message, NotJsonRpc, Request};
use crate::protocol::method::Method;
use crate::protocol::version::ProtocolVersion;
use crate::runtime::tasks::TaskKind;
use crate::service::Visit;
use crate::service::event::{Event, EventSender};
use crate::session::{NewSession, SessionHandle, dispatch};
use crate::telemetry::labels::CloseReason;

/// See the module docs. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Pipe {
    context: Context,
    endpoint: Endpoint,
    /// Who came last: its principal never changes, its roles may.
    visit: Arc<RwLock<Visit>>,
    out: EventSender,
    session: Arc<Mutex<Option<SessionHandle>>>,
    /// The calls that run.
    calls: TaskTracker,
}

impl Pipe {
    /// A pipe whose messages go to `out`.
    #[must_use]
    pub fn new(context: Context, endpoint: Endpoint, visit: Visit, out: EventSender) -> Self {
        Self {
            context,
            endpoint,
            visit: Arc::new(RwLock::new(visit)),
            out,
            session: Arc::default(),
            calls: TaskTracker::new(),
        }
    }

    /// Whose pipe it is, as they came last.
    #[must_use]
    pub fn caller(&self) -> Arc<Caller> {
        self.visit().caller
    }

    fn visit(&self) -> Visit {
        let visit = self.visit.read();
        visit.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its principal came again, perhaps with other roles than last time.
    pub fn visited(&self, visit: Visit) {
        if let Some(session) = self.session() {
            session.visited_by(&visit.caller);
        }
        *self.visit.write().unwrap_or_else(PoisonError::into_inner) = visit;
    }

    /// The session, once there is one.
    #[must_use]
    pub fn session(&self) -> Option<SessionHandle> {
        self.session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether a batch may come now.
    #[must_use]
    pub fn accepts_batches(&self) -> bool {
        self.session()
            .map_or(ProtocolVersion::ASSUMED.accepts_batches(), |session| {
                session.negotiated().version.accepts_batches()
            })
    }

    /// Takes one message. Returns when the next may be taken: calls go on beside it.
    pub async fn take(&self, message: Message) {
        match message {
            Message::Request(request) => {
                if let Some(answering) = self.begin(request).await {
                    let pipe = self.clone();
                    self.run_beside(async move {
                        if let Some((_, text)) = answering.await {
                            pipe.say(text).await;
                        }
                    });
                }
            }
            Message::Notification(notification) => {
                if let Some(session) = self.session() {
                    dispatch::notice(&session, &notification);
                }
            }
            Message::Response(response) => {
                if let Some(session) = self.session() {
                    let _somebody_waited = session.answer(response).await;
                }
            }
        }
    }

    /// Takes a batch; its answers go out together.
    pub async fn take_batch(&self, elements: Vec<Result<Message, NotJsonRpc>>) {
        let mut answering = Vec::new();
        let mut texts = Vec::new();
        for element in elements {
            match element {
                Ok(Message::Request(request)) if matches!(request.method, Method::Initialize) => {
                    let refused = Refused::Initialize("initialize must not be part of a batch");
                    texts.push(refused.wire().text(Some(&request.id)));
                }
                Ok(Message::Request(request)) => answering.extend(self.begin(request).await),
                Ok(message @ (Message::Notification(_) | Message::Response(_))) => {
                    self.take(message).await;
                }
                Err(error) => {
                    let refused = Refused::from(error);
                    texts.push(refused.wire().text(refused.id()));
                }
            }
        }
        let pipe = self.clone();
        self.run_beside(async move {
            let answers = join_all(answering).await.into_iter().flatten();
            texts.extend(answers.map(|(_, text)| text));
            if !texts.is_empty() {
                pipe.say(format!("[{}]", texts.join(","))).await;
            }
        });
    }

    /// Runs a call beside what else the pipe does.
    pub fn run_beside(&self, call: impl Future<Output = ()> + Send + 'static) {
        let tracked = self.calls.track_future(call);
        self.context.tasks.spawn(TaskKind::Call, tracked);
    }

    /// Waits until no call runs.
    pub async fn calls_ended(&self) {
        self.calls.close();
        self.calls.wait().await;
    }

    /// Says one message.
    pub async fn say(&self, text: String) {
        let data = ByteString::from(text);
        // A reader that is gone takes the pipe with it.
        let _gone = self.out.send(Event::Message { seq: None, data }).await;
    }

    /// Ends the session with the pipe.
    pub async fn close(&self) {
        let Some(session) = self.session() else {
            return;
        };
        let closed = self
            .context
            .sessions
            .close(
                session.id().as_str(),
                &self.caller().principal,
                &self.endpoint.name,
                CloseReason::Disconnected,
            )
            .await;
        if let Err(error) = closed {
            tracing::debug!(%error, "a session ended before its pipe");
        }
    }

    /// Starts to answer a request. The future resolves to its answer, or to nothing.
    async fn begin(&self, request: Request) -> Option<Answering> {
        let id = request.id.clone();
        let begun = match (&request.method, self.session()) {
            (Method::Initialize, None) => match self.initialize(&request).await {
                Ok(text) => {
                    self.say(text).await;
                    return None;
                }
                Err(refused) => Err(refused),
            },
            (Method::Initialize, Some(_)) => {
                Err(Refused::Initialize("this session is initialized already"))
            }
            (Method::Ping, None) => {
                self.say(encode::result(&id, &[])).await;
                return None;
            }
            (_, None) => Err(Refused::Initialize("initialize comes first")),
            (_, Some(session)) => self.run(&session, request),
        };
        match begun {
            Ok(answering) => Some(answering),
            Err(refused) => {
                self.say(refused.wire().text(Some(&id))).await;
                None
            }
        }
    }

    async fn initialize(&self, request: &Request) -> Result<String, Refused> {
        let (version, client) = read_initialize(request)?;
        let new = NewSession {
            version,
            client,
            caller: self.caller(),
            endpoint: self.endpoint.name.clone(),
        };
        let session = self
            .context
            .sessions
            .open_piped(new, self.out.clone())
            .await?;
        // Changes go out through the same pipe, from now on and for as long as it lasts.
        if let Err(error) = session.attach(self.out.clone(), None).await {
            tracing::warn!(%error, "a session's standing stream could not be attached");
        }
        let text = initialize_result(&session, &request.id);
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        Ok(text)
    }

    fn run(&self, session: &SessionHandle, request: Request) -> Result<Answering, Refused> {
        let entered = session.enter(&request.id).map_err(Refused::Entering)?;
        let line = SessionLine::through_pipe(session.clone(), self.out.clone());
        session_call::start(
            &self.context,
            session,
            request,
            entered,
            &line,
            &self.visit(),
        )
    }
}
