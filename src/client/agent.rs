//! HTTP requests to one server, over connections that are kept.
//!
//! A thread with a runtime of its own has connections of its own: between a request on one thread
//! and its connection on another, each message wakes a thread.
//!
//! It follows no redirects, because a credential is for one server.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use thread_local::ThreadLocal;
use tokio_util::context::TokioContext;

use super::error::ClientError;
use super::road::Road;
use crate::runtime::tasks;

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(90);

/// The answer to a request, whose body is still coming.
pub(super) type Answer = Response<Incoming>;

/// See the module docs. Cloning shares the connections.
#[derive(Clone, Debug)]
pub(super) struct Agent(Arc<Connections>);

#[derive(Debug)]
struct Connections {
    road: Road,
    /// Of whoever has no thread of its own, or does not stay on it.
    common: Client<Road, String>,
    of_threads: ThreadLocal<Client<Road, String>>,
}

impl Agent {
    /// Requests to `server`, and to no other.
    pub(super) fn to(server: &Uri) -> Result<Self, ClientError> {
        Ok(Self::on(Road::to(server)?))
    }

    pub(super) fn on(road: Road) -> Self {
        Self(Arc::new(Connections {
            common: client(&road),
            of_threads: ThreadLocal::new(),
            road,
        }))
    }

    /// What a proxy on the way wants to see with every request.
    pub(super) fn proxy_authorization(&self) -> Option<&HeaderValue> {
        self.0.road.proxy_authorization()
    }

    /// Sends a request, and waits for the head of its answer.
    pub(super) async fn send(&self, request: Request<String>) -> Result<Answer, legacy::Error> {
        self.0.common.request(request).await
    }

    /// The same over a connection of this thread, if it has some.
    pub(super) async fn send_from_here(
        &self,
        request: Request<String>,
    ) -> Result<Answer, legacy::Error> {
        let Some(here) = tasks::here() else {
            return self.send(request).await;
        };
        let client = self.0.of_threads.get_or(|| client(&self.0.road));
        TokioContext::new(client.request(request), here).await
    }
}

fn client(road: &Road) -> Client<Road, String> {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(road.clone())
}

/// The error of a request whose answer never began.
pub(super) fn unsent(error: &legacy::Error, method: &str) -> ClientError {
    if error.is_connect() {
        return ClientError::Unreachable(reasons(error));
    }
    ClientError::OutcomeUnknown {
        method: method.to_owned(),
        reason: reasons(error),
    }
}

/// An error with everything behind it.
pub(super) fn reasons(error: &(dyn Error + 'static)) -> String {
    let behind = std::iter::successors(Some(error), |error| (*error).source());
    let all = behind.map(ToString::to_string).collect::<Vec<_>>();
    all.join(": ")
}
