//! A caller as they are described on the command line and in files of cases.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::auth::user;
use crate::identity::{Caller, Principal, Proof};

/// A caller. Whoever has an `owner` came with an API key, others with a token.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Who {
    /// The tenant; `default` if nothing is said.
    pub(super) tenant: Option<String>,
    /// Who it is.
    pub(super) user: Option<String>,
    /// The owner of the API key.
    pub(super) owner: Option<String>,
    /// The subject of the client certificate.
    pub(super) certificate: Option<String>,
    /// Roles that the credential gives.
    pub(super) roles: Vec<String>,
    /// Scopes that were granted.
    pub(super) scopes: Vec<String>,
    /// What the credential claims.
    pub(super) claims: Map<String, Value>,
}

impl Who {
    /// As somebody who was authenticated.
    pub(super) fn caller(&self) -> Caller {
        let tenant = self.tenant.as_deref().unwrap_or(Caller::DEFAULT_TENANT);
        let (proof, name) = match (&self.owner, &self.certificate) {
            (Some(owner), _) => (
                Proof::ApiKey {
                    id: "example".into(),
                    owner: owner.as_str().into(),
                },
                owner,
            ),
            (None, Some(subject)) => (Proof::Certificate, subject),
            (None, None) => (
                Proof::Token {
                    issuer: "example".into(),
                },
                &String::new(),
            ),
        };
        // As whoever presents a key of theirs is called.
        let owned = self.owner.as_ref().map(|owner| user::of_owner(owner));
        let user = self
            .user
            .as_ref()
            .or(owned.as_ref())
            .unwrap_or(name)
            .as_str();
        Caller {
            tenant: tenant.into(),
            user: user.into(),
            proof,
            roles: self.roles.iter().map(|role| role.as_str().into()).collect(),
            scopes: self
                .scopes
                .iter()
                .map(|scope| scope.as_str().into())
                .collect(),
            claims: self.claims.clone(),
            ..Caller::of(Principal::of_subject(tenant, "example", user, ""))
        }
    }
}
