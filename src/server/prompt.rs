//! Prompts: a conversation to start from, with things to fill in.
//!
//! Spec: server/prompts (all revisions).

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Map;

use super::audience::Audience;
use super::catalog::Entry;
use super::complete::{Completable, Completer};
use super::context::Context;
use super::described::described;
use super::entries::Entries;
use crate::protocol::content::Content;
use crate::protocol::icon;
use crate::protocol::prompt::{GetPromptResult, PromptArgument, PromptDefinition, PromptMessage};
use crate::protocol::raw::RawJson;
use crate::protocol::version::ProtocolVersion;
use crate::service::ServiceError;

type Handler = Arc<
    dyn Fn(Context, Arguments) -> BoxFuture<'static, Result<Vec<PromptMessage>, ServiceError>>
        + Send
        + Sync,
>;

/// A prompt on its way to a server.
///
/// ```
/// use switchboard::prelude::*;
///
/// let review = Prompt::new("review", |_, given: Arguments| async move {
///     Ok(format!("Review this {} code:\n{}", given.get("language"), given.get("code")))
/// })
/// .required("code", "What to review.")
/// .optional("language", "What it is written in.")
/// .complete("language", Completer::among(["Rust", "Python", "SQL"]));
/// let server = Server::builder("reviews", "1.0.0").prompt(review);
/// ```
#[must_use]
pub struct Prompt {
    definition: PromptDefinition,
    completers: BTreeMap<String, Completer>,
    audience: Audience,
    handler: Handler,
}

/// What was filled in. Required arguments are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments(BTreeMap<String, String>);

impl Arguments {
    /// The value of an argument; empty if it was left out.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

/// What a prompt's function may give back.
pub trait IntoMessages {
    /// The conversation.
    fn into_messages(self) -> Vec<PromptMessage>;
}

impl IntoMessages for Vec<PromptMessage> {
    fn into_messages(self) -> Vec<PromptMessage> {
        self
    }
}

impl IntoMessages for String {
    fn into_messages(self) -> Vec<PromptMessage> {
        vec![PromptMessage::user(Content::text(self))]
    }
}

impl IntoMessages for &'static str {
    fn into_messages(self) -> Vec<PromptMessage> {
        self.to_owned().into_messages()
    }
}

described!(Prompt, "What it is for.");

impl Prompt {
    /// A prompt. The function may be run again when its client is asked something.
    pub fn new<M, F, Fut>(name: impl Into<String>, function: F) -> Self
    where
        M: IntoMessages,
        F: Fn(Context, Arguments) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<M, ServiceError>> + Send + 'static,
    {
        Self {
            definition: PromptDefinition {
                name: name.into(),
                title: None,
                description: None,
                arguments: Vec::new(),
                icons: Vec::new(),
                meta: Map::new(),
            },
            completers: BTreeMap::new(),
            audience: Audience::default(),
            handler: Arc::new(move |ctx, arguments| {
                let running = function(ctx, arguments);
                Box::pin(async move { running.await.map(M::into_messages) })
            }),
        }
    }

    /// Something that must be filled in.
    pub fn required(self, name: impl Into<String>, description: impl Into<String>) -> Self {
        self.argument(name.into(), description.into(), true)
    }

    /// Something that may be filled in.
    pub fn optional(self, name: impl Into<String>, description: impl Into<String>) -> Self {
        self.argument(name.into(), description.into(), false)
    }

    fn argument(mut self, name: String, description: String, required: bool) -> Self {
        self.definition.arguments.push(PromptArgument {
            name,
            title: None,
            description: Some(description),
            required,
        });
        self
    }

    /// How an argument is completed while it is typed.
    pub fn complete(mut self, argument: impl Into<String>, completer: Completer) -> Self {
        self.completers.insert(argument.into(), completer);
        self
    }

    pub(super) fn register(self) -> RegisteredPrompt {
        RegisteredPrompt {
            entries: Entries::of(|version| {
                let mut definition = self.definition.clone();
                icon::fit(&mut definition.icons, &mut definition.meta, version);
                RawJson::of(&definition)
            }),
            prompt: self,
        }
    }
}

impl std::fmt::Debug for Prompt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prompt({:?})", self.definition.name)
    }
}

/// A prompt as calls and lists use it.
pub(super) struct RegisteredPrompt {
    entries: Entries,
    prompt: Prompt,
}

impl Entry for RegisteredPrompt {
    const KIND: &'static str = "prompt";

    fn key(&self) -> &str {
        &self.prompt.definition.name
    }

    fn audience(&self) -> &Audience {
        &self.prompt.audience
    }

    fn entry(&self, version: ProtocolVersion) -> &RawJson {
        self.entries.get(version)
    }
}

impl RegisteredPrompt {
    pub(super) fn completes(&self) -> bool {
        !self.prompt.completers.is_empty()
    }

    /// How an argument is completed.
    pub(super) fn completable(&self, argument: &str) -> Completable<'_> {
        let mut arguments = self.prompt.definition.arguments.iter();
        if arguments.any(|known| known.name == argument) {
            Completable::known(self.prompt.completers.get(argument))
        } else {
            Completable::Unknown
        }
    }

    /// Checks that what is required was filled in.
    pub(super) fn check(
        &self,
        arguments: BTreeMap<String, String>,
    ) -> Result<Arguments, ServiceError> {
        let missing = self
            .prompt
            .definition
            .arguments
            .iter()
            .find(|argument| argument.required && !arguments.contains_key(&argument.name));
        match missing {
            None => Ok(Arguments(arguments)),
            Some(argument) => Err(ServiceError::InvalidParams(format!(
                "missing required argument {:?}",
                argument.name
            ))),
        }
    }

    pub(super) fn start(
        &self,
        ctx: Context,
        arguments: Arguments,
    ) -> BoxFuture<'static, Result<Vec<PromptMessage>, ServiceError>> {
        (self.prompt.handler)(ctx, arguments)
    }

    /// Writes the result for `version`.
    pub(super) fn finish(&self, messages: Vec<PromptMessage>, version: ProtocolVersion) -> RawJson {
        RawJson::of(&GetPromptResult {
            description: self.prompt.definition.description.clone(),
            messages: messages
                .into_iter()
                .map(|message| PromptMessage {
                    role: message.role,
                    content: message.content.for_version(version).into_owned(),
                })
                .collect(),
        })
    }
}
