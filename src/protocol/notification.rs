//! Notifications, both directions.
//!
//! Spec: basic/utilities/progress and cancellation, server/utilities/logging.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::jsonrpc::{ProgressToken, RequestId};
use super::logging::LogLevel;
use super::raw::RawJson;

/// A notification a server sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerNotification {
    /// Its method.
    pub method: &'static str,
    /// Its parameters, an object.
    pub params: RawJson,
}

/// An amount of progress: any number, written without a fraction where it has none.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Quantity(pub f64);

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Up to here every integer is exact, so the conversion loses nothing.
        const EXACT: f64 = 9_007_199_254_740_991.0;
        if self.0.fract() == 0.0 && self.0.abs() <= EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
            let whole = self.0 as i64;
            serializer.serialize_i64(whole)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// Parameters of `notifications/progress`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The token the request gave.
    pub progress_token: ProgressToken,
    /// How far; strictly increasing.
    pub progress: Quantity,
    /// Out of how much, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Quantity>,
    /// What is being done; not known to 2024-11-05.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Parameters of `notifications/message`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogMessage {
    /// How severe.
    pub level: LogLevel,
    /// Who says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logger: Option<String>,
    /// What it says.
    pub data: Value,
}

impl ServerNotification {
    /// The method that says that a visit to a URL is over (2025-11-25 client/elicitation).
    pub const VISIT_OVER: &str = "notifications/elicitation/complete";
    /// The method of progress notifications.
    pub const PROGRESS: &str = "notifications/progress";

    /// `notifications/progress`
    #[must_use]
    pub fn progress(progress: &Progress) -> Self {
        Self {
            method: Self::PROGRESS,
            params: RawJson::of(progress),
        }
    }

    /// `notifications/message`
    #[must_use]
    pub fn log(message: &LogMessage) -> Self {
        Self {
            method: "notifications/message",
            params: RawJson::of(message),
        }
    }

    /// `notifications/cancelled` for a question of ours that no longer needs an answer.
    #[must_use]
    pub fn cancelled(request_id: &RequestId, reason: &str) -> Self {
        Self {
            method: "notifications/cancelled",
            params: RawJson::of(&serde_json::json!({"requestId": request_id, "reason": reason})),
        }
    }
}

/// Parameters of `notifications/cancelled` from a client.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelledParams {
    /// Which request; optional in the schema of 2025-11-25, where it then means nothing to us.
    #[serde(default)]
    pub request_id: Option<RequestId>,
}
