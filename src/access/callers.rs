//! From a proof that holds to the caller it proves, with the roles that the rules bind to them.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::sync::Arc;

use dashmap::DashMap;
use serde_json::json;

use super::rules::Present;
use crate::auth::certificate::Subject;
use crate::auth::proxy::Asserted;
use crate::auth::token::Verified;
use crate::auth::user;
use crate::identity::{Caller, Principal, Proof};
use crate::keyring::KeyRecord;

/// Callers that are kept of each kind. After that many all are given up at once: they come back with
/// their next requests.
const CALLERS_MAX: usize = 10_000;

/// Callers, as they were last seen: requests with one credential are of one value, which saves building
/// it and makes it quick to compare.
#[derive(Debug)]
pub(super) struct Callers {
    rules: Present,
    by_key: Known<String, KeyRecord>,
    by_token: Known<usize, Verified>,
}

/// What was proven, under which policy, and by whom.
type Known<K, P> = DashMap<K, (Arc<P>, Arc<str>, Arc<Caller>)>;

impl Callers {
    pub(super) fn new(rules: Present) -> Self {
        Self {
            rules,
            by_key: DashMap::new(),
            by_token: DashMap::new(),
        }
    }

    pub(super) fn of_key(&self, record: &Arc<KeyRecord>) -> Arc<Caller> {
        self.known(&self.by_key, record.id.clone(), record, || Caller {
            principal: Principal::of_owner(&record.tenant, &record.owner),
            tenant: record.tenant.as_str().into(),
            user: record.user().into(),
            client: None,
            proof: Proof::ApiKey {
                id: record.id.as_str().into(),
                owner: record.owner.as_str().into(),
            },
            roles: shared(&record.roles),
            bound: BTreeSet::new(),
            scopes: shared(&record.scopes),
            claims: serde_json::Map::new(),
        })
    }

    pub(super) fn of_token(&self, token: &Arc<Verified>) -> Arc<Caller> {
        // While it is kept no other has its address.
        let address = Arc::as_ptr(token).addr();
        self.known(&self.by_token, address, token, || {
            let client = token.client.as_deref().unwrap_or_default();
            let (tenant, issuer, subject) = (&token.tenant, &token.issuer, &token.subject);
            Caller {
                principal: Principal::of_subject(tenant, issuer, subject, client),
                tenant: tenant.clone(),
                user: user::of_token(issuer, subject).into(),
                client: token.client.clone(),
                proof: Proof::Token {
                    issuer: issuer.clone(),
                },
                roles: BTreeSet::new(),
                bound: BTreeSet::new(),
                scopes: token.scopes.clone(),
                claims: token.claims.clone(),
            }
        })
    }

    pub(super) fn of_proxy(&self, asserted: &Asserted) -> Arc<Caller> {
        let tenant = asserted.tenant.as_deref().unwrap_or(Caller::DEFAULT_TENANT);
        let client = asserted.client.as_deref().unwrap_or_default();
        self.bound(Caller {
            principal: Principal::of_subject(tenant, "proxy", &asserted.subject, client),
            tenant: tenant.into(),
            user: user::of_proxy(&asserted.subject).into(),
            client: asserted.client.clone(),
            proof: Proof::Proxy,
            roles: BTreeSet::new(),
            bound: BTreeSet::new(),
            scopes: asserted.scopes.clone(),
            claims: asserted.claims.clone(),
        })
    }

    pub(super) fn of_certificate(&self, subject: &Subject) -> Arc<Caller> {
        let name = json!([subject.kind.as_str(), &*subject.name, &*subject.issuer]).to_string();
        let tenant = Caller::DEFAULT_TENANT;
        let claims = json!({
            "name": &*subject.name, "kind": subject.kind.as_str(), "issuer": &*subject.issuer,
        });
        self.bound(Caller {
            principal: Principal::of_subject(tenant, "certificate", &name, ""),
            tenant: tenant.into(),
            // As bindings name it. Whoever issued it, it is the same user; the principal is not.
            user: subject.to_string().into(),
            client: None,
            proof: Proof::Certificate,
            roles: BTreeSet::new(),
            bound: BTreeSet::new(),
            scopes: BTreeSet::new(),
            claims: claims.as_object().cloned().unwrap_or_default(),
        })
    }

    fn known<K: Eq + Hash, P>(
        &self,
        known: &Known<K, P>,
        key: K,
        proof: &Arc<P>,
        caller: impl FnOnce() -> Caller,
    ) -> Arc<Caller> {
        let rules = self.rules.get();
        let version = rules.policy.version();
        let found = known.get(&key);
        let found = found.filter(|it| Arc::ptr_eq(&it.0, proof) && it.1 == *version);
        if let Some(caller) = found.map(|it| it.2.clone()) {
            return caller;
        }
        let caller = self.bound(caller());
        if known.len() >= CALLERS_MAX {
            known.clear();
        }
        known.insert(key, (proof.clone(), version.clone(), caller.clone()));
        caller
    }

    /// The caller with the roles that are bound to them. Apart from their own: what lasts longer than a
    /// request, a subscription for example, is held against the rules of its day.
    fn bound(&self, mut caller: Caller) -> Arc<Caller> {
        caller.bound = self.rules.get().policy.roles_of(&caller);
        Arc::new(caller)
    }
}

fn shared(names: &BTreeSet<String>) -> BTreeSet<Arc<str>> {
    names.iter().map(|name| Arc::from(name.as_str())).collect()
}
