//! What a tool's function gives back: a result of some kind, or an error of some kind.
//!
//! [`IntoToolResult`] is what makes a text, content blocks or a [`Structured`] value a result;
//! [`ToolError`] tells a failure that the model should read from one of the call itself.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::ask::NoAnswer;
use super::schema;
use crate::protocol::content::Content;
use crate::protocol::tool::ToolResult;
use crate::service::ServiceError;

/// Why a tool has no result.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It failed, and the model should read why.
    #[error("the tool failed")]
    Failed(ToolResult),
    /// Its arguments do not fit, in a way its schema does not say.
    #[error("invalid arguments: {0}")]
    Arguments(String),
    /// The call itself failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl ToolError {
    /// A failure, explained to the model. The text reaches the client as it is.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self::Failed(ToolResult::error(text))
    }

    /// A fault of ours: logged here, and not explained to anybody else.
    #[must_use]
    pub fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "tool met an internal error");
        Self::Service(ServiceError::Internal)
    }
}

impl From<String> for ToolError {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for ToolError {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<NoAnswer> for ToolError {
    fn from(error: NoAnswer) -> Self {
        Self::new(error.to_string())
    }
}

/// What a tool's function may give back.
pub trait IntoToolResult {
    /// The schema of the structured result, if there is one.
    #[must_use]
    fn output_schema() -> Option<Value> {
        None
    }

    /// The result.
    fn into_tool_result(self) -> ToolResult;
}

impl IntoToolResult for ToolResult {
    fn into_tool_result(self) -> ToolResult {
        self
    }
}

impl IntoToolResult for String {
    fn into_tool_result(self) -> ToolResult {
        ToolResult::text(self)
    }
}

impl IntoToolResult for &'static str {
    fn into_tool_result(self) -> ToolResult {
        ToolResult::text(self)
    }
}

impl IntoToolResult for Content {
    fn into_tool_result(self) -> ToolResult {
        ToolResult::blocks(vec![self])
    }
}

impl IntoToolResult for Vec<Content> {
    fn into_tool_result(self) -> ToolResult {
        ToolResult::blocks(self)
    }
}

/// A structured result; its type is the tool's output schema.
#[derive(Clone, Copy, Debug)]
pub struct Structured<T>(pub T);

impl<T: Serialize + JsonSchema> IntoToolResult for Structured<T> {
    fn output_schema() -> Option<Value> {
        Some(schema::of_result::<T>())
    }

    fn into_tool_result(self) -> ToolResult {
        // A value that cannot be written leaves the result without its structured part, which the
        // output schema then refuses.
        serde_json::to_value(&self.0).map_or_else(
            |error| {
                tracing::error!(%error, "structured result cannot be written");
                ToolResult::default()
            },
            ToolResult::structured,
        )
    }
}
