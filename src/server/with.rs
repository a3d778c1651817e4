//! Handlers that share something: a pool, a client, a cache.

use super::context::Context;

/// Binds a handler to something it shares with others; each call gets a clone of it.
///
/// For everything whose function takes a context and one thing more: tools, templates, prompts.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use switchboard::server::{Context, NoArguments, Server, Tool, ToolError, with};
///
/// #[derive(Clone, Default)]
/// struct Counter(Arc<AtomicU64>);
///
/// impl Counter {
///     async fn next(self, _: Context, _: NoArguments) -> Result<String, ToolError> {
///         Ok(self.0.fetch_add(1, Ordering::Relaxed).to_string())
///     }
/// }
///
/// let counter = Counter::default();
/// let next = Tool::new("next", with(&counter, Counter::next)).description("Counts.");
/// let server = Server::builder("counter", "1.0.0").tool(next);
/// ```
pub fn with<S, A, Fut, F>(
    shared: &S,
    function: F,
) -> impl Fn(Context, A) -> Fut + Send + Sync + use<S, A, Fut, F>
where
    S: Clone + Send + Sync + 'static,
    F: Fn(S, Context, A) -> Fut + Send + Sync + 'static,
{
    let shared = shared.clone();
    move |ctx, given| function(shared.clone(), ctx, given)
}
