//! The library: a server out of async functions.
//!
//! A [`Server`] is built from [`Tool`]s, [`Prompt`]s, [`Resource`]s and [`ResourceTemplate`]s and is
//! a [`Service`]: it answers every published revision of the protocol from the same handlers. A
//! handler gets a [`Context`]: who calls, how long there is, and the way to the client.
//!
//! ```
//! use serde::Deserialize;
//! use switchboard::runtime::seal::ClusterKeys;
//! use switchboard::server::{Field, Form, Server, Tool};
//!
//! #[derive(Deserialize, schemars::JsonSchema)]
//! struct Order {
//!     /// What to order.
//!     item: String,
//! }
//!
//! # fn main() -> Result<(), switchboard::server::RegistrationError> {
//! let server = Server::builder("shop", "1.0.0")
//!     .tool(Tool::new("order", |ctx, Order { item }| async move {
//!         let form = Form::new(format!("Order {item}?")).field("sure", Field::boolean());
//!         let answer = ctx.elicit("confirm", form).await?.accepted();
//!         if answer.is_none_or(|answer| answer["sure"] != true) {
//!             return Ok("nothing was ordered".to_owned());
//!         }
//!         // Effects come after the last question, or inside `once`.
//!         Ok(format!("ordered: {item}"))
//!     }))
//!     .build(&ClusterKeys::generate())?;
//! # Ok(())
//! # }
//! ```
//!
//! # What there is
//! | to | see |
//! |---|---|
//! | take typed arguments, give structured results | [`Tool`], [`Structured`] |
//! | be read | [`Resource`]; a family with completion: [`ResourceTemplate`], [`Completer`] |
//! | start a conversation | [`Prompt`] |
//! | tell how far it is, log, notice a cancellation or the deadline | [`Context`] |
//! | ask the user or the client's model | [`Context::elicit`], [`Context::sample`], [`Form`] |
//! | do something once, however often a handler is run | [`Context::once`] |
//! | let long calls become tasks | [`Tool::task`], [`ServerBuilder::tasks_after`], [`Context::become_task`] |
//! | change while it runs, tell subscribers | [`Handle`], [`ServerBuilder::background`] |
//! | show a thing to some only | [`Tool::visible_to`], and the same on all others |
//! | do something around every call | [`ServerBuilder::middleware`], [`Next`] |
//! | share something between handlers | [`with()`] |
//! | serve it | [`crate::Host`] |
//!
//! `examples/ticket_desk.rs` is a small real server that uses most of it.
//!
//! # Questions, and running twice
//! In the session era a question to the client is a request, and the handler waits. In the
//! stateless era no call waits for its client: the handler is *dropped* at the question, the call
//! ends with `input_required`, and the client calls again with the answer; the handler then runs
//! again **from its start** and gets the answers it has already. So:
//! - effects come after the last question, or inside [`Context::once`];
//! - questions have keys, unique in the handler, and the same keys each time;
//! - questions asked together (`tokio::join!`) go out together.
//!
//! # Errors
//! What a tool fails with is told to the model ([`ToolError::Failed`]). What is wrong with the call
//! itself is a [`crate::service::ServiceError`]. Invalid arguments are either, as the revision has
//! it. A panic, or a result its own output schema does not allow, is logged here and reaches the
//! client as an internal error without particulars: another tool's model must not act on a result
//! that is known to be wrong.
//!
//! It does not know HTTP, sessions or where a call came from, and it stores nothing.
//!
//! Invariants:
//! - No handler sees arguments its schema does not allow.
//! - No client is asked what it did not declare.
//! - What a caller may not see answers it like what is not there.
//! - A schema never causes anything to be fetched.
//!
//! Concurrency: what is offered is an immutable picture behind a lock that is held for the time of
//! copying a pointer; see [`Handle`].

mod ask;
mod audience;
mod background;
mod builder;
mod calls;
mod catalog;
mod complete;
mod context;
mod described;
mod entries;
mod error;
mod field;
mod form;
mod handle;
mod middleware;
mod outcome;
mod prompt;
mod replay;
mod resource;
mod run;
mod sample;
mod schema;
mod template;
mod tool;
mod variables;
mod with;

#[cfg(test)]
mod tests;

pub use ask::{Consent, Elicited, NoAnswer, Root};
pub use builder::ServerBuilder;
pub use complete::{Completer, Typed};
pub use context::Context;
pub use error::RegistrationError;
pub use field::Field;
pub use form::{Form, FormError};
pub use handle::Handle;
pub use middleware::Next;
pub use outcome::{IntoToolResult, Structured, ToolError};
pub use prompt::{Arguments, IntoMessages, Prompt};
pub use resource::Resource;
pub use run::CANCEL_GRACE;
pub use sample::{SampleRequest, Sampled, SampledBlock};
pub use schema::SchemaError;
pub use template::ResourceTemplate;
pub use tool::{NoArguments, Tool, no_arguments};
pub use with::with;

pub use crate::service::{TaskStart, TaskUse};

use std::sync::{Arc, PoisonError};

use futures_util::future::BoxFuture;

use crate::identity::Caller;
use crate::protocol::method::Method;
use crate::protocol::param_headers::HeaderParams;
use crate::protocol::subscription::{Change, SubscriptionFilter};
use crate::service::changes::{Announced, CatalogDigest, Elsewhere, PassOn, Watch};
use crate::service::{Call, CallFuture, Description, EntryKind, Sees, Service, ServiceError};
use calls::List;

/// A server of this process. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Server(Handle);

impl Server {
    /// Begins a server of this name and version.
    pub fn builder(name: impl Into<String>, version: impl Into<String>) -> ServerBuilder {
        ServerBuilder::new(name.into(), version.into())
    }

    /// The front through which it can be changed while it runs.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.0
    }

    /// What was given to [`ServerBuilder::background`], to be run for as long as the server is
    /// served. A second call has nothing left to run.
    pub fn background(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut waiting = (self.0.0.background)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting).run(self.0.clone())
    }
}

impl Server {
    /// Answers a call that has passed all middleware.
    fn answer(&self, call: Call) -> CallFuture {
        let server = self.0.clone();
        let offers = self.0.offer().description;
        let offers = &offers.capabilities;
        let ready = |answer| -> CallFuture { Box::pin(std::future::ready(answer)) };
        match &call.method {
            Method::ToolsCall if offers.tools => Box::pin(calls::call_tool(server, call)),
            Method::ToolsList if offers.tools => ready(calls::list(&server, &call, List::Tools)),
            Method::PromptsGet if offers.prompts => Box::pin(calls::get_prompt(server, call)),
            Method::PromptsList if offers.prompts => {
                ready(calls::list(&server, &call, List::Prompts))
            }
            Method::ResourcesRead if offers.resources => {
                Box::pin(calls::read_resource(server, call))
            }
            Method::ResourcesList if offers.resources => {
                ready(calls::list(&server, &call, List::Resources))
            }
            Method::ResourceTemplatesList if offers.resources => {
                ready(calls::list(&server, &call, List::Templates))
            }
            Method::Complete if offers.completions => Box::pin(calls::complete(server, call)),
            Method::ToolsCall
            | Method::ToolsList
            | Method::PromptsGet
            | Method::PromptsList
            | Method::ResourcesRead
            | Method::ResourcesList
            | Method::ResourceTemplatesList
            | Method::Complete
            | Method::Initialize
            | Method::Ping
            | Method::Discover
            | Method::Listen
            | Method::ResourcesSubscribe
            | Method::ResourcesUnsubscribe
            | Method::SetLevel
            | Method::TasksGet
            | Method::TasksUpdate
            | Method::TasksCancel
            | Method::TasksResult
            | Method::TasksList
            | Method::Other(_) => ready(Err(ServiceError::MethodNotFound(call.method.to_string()))),
        }
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let info = &self.0.0.info;
        write!(f, "{} {}", info.name, info.version)
    }
}

impl Service for Server {
    fn describe(&self, _: &Caller) -> Arc<Description> {
        self.0.offer().description
    }

    fn call(&self, call: Call) -> CallFuture {
        let layers = &self.0.0.middleware;
        if layers.is_empty() {
            self.answer(call)
        } else {
            Box::pin(middleware::through(layers.clone(), self.clone(), call))
        }
    }

    fn header_params(&self, caller: &Caller, tool: &str) -> Option<Arc<HeaderParams>> {
        let catalog = self.0.offer().catalog;
        catalog.tools.get(tool, caller)?.header_params().cloned()
    }

    fn task_use(&self, caller: &Caller, tool: &str) -> Option<TaskUse> {
        let catalog = self.0.offer().catalog;
        Some(catalog.tools.get(tool, caller)?.task_use())
    }

    fn is_idempotent(&self, caller: &Caller, tool: &str) -> bool {
        let catalog = self.0.offer().catalog;
        let tool = catalog.tools.get(tool, caller);
        tool.is_some_and(|tool| tool.is_idempotent())
    }

    fn lists(&self, caller: &Caller, kind: EntryKind, shown: &str) -> bool {
        let catalog = self.0.offer().catalog;
        match kind {
            EntryKind::Tool => catalog.tools.get(shown, caller).is_some(),
            EntryKind::Prompt => catalog.prompts.get(shown, caller).is_some(),
            EntryKind::Resource | EntryKind::Template => false,
        }
    }

    fn catalog_digest(&self, caller: &Caller, sees: Sees<'_>) -> CatalogDigest {
        self.0.offer().catalog.digest(caller, sees)
    }

    fn watch(
        &self,
        caller: &Arc<Caller>,
        filter: SubscriptionFilter,
    ) -> BoxFuture<'static, Result<Watch, ServiceError>> {
        let offer = self.0.offer();
        let offers = &offer.description.capabilities;
        let honoured = SubscriptionFilter {
            tools_list_changed: filter.tools_list_changed && offers.tools,
            prompts_list_changed: filter.prompts_list_changed && offers.prompts,
            resources_list_changed: filter.resources_list_changed && offers.resources,
            resource_subscriptions: filter
                .resource_subscriptions
                .into_iter()
                .filter(|uri| offer.catalog.resolves(uri, caller))
                .collect(),
            ..SubscriptionFilter::default()
        };
        Box::pin(std::future::ready(Ok(self
            .0
            .0
            .changes
            .watch(caller, honoured))))
    }

    fn pass_on_to(&self, pass_on: PassOn) {
        self.0.0.changes.pass_on_to(pass_on);
    }

    fn hear(&self, elsewhere: &Elsewhere) {
        match elsewhere {
            Elsewhere::Announced(Announced {
                change: Change::Resource(uri),
                ..
            }) => self.0.resource_updated_here(uri),
            Elsewhere::Announced(_) | Elsewhere::NodeGone | Elsewhere::Missed => {
                self.0.0.changes.hear(elsewhere);
            }
        }
    }
}
