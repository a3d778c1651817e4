//! Who answers a request of the session era: the session itself, or the service behind it.
//!
//! Every transport of the era comes through here, so that a method means the same on all of them.
//!
//! Spec: basic/lifecycle, basic/utilities, server/resources subscriptions, server/utilities/logging
//! (2024-11-05 to 2025-11-25).

use std::collections::BTreeSet;

use serde::Deserialize;

use super::handle::SessionHandle;
use super::record::Change;
use crate::protocol::jsonrpc::{Notification, Params, RequestId};
use crate::protocol::logging::LogLevel;
use crate::protocol::method::Method;
use crate::protocol::notification::CancelledParams;
use crate::protocol::raw::RawJson;
use crate::protocol::subscription::{FILTER_URIS_MAX, SubscriptionFilter};
use crate::service::{Call, CallFuture, Reply, ServiceError};
use crate::telemetry::events::excerpt;

/// Starts to answer a request of `session`.
#[must_use]
pub fn answer(session: &SessionHandle, call: Call) -> CallFuture {
    match &call.method {
        Method::Ping => Box::pin(std::future::ready(Ok(empty()))),
        Method::SetLevel => Box::pin(set_level(session.clone(), call.params)),
        Method::ResourcesSubscribe => Box::pin(subscribe(session.clone(), call.params)),
        Method::ResourcesUnsubscribe => Box::pin(unsubscribe(session.clone(), call.params)),
        Method::ToolsList
        | Method::ToolsCall
        | Method::ResourcesList
        | Method::ResourceTemplatesList
        | Method::ResourcesRead
        | Method::PromptsList
        | Method::PromptsGet
        | Method::Complete
        // Perhaps of an extension that the service has.
        | Method::Other(_) => session.service().call(call),
        Method::TasksGet | Method::TasksResult | Method::TasksCancel | Method::TasksList
            if call.method.exists_in(call.context.version) =>
        {
            session.service().call(call)
        }
        Method::Initialize
        | Method::Discover
        | Method::Listen
        | Method::TasksGet
        | Method::TasksUpdate
        | Method::TasksResult
        | Method::TasksCancel
        | Method::TasksList => {
            let error = ServiceError::MethodNotFound(call.method.to_string());
            Box::pin(std::future::ready(Err(error)))
        }
    }
}

/// Takes a notification of `session`. None is ever answered; what we do not know is dropped.
pub fn notice(session: &SessionHandle, notification: &Notification) {
    match notification.method.as_str() {
        "notifications/cancelled" => {
            if let Some(id) = cancelled_request(notification) {
                // Unknown or finished: races are normal (basic/utilities/cancellation).
                session.cancel_anywhere(id);
            }
        }
        // Any call or stream implies `initialized`; roots are asked for each time anew.
        "notifications/initialized" | "notifications/roots/list_changed" => {}
        other => {
            tracing::debug!(method = ?excerpt(other), "a notification was dropped");
        }
    }
}

/// Which request a `notifications/cancelled` names, if it names one.
#[must_use]
pub fn cancelled_request(notification: &Notification) -> Option<RequestId> {
    notification
        .params
        .decode::<CancelledParams>()
        .ok()
        .and_then(|params| params.request_id)
}

fn empty() -> Reply {
    Reply::complete(RawJson::empty_object())
}

async fn set_level(session: SessionHandle, params: Params) -> Result<Reply, ServiceError> {
    #[derive(Deserialize)]
    struct SetLevel {
        level: String,
    }
    if !session
        .service()
        .describe(&session.caller())
        .capabilities
        .logging
    {
        return Err(ServiceError::MethodNotFound("logging/setLevel".into()));
    }
    let SetLevel { level } = params.decode().map_err(invalid)?;
    let level = LogLevel::parse(&level)
        .ok_or_else(|| ServiceError::InvalidParams(format!("unknown log level {level:.32?}")))?;
    session.change(Change::LogLevel(level)).await?;
    Ok(empty())
}

#[derive(Deserialize)]
struct Subject {
    uri: String,
}

async fn subscribe(session: SessionHandle, params: Params) -> Result<Reply, ServiceError> {
    may_subscribe(&session)?;
    let Subject { uri } = params.decode().map_err(invalid)?;
    let subscriptions = session.changing().subscriptions;
    if subscriptions.contains(&uri) {
        return Ok(empty());
    }
    if subscriptions.len() >= FILTER_URIS_MAX {
        return Err(ServiceError::InvalidParams(
            "a session may subscribe to at most 1000 resources".into(),
        ));
    }
    let filter = SubscriptionFilter {
        resource_subscriptions: BTreeSet::from([uri.clone()]),
        ..SubscriptionFilter::default()
    };
    let watch = session.service().watch(&session.caller(), filter).await?;
    if watch.honoured().is_empty() {
        return Err(ServiceError::ResourceNotFound { uri });
    }
    // Kept before the standing stream hears of the change and watches for itself, so that nothing
    // falls in between.
    session.keep_watch(watch);
    session.change(Change::Subscribe(uri)).await?;
    Ok(empty())
}

async fn unsubscribe(session: SessionHandle, params: Params) -> Result<Reply, ServiceError> {
    may_subscribe(&session)?;
    let Subject { uri } = params.decode().map_err(invalid)?;
    if session.changing().subscriptions.contains(&uri) {
        session.change(Change::Unsubscribe(uri)).await?;
    }
    Ok(empty())
}

fn may_subscribe(session: &SessionHandle) -> Result<(), ServiceError> {
    if session
        .service()
        .describe(&session.caller())
        .capabilities
        .resource_subscriptions
    {
        Ok(())
    } else {
        Err(ServiceError::MethodNotFound("resources/subscribe".into()))
    }
}

fn invalid(error: impl std::fmt::Display) -> ServiceError {
    ServiceError::InvalidParams(error.to_string())
}
