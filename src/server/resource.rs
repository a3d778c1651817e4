//! Resources: something to read at one URI.
//!
//! Spec: server/resources (all revisions).

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Map;

use super::audience::Audience;
use super::catalog::Entry;
use super::context::Context;
use super::described::described;
use super::entries::Entries;
use crate::protocol::content::{Annotations, ResourceBody};
use crate::protocol::icon;
use crate::protocol::raw::RawJson;
use crate::protocol::resource::ResourceDefinition;
use crate::protocol::version::ProtocolVersion;
use crate::service::{CacheHints, ServiceError};

type Handler =
    Arc<dyn Fn(Context) -> BoxFuture<'static, Result<ResourceBody, ServiceError>> + Send + Sync>;

/// A resource on its way to a server.
///
/// ```
/// use switchboard::prelude::*;
///
/// let readme = Resource::fixed("docs://readme", "readme", "Read me.").mime_type("text/plain");
/// let load = Resource::dynamic("stats://load", "load", |ctx: Context| async move {
///     Ok(format!("{} asks for the load", ctx.principal()))
/// });
/// let server = Server::builder("docs", "1.0.0").resource(readme).resource(load);
/// # server.build(&switchboard::runtime::seal::ClusterKeys::generate())?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct Resource {
    definition: ResourceDefinition,
    cache: CacheHints,
    audience: Audience,
    handler: Handler,
}

described!(Resource, "What it is about.");

impl Resource {
    /// A resource that stays as it is: text, or bytes.
    pub fn fixed(
        uri: impl Into<String>,
        name: impl Into<String>,
        body: impl Into<ResourceBody>,
    ) -> Self {
        let body = body.into();
        Self::of(
            uri.into(),
            name.into(),
            Arc::new(move |_| Box::pin(std::future::ready(Ok(body.clone())))),
        )
    }

    /// A resource that a function reads. It may be run again when its client is asked something.
    pub fn dynamic<B, F, Fut>(uri: impl Into<String>, name: impl Into<String>, function: F) -> Self
    where
        B: Into<ResourceBody>,
        F: Fn(Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<B, ServiceError>> + Send + 'static,
    {
        Self::of(
            uri.into(),
            name.into(),
            Arc::new(move |ctx| {
                let running = function(ctx);
                Box::pin(async move { running.await.map(Into::into) })
            }),
        )
    }

    fn of(uri: String, name: String, handler: Handler) -> Self {
        Self {
            definition: ResourceDefinition {
                uri,
                name,
                title: None,
                description: None,
                mime_type: None,
                size: None,
                annotations: None,
                icons: Vec::new(),
                meta: Map::new(),
            },
            cache: CacheHints::default(),
            audience: Audience::default(),
            handler,
        }
    }

    /// What kind of thing it is.
    pub fn mime_type(mut self, mime_type: impl Into<String>) -> Self {
        self.definition.mime_type = Some(mime_type.into());
        self
    }

    /// For whom it is.
    pub fn annotations(mut self, annotations: Annotations) -> Self {
        self.definition.annotations = Some(annotations);
        self
    }

    /// How long a read may be kept, and whether everybody would have got the same.
    pub const fn cache(mut self, cache: CacheHints) -> Self {
        self.cache = cache;
        self
    }

    pub(super) fn register(self) -> RegisteredResource {
        RegisteredResource {
            entries: Entries::of(|version| {
                let mut definition = self.definition.clone();
                icon::fit(&mut definition.icons, &mut definition.meta, version);
                RawJson::of(&definition)
            }),
            resource: self,
        }
    }
}

impl std::fmt::Debug for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resource({:?})", self.definition.uri)
    }
}

/// A resource as reads and lists use it.
pub(super) struct RegisteredResource {
    entries: Entries,
    resource: Resource,
}

impl Entry for RegisteredResource {
    const KIND: &'static str = "resource";

    fn key(&self) -> &str {
        &self.resource.definition.uri
    }

    fn audience(&self) -> &Audience {
        &self.resource.audience
    }

    fn entry(&self, version: ProtocolVersion) -> &RawJson {
        self.entries.get(version)
    }
}

impl RegisteredResource {
    pub(super) fn start(
        &self,
        ctx: Context,
    ) -> BoxFuture<'static, Result<ResourceBody, ServiceError>> {
        (self.resource.handler)(ctx)
    }

    /// What only some may see is nobody else's to keep.
    pub(super) const fn cache(&self) -> CacheHints {
        let cache = self.resource.cache;
        CacheHints {
            public: cache.public && self.resource.audience.is_everybody(),
            ..cache
        }
    }

    pub(super) const fn mime_type(&self) -> Option<&String> {
        self.resource.definition.mime_type.as_ref()
    }
}
