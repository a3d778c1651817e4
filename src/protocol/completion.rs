//! Completion of arguments while they are typed.
//!
//! Spec: server/utilities/completion (all revisions; `context` from 2025-06-18).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::raw;

/// Most values in one answer.
pub const COMPLETION_VALUES_MAX: usize = 100;

/// Parameters of `completion/complete`.
#[derive(Debug, Deserialize)]
pub struct CompleteParams {
    /// Whose argument is typed.
    #[serde(rename = "ref", deserialize_with = "raw::object")]
    pub reference: CompletionReference,
    /// What has been typed.
    #[serde(deserialize_with = "raw::object")]
    pub argument: TypedArgument,
    /// What is known besides.
    #[serde(default)]
    pub context: Option<CompletionContext>,
}

/// Whose argument is typed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type")]
pub enum CompletionReference {
    /// A prompt's.
    #[serde(rename = "ref/prompt")]
    Prompt {
        /// Its name.
        name: String,
    },
    /// A resource template's.
    #[serde(rename = "ref/resource")]
    Resource {
        /// The template, as listed.
        uri: String,
    },
}

/// What has been typed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TypedArgument {
    /// Into which argument.
    pub name: String,
    /// So far.
    pub value: String,
}

/// What is known besides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct CompletionContext {
    /// Arguments already filled in.
    #[serde(default)]
    pub arguments: BTreeMap<String, String>,
}

/// Result of `completion/complete`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CompleteResult {
    /// What could stand there.
    pub completion: Completion,
}

/// What could stand there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Completion {
    /// At most [`COMPLETION_VALUES_MAX`], best first.
    pub values: Vec<String>,
    /// How many there are in all.
    pub total: usize,
    /// Whether there are more than stand here.
    pub has_more: bool,
}

impl From<Vec<String>> for Completion {
    fn from(mut values: Vec<String>) -> Self {
        let total = values.len();
        values.truncate(COMPLETION_VALUES_MAX);
        Self {
            has_more: total > values.len(),
            total,
            values,
        }
    }
}
