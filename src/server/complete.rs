//! Completion of prompt arguments and template variables.
//!
//! Spec: server/utilities/completion.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;

/// What has been typed so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// Into the argument in question.
    pub value: String,
    /// Into the others.
    pub others: BTreeMap<String, String>,
}

/// Offers values for an argument while it is typed.
#[derive(Clone)]
pub struct Completer(Arc<dyn Fn(Typed) -> BoxFuture<'static, Vec<String>> + Send + Sync>);

/// What is known about completing an argument.
pub(super) enum Completable<'a> {
    /// There is no such argument.
    Unknown,
    /// Anything may stand there.
    Freely,
    /// Values are offered for it.
    With(&'a Completer),
}

impl<'a> Completable<'a> {
    pub(super) fn known(completer: Option<&'a Completer>) -> Self {
        completer.map_or(Self::Freely, Self::With)
    }
}

impl Completer {
    /// Offers what a function finds; at most a hundred values reach the client.
    #[must_use]
    pub fn new<F, Fut>(function: F) -> Self
    where
        F: Fn(Typed) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Vec<String>> + Send + 'static,
    {
        Self(Arc::new(move |typed| Box::pin(function(typed))))
    }

    /// Offers those of `values` that begin like what has been typed, whatever the case.
    #[must_use]
    pub fn among<S: Into<String>>(values: impl IntoIterator<Item = S>) -> Self {
        let values = values
            .into_iter()
            .map(Into::<String>::into)
            .collect::<Arc<[_]>>();
        Self::new(move |typed| {
            let prefix = typed.value.to_lowercase();
            let found = values
                .iter()
                .filter(|value| value.to_lowercase().starts_with(&prefix))
                .cloned()
                .collect();
            std::future::ready(found)
        })
    }

    pub(super) fn start(&self, typed: Typed) -> BoxFuture<'static, Vec<String>> {
        (self.0)(typed)
    }
}

impl std::fmt::Debug for Completer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Completer")
    }
}
