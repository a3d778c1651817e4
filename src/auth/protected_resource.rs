//! The protected resource metadata: what tells a client where to get a token for an endpoint.
//!
//! [`ProtectedResource`] is the document, [`paths`] is where an endpoint serves it, and
//! [`ProtectedResource::metadata_url`] is what a challenge points to. All come from configuration,
//! never from a request: whoever could choose the host could choose where tokens are sent.
//!
//! It does not serve the document; the transport does, to everybody.
//!
//! Spec: RFC 9728 sections 2 and 3; MCP authorization, protected resource metadata.

use serde_json::{Value, json};

/// Where the document of the root stands, and the beginning of every other's path.
pub const ROOT: &str = "/.well-known/oauth-protected-resource";

/// A scope that asks for refresh tokens: between a client and its issuer, no business of ours.
const OFFLINE_ACCESS: &str = "offline_access";

/// What an endpoint says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectedResource {
    /// Its canonical URL, as clients know it. Tokens must name it as their audience.
    pub resource: url::Url,
    /// Who issues tokens for it.
    pub authorization_servers: Vec<String>,
    /// The smallest set of scopes that is of use.
    pub scopes: Vec<String>,
    /// Its name for people.
    pub name: String,
}

impl ProtectedResource {
    /// The resource as tokens and the document write it: a root has no slash at its end.
    #[must_use]
    pub fn identifier(&self) -> &str {
        let text = self.resource.as_str();
        text.strip_suffix('/').unwrap_or(text)
    }

    /// The document.
    #[must_use]
    pub fn document(&self) -> Value {
        let scopes = self.scopes.iter().filter(|scope| *scope != OFFLINE_ACCESS);
        let mut document = json!({
            "resource": self.identifier(),
            "authorization_servers": self.authorization_servers,
            "bearer_methods_supported": ["header"],
            "resource_name": self.name,
        });
        let scopes: Vec<_> = scopes.collect();
        // An empty list would say that there are none; that nothing is said leaves it open.
        if !scopes.is_empty() {
            document["scopes_supported"] = json!(scopes);
        }
        document
    }

    /// The document's own URL, for challenges.
    #[must_use]
    pub fn metadata_url(&self) -> url::Url {
        let mut url = self.resource.clone();
        let path = path_of(url.path());
        url.set_path(&path);
        url
    }
}

/// The paths at which the endpoint at `path` serves its document: the well-known one, and the one
/// that some clients make by appending.
#[must_use]
pub fn paths(path: &str) -> Vec<String> {
    let path = path.trim_end_matches('/');
    let mut paths = vec![path_of(path)];
    if !path.is_empty() {
        paths.push(format!("{path}{ROOT}"));
    }
    paths
}

fn path_of(path: &str) -> String {
    format!("{ROOT}{}", path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(url: &str, scopes: &[&str]) -> ProtectedResource {
        ProtectedResource {
            resource: url.parse().unwrap(),
            authorization_servers: vec!["https://issuer.example".to_owned()],
            scopes: scopes.iter().map(ToString::to_string).collect(),
            name: "Tickets".to_owned(),
        }
    }

    #[test]
    fn the_document_says_where_to_get_a_token_for_what() {
        assert_eq!(
            resource("https://h.example/mcp", &["mcp:tools", "offline_access"]).document(),
            json!({
                "resource": "https://h.example/mcp",
                "authorization_servers": ["https://issuer.example"],
                "scopes_supported": ["mcp:tools"],
                "bearer_methods_supported": ["header"],
                "resource_name": "Tickets",
            })
        );
        let document = resource("https://h.example/mcp", &["offline_access"]).document();
        assert_eq!(document.get("scopes_supported"), None);
    }

    #[test]
    fn a_resource_is_written_in_one_way_only() {
        for (written, identifier, metadata) in [
            (
                "https://H.example",
                "https://h.example",
                "https://h.example/.well-known/oauth-protected-resource",
            ),
            (
                "https://h.example:443/mcp",
                "https://h.example/mcp",
                "https://h.example/.well-known/oauth-protected-resource/mcp",
            ),
            (
                "HTTPS://h.example:8443/a/b/",
                "https://h.example:8443/a/b",
                "https://h.example:8443/.well-known/oauth-protected-resource/a/b",
            ),
        ] {
            let resource = resource(written, &[]);
            assert_eq!(resource.identifier(), identifier);
            assert_eq!(resource.metadata_url().as_str(), metadata);
        }
    }

    #[test]
    fn a_document_is_found_by_old_and_new_clients() {
        assert_eq!(paths("/"), [ROOT]);
        assert_eq!(
            paths("/mcp"),
            [
                "/.well-known/oauth-protected-resource/mcp",
                "/mcp/.well-known/oauth-protected-resource"
            ]
        );
    }
}
