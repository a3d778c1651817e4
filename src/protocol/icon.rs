//! Pictures of things in lists, and what each revision knows of what is told beside them.
//!
//! Spec: basic/index, icons (from 2025-11-25) and `_meta` (from 2025-06-18 on definitions).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::version::ProtocolVersion;

/// A picture. Clients show it as they like, or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Icon {
    /// Where it is: an `https:` URL, or a `data:` one with the picture itself.
    pub src: String,
    /// What kind of picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// For which sizes it was made, as in `48x48`, or `any`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<String>,
    /// For which background it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theme: Option<Theme>,
}

/// The background a picture was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    /// A light one.
    Light,
    /// A dark one.
    Dark,
}

impl Icon {
    /// A picture at a URL. Clients take `https:` and `data:` only.
    #[must_use]
    pub fn new(src: impl Into<String>) -> Self {
        Self {
            src: src.into(),
            mime_type: None,
            sizes: Vec::new(),
            theme: None,
        }
    }

    /// Says what kind of picture it is.
    #[must_use]
    pub fn mime_type(mut self, mime_type: impl Into<String>) -> Self {
        self.mime_type = Some(mime_type.into());
        self
    }

    /// Says for which size it was made, as in `48x48`, or `any`; may be said several times.
    #[must_use]
    pub fn size(mut self, size: impl Into<String>) -> Self {
        self.sizes.push(size.into());
        self
    }

    /// Says for which background it was made.
    #[must_use]
    pub const fn theme(mut self, theme: Theme) -> Self {
        self.theme = Some(theme);
        self
    }
}

/// Takes away what `version` does not know.
pub fn fit(icons: &mut Vec<Icon>, meta: &mut Map<String, Value>, version: ProtocolVersion) {
    if version < ProtocolVersion::V2025_11_25 {
        icons.clear();
    }
    if version < ProtocolVersion::V2025_06_18 {
        meta.clear();
    }
}
