//! A server while it runs: what it offers now, and changing that.
//!
//! [`Handle`] is the clonable front of a server. It changes the catalog by putting a new picture in
//! place and announces the change; calls that run keep the picture they began with.
//!
//! Concurrency: the lock is held to take or to swap a pointer, and while a change is prepared;
//! never across an await.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::audience::Audience;
use super::background::Background;
use super::catalog::Catalog;
use super::error::RegistrationError;
use super::middleware::Middleware;
use super::prompt::Prompt;
use super::replay::Rounds;
use super::resource::Resource;
use super::template::ResourceTemplate;
use super::tool::Tool;
use crate::protocol::capabilities::ServerCapabilities;
use crate::protocol::icon::Icon;
use crate::protocol::lifecycle::Implementation;
use crate::protocol::subscription::Change;
use crate::service::changes::Changes;
use crate::service::pages::Pages;
use crate::service::{CacheHints, Description, TaskUse};

/// The clonable front of a server, to change what it offers and to tell of changes while it runs.
///
/// Background work gets one, a handler finds it in its context, and [`Server::handle`] gives it to
/// whoever built the server. Clients that subscribed hear of it, in both eras, and also those whose
/// stream is at another node that shares the store: what a server announces on one is told by the
/// servers at the same endpoint of all. What is offered is each process's own: a tool that is added
/// here is not there on the others, whose clients only hear that a list changed. A change of what
/// only some may see is not told elsewhere at all; who they are is known here alone. Nor is one that
/// every node sees by itself ([`Handle::resource_updated_here`]).
///
/// ```
/// use switchboard::prelude::*;
///
/// let server = Server::builder("news", "1.0.0")
///     .resource(Resource::fixed("news://today", "today", "Nothing happened."))
///     .background(|handle: Handle| async move {
///         // A real one waits for something that happens.
///         handle.add_resource(Resource::fixed("news://today", "today", "Something did."));
///         handle.resource_updated("news://today");
///     });
/// # let keys = switchboard::runtime::seal::ClusterKeys::generate();
/// let server = server.build(&keys)?;
/// assert!(!server.handle().is_watched("news://today"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// [`Server::handle`]: super::Server::handle
#[derive(Clone)]
pub struct Handle(pub(super) Arc<Shared>);

/// A server's parts.
pub(super) struct Shared {
    pub(super) info: Implementation,
    pub(super) icons: Vec<Icon>,
    pub(super) instructions: Option<String>,
    pub(super) logging: bool,
    pub(super) tasks: Option<TaskUse>,
    pub(super) pages: Pages,
    pub(super) list_cache: CacheHints,
    pub(super) rounds: Rounds,
    pub(super) changes: Changes,
    pub(super) middleware: Arc<Middleware>,
    pub(super) offer: RwLock<Offer>,
    /// One change at a time, so that none is lost between reading the catalog and replacing it.
    pub(super) changing: Mutex<()>,
    /// Taken by whoever serves it first.
    pub(super) background: Mutex<Background>,
}

/// The catalog and what follows from it.
#[derive(Clone)]
pub(super) struct Offer {
    pub(super) catalog: Arc<Catalog>,
    pub(super) description: Arc<Description>,
}

impl Offer {
    pub(super) fn new(
        catalog: Catalog,
        info: &Implementation,
        icons: &[Icon],
        instructions: Option<&String>,
        logging: bool,
    ) -> Self {
        let capabilities = ServerCapabilities {
            tools: catalog.tools.offered(),
            prompts: catalog.prompts.offered(),
            resources: catalog.offers_resources(),
            resource_subscriptions: catalog.offers_resources(),
            logging,
            completions: catalog.offers_completions(),
            tasks: catalog.offers_tasks(),
            extensions: serde_json::Map::new(),
        };
        let description =
            Description::new(info.clone(), capabilities, instructions.cloned()).with_icons(icons);
        Self {
            catalog: Arc::new(catalog),
            description: Arc::new(description),
        }
    }
}

impl Handle {
    /// Offers a tool from now on; one of the same name is replaced where it stands.
    ///
    /// # Errors
    /// [`RegistrationError`] when the tool cannot be offered; nothing changes then.
    pub fn add_tool(&self, tool: Tool) -> Result<(), RegistrationError> {
        let tool = tool.register(self.0.tasks)?;
        self.change(&Change::Tools, |catalog| catalog.tools.put(tool));
        Ok(())
    }

    /// No longer offers a tool; whether it was offered.
    pub fn remove_tool(&self, name: &str) -> bool {
        self.take(&Change::Tools, |catalog| catalog.tools.remove(name))
    }

    /// Offers a prompt from now on; one of the same name is replaced where it stands.
    pub fn add_prompt(&self, prompt: Prompt) {
        let prompt = prompt.register();
        self.change(&Change::Prompts, |catalog| catalog.prompts.put(prompt));
    }

    /// No longer offers a prompt; whether it was offered.
    pub fn remove_prompt(&self, name: &str) -> bool {
        self.take(&Change::Prompts, |catalog| catalog.prompts.remove(name))
    }

    /// Offers a resource from now on; one at the same URI is replaced where it stands.
    pub fn add_resource(&self, resource: Resource) {
        let resource = resource.register();
        self.change(&Change::Resources, |catalog| {
            catalog.resources.put(resource)
        });
    }

    /// No longer offers a resource; whether it was offered.
    pub fn remove_resource(&self, uri: &str) -> bool {
        self.take(&Change::Resources, |catalog| catalog.resources.remove(uri))
    }

    /// Offers a family of resources from now on.
    ///
    /// # Errors
    /// [`RegistrationError`] when the template cannot be matched; nothing changes then.
    pub fn add_resource_template(
        &self,
        template: ResourceTemplate,
    ) -> Result<(), RegistrationError> {
        let template = template.register()?;
        self.change(&Change::Resources, |catalog| {
            catalog.templates.put(template)
        });
        Ok(())
    }

    /// No longer offers a family of resources; whether it was offered.
    pub fn remove_resource_template(&self, template: &str) -> bool {
        self.take(&Change::Resources, |catalog| {
            catalog.templates.remove(template)
        })
    }

    /// Tells whoever watches it, and may see it now, that the resource at `uri` changed.
    pub fn resource_updated(&self, uri: &str) {
        self.resource_updated_here(uri);
        let change = Change::Resource(uri.to_owned());
        self.0.changes.pass_on(change, None);
    }

    /// The same, told only to those whose stream is at this node: for a change that every node sees
    /// by itself, as that of a clock or of a database they all watch. By
    /// [`Handle::resource_updated`] everybody would hear of it once from each node.
    pub fn resource_updated_here(&self, uri: &str) {
        // Each node asks its own catalog who may see it.
        let catalog = self.offer().catalog;
        let open = !catalog.restricts_resources();
        let change = Change::Resource(uri.to_owned());
        let concerns = |caller: &_| open || catalog.resolves(uri, caller);
        self.0.changes.announce_to(&change, concerns);
    }

    /// Whether somebody watches the resource at `uri` now.
    #[must_use]
    pub fn is_watched(&self, uri: &str) -> bool {
        self.0.changes.is_watched(uri)
    }

    pub(super) fn offer(&self) -> Offer {
        self.0
            .offer
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn change(&self, change: &Change, apply: impl FnOnce(&mut Catalog) -> Audience) {
        self.take(change, |catalog| Some(apply(catalog)));
    }

    /// Applies a change, and announces it, if there was one, to those who can see it.
    fn take(&self, change: &Change, apply: impl FnOnce(&mut Catalog) -> Option<Audience>) -> bool {
        let one_at_a_time = self
            .0
            .changing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut catalog = Catalog::clone(&self.offer().catalog);
        let audience = apply(&mut catalog);
        if audience.is_some() {
            let offer = Offer::new(
                catalog,
                &self.0.info,
                &self.0.icons,
                self.0.instructions.as_ref(),
                self.0.logging,
            );
            *self.0.offer.write().unwrap_or_else(PoisonError::into_inner) = offer;
        }
        drop(one_at_a_time);
        if let Some(audience) = &audience {
            let changes = &self.0.changes;
            if audience.is_everybody() {
                changes.announce(change);
            } else {
                changes.announce_to(change, |caller| audience.has(caller));
            }
        }
        audience.is_some()
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({:?})", self.0.info.name)
    }
}
