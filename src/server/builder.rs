//! Putting a server together.

use std::future::Future;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use super::Server;
use super::background::Background;
use super::catalog::Catalog;
use super::error::RegistrationError;
use super::handle::{Handle, Offer, Shared};
use super::middleware::{Middleware, Next};
use super::prompt::Prompt;
use super::replay::Rounds;
use super::resource::Resource;
use super::template::ResourceTemplate;
use super::tool::Tool;
use crate::protocol::icon::Icon;
use crate::protocol::lifecycle::Implementation;
use crate::runtime::clock::Clock;
use crate::runtime::seal::ClusterKeys;
use crate::service::changes::Changes;
use crate::service::pages::Pages;
use crate::service::{CacheHints, Call, Reply, ServiceError, TaskUse};

/// Entries on a page of a list. Most servers have fewer, so that most lists are one answer.
const PAGE_SIZE_DEFAULT: usize = 100;

/// A server being put together. Lists keep the order of registration.
#[derive(Debug)]
#[must_use]
pub struct ServerBuilder {
    info: Implementation,
    icons: Vec<Icon>,
    instructions: Option<String>,
    logging: bool,
    page_size: usize,
    list_cache: CacheHints,
    tasks: Option<TaskUse>,
    clock: Clock,
    tools: Vec<Tool>,
    prompts: Vec<Prompt>,
    resources: Vec<Resource>,
    templates: Vec<ResourceTemplate>,
    background: Background,
    middleware: Middleware,
}

impl ServerBuilder {
    pub(super) fn new(name: String, version: String) -> Self {
        Self {
            info: Implementation {
                name,
                version,
                title: None,
                description: None,
                website_url: None,
            },
            icons: Vec::new(),
            instructions: None,
            logging: true,
            page_size: PAGE_SIZE_DEFAULT,
            list_cache: CacheHints::default(),
            tasks: None,
            clock: Clock::system(),
            tools: Vec::new(),
            prompts: Vec::new(),
            resources: Vec::new(),
            templates: Vec::new(),
            background: Background::default(),
            middleware: Middleware::default(),
        }
    }

    /// A name for people.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.info.title = Some(title.into());
        self
    }

    /// One or two sentences about it.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.info.description = Some(description.into());
        self
    }

    /// A picture of it; may be said several times. From 2025-11-25.
    pub fn icon(mut self, icon: Icon) -> Self {
        self.icons.push(icon);
        self
    }

    /// Where to read more.
    pub fn website_url(mut self, url: impl Into<String>) -> Self {
        self.info.website_url = Some(url.into());
        self
    }

    /// How a model should use it.
    pub fn instructions(mut self, instructions: impl Into<String>) -> Self {
        self.instructions = Some(instructions.into());
        self
    }

    /// Offers a tool.
    pub fn tool(mut self, tool: Tool) -> Self {
        self.tools.push(tool);
        self
    }

    /// Offers a prompt.
    pub fn prompt(mut self, prompt: Prompt) -> Self {
        self.prompts.push(prompt);
        self
    }

    /// Offers a resource.
    pub fn resource(mut self, resource: Resource) -> Self {
        self.resources.push(resource);
        self
    }

    /// Offers a family of resources.
    pub fn resource_template(mut self, template: ResourceTemplate) -> Self {
        self.templates.push(template);
        self
    }

    /// Puts an async function around every call, inside those registered before: it gets the call
    /// and what comes next, and gives back the reply. See [`Next`].
    pub fn middleware<F, Fut>(mut self, around: F) -> Self
    where
        F: Fn(Call, Next) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, ServiceError>> + Send + 'static,
    {
        self.middleware.add(around);
        self
    }

    /// Works beside the handlers for as long as the server is served: announces changes, sweeps
    /// what is old. Whoever serves it runs it, once; see [`Server::background`].
    pub fn background<F, Fut>(mut self, work: F) -> Self
    where
        F: FnOnce(Handle) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.background.add(work);
        self
    }

    /// Entries on a page of a list; at least one.
    pub fn page_size(mut self, entries: usize) -> Self {
        self.page_size = entries.max(1);
        self
    }

    /// How long lists may be kept, and whether everybody sees the same.
    pub const fn list_cache(mut self, cache: CacheHints) -> Self {
        self.list_cache = cache;
        self
    }

    /// Declares that no handler sends log lines.
    pub const fn without_logging(mut self) -> Self {
        self.logging = false;
        self
    }

    /// Lets calls of any tool that does not say otherwise become tasks when they take longer than
    /// this, for clients that can follow one.
    pub fn tasks_after(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.tasks = time.into().map(TaskUse::after);
        self
    }

    /// The clock by which sealed states expire.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Compiles everything into a server. The keys seal what clients carry for it: all nodes that
    /// may answer a retry or a next page need the same.
    ///
    /// # Errors
    /// [`RegistrationError`] naming the first thing that cannot be offered.
    pub fn build(self, keys: &ClusterKeys) -> Result<Server, RegistrationError> {
        let mut catalog = Catalog::default();
        for tool in self.tools {
            catalog.tools.add(tool.register(self.tasks)?)?;
        }
        for prompt in self.prompts {
            catalog.prompts.add(prompt.register())?;
        }
        for resource in self.resources {
            catalog.resources.add(resource.register())?;
        }
        for template in self.templates {
            catalog.templates.add(template.register()?)?;
        }
        let offer = Offer::new(
            catalog,
            &self.info,
            &self.icons,
            self.instructions.as_ref(),
            self.logging,
        );
        Ok(Server(Handle(Arc::new(Shared {
            info: self.info,
            icons: self.icons,
            instructions: self.instructions,
            logging: self.logging,
            tasks: self.tasks,
            pages: Pages {
                seal: keys.seal("cursor"),
                size: self.page_size,
            },
            list_cache: self.list_cache,
            rounds: Rounds {
                seal: keys.seal("request-state"),
                clock: self.clock,
            },
            changes: Changes::default(),
            middleware: Arc::new(self.middleware),
            offer: RwLock::new(offer),
            changing: Mutex::new(()),
            background: Mutex::new(self.background),
        }))))
    }
}
