//! What a client can be asked, small enough to be part of a key.
//!
//! A session-era upstream learns what it may ask once, at `initialize`, so clients share a session
//! with it only if they can be asked the same. More is never declared than the client can do: the
//! upstream would ask what nobody can answer.
//!
//! Spec: basic/lifecycle, capability negotiation (all revisions).

use serde_json::{Map, Value, json};

use crate::protocol::capabilities::{
    APP_MIME_TYPE, APPS_EXTENSION, ClientCapabilities, ClientCapability,
};
use crate::protocol::raw::RawJson;
use crate::protocol::version::ProtocolVersion;

/// A set of client capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct CapabilitySet(u8);

const FORM: u8 = 1;
const URL: u8 = 1 << 1;
const SAMPLING: u8 = 1 << 2;
const SAMPLING_TOOLS: u8 = 1 << 3;
const SAMPLING_CONTEXT: u8 = 1 << 4;
const ROOTS: u8 = 1 << 5;
/// Nothing to be asked, but servers show other tools to clients that have it.
const APPS: u8 = 1 << 6;

impl CapabilitySet {
    /// What a client of `version` declared, as far as that revision knows it.
    pub(crate) fn of(declared: &ClientCapabilities, version: ProtocolVersion) -> Self {
        let bits = [
            (declared.elicitation_form, FORM),
            (declared.elicitation_url, URL),
            (declared.sampling, SAMPLING),
            (declared.sampling && declared.sampling_tools, SAMPLING_TOOLS),
            (
                declared.sampling && declared.sampling_context,
                SAMPLING_CONTEXT,
            ),
            (declared.roots, ROOTS),
            (declared.apps, APPS),
        ];
        let declared = bits.into_iter().filter(|(is_declared, _)| *is_declared);
        Self(declared.fold(0, |set, (_, bit)| set | bit)).known_in(version)
    }

    /// The set as one byte, to be read again by [`Self::from_bits`].
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// The set of these bits.
    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Everything a client can be asked.
    pub(crate) const fn all() -> Self {
        Self(FORM | URL | SAMPLING | SAMPLING_TOOLS | SAMPLING_CONTEXT | ROOTS | APPS)
    }

    /// What of it `version` knows. Sets that differ only in what an upstream cannot know are one
    /// key.
    pub(crate) const fn known_in(self, version: ProtocolVersion) -> Self {
        let known = match version {
            ProtocolVersion::V2024_11_05 | ProtocolVersion::V2025_03_26 => SAMPLING | ROOTS,
            ProtocolVersion::V2025_06_18 => FORM | SAMPLING | ROOTS,
            ProtocolVersion::V2025_11_25 | ProtocolVersion::V2026_07_28 => u8::MAX,
        };
        // Hosts of MCP Apps declare them in every revision.
        Self(self.0 & (known | APPS))
    }

    /// Whether it holds this. Tasks are no part of it: none are offered to upstreams.
    pub(crate) const fn has(self, needed: ClientCapability) -> bool {
        let bit = match needed {
            ClientCapability::ElicitationForm => FORM,
            ClientCapability::ElicitationUrl => URL,
            ClientCapability::Sampling => SAMPLING,
            ClientCapability::SamplingTools => SAMPLING_TOOLS,
            ClientCapability::Roots => ROOTS,
            ClientCapability::Tasks => return false,
        };
        self.0 & bit != 0
    }

    /// Whether its model may be given what the client knows from its servers.
    pub(crate) const fn has_sampling_context(self) -> bool {
        self.0 & SAMPLING_CONTEXT != 0
    }

    /// Whether the client can be asked anything.
    pub(crate) const fn can_be_asked(self) -> bool {
        self.0 & (FORM | URL | SAMPLING | ROOTS) != 0
    }

    /// How it is declared to an upstream of `version`. Changes of roots are not announced, so that
    /// is not promised.
    pub(crate) fn declaration(self, version: ProtocolVersion) -> RawJson {
        let set = self.known_in(version);
        if set.0 == 0 {
            return RawJson::empty_object();
        }
        let parts = |parts: &[(u8, &str)]| -> Value {
            let held = parts.iter().filter(|(bit, _)| set.0 & bit != 0);
            held.map(|(_, name)| ((*name).to_owned(), json!({})))
                .collect::<Map<_, _>>()
                .into()
        };
        let mut declared = Map::new();
        if set.0 & (FORM | URL) != 0 {
            let modes = if version < ProtocolVersion::V2025_11_25 {
                json!({})
            } else {
                parts(&[(FORM, "form"), (URL, "url")])
            };
            declared.insert("elicitation".into(), modes);
        }
        if set.0 & SAMPLING != 0 {
            let with = parts(&[(SAMPLING_TOOLS, "tools"), (SAMPLING_CONTEXT, "context")]);
            declared.insert("sampling".into(), with);
        }
        if set.0 & ROOTS != 0 {
            declared.insert("roots".into(), json!({}));
        }
        if set.0 & APPS != 0 {
            let settings = json!({"mimeTypes": [APP_MIME_TYPE]});
            declared.insert("extensions".into(), json!({APPS_EXTENSION: settings}));
        }
        RawJson::of(&declared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProtocolVersion::{V2024_11_05, V2025_03_26, V2025_06_18, V2025_11_25, V2026_07_28};

    fn set(declared: &Value, version: ProtocolVersion) -> CapabilitySet {
        let declared = ClientCapabilities::parse(RawJson::of(declared)).unwrap();
        CapabilitySet::of(&declared, version)
    }

    #[test]
    fn each_revision_is_declared_what_it_knows_and_the_client_can() {
        let all = json!({
            "elicitation": {"form": {}, "url": {}},
            "sampling": {"tools": {}, "context": {}},
            "roots": {"listChanged": true},
            "tasks": {},
            "experimental": {"x": {}},
            "extensions": {"a/b": {}},
        });
        let modern = json!({
            "elicitation": {"form": {}, "url": {}},
            "sampling": {"tools": {}, "context": {}},
            "roots": {},
        });
        let forms = json!({"elicitation": {}, "sampling": {}, "roots": {}});
        let oldest = json!({"sampling": {}, "roots": {}});
        let modern_forms = json!({"elicitation": {"form": {}}, "sampling": {}, "roots": {}});
        let urls = json!({"elicitation": {"url": {}}});
        let apps = json!({"extensions": {APPS_EXTENSION: {"mimeTypes": [APP_MIME_TYPE]}}});
        for (declared, client, upstream, sent) in [
            (&all, V2026_07_28, V2026_07_28, &modern),
            (&all, V2026_07_28, V2025_11_25, &modern),
            (&all, V2026_07_28, V2025_06_18, &forms),
            (&all, V2026_07_28, V2025_03_26, &oldest),
            (&all, V2025_11_25, V2024_11_05, &oldest),
            (&all, V2025_06_18, V2026_07_28, &modern_forms),
            (&all, V2024_11_05, V2026_07_28, &oldest),
            (&urls, V2025_11_25, V2025_06_18, &json!({})),
            (&urls, V2025_11_25, V2026_07_28, &urls),
            (
                &json!({"elicitation": {}}),
                V2025_11_25,
                V2026_07_28,
                &json!({"elicitation": {"form": {}}}),
            ),
            (&apps, V2025_06_18, V2024_11_05, &apps),
            (&json!({}), V2026_07_28, V2026_07_28, &json!({})),
        ] {
            let set = set(declared, client);
            assert_eq!(
                set.declaration(upstream).to_value(),
                *sent,
                "{client} to {upstream}"
            );
        }
    }

    #[test]
    fn sets_that_an_upstream_cannot_tell_apart_are_one_key() {
        let with_urls = set(
            &json!({"elicitation": {"form": {}, "url": {}}}),
            V2026_07_28,
        );
        let forms_only = set(&json!({"elicitation": {}}), V2025_06_18);
        assert_ne!(with_urls, forms_only);
        assert_eq!(with_urls.known_in(V2025_06_18), forms_only);
        assert!(with_urls.can_be_asked());
        assert!(!with_urls.known_in(V2025_03_26).can_be_asked());
    }
}
