//! What a server's owner does around every call: counts, times, refuses, adds.
//!
//! A middleware is an async function of the [`Call`] and of what comes [`Next`]; see there. A server
//! without any pays nothing for them.
//!
//! Spec: none; this is ours.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::Server;
use super::run::guarded;
use crate::service::{Call, Reply, ServiceError};

type Around =
    Box<dyn Fn(Call, Next) -> BoxFuture<'static, Result<Reply, ServiceError>> + Send + Sync>;

/// All of a server's, the outermost first.
#[derive(Default)]
pub(super) struct Middleware(Vec<Around>);

impl Middleware {
    pub(super) fn add<F, Fut>(&mut self, around: F)
    where
        F: Fn(Call, Next) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, ServiceError>> + Send + 'static,
    {
        self.0
            .push(Box::new(move |call, next| Box::pin(around(call, next))));
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Middleware {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Middleware({})", self.0.len())
    }
}

/// The rest of a call's way: the middleware registered later, then the handler.
///
/// A middleware ([`ServerBuilder::middleware`](super::ServerBuilder::middleware)) is an async
/// function of the call and of what comes next. The first one registered is the outermost.
///
/// ```
/// # use switchboard::server::Server;
/// use switchboard::service::ServiceError;
///
/// let server = Server::builder("shop", "1.0.0").middleware(|call, next| async move {
///     if call.method.to_string() == "tools/call" && call.context.caller.has_role("guest") {
///         return Err(ServiceError::InvalidParams("guests only look".into()));
///     }
///     let started = std::time::Instant::now();
///     let (method, subject) = (call.method.clone(), call.subject());
///     let reply = next.run(call).await;
///     tracing::info!(%method, subject, ok = reply.is_ok(), took = ?started.elapsed());
///     reply
/// });
/// ```
///
/// In the stateless era a call that asks its client comes several times, once per round, and each
/// round passes here. Lists and completions pass too. What is refused is an error of the call; to
/// tell a model in words why not, give back [`Reply::tool`] with an error.
#[derive(Debug)]
pub struct Next {
    server: Server,
    layers: Arc<Middleware>,
    at: usize,
}

impl Next {
    /// Lets the call go on, and waits for what becomes of it.
    ///
    /// # Errors
    /// [`ServiceError`]: why the call has no result.
    pub async fn run(self, call: Call) -> Result<Reply, ServiceError> {
        let Self { server, layers, at } = self;
        if let Some(around) = layers.0.get(at) {
            let next = Self {
                server,
                layers: layers.clone(),
                at: at + 1,
            };
            around(call, next).await
        } else {
            server.answer(call).await
        }
    }
}

/// Answers a call through all of them. A panic in one is an error of this call alone.
pub(super) async fn through(
    layers: Arc<Middleware>,
    server: Server,
    call: Call,
) -> Result<Reply, ServiceError> {
    let (method, params) = (call.method.clone(), call.params.clone());
    let next = Next {
        server,
        layers,
        at: 0,
    };
    guarded(&method, &params, next.run(call)).await?
}
