//! What a client may subscribe to, and how a listen stream speaks.
//!
//! Spec: 2026-07-28 basic/patterns/subscriptions; server/resources, subscriptions (2025-11-25).

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::jsonrpc::{Params, RequestId};
use super::meta::SUBSCRIPTION_ID_KEY;
use super::notification::ServerNotification;
use super::raw::{self, RawJson, ShapeError};

/// Most resource URIs in one filter or one session.
pub const FILTER_URIS_MAX: usize = 1_000;
/// Most task ids in one filter: each is looked up in the store when the stream opens.
pub const FILTER_TASKS_MAX: usize = 100;

/// Which changes somebody wants to hear of, or is allowed to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionFilter {
    /// The list of tools changed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tools_list_changed: bool,
    /// The list of prompts changed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub prompts_list_changed: bool,
    /// The list of resources changed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub resources_list_changed: bool,
    /// One of these resources changed.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub resource_subscriptions: BTreeSet<String>,
    /// The status of one of these tasks changed (extension `io.modelcontextprotocol/tasks`).
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub task_ids: BTreeSet<String>,
    /// The status of a task of this session changed (2025-11-25). Nobody writes it on the wire: a
    /// session hears of its own tasks without asking.
    #[serde(skip)]
    pub tasks_of: Option<Arc<str>>,
}

impl SubscriptionFilter {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl SubscriptionFilter {
    /// Reads the filter of a `subscriptions/listen` request. The member is required, though every
    /// part of it is optional.
    ///
    /// # Errors
    /// When it is missing, malformed or names too many resources.
    pub fn of(params: &Params) -> Result<Self, ShapeError> {
        #[derive(Deserialize)]
        struct ListenParams<'a> {
            #[serde(borrow)]
            notifications: &'a RawValue,
        }
        let params: ListenParams<'_> = params.decode()?;
        let filter: Self = raw::decode(params.notifications.get())?;
        if filter.resource_subscriptions.len() > FILTER_URIS_MAX {
            return Err(ShapeError::new(
                "at most 1000 `resourceSubscriptions` are taken",
            ));
        }
        if filter.task_ids.len() > FILTER_TASKS_MAX {
            return Err(ShapeError::new("at most 100 `taskIds` are taken"));
        }
        Ok(filter)
    }
}

/// One thing that changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Change {
    /// The list of tools.
    Tools,
    /// The list of prompts.
    Prompts,
    /// The list of resources.
    Resources,
    /// The resource at this URI.
    Resource(String),
    /// The status of the task of this id.
    Task(String),
}

impl Change {
    /// The notification as a session hears it; `None` for a task, whose notification says how it
    /// stands and so cannot be made of its id alone.
    #[must_use]
    pub fn notification(&self) -> Option<ServerNotification> {
        let list = |method| ServerNotification {
            method,
            params: RawJson::empty_object(),
        };
        match self {
            Self::Tools => Some(list("notifications/tools/list_changed")),
            Self::Prompts => Some(list("notifications/prompts/list_changed")),
            Self::Resources => Some(list("notifications/resources/list_changed")),
            Self::Resource(uri) => Some(ServerNotification {
                method: "notifications/resources/updated",
                params: RawJson::of(&json!({"uri": uri})),
            }),
            Self::Task(_) => None,
        }
    }
}

/// A notification as a listen stream says it: it names the listen request.
#[must_use]
pub fn on_listen(notification: &ServerNotification, listen: &RequestId) -> ServerNotification {
    ServerNotification {
        method: notification.method,
        params: notification.params.with_meta(&subscription_meta(listen)),
    }
}

/// The first message of a listen stream: what of the filter is honoured.
#[must_use]
pub fn acknowledgement(listen: &RequestId, honoured: &SubscriptionFilter) -> ServerNotification {
    ServerNotification {
        method: "notifications/subscriptions/acknowledged",
        params: RawJson::of(
            &json!({"_meta": subscription_meta(listen), "notifications": honoured}),
        ),
    }
}

/// The `_meta` that ties a message to its listen request; the id keeps its JSON type.
#[must_use]
pub fn subscription_meta(listen: &RequestId) -> Value {
    json!({SUBSCRIPTION_ID_KEY: listen})
}
