//! The handshake of the session era and the discovery that replaced it.
//!
//! Spec: basic/lifecycle (2025-11-25, initialization); 2026-07-28 server/discover.

use serde::{Deserialize, Serialize};

use super::raw::{self, RawJson};

/// Who a client or a server says it is. Display data only: nothing may depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Implementation {
    /// Its programmatic name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// One or two sentences about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub website_url: Option<String>,
}

/// Parameters of `initialize`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitializeParams {
    /// The version the client would like.
    pub protocol_version: String,
    /// What it can do.
    pub capabilities: RawJson,
    /// Who it is.
    #[serde(deserialize_with = "raw::object")]
    pub client_info: Implementation,
}
