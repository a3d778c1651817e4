//! Requests that wait for their answers, on a connection that carries everything the server says.
//!
//! Each is matched with its answer by its id. How requests are sent and answers come is the
//! connection's matter: lines, or one stream for all.
//!
//! # Cancel safety
//! [`Waiting::exchange`] may be dropped at any await. Whoever drops it tells the server with a
//! notification.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::error::ClientError;
use super::http::Exchanged;
use super::overlong::Overlong;
use crate::protocol::jsonrpc::{RequestId, Response};

/// Requests that may wait for their answers.
const RUNNING_MAX: usize = 1_024;

/// Why no answer will come.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Lost {
    /// The connection ended.
    #[error("{0}")]
    Closed(String),
    /// It was too large to be taken.
    #[error("the answer was larger than {0} bytes")]
    TooLarge(usize),
    /// It may have been what was too large to be taken, or somebody else's.
    #[error("the server said more than {0} bytes at once; whose answer that was cannot be told")]
    Overlong(usize),
}

/// See the module docs. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(Arc<Mutex<Pending>>);

#[derive(Debug, Default)]
struct Pending {
    requests: HashMap<RequestId, oneshot::Sender<Result<Response, Lost>>>,
    /// Why nothing more will come.
    ended: Option<String>,
}

impl Waiting {
    /// Sends a request, by `send`, and waits for its answer.
    pub(super) async fn exchange(
        &self,
        id: &RequestId,
        method: &str,
        send: impl Future<Output = Result<(), ClientError>>,
    ) -> Result<Exchanged, ClientError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut pending = self.lock();
            if let Some(reason) = &pending.ended {
                return Err(ClientError::Closed(reason.clone()));
            }
            if pending.requests.len() >= RUNNING_MAX {
                let what = format!("{RUNNING_MAX} requests are waiting already");
                return Err(ClientError::Closed(what));
            }
            pending.requests.insert(id.clone(), answer);
        }
        let _forget = Forget { waiting: self, id };
        send.await?;
        let unknown = |reason| ClientError::OutcomeUnknown {
            method: method.to_owned(),
            reason,
        };
        match answered.await {
            Ok(Ok(response)) => Ok(Exchanged {
                response,
                status: None,
                session: None,
            }),
            Ok(Err(Lost::TooLarge(max))) => Err(ClientError::TooLarge { max }),
            Ok(Err(Lost::Overlong(max))) => Err(ClientError::Overlong { max }),
            Ok(Err(Lost::Closed(reason))) => Err(unknown(reason)),
            Err(_) => Err(unknown("the connection was closed".to_owned())),
        }
    }

    /// Hands an answer to whoever waits for it.
    pub(super) fn answer(&self, response: Response) {
        let mut pending = self.lock();
        let requests = &mut pending.requests;
        let id = match &response.id {
            Some(id) => Some(id.clone()),
            // The peer could not read what we sent. If one request is out, it is that one.
            None if requests.len() == 1 => requests.keys().next().cloned(),
            None => None,
        };
        if let Some(waiting) = id.and_then(|id| requests.remove(&id)) {
            let _nobody_waits = waiting.send(Ok(response));
        } else {
            tracing::debug!("an answer to nothing that was asked");
        }
    }

    /// Who waits for the message of this beginning, or may, waits no more: it was larger than `max` bytes.
    /// Whether it was known what it is.
    pub(super) fn overlong(&self, head: &[u8], max: usize) -> bool {
        let mut pending = self.lock();
        let overlong = Overlong::of(head);
        match &overlong {
            Overlong::NoAnswer => {}
            Overlong::Answer(id) => {
                if let Some(waiting) = pending.requests.remove(id) {
                    let _nobody_waits = waiting.send(Err(Lost::TooLarge(max)));
                }
            }
            Overlong::Unknown => pending.lose(&Lost::Overlong(max)),
        }
        overlong != Overlong::Unknown
    }

    /// Nor does anybody who comes later.
    pub(super) fn close(&self, why: &Lost) {
        let mut pending = self.lock();
        pending.ended = Some(why.to_string());
        pending.lose(why);
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn lose(&mut self, why: &Lost) {
        for (_, waiting) in self.requests.drain() {
            let _nobody_waits = waiting.send(Err(why.clone()));
        }
    }
}

/// Forgets a request that is answered or given up.
struct Forget<'a> {
    waiting: &'a Waiting,
    id: &'a RequestId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.waiting.lock().requests.remove(self.id);
    }
}
