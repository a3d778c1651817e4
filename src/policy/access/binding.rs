//! Who has a role by what is known of them.

use std::sync::Arc;

use serde_json::Value;

use super::claims;
use super::config::{BindingConfig, Complaint, Sign};
use crate::auth::user;
use crate::identity::{Caller, Proof};
use crate::policy::names::PATTERN_BYTES_MAX;
use crate::policy::pattern;

/// One binding, checked.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) role: Arc<str>,
    tenant: Option<String>,
    any_of: Vec<Sign>,
}

impl Binding {
    /// Checks the binding that stands at `key`.
    pub(super) fn new(
        config: &BindingConfig,
        is_role: impl Fn(&str) -> bool,
        key: &str,
        complaints: &mut Vec<Complaint>,
    ) -> Self {
        let mut complain = |key: String, problem: String| {
            complaints.push(Complaint { key, problem });
        };
        if !is_role(&config.role) {
            let problem = format!("there is no role {:?}", config.role);
            complain(format!("{key}.role"), problem);
        }
        if config.tenant.is_none() && config.any_of.is_empty() {
            let problem = "would give everybody the role: write `any_of` or `tenant`";
            complain(key.to_owned(), problem.to_owned());
        }
        if config.tenant.as_deref() == Some("") {
            let problem = "is empty: no caller is of such a tenant";
            complain(format!("{key}.tenant"), problem.to_owned());
        }
        for (at, sign) in config.any_of.iter().enumerate() {
            if let Some(problem) = problem_of(sign) {
                complain(format!("{key}.any_of[{at}]"), problem);
            }
        }
        Self {
            role: config.role.as_str().into(),
            tenant: config.tenant.clone(),
            any_of: config.any_of.clone(),
        }
    }

    /// Whether it gives this caller its role.
    pub(super) fn is_of(&self, caller: &Caller) -> bool {
        let tenant = self
            .tenant
            .as_deref()
            .is_none_or(|tenant| tenant == &*caller.tenant);
        tenant && (self.any_of.is_empty() || self.any_of.iter().any(|sign| is_true(sign, caller)))
    }
}

fn is_true(sign: &Sign, caller: &Caller) -> bool {
    match sign {
        Sign::ClaimHas { claim, has } => match claims::claim(&caller.claims, claim) {
            Some(Value::Array(members)) => {
                members.iter().any(|member| member.as_str() == Some(has))
            }
            Some(found) => found.as_str() == Some(has),
            None => false,
        },
        Sign::ClaimIs { claim, is } => {
            claims::claim(&caller.claims, claim).is_some_and(|found| claims::equal(found, is))
        }
        Sign::ApiKeyOwner(owners) => match &caller.proof {
            Proof::ApiKey { owner, .. } => pattern::matches(owners, owner),
            Proof::Nothing | Proof::Token { .. } | Proof::Proxy | Proof::Certificate => false,
        },
        Sign::Certificate(subjects) => match &caller.proof {
            Proof::Certificate => pattern::matches(subjects, &caller.user),
            Proof::Nothing | Proof::ApiKey { .. } | Proof::Token { .. } | Proof::Proxy => false,
        },
        Sign::Principal(principal) => {
            *principal == *caller.user || principal == caller.principal.key()
        }
    }
}

fn problem_of(sign: &Sign) -> Option<String> {
    let text = match sign {
        Sign::ClaimHas { claim, .. } => claim,
        Sign::ClaimIs { is, .. } if is.is_array() || is.is_object() || is.is_null() => {
            return Some("`is` takes a text, a number, true or false".to_owned());
        }
        Sign::ClaimIs { claim, .. } => claim,
        Sign::ApiKeyOwner(text) | Sign::Certificate(text) | Sign::Principal(text) => text,
    };
    match text.len() {
        0 => Some("an empty text is nobody's".to_owned()),
        1..=PATTERN_BYTES_MAX => nobody(sign),
        _ => Some(format!("at most {PATTERN_BYTES_MAX} bytes are compared")),
    }
}

/// Why a name can be nobody's.
fn nobody(sign: &Sign) -> Option<String> {
    match sign {
        Sign::Certificate(subjects) if !user::can_fit_certificates(subjects) => Some(format!(
            "no certificate has the subject {subjects:?}: they are called as in `dns:billing.*`, \
             after `uri:`, `dns:`, `email:` or `cn:`"
        )),
        Sign::Principal(name) if !user::can_be(name) => {
            Some(format!("{name:?} is nobody: {}", user::FORMS))
        }
        Sign::ClaimHas { .. }
        | Sign::ClaimIs { .. }
        | Sign::ApiKeyOwner(_)
        | Sign::Certificate(_)
        | Sign::Principal(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(sign: Sign, tenant: Option<&str>, caller: &Caller, expected: bool) {
        let config = BindingConfig {
            role: "r".into(),
            tenant: tenant.map(Into::into),
            any_of: vec![sign],
        };
        let mut complaints = Vec::new();
        let binding = Binding::new(&config, |_| true, "bindings[0]", &mut complaints);
        assert_eq!(complaints, []);
        assert_eq!(binding.is_of(caller), expected, "{config:?}");
    }

    fn caller(proof: Proof) -> Caller {
        let claims = json!({ "groups": ["analysts", 7], "department": "sales", "paid": true });
        Caller {
            proof,
            user: "cn:alice".into(),
            claims: claims.as_object().unwrap().clone(),
            ..Caller::local()
        }
    }

    #[test]
    fn a_caller_is_known_by_claims_keys_certificates_and_name() {
        let owner = |owner: &str| Proof::ApiKey {
            id: "k1".into(),
            owner: owner.into(),
        };
        let has = |claim: &str, has: &str| Sign::ClaimHas {
            claim: claim.into(),
            has: has.into(),
        };
        let is = |claim: &str, is: Value| Sign::ClaimIs {
            claim: claim.into(),
            is,
        };
        let key_of = |pattern: &str| Sign::ApiKeyOwner(pattern.into());
        for (sign, proof, expected) in [
            (has("groups", "analysts"), Proof::Nothing, true),
            (has("groups", "analyst"), Proof::Nothing, false),
            (has("groups", "7"), Proof::Nothing, false),
            (has("department", "sales"), Proof::Nothing, true),
            (has("department", "sale"), Proof::Nothing, false),
            (has("none", "x"), Proof::Nothing, false),
            (is("department", json!("sales")), Proof::Nothing, true),
            (is("paid", json!(true)), Proof::Nothing, true),
            (is("paid", json!("true")), Proof::Nothing, false),
            (is("groups", json!("analysts")), Proof::Nothing, false),
            (key_of("ci-*"), owner("ci-deploy"), true),
            (key_of("ci-*"), owner("alice"), false),
            // A token that calls its user like an owner of keys has no key.
            (key_of("*"), Proof::Token { issuer: "x".into() }, false),
            (Sign::Certificate("cn:al*".into()), Proof::Certificate, true),
            (Sign::Certificate("cn:al*".into()), Proof::Proxy, false),
            (Sign::Principal("cn:alice".into()), Proof::Proxy, true),
            (Sign::Principal("local".into()), Proof::Nothing, true),
            (Sign::Principal("cn:ali".into()), Proof::Proxy, false),
        ] {
            check(sign, None, &caller(proof), expected);
        }
    }

    #[test]
    fn the_tenant_must_be_right_as_well() {
        let alice = Sign::Principal("cn:alice".into());
        for (tenant, expected) in [("default", true), ("other", false)] {
            check(alice.clone(), Some(tenant), &caller(Proof::Proxy), expected);
        }
    }

    #[test]
    fn a_binding_of_nobody_in_particular_is_refused() {
        for (tenant, any_of, keys) in [
            (None, vec![], vec!["b", "b.role"]),
            (Some("t"), vec![], vec!["b.role"]),
            (Some(""), vec![], vec!["b.role", "b.tenant"]),
            (
                None,
                vec![Sign::Principal(String::new())],
                vec!["b.any_of[0]", "b.role"],
            ),
            (
                None,
                vec![
                    Sign::Principal("alice".into()),
                    Sign::Certificate("CN=ops*".into()),
                ],
                vec!["b.any_of[0]", "b.any_of[1]", "b.role"],
            ),
        ] {
            let mut complaints = Vec::new();
            let config = BindingConfig {
                role: "r".into(),
                tenant: tenant.map(str::to_owned),
                any_of,
            };
            let _incomplete = Binding::new(&config, |_| false, "b", &mut complaints);
            let mut found: Vec<_> = complaints.iter().map(|it| it.key.as_str()).collect();
            found.sort_unstable();
            assert_eq!(found, keys);
        }
    }
}
