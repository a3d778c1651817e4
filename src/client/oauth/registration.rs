//! Which client we are at an authorization server: one that is registered there, one that it knows by
//! the URL of a document, or one that registers now.
//!
//! Spec: 2026-07-28 basic/authorization, client registration; RFC 7591; client id metadata documents.

use serde::{Deserialize, Serialize};
use url::Url;

use super::config::{AuthorizationCode, Proof, Registered};
use super::discovery::{Found, unanswered};
use super::error::OAuthError;
use super::scopes::Scopes;
use crate::egress::{Authorization, Egress};

#[derive(Serialize)]
struct Asked<'a> {
    client_name: &'a str,
    application_type: &'a str,
    redirect_uris: [&'a str; 1],
    grant_types: [&'a str; 2],
    response_types: [&'a str; 1],
    token_endpoint_auth_method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

#[derive(Deserialize)]
struct Answered {
    client_id: String,
    #[serde(default)]
    client_secret: Option<String>,
    #[serde(default)]
    token_endpoint_auth_method: Option<String>,
}

/// A client, and the way to prove itself that it was registered with.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) client: Registered,
    pub(super) method: Option<String>,
}

/// The client to be at `issuer`, whose answers are brought to `redirect`.
pub(super) async fn client(
    egress: &Egress,
    config: &AuthorizationCode,
    issuer: &Found,
    redirect: &Url,
    scopes: &Scopes,
) -> Result<Known, OAuthError> {
    if let Some(client) = &config.client {
        return Ok(Known {
            client: client.clone(),
            method: None,
        });
    }
    let takes_documents = issuer.metadata.client_id_metadata_document_supported;
    if let Some(document) = config
        .metadata_document
        .as_ref()
        .filter(|_| takes_documents)
    {
        let client = Registered {
            id: document.clone(),
            proof: Proof::Nothing,
        };
        return Ok(Known {
            client,
            method: None,
        });
    }
    register(egress, issuer, redirect, scopes).await
}

async fn register(
    egress: &Egress,
    issuer: &Found,
    redirect: &Url,
    scopes: &Scopes,
) -> Result<Known, OAuthError> {
    let at = issuer.registration_endpoint()?;
    let asked = Asked {
        client_name: "switchboard",
        // The answer comes to an address of this machine.
        application_type: "native",
        redirect_uris: [redirect.as_str()],
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
        token_endpoint_auth_method: method(
            issuer
                .metadata
                .token_endpoint_auth_methods_supported
                .as_deref(),
        ),
        scope: (!scopes.is_empty()).then(|| scopes.to_string()),
    };
    let answer = egress
        .post_json(&at, &asked, &Authorization::nothing())
        .await;
    let answer = answer.map_err(unanswered)?;
    if answer.status.is_server_error() {
        let what = format!("HTTP {} for a registration", answer.status.as_u16());
        return Err(OAuthError::Unreachable(what));
    }
    if !answer.status.is_success() {
        let what = format!("HTTP {} for a registration", answer.status.as_u16());
        return Err(OAuthError::Refused(what));
    }
    let answered = answer.json::<Answered>();
    let answered =
        answered.map_err(|_| OAuthError::Refused("what it registered is no client".to_owned()))?;
    let secret = answered.client_secret.filter(|secret| !secret.is_empty());
    Ok(Known {
        client: Registered {
            id: answered.client_id,
            proof: secret.map_or(Proof::Nothing, |secret| Proof::Secret(secret.into())),
        },
        method: answered.token_endpoint_auth_method,
    })
}

/// The way to prove itself that is asked for: one with a secret, since we can keep one.
fn method(supported: Option<&[String]>) -> &'static str {
    let Some(supported) = supported else {
        return "client_secret_basic";
    };
    let supports = |method: &&str| supported.iter().any(|it| it == method);
    let all = ["client_secret_basic", "client_secret_post", "none"];
    all.into_iter()
        .find(supports)
        .unwrap_or("client_secret_basic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_asked_for_where_one_is_of_use() {
        for (supported, expected) in [
            (None, "client_secret_basic"),
            (
                Some(&["none", "client_secret_post"][..]),
                "client_secret_post",
            ),
            (Some(&["none"]), "none"),
            (Some(&["private_key_jwt"]), "client_secret_basic"),
        ] {
            let supported: Option<Vec<_>> =
                supported.map(|all| all.iter().map(ToString::to_string).collect());
            assert_eq!(method(supported.as_deref()), expected);
        }
    }
}
