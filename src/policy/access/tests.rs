//! Tables of decisions, and what holds for any policy.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::identity::Proof;
use crate::protocol::raw::RawJson;

fn strings(value: &Value) -> Vec<String> {
    let texts = value.as_array().into_iter().flatten();
    texts
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

fn rules(value: &Value) -> Vec<RuleConfig> {
    let rules = value.as_array().into_iter().flatten();
    let rules = rules.map(|rule| RuleConfig {
        tools: strings(&rule["tools"]),
        resources: strings(&rule["resources"]),
        prompts: strings(&rule["prompts"]),
        scopes: strings(&rule["scopes"]),
        when: rule["when"].as_object().cloned().unwrap_or_default(),
        visible: rule["visible"] == true,
    });
    rules.collect()
}

/// Roles in the form in which they are configured.
fn config(roles: &Value) -> Config {
    let roles = roles.as_object().unwrap().iter().map(|(name, role)| {
        let role = RoleConfig {
            inherits: strings(&role["inherits"]),
            allow: rules(&role["allow"]),
            deny: rules(&role["deny"]),
        };
        (name.clone(), role)
    });
    Config {
        roles: roles.collect(),
        bindings: Vec::new(),
        scopes: BTreeMap::from([
            (
                "mcp:tools".into(),
                vec!["mcp:tools:read".into(), "mcp:tools:write".into()],
            ),
            ("all".into(), vec!["mcp:tools".into()]),
        ]),
    }
}

fn policy(roles: &Value) -> Policy {
    Policy::new(&config(roles)).unwrap()
}

/// The example of the documentation.
fn example() -> Policy {
    policy(&json!({
        "analyst": { "allow": [
            { "tools": ["crm.search", "crm.get_*"], "scopes": ["mcp:tools:read"] },
            { "resources": ["crm://accounts/**"] },
            { "prompts": ["crm.*"] },
        ] },
        "operator": {
            "inherits": ["analyst"],
            "allow": [{
                "tools": ["deploy.*"],
                "scopes": ["mcp:tools:write"],
                "when": { "acr": "mfa", "args": { "/env": ["staging", "test"] } },
            }],
            "deny": [{ "tools": ["deploy.delete*"], "visible": true }],
        },
        "support": {
            "allow": [{ "tools": ["crm.**"] }, { "tools": ["mail.send"], "visible": true }],
            "deny": [
                { "tools": ["crm.drop"] },
                { "tools": ["crm.export"], "when": { "args": { "/format": "raw" } } },
            ],
        },
    }))
}

fn caller(roles: &[&str], scopes: &[&str], claims: &Value) -> Caller {
    Caller {
        roles: roles.iter().map(|role| (*role).into()).collect(),
        scopes: scopes.iter().map(|scope| (*scope).into()).collect(),
        claims: claims.as_object().cloned().unwrap_or_default(),
        ..Caller::local()
    }
}

/// A decision in a line.
fn shown(decision: &Decision) -> String {
    let rule = decision.rule().map_or("none", RuleId::as_str);
    let detail = match decision {
        Decision::Allowed { .. } | Decision::Hidden { .. } => String::new(),
        Decision::Refused { refusal, .. } => format!(": {refusal}"),
        Decision::NeedsScopes { missing, .. } => {
            format!(": {}", Vec::from_iter(missing.clone()).join(" "))
        }
    };
    format!("{} by {rule}{detail}", decision.as_str())
}

#[track_caller]
fn check(policy: &Policy, caller: &Caller, name: &str, arguments: &Value, expected: &str) {
    let arguments = (!arguments.is_null()).then(|| RawJson::of(arguments));
    let kind = if name.contains("://") {
        Kind::Resource
    } else {
        Kind::Tool
    };
    let target = Target::called(kind, name, arguments.as_ref());
    let decision = policy.decide(caller, &target);
    assert_eq!(shown(&decision), expected, "{name} for {:?}", caller.roles);
    let hidden = matches!(decision, Decision::Hidden { .. });
    assert_eq!(
        policy.is_listed(caller, kind, name),
        !hidden,
        "{name} in lists"
    );
}

#[test]
fn what_no_rule_allows_does_not_exist() {
    let policy = example();
    let nobody = caller(&[], &["all"], &Value::Null);
    for name in ["crm.search", "crm://accounts/7", "deploy.run", "unknown"] {
        check(&policy, &nobody, name, &Value::Null, "hidden by none");
    }
    let stranger = caller(&["unheard-of"], &["all"], &Value::Null);
    check(
        &policy,
        &stranger,
        "crm.search",
        &Value::Null,
        "hidden by none",
    );
}

#[test]
fn a_role_allows_what_it_and_what_it_inherits_name() {
    let policy = example();
    for role in ["analyst", "operator"] {
        let caller = caller(&[role], &["mcp:tools"], &Value::Null);
        for (name, expected) in [
            ("crm.search", "allowed by roles.analyst.allow[0]"),
            ("crm.get_account", "allowed by roles.analyst.allow[0]"),
            ("crm.get_account.notes", "hidden by none"),
            ("crm.Search", "hidden by none"),
            ("crm.put", "hidden by none"),
            (
                "crm://accounts/7/notes",
                "allowed by roles.analyst.allow[1]",
            ),
            ("crm://orders/7", "hidden by none"),
        ] {
            check(&policy, &caller, name, &Value::Null, expected);
        }
        let prompt = Target::called(Kind::Prompt, "crm.summary", None);
        let decision = policy.decide(&caller, &prompt);
        assert_eq!(shown(&decision), "allowed by roles.analyst.allow[2]");
        // A prompt of a tool's name is another thing.
        assert!(!policy.is_listed(&caller, Kind::Prompt, "deploy.run"));
    }
}

#[test]
fn what_is_denied_is_denied_whatever_is_allowed() {
    let policy = example();
    let support = caller(&["support"], &[], &Value::Null);
    for (name, arguments, expected) in [
        ("crm.put", json!({}), "allowed by roles.support.allow[0]"),
        ("crm.drop", json!({}), "hidden by roles.support.deny[0]"),
        ("crm.export", json!({}), "allowed by roles.support.allow[0]"),
        (
            "crm.export",
            json!({ "format": "csv" }),
            "allowed by roles.support.allow[0]",
        ),
        (
            "crm.export",
            json!({ "format": "raw" }),
            "refused by roles.support.deny[1]: `crm.export` is not allowed where the argument \
             `/format` is \"raw\"",
        ),
        (
            "crm.export",
            json!({ "format": ["csv", "raw"] }),
            "refused by roles.support.deny[1]: `crm.export` is not allowed where the argument \
             `/format` is \"raw\"",
        ),
    ] {
        check(&policy, &support, name, &arguments, expected);
    }
    let both = caller(&["support", "analyst"], &["all"], &Value::Null);
    check(
        &policy,
        &both,
        "crm.drop",
        &Value::Null,
        "hidden by roles.support.deny[0]",
    );
}

#[test]
fn a_resource_is_judged_as_it_may_be_read_too() {
    let policy = policy(&json!({
        "clerk": { "allow": [{ "resources": ["crm://**"] }], "deny": [{ "resources": ["crm://secret/**"] }] },
        "guest": { "allow": [{ "resources": ["crm://open/**", "crm://a%2Fb/*"] }] },
    }));
    let clerk = caller(&["clerk"], &[], &Value::Null);
    let guest = caller(&["guest"], &[], &Value::Null);
    for (who, uri, expected) in [
        (&clerk, "crm://open/1", "allowed by roles.clerk.allow[0]"),
        (&clerk, "crm://%6fpen//1", "allowed by roles.clerk.allow[0]"),
        (&clerk, "crm://secret/1", "hidden by roles.clerk.deny[0]"),
        (&clerk, "crm://%73ecret/1", "hidden by roles.clerk.deny[0]"),
        (&clerk, "crm://secret%2F1", "hidden by roles.clerk.deny[0]"),
        (&clerk, r"crm://secret\1", "hidden by roles.clerk.deny[0]"),
        (&clerk, "crm://open/../secret/1", "hidden by none"),
        (&guest, "crm://open/%31", "allowed by roles.guest.allow[0]"),
        (&guest, "crm://open/%2e%2e/secret", "hidden by none"),
        (&guest, "crm://%6fpen/1", "hidden by none"),
        (&guest, "crm://a%2Fb/1", "hidden by none"),
    ] {
        check(&policy, who, uri, &Value::Null, expected);
    }
}

#[test]
fn claims_scopes_and_arguments_are_asked_for_in_that_order() {
    let policy = example();
    let mfa = json!({ "acr": "mfa" });
    let arguments = json!({ "env": "staging" });
    for (scopes, claims, arguments, expected) in [
        (
            &["mcp:tools:write"][..],
            &mfa,
            &arguments,
            "allowed by roles.operator.allow[0]",
        ),
        (
            &["all"][..],
            &mfa,
            &arguments,
            "allowed by roles.operator.allow[0]",
        ),
        (
            &["mcp:tools:read"][..],
            &mfa,
            &arguments,
            "needs_scopes by roles.operator.allow[0]: mcp:tools:write",
        ),
        (
            &["all"][..],
            &mfa,
            &json!({ "env": "prod" }),
            "refused by roles.operator.allow[0]: `deploy.run` is allowed only where the argument \
             `/env` is \"staging\" or \"test\"",
        ),
        (
            &["all"][..],
            &mfa,
            &json!({ "env": ["staging"] }),
            "refused by roles.operator.allow[0]: `deploy.run` is allowed only where the argument \
             `/env` is \"staging\" or \"test\"",
        ),
        (
            &["all"][..],
            &mfa,
            &Value::Null,
            "refused by roles.operator.allow[0]: `deploy.run` is allowed only where the argument \
             `/env` is \"staging\" or \"test\"",
        ),
        (
            &["all"][..],
            &json!({ "acr": "pwd" }),
            &arguments,
            "hidden by none",
        ),
    ] {
        let operator = caller(&["operator"], scopes, claims);
        check(&policy, &operator, "deploy.run", arguments, expected);
    }
}

#[test]
fn who_may_know_of_a_tool_is_told_which_role_it_needs() {
    let policy = example();
    let mfa = json!({ "acr": "mfa" });
    let analyst = caller(&["analyst"], &["all"], &mfa);
    let needs = "refused by roles.support.allow[1]: `mail.send` needs the role `support`";
    check(&policy, &analyst, "mail.send", &Value::Null, needs);
    let operator = caller(&["operator"], &["all"], &mfa);
    let needs = "refused by roles.operator.deny[0]: `deploy.delete_all` needs the role `admin`";
    check(
        &policy,
        &operator,
        "deploy.delete_all",
        &json!({ "env": "test" }),
        needs,
    );
    // The denial is of operators; for others there is nothing to see.
    check(
        &policy,
        &analyst,
        "deploy.delete_all",
        &Value::Null,
        "hidden by none",
    );
}

#[test]
fn delete_record_refuses_callers_without_the_admin_role_and_says_so() {
    let policy = policy(&json!({ "user": {
        "allow": [{ "tools": ["**"] }],
        "deny": [{ "tools": ["delete_record"], "visible": true }],
    } }));
    let user = caller(&["user"], &[], &Value::Null);
    let told = "refused by roles.user.deny[0]: `delete_record` needs the role `admin`";
    check(&policy, &user, "delete_record", &Value::Null, told);
    let admin = caller(&["user", "admin"], &[], &Value::Null);
    check(
        &policy,
        &admin,
        "delete_record",
        &Value::Null,
        "allowed by admin",
    );
}

#[test]
fn without_roles_all_is_left_to_admin_and_without_policy_to_everybody() {
    let none = Policy::new(&Config::default()).unwrap();
    let admin = caller(&["admin"], &[], &Value::Null);
    let other = caller(&["operator"], &["all"], &Value::Null);
    check(&none, &admin, "anything", &Value::Null, "allowed by admin");
    check(&none, &other, "anything", &Value::Null, "hidden by none");
    check(
        &Policy::open(),
        &other,
        "anything",
        &Value::Null,
        "allowed by open",
    );
}

#[test]
fn a_template_is_listed_if_some_of_its_uris_may_be_read() {
    let policy = policy(&json!({ "r": {
        "allow": [{ "resources": ["crm://accounts/7", "mail://**"] }],
        "deny": [{ "resources": ["mail://secret/**"] }],
    } }));
    let caller = caller(&["r"], &[], &Value::Null);
    for (template, expected) in [
        ("crm://accounts/{id}", true),
        ("crm://orders/{id}", false),
        ("mail://{box}/{id}", true),
        ("mail://secret/{id}", false),
    ] {
        assert_eq!(
            policy.is_listed(&caller, Kind::Template, template),
            expected,
            "{template}"
        );
    }
    check(
        &policy,
        &caller,
        "crm://accounts/8",
        &Value::Null,
        "hidden by none",
    );
}

#[test]
fn bindings_give_roles_and_roles_of_a_credential_stay() {
    let mut config =
        config(&json!({ "a": { "allow": [{ "tools": ["x"] }] }, "b": { "inherits": ["a"] } }));
    config.bindings = vec![BindingConfig {
        role: "b".into(),
        tenant: Some("t1".into()),
        any_of: vec![
            Sign::ClaimHas {
                claim: "groups".into(),
                has: "bees".into(),
            },
            Sign::ApiKeyOwner("ci-*".into()),
        ],
    }];
    let policy = Policy::new(&config).unwrap();
    let mut bee = caller(&["own"], &[], &json!({ "groups": ["bees"] }));
    assert_eq!(Vec::from_iter(policy.roles_of(&bee)).join(" "), "own");
    bee.tenant = "t1".into();
    assert_eq!(Vec::from_iter(policy.roles_of(&bee)).join(" "), "b own");
    assert_eq!(
        Vec::from_iter(policy.all_roles_of(&bee)).join(" "),
        "a b own"
    );
    check(
        &policy,
        &bee,
        "x",
        &Value::Null,
        "allowed by roles.a.allow[0]",
    );
    bee.claims.clear();
    check(&policy, &bee, "x", &Value::Null, "hidden by none");
    bee.proof = Proof::ApiKey {
        id: "k".into(),
        owner: "ci-main".into(),
    };
    check(
        &policy,
        &bee,
        "x",
        &Value::Null,
        "allowed by roles.a.allow[0]",
    );
}

#[test]
fn the_version_names_what_the_policy_says() {
    let one = example();
    assert_eq!(one.version(), example().version());
    let mut other = config(&json!({ "a": { "allow": [{ "tools": ["x"] }] } }));
    let before = Policy::new(&other).unwrap();
    other.scopes.clear();
    let after = Policy::new(&other).unwrap();
    assert_ne!(before.version(), after.version());
    assert_ne!(one.version(), before.version());
    assert_eq!(one.version().len(), 2 * VERSION_BYTES);
}

#[test]
fn an_explanation_names_the_rule_the_roles_and_the_policy() {
    let policy = example();
    let operator = caller(&["operator", "guest"], &[], &Value::Null);
    let target = Target::called(Kind::Tool, "crm.search", None);
    let said = policy.explain(&operator, &target).to_string();
    let expected = format!(
        "tool `crm.search`: needs_scopes (lacks mcp:tools:read)\n\
         decided by: roles.analyst.allow[0], which allows tools crm.search, crm.get_* with scope \
         mcp:tools:read\n\
         roles: analyst (inherited by operator), guest (of the credential; unknown here), operator \
         (of the credential)\n\
         policy: {}",
        policy.version()
    );
    assert_eq!(said, expected);
    let target = Target::called(Kind::Tool, "crm.put", None);
    let said = policy.explain(&operator, &target).to_string();
    assert!(said.contains("no rule of these roles allows it"), "{said}");
    let said = Policy::open().explain(&operator, &target).to_string();
    assert!(said.contains("there is no policy"), "{said}");
}

#[test]
fn everything_that_is_wrong_is_said_with_its_key() {
    for (roles, expected) in [
        (json!({ "admin": {} }), "roles.admin: `admin` is built in"),
        (
            json!({ "a": { "inherits": ["admin"] } }),
            "roles.a.inherits: `admin` is not inherited",
        ),
        (
            json!({ "a": { "inherits": ["b"] } }),
            "roles.a.inherits: there is no role \"b\"",
        ),
        (
            json!({ "a": { "inherits": ["b"] }, "b": { "inherits": ["a"] } }),
            "roles.a.inherits: inherits itself: a -> b -> a",
        ),
        (
            json!({ "a": { "allow": [{}] } }),
            "roles.a.allow[0]: names nothing",
        ),
        (
            json!({ "a": { "deny": [{ "tools": ["x"] }, { "tools": ["a b"] }] } }),
            "roles.a.deny[1].tools: \"a b\": a pattern has no spaces",
        ),
        (
            json!({ "a": { "deny": [{ "tools": ["x"], "scopes": ["s"] }] } }),
            "roles.a.deny[0].scopes: is for `allow`",
        ),
        (
            json!({ "a": { "allow": [{ "tools": ["x"], "scopes": ["a b"] }] } }),
            "roles.a.allow[0].scopes: \"a b\" is no scope",
        ),
        (
            json!({ "a": { "allow": [{ "tools": ["x"], "when": { "args": { "env": "x" } } }] } }),
            "roles.a.allow[0].when.args: \"env\" is no JSON pointer; did you mean \"/env\"?",
        ),
        (
            json!({ "a": { "allow": [{ "tools": ["x"], "when": { "args": "x" } }] } }),
            "roles.a.allow[0].when.args: expected a table",
        ),
        (
            json!({ "a": { "allow": [{ "resources": ["x"], "when": { "args": { "/a": 1 } } }] } }),
            "roles.a.allow[0].when.args: resources have no arguments",
        ),
        (
            json!({ "a": { "allow": [{ "tools": ["x"], "when": { "acr": {} } }] } }),
            "roles.a.allow[0].when.acr: expected a text",
        ),
    ] {
        let complaints = Policy::new(&config(&roles)).unwrap_err();
        let [complaint] = complaints.as_slice() else {
            panic!("{roles}: {complaints:?}")
        };
        let said = complaint.to_string();
        assert!(said.starts_with(expected), "{said}");
    }
    let mut scopes = config(&json!({}));
    scopes
        .scopes
        .insert("mcp:tools:read".into(), vec!["all".into()]);
    let complaints = Policy::new(&scopes).unwrap_err();
    let said = complaints[0].to_string();
    assert_eq!(
        said,
        "scopes.all: implies itself: all -> mcp:tools -> mcp:tools:read -> all"
    );
}

fn any_rule() -> impl Strategy<Value = RuleConfig> {
    let names = prop::collection::vec(
        prop::sample::select(vec!["a.x", "a.y", "a.*", "*", "**", "b.*y"]),
        1..3,
    );
    let when = prop::sample::select(vec![
        json!({}),
        json!({ "acr": "mfa" }),
        json!({ "args": { "/env": "test" } }),
        json!({ "acr": ["mfa", "pwd"], "args": { "/env": ["test", "prod"] } }),
    ]);
    (names, when, any::<bool>(), any::<bool>()).prop_map(|(tools, when, visible, scoped)| {
        RuleConfig {
            tools: tools.into_iter().map(str::to_owned).collect(),
            scopes: if scoped {
                vec!["s".to_owned()]
            } else {
                Vec::new()
            },
            when: when.as_object().cloned().unwrap_or_default(),
            visible,
            ..RuleConfig::default()
        }
    })
}

fn any_role() -> impl Strategy<Value = RoleConfig> {
    let rules = || prop::collection::vec(any_rule(), 0..3);
    (rules(), rules()).prop_map(|(allow, mut deny)| {
        for rule in &mut deny {
            rule.scopes.clear();
        }
        let inherits = Vec::new();
        RoleConfig {
            inherits,
            allow,
            deny,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn whatever_the_policy_what_is_hidden_is_unlisted_and_denial_wins(
        roles in prop::collection::btree_map("[pqr]", any_role(), 1..4),
        has in prop::collection::btree_set("[pqr]", 0..3),
        name in prop::sample::select(vec!["a.x", "a.y", "b.xy", "c"]),
        env in prop::sample::select(vec![json!({}), json!({ "env": "test" }), json!({ "env": ["prod"] })]),
        acr in prop::sample::select(vec!["mfa", "pwd", "none"]),
        scoped: bool,
    ) {
        let config = Config { roles, ..Config::default() };
        let policy = Policy::new(&config).unwrap();
        let has: Vec<_> = has.iter().map(String::as_str).collect();
        let scopes: &[&str] = if scoped { &["s"] } else { &[] };
        let caller = caller(&has, scopes, &json!({ "acr": acr }));
        let arguments = RawJson::of(&env);
        let target = Target::called(Kind::Tool, name, Some(&arguments));
        let decision = policy.decide(&caller, &target);
        let hidden = matches!(decision, Decision::Hidden { .. });
        prop_assert_eq!(policy.is_listed(&caller, Kind::Tool, name), !hidden);
        if let Decision::Allowed { rule } = &decision {
            let of_a_role = has.iter().any(|role| rule.as_str().starts_with(&format!("roles.{role}.allow")));
            prop_assert!(of_a_role, "{rule}");
            // Without the rules that deny by arguments or claims nothing that names it is left.
            for role in has.iter().filter_map(|role| config.roles.get(*role)) {
                let always = role.deny.iter().filter(|rule| rule.when == Map::new());
                for pattern in always.flat_map(|rule| &rule.tools) {
                    let pattern = crate::policy::names::NamePattern::new(
                        pattern,
                        crate::policy::names::Separator::Dot,
                    );
                    prop_assert!(!pattern.unwrap().matches(name));
                }
            }
        }
        // More scopes never take anything away, and having no role never gives anything.
        let more = self::caller(&has, &["s"], &json!({ "acr": acr }));
        if matches!(decision, Decision::Allowed { .. }) {
            let again = policy.decide(&more, &target);
            let is_allowed = matches!(again, Decision::Allowed { .. });
            prop_assert!(is_allowed);
        }
        let nobody = self::caller(&[], &["s"], &json!({ "acr": acr }));
        let is_allowed = matches!(policy.decide(&nobody, &target), Decision::Allowed { .. });
        prop_assert!(!is_allowed);
    }
}
