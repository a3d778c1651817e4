//! Somebody's identity at their company for a token of a server: the company's provider asserts who they
//! are to the server's authorization server, which believes it (ID-JAG).
//!
//! Spec: RFC 8693; RFC 7523; the extension enterprise-managed-authorization.

use super::config::CrossApp;
use super::error::OAuthError;
use super::exchange::TOKEN_EXCHANGE;
use super::grant::{Granted, Ground, Metadata, Want};
use super::token::with_scopes;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// The company's provider asserts who somebody is; the server's authorization server believes it.
pub(super) async fn cross_app(
    config: &CrossApp,
    provider: &Metadata,
    issuer: &Metadata,
    ground: &Ground,
    want: &Want,
) -> Result<Granted, OAuthError> {
    let asked = want.scopes(&config.scopes);
    let (resource, text) = (ground.resource(config.resource.as_ref()), asked.to_string());
    let mut form = vec![
        ("grant_type", TOKEN_EXCHANGE),
        ("requested_token_type", ID_JAG),
        ("subject_token", config.identity.expose()),
        ("subject_token_type", ID_TOKEN),
        ("audience", &*config.issuer.issuer),
        ("resource", &resource),
    ];
    with_scopes(&mut form, &asked, &text);
    let endpoint = provider.endpoint(ground, &config.provider).await?;
    let asserted = ground
        .ask(&endpoint, &config.provider_client, &form)
        .await?;
    if asserted.type_of_token.as_deref() != Some(ID_JAG) {
        let what = "the identity provider gives something else than an assertion";
        return Err(OAuthError::Refused(what.to_owned()));
    }
    let mut form = vec![
        ("grant_type", JWT_BEARER),
        ("assertion", asserted.token.expose()),
    ];
    with_scopes(&mut form, &asked, &text);
    let endpoint = issuer.endpoint(ground, &config.issuer).await?;
    let issued = ground
        .ask(&endpoint, &config.client, &form)
        .await?
        .bearer()?;
    Ok(Granted { issued, asked })
}
