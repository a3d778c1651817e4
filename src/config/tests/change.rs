//! What a new configuration changes in a running process.

use super::*;

/// What changes from one text to another: what takes effect now, then at the next start.
fn change(before: &str, after: &str) -> (String, String) {
    let (before, after) = (load_file(before).unwrap(), load_file(after).unwrap());
    let change = Change::between(&before, &before.gateway, &before.policy, &after);
    let mut now = Vec::new();
    for (sign, names) in [
        ("+", &change.added),
        ("~", &change.changed),
        ("-", &change.removed),
    ] {
        now.extend(names.iter().map(|name| format!("{sign}{name}")));
    }
    if change.policy.is_some() {
        now.push("policy".to_owned());
    }
    if let Some(gateway) = &change.gateway {
        for endpoint in &gateway.endpoints {
            now.push(format!(
                "{}={}",
                endpoint.name,
                endpoint.upstreams.join("+")
            ));
        }
    }
    (now.join(" "), change.at_next_start.join(", "))
}

#[track_caller]
fn check_change(before: &str, after: &str, now: &str, later: &str) {
    let expected = (now.to_owned(), later.to_owned());
    assert_eq!(change(before, after), expected, "{before}\n->\n{after}");
}

const A: &str = "[upstreams.a]\nbuiltin = \"demo\"\n";
const B: &str = "[upstreams.b]\nbuiltin = \"demo\"\n";

#[test]
fn upstreams_come_change_and_go_now() {
    let both = &format!("{A}{B}");
    check_change(A, A, "", "");
    check_change(A, both, "+b main=a+b", "");
    check_change(both, A, "-b main=a", "");
    check_change(A, &format!("{A}prefix = \"x\""), "~a main=a", "");
    check_change(A, &format!("{A}[gateway]\nmax_hops = 2"), "main=a", "");
    let endpoint = |upstreams: &str| format!("{both}[endpoints.main]\nupstreams = {upstreams}");
    let (one, other) = (endpoint("['a']"), endpoint("['b', 'a']\ntitle = 'T'"));
    check_change(&one, &other, "main=b+a", "");
}

#[test]
fn roles_bindings_scopes_and_limits_change_now() {
    let role = "[roles.r]\nallow = [{ tools = ['a.*'] }]\n";
    check_change(role, role, "", "");
    for more in [
        "deny = [{ tools = ['a.x'] }]",
        "limits.concurrent = 2",
        "[[bindings]]\nrole = 'r'\ntenant = 't'",
        "[scopes]\nall = ['some']",
        "[limits]\nper_user = '1/s'",
        "[limits]\nnodes = 3",
    ] {
        check_change(role, &format!("{role}{more}"), "policy", "");
    }
    // The same in other words.
    let long = "[limits]\nper_user = { rate = '1/s', burst = 1 }";
    check_change("[limits]\nper_user = '1/s'", long, "", "");
}

#[test]
fn how_many_nodes_share_limits_is_known_at_the_start() {
    let of = |nodes| format!("[limits]\nper_user = '1/s'\nnodes = {nodes}");
    check_change(&of(2), &of(3), "policy", "limits.nodes");
}

#[test]
fn everything_else_is_named_and_takes_effect_at_the_next_start() {
    check_change(
        "",
        "[server]\nlisten = \"127.0.0.1:1\"\nlimits.body = \"1MiB\"\n[log]\nformat = \"json\"",
        "",
        "log.format, server.limits.body, server.listen",
    );
    // The same in other words.
    check_change("", "[calls]\ndeadline = \"600s\"", "", "");
    let key = format!("[cluster]\nkeys = [\"{GOOD_KEY}\"]");
    check_change("", &key, "", "cluster.keys");
    let other = key.replace("1e1f", "1e1e");
    check_change(&key, &other, "", "cluster.keys");
    let main = "[endpoints.main]\nbuiltin = \"demo\"\n";
    check_change(main, &format!("{main}path = \"/x\""), "", "endpoints.main");
    let two = format!("{main}[endpoints.two]\npath = \"/two\"\nbuiltin = \"demo\"");
    check_change(main, &two, "", "endpoints.two");
}

#[test]
fn an_endpoint_that_goes_keeps_its_place_until_the_next_start() {
    // From built-in tools to upstreams and back.
    check_change("", A, "+a", "endpoints.main");
    check_change(A, "", "-a main=", "endpoints.main");
    let before = format!("{A}{B}[endpoints.x]\nupstreams = ['a', 'b']");
    let after = format!("{B}[endpoints.y]\nupstreams = ['b']");
    check_change(&before, &after, "-a x=b", "endpoints.x, endpoints.y");
}

#[test]
fn a_secret_behind_a_reference_is_seen_to_change() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let write = |text: &str| {
        fs::write(&path, text).unwrap();
        set_mode(&path, 0o600);
    };
    write("one");
    let text = format!(
        "[upstreams.a]\nurl = \"https://example.com\"\nheaders = {{ Authorization = \"file:{path}\" }}\n\
         [store]\nurl = \"redis://host\"\npassword = \"file:{path}\"\n\
         [cluster]\nkeys = [\"{GOOD_KEY}\"]",
        path = path.display()
    );
    let before = load_file(&text).unwrap();
    write("two");
    let change = Change::between(
        &before,
        &before.gateway,
        &before.policy,
        &load_file(&text).unwrap(),
    );
    assert_eq!(change.changed, ["a"]);
    assert_eq!(change.at_next_start, ["store"]);
}
