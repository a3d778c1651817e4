//! The way from a call to its client, before and after the call becomes a task.
//!
//! Before, everything goes the call's own way. After, that way is let go: progress becomes the
//! task's status message; questions and notifications of the session era go the way of whoever
//! waits for the result; the stateless era has neither.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::live::Live;
use crate::protocol::client_request::ClientRequest;
use crate::protocol::logging::LogLevel;
use crate::protocol::notification::ServerNotification;
use crate::protocol::raw::RawJson;
use crate::service::{AskError, Outlet};

/// Where a handler's wish to become a task is heard; the answer says whether it did.
pub(super) type Wishes = mpsc::Receiver<oneshot::Sender<bool>>;

/// See the module docs.
#[derive(Debug)]
pub(super) struct TaskOutlet {
    way: RwLock<Way>,
    /// Whether the client asked to hear of progress.
    wants_progress: bool,
    wishes: mpsc::Sender<oneshot::Sender<bool>>,
}

#[derive(Clone)]
enum Way {
    Call(Arc<dyn Outlet>),
    Task(Arc<Live>),
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Call(_) => "Call",
            Self::Task(_) => "Task",
        })
    }
}

impl TaskOutlet {
    /// The outlet of a call that may become a task, and where its wish to is heard.
    pub(super) fn around(call: Arc<dyn Outlet>, wants_progress: bool) -> (Arc<Self>, Wishes) {
        let (wishes, heard) = mpsc::channel(1);
        let outlet = Self {
            way: RwLock::new(Way::Call(call)),
            wants_progress,
            wishes,
        };
        (Arc::new(outlet), heard)
    }

    /// From now on the call is this task.
    pub(super) fn become_this(&self, task: Arc<Live>) {
        *self.way.write().unwrap_or_else(PoisonError::into_inner) = Way::Task(task);
    }

    fn way(&self) -> Way {
        self.way
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Outlet for TaskOutlet {
    fn notify(&self, notification: ServerNotification) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let is_progress = notification.method == ServerNotification::PROGRESS;
            match self.way() {
                Way::Call(call) if self.wants_progress || !is_progress => {
                    call.notify(notification).await;
                }
                Way::Call(_) => {}
                Way::Task(task) => {
                    if let Some(message) = is_progress.then(|| message_of(&notification)).flatten()
                    {
                        task.note(&message);
                    }
                    if self.wants_progress || !is_progress {
                        task.say(notification).await;
                    }
                }
            }
        })
    }

    fn wants_log(&self, level: LogLevel) -> bool {
        match self.way() {
            Way::Call(call) => call.wants_log(level),
            Way::Task(task) => task.wants_log(level),
        }
    }

    fn ask(&self, request: ClientRequest) -> BoxFuture<'_, Result<RawJson, AskError>> {
        Box::pin(async move {
            match self.way() {
                Way::Call(call) => call.ask(request).await,
                Way::Task(task) => {
                    let Some(answer) = task.ask(request) else {
                        return Err(AskError::Impossible(
                            "the task has ended, or asked too often",
                        ));
                    };
                    let ended = AskError::Impossible("the task has ended");
                    answer.await.unwrap_or(Err(ended))
                }
            }
        })
    }

    fn become_task(&self) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            if self.is_task() {
                return true;
            }
            let (became, answer) = oneshot::channel();
            // Closed: the call cannot become a task. Full: another part of it has wished already.
            if self.wishes.send(became).await.is_err() {
                return self.is_task();
            }
            answer.await.unwrap_or_else(|_| self.is_task())
        })
    }

    fn is_task(&self) -> bool {
        matches!(self.way(), Way::Task(_))
    }

    fn release_connection(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            match self.way() {
                Way::Call(call) => call.release_connection().await,
                Way::Task(_) => {}
            }
        })
    }
}

fn message_of(progress: &ServerNotification) -> Option<String> {
    let params = progress.params.to_value();
    Some(params.get("message")?.as_str()?.to_owned())
}
