//! Content blocks: what tools, prompts and models say.
//!
//! [`Content`] holds one block of any kind; [`Content::for_version`] gives the form in which a
//! revision that does not know the kind can still show it.
//!
//! Spec: server/tools, tool result (all revisions); `audio` from 2025-03-26, `resource_link` from
//! 2025-06-18.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::encode;
use super::version::ProtocolVersion;

/// Who speaks in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// For whom something is meant, and how much it matters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Annotations {
    /// Who should see it; empty means anybody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<Role>,
    /// Between 0 (optional) and 1 (required).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<f64>,
    /// When it last changed, ISO 8601; from 2025-06-18.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
}

/// One block of content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    /// Words.
    Text {
        /// The words.
        text: String,
        /// For whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        annotations: Option<Annotations>,
    },
    /// A picture.
    #[serde(rename_all = "camelCase")]
    Image {
        /// Its bytes in base64.
        data: String,
        /// What kind of picture.
        mime_type: String,
        /// For whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        annotations: Option<Annotations>,
    },
    /// Sound; from 2025-03-26.
    #[serde(rename_all = "camelCase")]
    Audio {
        /// Its bytes in base64.
        data: String,
        /// What kind of sound.
        mime_type: String,
        /// For whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        annotations: Option<Annotations>,
    },
    /// A resource's contents, put in place.
    Resource {
        /// The contents.
        resource: ResourceContents,
        /// For whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        annotations: Option<Annotations>,
    },
    /// A pointer to a resource; from 2025-06-18.
    #[serde(rename_all = "camelCase")]
    ResourceLink {
        /// Where it is.
        uri: String,
        /// Its name.
        name: String,
        /// What it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// What kind of thing it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
        /// For whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        annotations: Option<Annotations>,
    },
}

/// The contents of a resource: text or bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceContents {
    /// Where it is.
    pub uri: String,
    /// What kind of thing it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// What it holds.
    #[serde(flatten)]
    pub body: ResourceBody,
}

/// What a resource holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceBody {
    /// Text.
    Text(String),
    /// Bytes in base64.
    Blob(String),
}

impl ResourceBody {
    /// A body of bytes.
    #[must_use]
    pub fn bytes(bytes: &[u8]) -> Self {
        Self::Blob(STANDARD.encode(bytes))
    }
}

impl From<String> for ResourceBody {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for ResourceBody {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<u8>> for ResourceBody {
    fn from(bytes: Vec<u8>) -> Self {
        Self::bytes(&bytes)
    }
}

impl Content {
    /// A block of text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text {
            text: text.into(),
            annotations: None,
        }
    }

    /// A picture from its bytes.
    #[must_use]
    pub fn image(bytes: &[u8], mime_type: impl Into<String>) -> Self {
        Self::Image {
            data: STANDARD.encode(bytes),
            mime_type: mime_type.into(),
            annotations: None,
        }
    }

    /// Sound from its bytes.
    #[must_use]
    pub fn audio(bytes: &[u8], mime_type: impl Into<String>) -> Self {
        Self::Audio {
            data: STANDARD.encode(bytes),
            mime_type: mime_type.into(),
            annotations: None,
        }
    }

    /// A resource's contents, put in place.
    #[must_use]
    pub fn resource(
        uri: impl Into<String>,
        mime_type: impl Into<String>,
        body: impl Into<ResourceBody>,
    ) -> Self {
        Self::Resource {
            resource: ResourceContents {
                uri: uri.into(),
                mime_type: Some(mime_type.into()),
                body: body.into(),
            },
            annotations: None,
        }
    }

    /// A pointer to a resource.
    #[must_use]
    pub fn link(uri: impl Into<String>, name: impl Into<String>) -> Self {
        Self::ResourceLink {
            uri: uri.into(),
            name: name.into(),
            description: None,
            mime_type: None,
            annotations: None,
        }
    }

    /// The words of a text block.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } => Some(text),
            Self::Image { .. }
            | Self::Audio { .. }
            | Self::Resource { .. }
            | Self::ResourceLink { .. } => None,
        }
    }

    /// Appends the JSON text of the block.
    pub fn push_to(&self, out: &mut String) {
        match self {
            // By far the most; what serde would write, without its detours.
            Self::Text {
                text,
                annotations: None,
            } => {
                out.push_str(r#"{"type":"text","text":"#);
                encode::push_string(out, text);
                out.push('}');
            }
            Self::Text { .. }
            | Self::Image { .. }
            | Self::Audio { .. }
            | Self::Resource { .. }
            | Self::ResourceLink { .. } => encode::push(out, self),
        }
    }

    /// The block as `version` can show it: a kind it does not know becomes text.
    #[must_use]
    pub fn for_version(&self, version: ProtocolVersion) -> Cow<'_, Self> {
        match self {
            Self::Audio {
                data, mime_type, ..
            } if version < ProtocolVersion::V2025_03_26 => {
                // Four characters of base64 stand for three bytes, less the padding.
                let padding = data.bytes().rev().take_while(|byte| *byte == b'=').count();
                let bytes = (data.len() / 4 * 3).saturating_sub(padding);
                Cow::Owned(Self::text(format!("[audio: {mime_type}, {bytes} bytes]")))
            }
            Self::ResourceLink {
                uri,
                name,
                description,
                ..
            } if version < ProtocolVersion::V2025_06_18 => {
                let mut text = format!("{name}: {uri}");
                if let Some(description) = description {
                    text.push('\n');
                    text.push_str(description);
                }
                Cow::Owned(Self::text(text))
            }
            Self::Text { .. }
            | Self::Image { .. }
            | Self::Audio { .. }
            | Self::Resource { .. }
            | Self::ResourceLink { .. } => Cow::Borrowed(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_has_its_wire_form() {
        for (content, wire) in [
            (Content::text("a"), json!({"type": "text", "text": "a"})),
            (
                Content::image(b"abc", "image/png"),
                json!({"type": "image", "data": "YWJj", "mimeType": "image/png"}),
            ),
            (
                Content::resource("a:b", "text/plain", "x"),
                json!({"type": "resource",
                       "resource": {"uri": "a:b", "mimeType": "text/plain", "text": "x"}}),
            ),
            (
                Content::resource("a:b", "image/png", b"abc".to_vec()),
                json!({"type": "resource",
                       "resource": {"uri": "a:b", "mimeType": "image/png", "blob": "YWJj"}}),
            ),
            (
                Content::link("a:b", "x"),
                json!({"type": "resource_link", "uri": "a:b", "name": "x"}),
            ),
        ] {
            assert_eq!(serde_json::to_value(&content).unwrap(), wire);
            let mut text = String::new();
            content.push_to(&mut text);
            assert_eq!(text, serde_json::to_string(&content).unwrap());
            assert_eq!(serde_json::from_value::<Content>(wire).unwrap(), content);
        }
    }

    #[test]
    fn kinds_a_revision_does_not_know_become_text() {
        use ProtocolVersion::{V2024_11_05, V2025_03_26, V2025_06_18};
        let audio = Content::audio(b"abcd", "audio/wav");
        let link = Content::link("a:b", "x");
        for (content, version, text) in [
            (&audio, V2024_11_05, Some("[audio: audio/wav, 4 bytes]")),
            (&audio, V2025_03_26, None),
            (&link, V2025_03_26, Some("x: a:b")),
            (&link, V2025_06_18, None),
        ] {
            assert_eq!(content.for_version(version).as_text(), text, "{version}");
        }
    }
}
