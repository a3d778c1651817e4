//! Where a request goes: the upstream, and what that calls the thing.
//!
//! A name that is nobody's and one that its owner does not have are refused alike: who asks learns
//! nothing of what there is.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::config::Isolation;
use super::handle::{self, Named};
use super::naming::Naming;
use super::upstream::Upstream;
use super::{Gateway, Shown};
use crate::protocol::jsonrpc::Params;
use crate::protocol::method::Method;
use crate::protocol::param_headers::HeaderParams;
use crate::protocol::params::subject;
use crate::protocol::raw::RawJson;
use crate::service::{Call, ServiceError};

/// See the module docs.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// Who is asked.
    pub(super) upstream: Arc<Upstream>,
    /// What it calls the thing; nothing where its name stands deeper in the params.
    pub(super) own: Option<String>,
    /// A member of the params in which something is ours, and what stands for it: where things are
    /// named deeper, and where a handle is among the arguments.
    pub(super) member: Option<(&'static str, String)>,
    /// How its things are named here.
    pub(super) naming: Arc<Naming>,
    /// Arguments that are repeated as headers.
    pub(super) header_params: Option<Arc<HeaderParams>>,
    /// Whether clients of the session era were shown a wrapped output schema.
    pub(super) wraps: bool,
    /// Whether it may be called twice.
    pub(super) is_idempotent: bool,
    /// Which session the call names, if it may name one.
    pub(super) named: Option<Named>,
    /// Why it cannot be called.
    pub(super) refusal: Option<String>,
    /// Whether what we do not know passes too.
    pub(super) passes_all: bool,
}

impl Route {
    /// Where `call` goes.
    pub(super) fn of(gateway: &Gateway, call: &Call) -> Result<Self, ServiceError> {
        let shown = gateway.shown();
        let name = subject(&call.params);
        match call.method {
            Method::ToolsCall => {
                let named = |upstream: &Upstream| gateway.0.handles.named(call, upstream);
                let route = shown.tool(&name, named);
                let route = route.ok_or(ServiceError::UnknownTool(name))?;
                Ok(route.without_handle(&call.params))
            }
            Method::PromptsGet => shown.prompt(&name).ok_or(ServiceError::UnknownPrompt(name)),
            Method::ResourcesRead => shown
                .resource(&name)
                .ok_or(ServiceError::ResourceNotFound { uri: name }),
            Method::Complete => shown.completion(&call.params),
            Method::Other(_) if shown.passes_all() => (shown.to(0, None))
                .ok_or_else(|| ServiceError::MethodNotFound(call.method.to_string())),
            _ => Err(ServiceError::MethodNotFound(call.method.to_string())),
        }
    }

    /// The same for an upstream that never sees the argument of ours.
    fn without_handle(self, params: &Params) -> Self {
        let argument = self.named.map(|_| &*self.upstream.config.handle);
        let arguments = argument.and_then(|it| handle::arguments_without(params, it));
        Self {
            member: arguments.map(|arguments| ("arguments", arguments)),
            ..self
        }
    }
}

impl Shown {
    fn to(&self, upstream: usize, own: Option<String>) -> Option<Route> {
        Some(Route {
            naming: self.catalog.naming(upstream)?.clone(),
            upstream: self.upstreams.get(upstream)?.clone(),
            own,
            member: None,
            header_params: None,
            wraps: false,
            is_idempotent: false,
            named: None,
            refusal: None,
            passes_all: self.passes_all(),
        })
    }

    fn tool(&self, shown: &str, named: impl Fn(&Upstream) -> Named) -> Option<Route> {
        if let Some(tool) = self.catalog.tool(shown) {
            let route = self.to(tool.upstream, Some(tool.own_name.to_string()))?;
            return Some(Route {
                header_params: tool.header_params.clone(),
                wraps: tool.has_wrapped_output,
                is_idempotent: tool.is_idempotent,
                named: tool.takes_handle.then(|| named(&route.upstream)),
                refusal: tool.refusal.map(|refusal| refusal.to_string()),
                ..route
            });
        }
        let (upstream, own) = self.catalog.unlisted(shown)?;
        let route = self.to(upstream, Some(own.to_owned()))?;
        // Sessions of their own may have what the list has not.
        match route.upstream.config.isolation {
            Isolation::Session => Some(route),
            Isolation::Handle => match named(&route.upstream) {
                of_session @ Named::Session(_) => Some(Route {
                    named: Some(of_session),
                    ..route
                }),
                Named::Nothing | Named::Unknown => None,
            },
            Isolation::Shared | Isolation::Request => None,
        }
    }

    fn prompt(&self, shown: &str) -> Option<Route> {
        if let Some(prompt) = self.catalog.prompt(shown) {
            return self.to(prompt.upstream, Some(prompt.own_name.to_string()));
        }
        let (upstream, own) = self.catalog.unlisted(shown)?;
        let route = self.to(upstream, Some(own.to_owned()))?;
        (route.upstream.config.isolation == Isolation::Session).then_some(route)
    }

    fn resource(&self, shown: &str) -> Option<Route> {
        let (upstream, own) = self.catalog.owner_of(shown)?;
        self.to(upstream, Some(own.into_owned()))
    }

    fn completion(&self, params: &Params) -> Result<Route, ServiceError> {
        #[derive(Deserialize)]
        struct Completion {
            r#ref: RawJson,
        }
        #[derive(Deserialize)]
        struct Ref {
            r#type: String,
            name: Option<String>,
            uri: Option<String>,
        }
        let invalid = |what: &str| ServiceError::InvalidParams(what.to_owned());
        let read = || {
            let raw = params.raw()?.decode::<Completion>().ok()?.r#ref;
            raw.decode::<Ref>().ok()
        };
        let of = read().ok_or_else(|| invalid("`ref` names neither a prompt nor a resource"))?;
        match (&*of.r#type, of.name, of.uri) {
            ("ref/prompt", Some(name), _) => {
                let route = self.prompt(&name);
                let route = route.ok_or(ServiceError::UnknownPrompt(name))?;
                let own = json!({"type": of.r#type, "name": route.own});
                Ok(route.with_member("ref", own.to_string()))
            }
            ("ref/resource", _, Some(uri)) => {
                let route = self.resource(&uri);
                let route = route.ok_or(ServiceError::ResourceNotFound { uri })?;
                let own = json!({"type": of.r#type, "uri": route.own});
                Ok(route.with_member("ref", own.to_string()))
            }
            _ => Err(invalid("`ref` names neither a prompt nor a resource")),
        }
    }
}

impl Route {
    fn with_member(self, key: &'static str, value: String) -> Self {
        Self {
            own: None,
            member: Some((key, value)),
            ..self
        }
    }
}
