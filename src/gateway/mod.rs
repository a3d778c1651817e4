//! The gateway: many MCP servers behind one endpoint, each spoken to in its own revision.
//!
//! A [`Gateway`] is the [`Service`] of one endpoint. It shows what its upstreams offer under names of
//! its own ([`catalog`]), and a call of any of them goes where it belongs:
//!
//! ```text
//! call ── route ── breaker · bulkhead ── line ── talk ── reply
//!         name     may it be asked       pool    what is said, asked and answered
//! ```
//!
//! 1. [`route`] finds the upstream and its own name of the thing. Nothing is asked for that: lists
//!    are kept, and read again when the upstream says that they changed.
//! 2. [`upstream`]: the breaker and the bulkhead let the call in, or refuse it at once.
//! 3. The pool gives a line: a session with the upstream that only this principal uses, opened with
//!    what its client can be asked. One that is kept for a client's session ([`holders`]) or under a
//!    [`handle`] is at one node, which serves the calls of others for it ([`elsewhere`]).
//! 4. [`talk`] carries what the upstream says to the client, and the client's answers back. [`bridge`] is
//!    what has to change on the way between two revisions.
//!
//! Each hop is of its own: ids, headers and `_meta` are written anew, and no header of a client goes on
//! but those of its trace.
//!
//! [`Gateways`] is all of them together with the upstreams they share. It does not know HTTP on the
//! client's side, nor where its configuration comes from.
//!
//! Invariants:
//! - A call is sent to an upstream once. It is sent again, once, only when it surely did not run, or
//!   when the configuration says that the tool may be called twice.
//! - No two principals ever share a session with an upstream.
//! - One upstream that is down hides nothing of the others.
//!
//! Spec: every revision on both sides; 2026-07-28 basic/versioning.

pub mod config;

mod bridge;
mod call;
mod catalog;
mod definition;
mod elsewhere;
mod envelope;
mod gateways;
mod handle;
mod holders;
mod in_process;
mod kept_pins;
mod naming;
mod part;
mod path;
mod pin_record;
mod pins;
mod route;
mod talk;
mod upstream;
mod warning;

pub use gateways::{Gateways, Parts, UpstreamStatus};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use futures_util::future::{BoxFuture, join_all};
use serde_json::Value;

use self::bridge::extensions;
use self::bridge::parked_call::ParkedCalls;
use self::catalog::{Catalog, Merged};
use self::config::EndpointConfig;
use self::elsewhere::Elsewhere;
use self::handle::Handles;
use self::holders::Holders;
use self::part::{Offered, Part};
use self::path::Hop;
use self::upstream::Upstream;
use self::upstream::offer::{Offer, PROMPTS, RESOURCES, TEMPLATES, TOOLS};
use crate::identity::{Caller, Principal};
use crate::protocol::capabilities::ServerCapabilities;
use crate::protocol::lifecycle::Implementation;
use crate::protocol::method::Method;
use crate::protocol::param_headers::HeaderParams;
use crate::protocol::subscription::{Change, SubscriptionFilter};
use crate::runtime::log_budget::LogBudget;
use crate::service::changes::{CatalogDigest, Changes, Watch};
use crate::service::pages::Pages;
use crate::service::{
    CacheHints, Call, CallFuture, Canonical, Description, EntryKind, Reply, Sees, Service,
    ServiceError, SessionKey, TaskUse,
};

/// The service of one endpoint. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Gateway(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hop: Hop,
    pages: Pages,
    parked: ParkedCalls,
    handles: Handles,
    holders: Arc<Holders>,
    elsewhere: Elsewhere,
    changes: Changes,
    shown: RwLock<Arc<Shown>>,
    /// Held while it is made out what is shown next; how much of what is wrong with that may be logged.
    looking: Mutex<LogBudget>,
}

/// What an endpoint shows now.
#[derive(Debug)]
struct Shown {
    config: EndpointConfig,
    /// Its upstreams, in its order.
    upstreams: Vec<Arc<Upstream>>,
    /// What each offered when it was last looked at, and what is shown of that.
    parts: Vec<(Arc<Offer>, Arc<Part>)>,
    catalog: Catalog,
    description: Arc<Description>,
}

impl Gateway {
    /// Whether it shows this upstream.
    fn has(&self, upstream: &Arc<Upstream>) -> bool {
        (self.shown().upstreams.iter()).any(|it| Arc::ptr_eq(it, upstream))
    }

    fn shown(&self) -> Arc<Shown> {
        let shown = self.0.shown.read();
        shown.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at its upstreams again, and tells clients what is different, or was `told` to be: a list
    /// that changed and changed back is the same again, and yet its upstream says so for a reason.
    fn look_again(&self, told: &BTreeSet<Change>) {
        self.show(told, |before| {
            let (config, upstreams) = (before.config.clone(), before.upstreams.clone());
            Shown::of(&self.0.hop, config, upstreams, Some(before))
        });
    }

    /// Shows what is made of what was shown before.
    fn show(&self, told: &BTreeSet<Change>, of: impl FnOnce(&Shown) -> Shown) {
        // Whoever looked first would be the last to show otherwise.
        let mut budget = (self.0.looking.lock()).unwrap_or_else(PoisonError::into_inner);
        let before = self.shown();
        let shown = of(&before);
        shown.warn(Some(&before), &mut budget);
        let (digest, seen) = (shown.catalog.digest(), before.catalog.digest());
        *self.0.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shown);
        let differ = digest.changes_since(&seen);
        for change in differ.chain(told.iter().cloned()).collect::<BTreeSet<_>>() {
            self.0.changes.announce(&change);
        }
    }

    /// A resource of an upstream changed; `whom` that concerns, if not everybody.
    fn updated(&self, upstream: &Upstream, whom: Option<&Principal>, uri: &str) {
        let shown = self.shown();
        let index = shown
            .upstreams
            .iter()
            .position(|it| it.name() == upstream.name());
        if let Some(naming) = index.and_then(|index| shown.catalog.naming(index)) {
            let change = Change::Resource(naming.shown_uri(uri).into_owned());
            let concerned = |caller: &Caller| whom.is_none_or(|whom| *whom == caller.principal);
            self.0.changes.announce_to(&change, concerned);
        }
    }

    /// A page of a list. Lists that upstreams would not say had changed are read again first.
    async fn list(self, call: Call) -> Result<Reply, ServiceError> {
        let freshening = self.shown();
        let freshening = freshening.upstreams.iter().map(|upstream| async {
            let limit = upstream.config.timeouts.list;
            let _late = tokio::time::timeout(limit, upstream.started()).await;
            upstream.freshen().await;
        });
        // One that hangs must not take the time in which the others' lists can be told.
        let patience = call.context.deadline.remaining() / 2;
        tokio::select! {
            _late = tokio::time::timeout(patience, join_all(freshening)) => {}
            () = call.context.cancel.cancelled() => return Err(ServiceError::Cancelled),
        }
        let shown = self.shown();
        let catalog = &shown.catalog;
        match call.method {
            Method::ToolsList => self.page(catalog.tools(), "tools", &call, shown.hints(TOOLS)),
            Method::PromptsList => {
                self.page(catalog.prompts(), "prompts", &call, shown.hints(PROMPTS))
            }
            Method::ResourcesList => {
                let cache = shown.hints(RESOURCES);
                self.page(catalog.resources(), "resources", &call, cache)
            }
            Method::ResourceTemplatesList => {
                let cache = shown.hints(TEMPLATES);
                self.page(catalog.templates(), "resourceTemplates", &call, cache)
            }
            other => Err(ServiceError::MethodNotFound(other.to_string())),
        }
    }

    fn page<R>(
        &self,
        list: &Merged<R>,
        member: &str,
        call: &Call,
        cache: CacheHints,
    ) -> Result<Reply, ServiceError> {
        let (pages, context, params) = (&self.0.pages, &call.context, &call.params);
        if path::is_asked_for(params) {
            let list = list.with_paths(&self.0.hop);
            return pages.page(&list, member, context, params, cache);
        }
        pages.page(list, member, context, params, cache)
    }

    /// Subscribes to what `filter` names, as far as its owners let us.
    async fn watching(
        self,
        caller: Arc<Caller>,
        filter: SubscriptionFilter,
    ) -> Result<Watch, ServiceError> {
        let shown = self.shown();
        let offers = &shown.description.capabilities;
        let mut by_owner: BTreeMap<usize, BTreeMap<String, String>> = BTreeMap::new();
        for uri in &filter.resource_subscriptions {
            if let Some((owner, own)) = shown.catalog.owner_of(uri) {
                let of_owner = by_owner.entry(owner).or_default();
                of_owner.insert(own.into_owned(), uri.clone());
            }
        }
        let subscribing = by_owner.into_iter().map(|(owner, uris)| {
            let upstream = shown.upstreams[owner].clone();
            let caller = caller.clone();
            async move {
                let own = uris.keys().cloned().collect();
                let subscribed = upstream.subscribe(&caller.principal, own).await?;
                let honoured = uris
                    .into_iter()
                    .filter(|(own, _)| subscribed.uris().contains(own))
                    .map(|(_, shown)| shown);
                Some((honoured.collect::<Vec<_>>(), subscribed))
            }
        });
        let subscribed = join_all(subscribing).await.into_iter().flatten();
        let (honoured, kept): (Vec<_>, Vec<_>) = subscribed.unzip();
        let honoured = SubscriptionFilter {
            tools_list_changed: filter.tools_list_changed && offers.tools,
            prompts_list_changed: filter.prompts_list_changed && offers.prompts,
            resources_list_changed: filter.resources_list_changed && offers.resources,
            resource_subscriptions: honoured.into_iter().flatten().collect(),
            ..SubscriptionFilter::default()
        };
        let watch = self.0.changes.watch(&caller, honoured);
        Ok(if kept.is_empty() {
            watch
        } else {
            watch.keeping(Box::new(kept))
        })
    }
}

impl Service for Gateway {
    fn describe(&self, _: &Caller) -> Arc<Description> {
        self.shown().description.clone()
    }

    fn call(&self, call: Call) -> CallFuture {
        match call.method {
            Method::ToolsList
            | Method::PromptsList
            | Method::ResourcesList
            | Method::ResourceTemplatesList => Box::pin(self.clone().list(call)),
            _ => Box::pin(call::serve(self.clone(), call)),
        }
    }

    fn header_params(&self, _: &Caller, tool: &str) -> Option<Arc<HeaderParams>> {
        self.shown().catalog.tool(tool)?.header_params.clone()
    }

    fn task_use(&self, _: &Caller, tool: &str) -> Option<TaskUse> {
        let shown = self.shown();
        let is_known = shown.catalog.tool(tool).is_some() || shown.catalog.unlisted(tool).is_some();
        // Tasks of upstreams do not pass: calls of their tools are plain ones.
        is_known.then(TaskUse::forbidden)
    }

    fn is_idempotent(&self, _: &Caller, tool: &str) -> bool {
        let shown = self.shown();
        shown
            .catalog
            .tool(tool)
            .is_some_and(|tool| tool.is_idempotent)
    }

    fn catalog_digest(&self, _: &Caller, sees: Sees<'_>) -> CatalogDigest {
        let shown = self.shown();
        sees.map_or(shown.catalog.digest(), |sees| {
            shown.catalog.digest_of_seen(sees)
        })
    }

    fn canonical(&self, kind: EntryKind, name: &str) -> Option<Canonical> {
        let shown = self.shown();
        let (upstream, name) = shown.catalog.canonical(kind, name)?;
        let server = shown.upstreams.get(upstream)?.name().into();
        Some(Canonical { name, server })
    }

    fn lists(&self, _: &Caller, kind: EntryKind, shown: &str) -> bool {
        let catalog = &self.shown().catalog;
        match kind {
            EntryKind::Tool => catalog.tool(shown).is_some(),
            EntryKind::Prompt => catalog.prompt(shown).is_some(),
            EntryKind::Resource | EntryKind::Template => false,
        }
    }

    fn let_go(&self, session: &SessionKey) {
        self.0.holders.forget(session);
        for upstream in &self.shown().upstreams {
            upstream.end_session(session);
        }
    }

    fn watch(
        &self,
        caller: &Arc<Caller>,
        filter: SubscriptionFilter,
    ) -> BoxFuture<'static, Result<Watch, ServiceError>> {
        Box::pin(self.clone().watching(caller.clone(), filter))
    }
}

impl Shown {
    /// Whether methods and extensions that we do not know pass: where one upstream is all there is, and
    /// its names stay as they are, they mean what they mean there.
    fn passes_all(&self) -> bool {
        passes_all(&self.upstreams)
    }

    /// Says what is wrong with it that was not wrong `before`.
    fn warn(&self, before: Option<&Self>, budget: &mut LogBudget) {
        let endpoint = &*self.config.name;
        for (index, (_, part)) in self.parts.iter().enumerate() {
            let before = before.and_then(|before| before.parts.get(index));
            let before = before.map(|(_, part)| part.warnings());
            part.warnings().log(endpoint, before, budget);
        }
        let before = before.map(|before| before.catalog.warnings());
        self.catalog.warnings().log(endpoint, before, budget);
    }

    /// How long a list, by its place, is good and for whom: what holds of all its parts.
    fn hints(&self, list: usize) -> CacheHints {
        let parts = self.parts.iter().map(|(offer, _)| offer.hints(list));
        parts.reduce(CacheHints::and).unwrap_or_default()
    }

    /// What these upstreams come to. What is as it was when `before` was made is taken from there.
    fn of(
        hop: &Hop,
        config: EndpointConfig,
        upstreams: Vec<Arc<Upstream>>,
        before: Option<&Self>,
    ) -> Self {
        let parts = upstreams.iter().enumerate().map(|(index, upstream)| {
            let offer = upstream.offer();
            let pins = upstream.pins();
            let before = before.and_then(|before| before.parts.get(index));
            let same = before.filter(|(seen, part)| {
                Arc::ptr_eq(seen, &offer) && part.is_of(&upstream.config, &pins)
            });
            let part = same.map(|(_, part)| part.clone());
            let part = part.unwrap_or_else(|| {
                let offered = Offered {
                    source: offer.source(upstream.is_http()),
                    tools: offer.tools.clone(),
                    prompts: offer.prompts.clone(),
                    resources: offer.resources.clone(),
                    templates: offer.templates.clone(),
                };
                let gateway = (hop, &*config.separator);
                let part = Part::new(index, &upstream.config, gateway, &offered, &pins);
                upstream.learn(part.seen_first());
                upstream.pin_record.note(part.changed());
                Arc::new(part)
            });
            (offer, part)
        });
        let parts = parts.collect::<Vec<_>>();
        let catalog = Catalog::new(parts.iter().map(|(_, part)| part.clone()).collect());
        let description = Arc::new(describe(&config, &upstreams));
        Self {
            config,
            upstreams,
            parts,
            catalog,
            description,
        }
    }
}

/// Who an endpoint is: what all its upstreams offer together. One that was not reached yet may offer
/// anything.
fn describe(config: &EndpointConfig, upstreams: &[Arc<Upstream>]) -> Description {
    let offers = upstreams.iter().map(|upstream| upstream.offer());
    let offers = offers.collect::<Vec<_>>();
    let any = |offered: &dyn Fn(&Offer) -> bool| {
        offers
            .iter()
            .any(|offer| offer.read.is_none() || offered(offer))
    };
    let capabilities = ServerCapabilities {
        tools: any(&|offer| offer.declares("tools")),
        prompts: any(&|offer| offer.declares("prompts")),
        resources: any(&|offer| offer.declares("resources")),
        resource_subscriptions: any(&Offer::subscribes),
        logging: any(&|offer| offer.declares("logging")),
        completions: any(&|offer| offer.declares("completions")),
        tasks: false,
        extensions: extensions::offered(
            offers.iter().map(|offer| &offer.server),
            passes_all(upstreams),
        ),
    };
    let sole = match &offers[..] {
        [sole] => sole.info(),
        _ => None,
    };
    let sole = sole.filter(|_| config.title.is_none());
    let mut info = sole.unwrap_or_else(|| Implementation {
        name: config
            .title
            .clone()
            .unwrap_or_else(|| "switchboard".to_owned()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        title: None,
        description: None,
        website_url: None,
    });
    if let Some(version) = &config.version {
        info.version.clone_from(version);
    }
    Description::new(info, capabilities, instructions(config, upstreams, &offers))
}

fn passes_all(upstreams: &[Arc<Upstream>]) -> bool {
    matches!(upstreams, [sole] if sole.config.prefix.is_empty())
}

/// What a model is told: that the endpoint will be gone, and what each upstream says of itself.
fn instructions(
    config: &EndpointConfig,
    upstreams: &[Arc<Upstream>],
    offers: &[Arc<Offer>],
) -> Option<String> {
    let deprecated = config
        .deprecated
        .iter()
        .map(|notice| format!("Deprecated: {notice}"));
    let said = offers
        .iter()
        .zip(upstreams)
        .filter_map(|(offer, upstream)| {
            let said = offer.server.get("instructions").and_then(Value::as_str)?;
            Some(if offers.len() == 1 {
                said.to_owned()
            } else {
                format!("# {}\n{said}", upstream.config.prefix)
            })
        });
    let all = deprecated.chain(said).collect::<Vec<_>>();
    (!all.is_empty()).then(|| all.join("\n\n"))
}
