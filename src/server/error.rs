//! Why a tool, prompt or resource cannot be offered.

use super::schema::SchemaError;
use crate::protocol::param_headers::AnnotationError;

/// A registration was refused; it names what was refused, so that whoever wrote it finds it.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// A tool's name would not reach every client.
    #[error("tool {0:?}: a name has 1 to 128 characters out of A-Z a-z 0-9 _ - .")]
    ToolName(String),
    /// A tool's schema cannot be used.
    #[error("tool {tool:?}: unusable {which}: {source}")]
    Schema {
        /// Whose.
        tool: String,
        /// Which of its schemas.
        which: &'static str,
        /// What is wrong with it.
        source: SchemaError,
    },
    /// A tool's header annotations cannot be used.
    #[error("tool {tool:?}: unusable x-mcp-header: {source}")]
    Header {
        /// Whose.
        tool: String,
        /// What is wrong with it.
        source: AnnotationError,
    },
    /// A resource template cannot be matched.
    #[error("resource template {template:?}: {reason}")]
    Template {
        /// Which.
        template: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two of one kind under one name.
    #[error("{kind} {name:?} is registered twice")]
    Duplicate {
        /// Of which kind.
        kind: &'static str,
        /// The name, URI or template.
        name: String,
    },
}
