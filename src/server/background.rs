//! Work beside the handlers, for as long as a server is served.
//!
//! It is kept as functions, not as futures: a future holds the [`Handle`] of its server, and a
//! server that held it would never be freed.

use std::future::Future;

use futures_util::future::{BoxFuture, join_all};

use super::handle::Handle;

type Work = Box<dyn FnOnce(Handle) -> BoxFuture<'static, ()> + Send>;

/// What has not been started yet.
#[derive(Default)]
pub(super) struct Background(Vec<Work>);

impl Background {
    pub(super) fn add<F, Fut>(&mut self, work: F)
    where
        F: FnOnce(Handle) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.0.push(Box::new(move |handle| Box::pin(work(handle))));
    }

    /// Runs all of it for the server behind `handle`.
    pub(super) async fn run(self, handle: Handle) {
        join_all(self.0.into_iter().map(|work| work(handle.clone()))).await;
    }
}

impl std::fmt::Debug for Background {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Background({})", self.0.len())
    }
}
