//! An upstream that is a service of this process: a built-in set, or a server of the program.
//!
//! There is no line to it: a call goes on with other names, and the service answers the client in the
//! client's own revision.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::bridge::{Crossing, results};
use super::envelope::Envelope;
use super::route::Route;
use super::upstream::offer::Offer;
use super::upstream::{State, Upstream};
use crate::identity::Caller;
use crate::protocol::jsonrpc::Params;
use crate::protocol::method::Method;
use crate::protocol::raw::RawJson;
use crate::protocol::subscription::SubscriptionFilter;
use crate::protocol::version::ProtocolVersion;
use crate::service::{
    Call, CallContext, Client, Deadline, Ongoing, Quiet, Reply, ReplyKind, Service, ServiceError,
};

/// Most pages of one list.
const PAGES_MAX: usize = 1_000;

/// Passes a call on.
pub(super) async fn call(
    service: &Arc<dyn Service>,
    route: &Route,
    call: &Call,
) -> Result<Reply, ServiceError> {
    if !route.naming.has_prefix() && route.own.as_deref() == Some(&*call.subject()) {
        return service.call(copy(call, call.params.clone())).await;
    }
    let params = Envelope::of(&call.method, &call.params, route).params();
    let params = Params::new(params);
    let reply = service.call(copy(call, params)).await?;
    if reply.kind != ReplyKind::Complete || !route.naming.has_prefix() {
        return Ok(reply);
    }
    let version = call.context.version;
    let crossing = Crossing {
        upstream: version,
        client: version,
        naming: &route.naming,
    };
    // It is in the client's revision already; what is left is to show its URIs.
    let shown = results::reply(&call.method, &reply.members, &crossing, false);
    let shown = shown.map_err(|_| ServiceError::Internal)?;
    Ok(Reply {
        members: shown.members,
        ..reply
    })
}

fn copy(call: &Call, params: Params) -> Call {
    Call {
        method: call.method.clone(),
        params,
        context: call.context.clone(),
    }
}

/// Reads its lists, and again whenever they change, for as long as it is polled.
pub(super) async fn attend(upstream: &Arc<Upstream>) -> Result<(), String> {
    let Some(service) = upstream.here() else {
        return Err("it is no service of this process".to_owned());
    };
    let local = Arc::new(Caller::local());
    let all = SubscriptionFilter {
        tools_list_changed: true,
        prompts_list_changed: true,
        resources_list_changed: true,
        ..SubscriptionFilter::default()
    };
    let told = |error: ServiceError| error.to_string();
    let watch = service.watch(&local, all).await.map_err(told)?;
    let mut changed = BTreeSet::new();
    upstream.look_up_pins().await;
    loop {
        upstream.set_offer(read(&**service).await.map_err(told)?, &changed);
        // Whoever waited for that finds it shown.
        upstream.set_state(State::Up);
        changed = watch.changed().await;
    }
}

async fn read(service: &dyn Service) -> Result<Offer, ServiceError> {
    let description = service.describe(&Caller::local());
    let offers = &description.capabilities;
    let version = ProtocolVersion::NEWEST;
    Ok(Offer {
        version: Some(version),
        server: json!({
            "serverInfo": description.info,
            "capabilities": offers.to_value(version),
            "instructions": description.instructions,
        }),
        tools: list(service, offers.tools, Method::ToolsList, "tools").await?,
        prompts: list(service, offers.prompts, Method::PromptsList, "prompts").await?,
        resources: list(
            service,
            offers.resources,
            Method::ResourcesList,
            "resources",
        )
        .await?,
        templates: {
            let method = Method::ResourceTemplatesList;
            list(service, offers.resources, method, "resourceTemplates").await?
        },
        read: Some(Instant::now()),
        announces: true,
        ..Offer::default()
    })
}

async fn list(
    service: &dyn Service,
    is_offered: bool,
    method: Method,
    member: &str,
) -> Result<Vec<RawJson>, ServiceError> {
    let mut entries = Vec::new();
    let mut params = Params::default();
    for _ in 0..PAGES_MAX {
        if !is_offered {
            break;
        }
        let page = service.call(of_ours(method.clone(), params)).await?.members;
        let page = page.entries();
        let found = page.iter().find(|(key, _)| key == member);
        let found = found.and_then(|(_, found)| serde_json::from_str::<Vec<RawJson>>(found).ok());
        entries.extend(found.unwrap_or_default());
        let Some((_, next)) = page.iter().find(|(key, _)| key == "nextCursor") else {
            break;
        };
        let next = serde_json::from_str::<Value>(next).unwrap_or_default();
        params = Params::new(RawJson::of(&json!({"cursor": next})));
    }
    Ok(entries)
}

/// A call of our own.
fn of_ours(method: Method, params: Params) -> Call {
    Call {
        method,
        params,
        context: CallContext {
            caller: Arc::new(Caller::local()),
            origin: Arc::default(),
            credential: None,
            endpoint: "gateway".into(),
            session: None,
            version: ProtocolVersion::NEWEST,
            client: Arc::new(Client::unknown()),
            progress_token: None,
            cancel: tokio_util::sync::CancellationToken::new(),
            deadline: Deadline::after(std::time::Duration::from_secs(10)),
            outlet: Arc::new(Quiet),
            ongoing: Ongoing::default(),
        },
    }
}
