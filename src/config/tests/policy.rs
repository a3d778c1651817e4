//! Tables of roles, bindings, scopes and limits.

use std::collections::BTreeSet;

use super::*;
use crate::identity::Caller;
use crate::policy::access::{Kind, Target};

const EXAMPLE: &str = r#"
[roles.analyst]
allow = [{ tools = ["crm.search", "crm.get_*"], scopes = ["mcp:tools"] }, { resources = ["crm://accounts/**"] }]
[roles.operator]
inherits = ["analyst"]
allow = [{ tools = ["deploy.*"], scopes = ["mcp:tools:write"], when = { acr = "mfa", args = { "/env" = ["staging"] } } }]
deny = [{ tools = ["deploy.delete*"], visible = true }]
limits = { per_user = "60/min", concurrent = 5 }
[[bindings]]
role = "operator"
tenant = "t1"
any_of = [{ claim = "groups", has = "operators" }, { claim = "root", is = true }, { api_key_owner = "ci-*" }]
[[bindings]]
role = "admin"
any_of = [{ principal = "proxy alice" }, { certificate = "cn:ops*" }]
[scopes]
"mcp:tools" = ["mcp:tools:read", "mcp:tools:write"]
[limits]
per_user = "600/min"
per_tenant = { rate = "900/min", burst = 50, on_failure = "refuse" }
per_tool = { "jira.create_issue" = "30/min", "jira.*" = { rate = "60/min" } }
per_user_server = { jira = "1/s" }
concurrent = { per_user = 10, per_tool = { "jira.*" = 3 } }
on_store_failure = "allow"
nodes = 3
"#;

fn caller(tenant: &str) -> Caller {
    let claims = serde_json::json!({ "groups": ["operators"], "acr": "mfa" });
    Caller {
        tenant: tenant.into(),
        scopes: BTreeSet::from(["mcp:tools".into()]),
        claims: claims.as_object().unwrap().clone(),
        ..Caller::local()
    }
}

#[test]
fn everything_about_a_policy_can_be_written() {
    let policy = load_file(EXAMPLE).unwrap().policy;
    for (tenant, name, expected) in [
        ("t1", "crm.get_one", "roles.analyst.allow[0]"),
        ("t1", "deploy.run", "roles.operator.allow[0]"),
        ("t1", "deploy.delete_all", "roles.operator.deny[0]"),
        ("t2", "crm.get_one", ""),
    ] {
        let caller = caller(tenant);
        let decision = policy
            .access
            .decide(&caller, &Target::listed(Kind::Tool, name));
        assert_eq!(
            decision.rule().map_or("", |rule| rule.as_str()),
            expected,
            "{name}"
        );
    }

    let roles = BTreeSet::from(["operator".into()]);
    let demands = policy
        .limits
        .demands(&caller("t1"), &roles, "jira", "jira.create_issue", true);
    let rates: Vec<_> = demands
        .rates
        .iter()
        .map(|demand| format!("{} {} {:?}", demand.rule, demand.rate, demand.on_failure))
        .collect();
    let expected = [
        "per_user 600/min Allow",
        "per_tenant 900/min, 50 at once Refuse",
        "per_tool.jira.* 60/min Allow",
        "per_tool.jira.create_issue 30/min Allow",
        "per_user_server.jira 1/s Allow",
        "roles.operator.limits.per_user 60/min Allow",
    ];
    assert_eq!(rates, expected);
    let running = demands.running.iter();
    let running: Vec<_> = running
        .map(|demand| format!("{} {}", demand.rule, demand.most))
        .collect();
    let expected = [
        "concurrent.per_user 10",
        "concurrent.per_tool.jira.* 3",
        "roles.operator.limits.concurrent 5",
    ];
    assert_eq!(running, expected);
    assert_eq!(policy.limits.nodes().get(), 3);
}

#[test]
fn without_any_of_it_all_is_left_to_admin_and_nothing_is_limited() {
    let nobody_is_asked = load_file("").unwrap().policy;
    assert!(nobody_is_asked.access.is_open());
    let policy = load_file("[auth.api_keys]").unwrap().policy;
    assert!(!policy.access.is_listed(&caller("t1"), Kind::Tool, "echo"));
    let admin = Caller {
        roles: BTreeSet::from(["admin".into()]),
        ..Caller::local()
    };
    assert!(policy.access.is_listed(&admin, Kind::Tool, "echo"));
    assert!(policy.limits.is_empty());
}

#[test]
fn what_is_wrong_is_said_with_its_key_and_line() {
    for (text, expected) in [
        (
            "\n[roles.a]\nallow = [{ tols = ['x'] }]",
            &["switchboard.toml:3: roles.a.allow[0].tols: unknown key; did you mean `tools`?"][..],
        ),
        (
            "[[roles.a.allow]]\ntools = ['x']\n[[roles.a.allow]]\nvisible = true\ntools = 'x'",
            &["switchboard.toml:5: roles.a.allow[1].tools: expected a list of texts"],
        ),
        (
            "[roles.a]\nallow = 'x'",
            &[
                "switchboard.toml:2: roles.a.allow: expected a list of tables, as in `[[roles.a.allow]]`",
            ],
        ),
        (
            "[roles.a]\ndeny = ['x']",
            &["switchboard.toml:2: roles.a.deny[0]: expected a table, as in { key = \"value\" }"],
        ),
        (
            "[roles.a]\ninherits = ['b']\n[roles.b]\ninherits = ['a']",
            &["switchboard.toml:2: roles.a.inherits: inherits itself: a -> b -> a"],
        ),
        (
            "[roles.a]\nallow = [\n{ tools = ['x'] },\n{ tools = ['x'], when = { args = { env = 1 } } },\n]",
            &[
                "switchboard.toml:4: roles.a.allow[1].when.args: \"env\" is no JSON pointer; did you mean \"/env\"?",
            ],
        ),
        (
            "[roles.a]\nallow = [{ tools = ['x'], when = 'mfa' }]",
            &[
                "switchboard.toml:2: roles.a.allow[0].when: expected a table, as in { acr = \"mfa\", args = { \"/env\" = [\"staging\"] } }",
            ],
        ),
        (
            "[[bindings]]\nrole = 'a'\ntenant = 't'",
            &["switchboard.toml:2: bindings[0].role: there is no role \"a\""],
        ),
        (
            "[[bindings]]\nrole = 'admin'",
            &[
                "switchboard.toml:1: bindings[0]: would give everybody the role: write `any_of` or `tenant`",
            ],
        ),
        (
            "[[bindings]]\nrole = 'admin'\ntenant = 't'\nany_of = []",
            &[
                "switchboard.toml:4: bindings[0].any_of: names nobody: leave it out to give the role to the whole tenant",
            ],
        ),
        (
            "[[bindings]]\nrole = 'admin'\nany_of = []",
            &[
                "switchboard.toml:3: bindings[0].any_of: names nobody: write who has the role, as in [{ api_key_owner = \"ci\" }]",
            ],
        ),
        (
            "[[bindings]]\nrole = 'admin'\nany_of = [{ principal = 'alice' }, { certificate = 'CN=ops*' }]",
            &[
                "switchboard.toml:3: bindings[0].any_of[0]: \"alice\" is nobody: users are called as in `owner ci`, `https://idp.example ann`, `proxy ann` and `dns:billing.example.org`",
                "switchboard.toml:3: bindings[0].any_of[1]: no certificate has the subject \"CN=ops*\": they are called as in `dns:billing.*`, after `uri:`, `dns:`, `email:` or `cn:`",
            ],
        ),
        (
            "[[bindings]]\nrole = 'admin'\ntenant = ''",
            &["switchboard.toml:3: bindings[0].tenant: is empty: no caller is of such a tenant"],
        ),
        (
            "[[bindings]]\nrole = 'admin'\nany_of = [{ claim = 'x' }]",
            &["switchboard.toml:3: bindings[0].any_of[0]: `claim` needs `has` or `is`"],
        ),
        (
            "[[bindings]]\nrole = 'admin'\nany_of = [{ claim = 'x', is = [1] }]",
            &[
                "switchboard.toml:3: bindings[0].any_of[0].is: expected a text in quotes, a number, true or false",
            ],
        ),
        (
            "[bindings]\nrole = 'admin'",
            &["switchboard.toml:1: bindings: expected a list of tables, as in `[[bindings]]`"],
        ),
        (
            "[scopes]\na = ['b']\nb = ['a']",
            &["switchboard.toml:2: scopes.a: implies itself: a -> b -> a"],
        ),
        (
            "[limits]\nper_user = '600/m'",
            &[
                "switchboard.toml:2: limits.per_user: \"600/m\" is not a rate: write a whole number, `/` and s, min, h or day, as in \"600/min\"",
            ],
        ),
        (
            "[limits]\nper_user = 600",
            &[
                "switchboard.toml:2: limits.per_user: expected a rate in quotes, as in \"600/min\", or { rate = \"600/min\", burst = 20 }",
            ],
        ),
        (
            "[limits]\nper_user = { burst = 3 }",
            &[
                "switchboard.toml:2: limits.per_user: says no rate: write `rate`, as in { rate = \"600/min\", burst = 20 }",
            ],
        ),
        (
            "[limits.per_tool]\n'jira.*' = { rate = '1/s', brust = 3 }\n'a b' = '1/s'",
            &[
                "switchboard.toml:2: limits.per_tool.jira.*.brust: unknown key; did you mean `burst`?",
                "switchboard.toml:3: limits.per_tool.a b: a pattern has no spaces",
            ],
        ),
        (
            "[limits]\nper_usr = '1/s'",
            &["switchboard.toml:2: limits.per_usr: unknown key; did you mean `per_user`?"],
        ),
        (
            "[limits]\nconcurrent.per_user = 0",
            &["switchboard.toml:2: limits.concurrent.per_user: must be more than zero"],
        ),
        (
            "[limits]\non_store_failure = 'guess'",
            &[
                "switchboard.toml:2: limits.on_store_failure: unknown value `guess`, expected one of `local`, `refuse`, `allow`",
            ],
        ),
    ] {
        check(text, expected);
    }
}

#[test]
fn limits_can_be_set_by_the_environment() {
    let names = [
        "LIMITS_PER_USER",
        "LIMITS_PER_TOOL_JIRA_GET",
        "ROLES_OPS_INHERITS",
    ];
    let [user, tool, role] = names.map(|rest| format!("{}{rest}", env::PREFIX));
    let variables = [
        (user.as_str(), "5/min"),
        (tool.as_str(), "6/min"),
        (role.as_str(), "base"),
    ];
    let text = "[limits]\nper_user = { rate = '1/s', burst = 9 }\nper_tool = { 'jira.get' = '1/s' }\n\
                [roles.base]\n[roles.ops]";
    let policy = load_text(text, &variables, &Overrides::default())
        .unwrap()
        .policy;
    let roles = BTreeSet::new();
    let demands = policy
        .limits
        .demands(&caller("t"), &roles, "jira", "jira.get", true);
    let rates: Vec<_> = demands
        .rates
        .iter()
        .map(|demand| demand.rate.to_string())
        .collect();
    assert_eq!(rates, ["5/min", "6/min"]);
}
