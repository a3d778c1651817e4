//! Tables of configurations: valid, invalid, overridden.

mod audit;
mod change;
mod gateway;
mod mcp_json;
mod policy;
mod tls;
mod upstream_auth;

use std::collections::BTreeMap;
use std::time::Duration;

use super::settings::{BuiltinSet, Serves, StoreKind};
use super::*;
use crate::runtime::seal::ClusterKeys;
use crate::store::Bounds;
use crate::store::redis::Password;

const GOOD_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn load_text(
    text: &str,
    variables: &[(&str, &str)],
    overrides: &Overrides,
) -> Result<Settings, String> {
    let source = Source {
        name: "switchboard.toml".to_owned(),
        text: text.to_owned(),
    };
    let environment = Environment::of(variables);
    load(Some(&source), &environment, overrides).map_err(|complaints| complaints.to_string())
}

fn load_file(text: &str) -> Result<Settings, String> {
    load_text(text, &[], &Overrides::default())
}

/// What is said about `text`, one complaint per line.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let complaints = load_file(text).err().unwrap_or_default();
    let found: Vec<_> = complaints.lines().collect();
    assert_eq!(found, expected, "about:\n{text}");
}

#[test]
fn no_configuration_at_all_is_a_working_one() {
    let settings = load(None, &Environment::default(), &Overrides::default()).unwrap();
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8000");
    assert!(settings.server.hosts.allows("localhost:8000"));
    assert!(settings.server.origins.allows("http://localhost:6274"));
    assert!(settings.server.cors.is_none());
    assert_eq!(settings.server.http_sse.as_ref().unwrap().path, "/sse");
    assert!(settings.server.workers > 0);
    let [endpoint] = settings.endpoints.as_slice() else {
        panic!("one endpoint")
    };
    assert_eq!(endpoint.path, "/mcp");
    assert_eq!(endpoint.serves, Serves::Builtin(BuiltinSet::Demo));
    assert!(
        matches!(&settings.store.kind, StoreKind::Embedded { directory }
        if directory.ends_with("switchboard-data"))
    );
    assert_eq!(settings.store.bounds, Bounds::default());
    assert!(settings.cluster.keys.is_none() && settings.cautions.is_empty());
}

#[test]
fn an_empty_file_says_the_same_as_none() {
    let empty = load_file("").unwrap();
    let none = load(None, &Environment::default(), &Overrides::default()).unwrap();
    assert_eq!(format!("{empty:?}"), format!("{none:?}"));
}

#[test]
fn every_key_can_be_written() {
    let settings = load_file(&format!(
        r#"
        [server]
        listen = "0.0.0.0:9000"
        public_url = "https://mcp.example.com/"
        allow_unauthenticated = true
        allowed_hosts = ["mcp.example.com", "10.0.0.1:9000"]
        allowed_origins = ["https://app.example.com"]
        cors_origins = ["https://console.example.com"]
        http_sse = true
        sse_path = "/old/sse"
        messages_path = "/old/messages"
        workers = 3
        limits = {{ body = "1MiB", header_count = 32, event = "2MiB" }}
        timeouts.drain = "5s"

        [sessions]
        max = 10
        idle_ttl = "10m"
        absolute_ttl = "10m"

        [calls]
        grace = "1s"

        [streams]
        heartbeat = "1s"
        log_entries = 100
        node_log_bytes = "1GiB"

        [store]
        url = "memory:"

        [cluster]
        keys = ["{GOOD_KEY}"]

        [endpoints.main]
        builtin = "demo"
        [endpoints.suite-2]
        path = "/suite/v2"
        builtin = "conformance"
        [endpoints.empty]
        path = "/"
        builtin = "none"

        [admin]
        listen = "localhost:9001"

        [log]
        format = "json"
        filter = "warn,switchboard::session=debug"
        "#
    ))
    .unwrap();
    let server = &settings.server;
    assert_eq!(
        server.public_url.as_deref(),
        Some("https://mcp.example.com")
    );
    assert!(server.hosts.allows("mcp.example.com") && !server.hosts.allows("localhost"));
    assert!(server.origins.allows("https://app.example.com"));
    assert!(!server.origins.allows("https://mcp.example.com"));
    assert!(
        server.origins.allows("https://console.example.com"),
        "CORS implies it"
    );
    assert!(
        !server
            .cors
            .as_ref()
            .unwrap()
            .allows("https://app.example.com")
    );
    let http_sse = server.http_sse.as_ref().unwrap();
    assert_eq!(settings.endpoints[http_sse.endpoint].name, "main");
    assert_eq!((server.workers, server.limits.body), (3, 1 << 20));
    assert_eq!(server.timeouts.drain, Duration::from_secs(5));
    assert_eq!(settings.sessions.max, 10);
    assert_eq!(settings.calls.grace, Duration::from_secs(1));
    assert_eq!(settings.store.bounds.total_bytes, 1 << 30);
    assert_eq!(settings.store.kind, StoreKind::Memory);
    assert!(settings.cluster.keys.is_some());
    let paths: Vec<_> = settings
        .endpoints
        .iter()
        .map(|endpoint| endpoint.path.as_str())
        .collect();
    assert_eq!(paths, ["/", "/mcp", "/suite/v2"]);
    assert_eq!(settings.main_endpoint().unwrap().path, "/mcp");
    assert_eq!(settings.admin_listen.unwrap().to_string(), "127.0.0.1:9001");
    assert_eq!(settings.cautions.len(), 1, "{:?}", settings.cautions);
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_its_line() {
    check(
        r#"[server]
lisen = "0.0.0.0:8000"
listen = 8000
public_url = "ftp://mcp.example.com"
workers = 0
http_sse = "yes"

[server.limits]
body = "4MB"
header_count = -1
json_depth = 500
header_field = "32KiB"
event = "1KiB"

[server.timeouts]
keep_alive = 75
body_idle = "1m"

[sessions]
idle_ttl = "30s"
max = 1.5

[calls]
grace = "0ms"
deadline = "9999d"

[store]
url = "postgres://user:hunter2@host"

[log]
format = "xml"
filter = "infoo"

[metrics]
enabled = true
"#,
        &[
            "switchboard.toml:2: server.lisen: unknown key; did you mean `listen`?",
            "switchboard.toml:3: server.listen: expected a text in quotes",
            "switchboard.toml:4: server.public_url: must be an http or https URL without a query, \
             as in \"https://mcp.example.com\"",
            "switchboard.toml:5: server.workers: must be more than zero",
            "switchboard.toml:6: server.http_sse: expected true or false",
            "switchboard.toml:9: server.limits.body: \"4MB\" is not a size: write a whole number \
             and B, KiB, MiB or GiB, as in \"4MiB\"",
            "switchboard.toml:10: server.limits.header_count: must be more than zero",
            "switchboard.toml:11: server.limits.json_depth: must be at most 127",
            "switchboard.toml:12: server.limits.header_field: 32KiB must be at most \
             `server.limits.header_block` (16KiB)",
            "switchboard.toml:13: server.limits.event: must be at least 4KiB, so that our own \
             errors fit",
            "switchboard.toml:16: server.timeouts.keep_alive: expected a duration in quotes, as in \
             \"10s\"",
            "switchboard.toml:17: server.timeouts.body_idle: 1m must be at most \
             `server.timeouts.body_total` (30s)",
            "switchboard.toml:20: sessions.idle_ttl: `sessions.passivate_after` (1m) must be less \
             than 30s",
            "switchboard.toml:21: sessions.max: expected a whole number",
            "switchboard.toml:24: calls.grace: must be more than zero",
            "switchboard.toml:25: calls.deadline: \"9999d\" is too much: 3660d is the most",
            "switchboard.toml:28: store.url: there is no store \"postgres\"; write \
             \"embedded:DIRECTORY\", \"memory:\" or a Redis URL, as in \"redis://HOST:6379\"",
            "switchboard.toml:31: log.format: unknown value `xml`, expected `text` or `json`",
            "switchboard.toml:32: log.filter: \"infoo\" is not a level: use off, error, warn, \
             info, debug or trace, alone or as MODULE=LEVEL, separated by commas",
            "switchboard.toml:34: metrics: unknown key; known here: `admin`, `audit`, `auth`, `bindings`, \
             `calls`, `cluster`, `endpoints`, `gateway`, `limits`, `log`, `roles`, `scopes`, `server`, \
             `sessions`, `store`, `streams`, `tasks`, `upstreams`",
        ],
    );
}

#[test]
fn unknown_keys_come_with_a_guess() {
    for (text, said) in [
        (
            "[servr]\nlisten = \"127.0.0.1:1\"",
            "servr: unknown key; did you mean `server`?",
        ),
        (
            "[server]\npublic-url = \"x\"",
            "server.public-url: unknown key; did you mean `public_url`?",
        ),
        (
            "[session]\nidle_ttl = \"1h\"",
            "session: unknown key; did you mean `sessions`?",
        ),
        (
            "[sessions]\nidle-ttl = \"1h\"",
            "sessions.idle-ttl: unknown key; did you mean `idle_ttl`?",
        ),
        // The right key in the wrong table.
        (
            "listen = \"x\"",
            "listen: unknown key; did you mean `admin.listen`?",
        ),
        (
            "[server]\nidle_ttl = \"1h\"",
            "server.idle_ttl: unknown key; did you mean `sessions.idle_ttl`?",
        ),
        (
            "[endpoints.a]\nbuilt_in = \"demo\"",
            "endpoints.a.built_in: unknown key; did you mean `builtin`?",
        ),
    ] {
        let complaints = load_file(text).unwrap_err();
        assert!(complaints.contains(said), "{said}\nis not in\n{complaints}");
    }
}

#[test]
fn what_is_not_toml_is_said_line_by_line() {
    check(
        "[server]\nlisten = \"127.0.0.1:1\nworkers = 2\nworkers = 3\n[log]\nfilter = debug\nformta = \"json\"\n",
        &[
            "switchboard.toml:2: invalid basic string, expected `\"`",
            "switchboard.toml:4: duplicate key",
            "switchboard.toml:6: string values must be quoted, expected literal string",
            "switchboard.toml:7: log.formta: unknown key; did you mean `format`?",
        ],
    );
    check(
        "server = 1\n[endpoints]\nmain = \"/mcp\"\n",
        &[
            "switchboard.toml:1: server: expected a table, as in `[server]`",
            "switchboard.toml:3: endpoints.main: expected a table, as in `[endpoints.main]`",
        ],
    );
}

#[test]
fn times_of_a_connection_are_no_finer_than_the_clock_below() {
    check(
        "[server.timeouts]\nheader_read = \"300ms\"\nkeep_alive = \"999ms\"",
        &[
            "switchboard.toml:2: server.timeouts.header_read: must be at least 1s",
            "switchboard.toml:3: server.timeouts.keep_alive: must be at least 1s",
        ],
    );
}

#[test]
fn nobody_listens_to_the_world_by_accident() {
    let complaint = "switchboard.toml:2: server.listen: 0.0.0.0:8000 can be reached from other \
                     machines, and nobody is authenticated: listen on a loopback address, accept \
                     proofs under `[auth]`, or set `server.allow_unauthenticated` = true";
    check("[server]\nlisten = \"0.0.0.0:8000\"", &[complaint]);
    for listen in [
        "127.0.0.1:8000",
        "127.9.9.9:8000",
        "[::1]:8000",
        "localhost:0",
    ] {
        check(&format!("[server]\nlisten = {listen:?}"), &[]);
    }
    let allowed = "[server]\nlisten = \"0.0.0.0:8000\"\nallow_unauthenticated = true";
    let cautions = load_file(allowed).unwrap().cautions;
    assert_eq!(cautions.len(), 2, "{cautions:?}");
    // The address itself is one of the names, unless it stands for all.
    let own = "[server]\nlisten = \"10.0.0.1:8000\"\nallow_unauthenticated = true";
    assert!(load_file(own).unwrap().server.hosts.allows("10.0.0.1:8000"));
    assert!(
        !load_file(allowed)
            .unwrap()
            .server
            .hosts
            .allows("0.0.0.0:8000")
    );
}

#[test]
fn endpoints_are_apart_from_one_another_and_from_ours() {
    check(
        r#"
[endpoints.a]
path = "/mcp/"
builtin = "demo"
[endpoints.b]
path = "/health"
builtin = "dmeo"
[endpoints.C]
builtin = "demo"
[endpoints.d]
[endpoints.e]
path = "/x//y"
builtin = "none"
[endpoints.main]
path = "/messages"
builtin = "none"
[endpoints.team-a]
path = "/a%2fb"
builtin = "none"
[endpoints.team_a]
path = "mcp"
builtin = "none"
"#,
        &[
            "switchboard.toml:3: endpoints.a.path: \"/mcp/\" must not end with \"/\"",
            "switchboard.toml:6: endpoints.b.path: \"/health\" is reserved for operators",
            "switchboard.toml:7: endpoints.b.builtin: unknown value `dmeo`, expected one of \
             `demo`, `conformance`, `none`",
            "switchboard.toml:8: endpoints.C: an endpoint's name is made of lower-case letters, \
             digits, `-` and `_`",
            "switchboard.toml:10: endpoints.d: \"/mcp\" is the path of `endpoints.C` too",
            "switchboard.toml:10: endpoints.d: serves nothing: name its `upstreams`, or set its \
             `builtin` to \"demo\", \"conformance\" or \"none\"",
            "switchboard.toml:12: endpoints.e.path: \"/x//y\" must not have empty, \".\" or \"..\" \
             parts",
            "switchboard.toml:15: endpoints.main.path: \"/messages\" would be both \
             `server.messages_path` and the path of `endpoints.main`; change one, or set \
             `server.http_sse` = false",
            "switchboard.toml:18: endpoints.team-a.path: \"/a%2fb\" may have only letters, digits, \
             `-`, `.`, `_` and `~` between its slashes",
            "switchboard.toml:20: endpoints.team_a: differs from `endpoints.team-a` only in `-` \
             and `_`",
            "switchboard.toml:21: endpoints.team_a.path: \"mcp\" must begin with \"/\"",
        ],
    );
}

#[test]
fn http_sse_serves_the_main_endpoint_or_the_only_one() {
    let two = "[endpoints.a]\npath = \"/a\"\nbuiltin = \"demo\"\n\
               [endpoints.b]\npath = \"/b\"\nbuiltin = \"demo\"\n";
    assert!(load_file(two).unwrap().server.http_sse.is_none());
    check(
        &format!("[server]\nhttp_sse = true\n{two}"),
        &[
            "switchboard.toml:2: server.http_sse: needs an endpoint named `main`, since there are \
           several",
        ],
    );
    assert!(
        load_file("[server]\nhttp_sse = false")
            .unwrap()
            .server
            .http_sse
            .is_none()
    );
    check(
        "[server]\nsse_path = \"/x\"\nmessages_path = \"/x\"",
        &["switchboard.toml:3: server.messages_path: must not be the same as `server.sse_path`"],
    );
}

#[test]
fn allow_lists_are_read_when_the_process_starts() {
    check(
        r#"[server]
public_url = "https://mcp.example.com"
allowed_hosts = ["localhost"]
allowed_origins = ["app.example.com"]
cors_origins = ["https://app.example.com/path"]
"#,
        &[
            "switchboard.toml:3: server.allowed_hosts: does not have \"mcp.example.com\", the host \
             of `server.public_url`",
            "switchboard.toml:4: server.allowed_origins: \"app.example.com\" is not an origin: \
             write `scheme://host`, `scheme://host:port`, `scheme://host:*`, `null` or `*`",
            "switchboard.toml:5: server.cors_origins: \"https://app.example.com/path\" is not an \
             origin: write `scheme://host`, `scheme://host:port`, `scheme://host:*`, `null` or `*`",
        ],
    );
    let listed = "[server]\npublic_url = \"https://mcp.example.com\"";
    let hosts = load_file(listed).unwrap().server.hosts;
    assert!(hosts.allows("mcp.example.com") && hosts.allows("localhost:1"));
}

#[test]
fn keys_that_belong_together_are_checked_together() {
    for (text, said) in [
        (
            "[sessions]\npassivate_after = \"2h\"",
            "2: sessions.passivate_after: 2h must be less than `sessions.idle_ttl` (1h)",
        ),
        (
            "[sessions]\nidle_ttl = \"2d\"",
            "2: sessions.idle_ttl: 2d must be at most `sessions.absolute_ttl` (1d)",
        ),
        (
            "[sessions]\nabsolute_ttl = \"30m\"",
            "2: sessions.absolute_ttl: `sessions.idle_ttl` (1h) must be at most 30m",
        ),
        (
            "[calls]\ngrace = \"10m\"",
            "2: calls.grace: 10m must be less than `calls.deadline` (10m)",
        ),
        (
            "[streams]\nlog_bytes = \"8MiB\"",
            "2: streams.log_bytes: 8MiB must be at most `streams.session_log_bytes` (4MiB)",
        ),
        (
            "[streams]\nlog_entries = 10",
            "2: streams.log_entries: `streams.unacknowledged` (64) must be at most 10",
        ),
        (
            "[admin]\nlisten = \"127.0.0.1:8000\"",
            "2: admin.listen: is also the address of `server.listen`; leave it out to serve both \
             there",
        ),
    ] {
        check(text, &[&format!("switchboard.toml:{said}")]);
    }
}

#[test]
fn the_environment_overrides_the_file_and_options_override_both() {
    let name = |rest: &str| format!("{}{rest}", env::PREFIX);
    let file = "[server]\nlisten = \"127.0.0.1:1\"\nworkers = 2\n[store]\nurl = \"embedded:x\"\n\
                [endpoints.team-a]\npath = \"/a\"\nbuiltin = \"demo\"";
    let variables = [
        (name("SERVER_LISTEN"), "127.0.0.1:2"),
        (name("SERVER_WORKERS"), "5"),
        (name("SERVER_HTTP_SSE"), "false"),
        (
            name("SERVER_CORS_ORIGINS"),
            "https://a.example, https://b.example",
        ),
        (name("SERVER_LIMITS_BODY"), "1KiB"),
        (name("STORE_URL"), "memory:"),
        (name("SESSIONS_MAX"), ""),
        (name("ENDPOINTS_TEAM_A_BUILTIN"), "conformance"),
        (name("ENDPOINTS_OTHER_BUILTIN"), "none"),
        (name("SERVICE_HOST"), "10.0.0.1"),
    ];
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    let overrides = Overrides {
        listen: Some("127.0.0.1:3".to_owned()),
        ..Overrides::default()
    };
    let settings = load_text(file, &variables, &overrides).unwrap();
    assert_eq!(settings.server.listen.port(), 3);
    assert_eq!(settings.server.workers, 5);
    assert!(settings.server.http_sse.is_none());
    assert!(settings.server.cors.unwrap().allows("https://b.example"));
    assert_eq!(settings.server.limits.body, 1024);
    assert_eq!(settings.store.kind, StoreKind::Memory);
    assert_eq!(settings.sessions.max, defaults::SESSIONS);
    let endpoints: Vec<_> = settings
        .endpoints
        .iter()
        .map(|endpoint| (&*endpoint.name, endpoint.serves))
        .collect();
    assert_eq!(
        endpoints,
        [
            ("other", Serves::Nothing),
            ("team-a", Serves::Builtin(BuiltinSet::Conformance))
        ]
    );
}

#[test]
fn a_complaint_names_the_variable_or_the_option() {
    let workers = format!("{}SERVER_WORKERS", env::PREFIX);
    let listen = format!("{}SERVER_LISTEN", env::PREFIX);
    let variables = [
        (&*workers, "many"),
        (&*listen, "0.0.0.0:1"),
        (env::CLUSTER_KEY, "abc"),
    ];
    let overrides = Overrides {
        store: Some("sqlite:x".to_owned()),
        builtin: Some(Builtin::Demo),
        ..Overrides::default()
    };
    let file = "[endpoints.main]\nbuiltin = \"demo\"\n[sessions]\nmax = 0";
    let complaints = load_text(file, &variables, &overrides).unwrap_err();
    let starts: Vec<_> = complaints
        .lines()
        .map(|line| line.split_once(": ").unwrap().0)
        .collect();
    let expected = [
        "switchboard.toml:4",
        env::CLUSTER_KEY,
        &*listen,
        &*workers,
        "--builtin",
        "--store",
    ];
    assert_eq!(starts, expected, "{complaints}");
}

#[test]
fn builtin_chooses_for_the_default_endpoint() {
    for (choice, expected) in [
        (None, Serves::Builtin(BuiltinSet::Demo)),
        (Some(Builtin::Demo), Serves::Builtin(BuiltinSet::Demo)),
        (
            Some(Builtin::Conformance),
            Serves::Builtin(BuiltinSet::Conformance),
        ),
        (Some(Builtin::None), Serves::Nothing),
    ] {
        let overrides = Overrides {
            builtin: choice,
            ..Overrides::default()
        };
        let settings = load(None, &Environment::default(), &overrides).unwrap();
        assert_eq!(settings.endpoints[0].serves, expected, "{choice:?}");
    }
}

#[test]
fn a_program_s_own_endpoints_can_be_moved_and_not_replaced() {
    let own = |name: &str, path: &str| OwnEndpoint {
        name: name.to_owned(),
        path: path.to_owned(),
    };
    let overrides = Overrides {
        own: vec![own("main", "/mcp"), own("staff", "/staff")],
        ..Overrides::default()
    };
    let paths = |text: &str| {
        load_text(text, &[], &overrides).map(|settings| {
            let endpoints = settings.endpoints.into_iter();
            endpoints
                .map(|endpoint| (endpoint.name, endpoint.path, endpoint.serves))
                .collect::<Vec<_>>()
        })
    };
    let is = |name: &str, path: &str| (name.to_owned(), path.to_owned(), Serves::Own);
    assert_eq!(
        paths("").unwrap(),
        [is("main", "/mcp"), is("staff", "/staff")]
    );
    let moved = paths("[endpoints.staff]\npath = \"/intern\"").unwrap();
    assert_eq!(moved, [is("main", "/mcp"), is("staff", "/intern")]);
    for (text, complaint) in [
        (
            "[endpoints.main]\nbuiltin = \"demo\"",
            "switchboard.toml:2: endpoints.main.builtin: this program serves its own tools here; \
             leave `builtin` out",
        ),
        (
            "[endpoints.other]\npath = \"/staff\"\nbuiltin = \"demo\"",
            "configuration",
        ),
    ] {
        let complaints = paths(text).unwrap_err();
        assert!(
            complaints.starts_with(complaint) || complaints.contains("is the path of"),
            "{complaints}"
        );
    }
}

#[test]
fn cluster_keys_come_from_a_file_a_variable_or_the_text_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    fs::write(&path, format!("{GOOD_KEY}\n")).unwrap();
    set_mode(&path, 0o640);
    let text = format!(
        "[cluster]\nkeys = [\"env:THE_KEY\", \"file:{}\"]",
        path.display()
    );
    let other = "f".repeat(63) + "0";
    let keys = |settings: Settings| {
        settings
            .cluster
            .keys
            .as_ref()
            .map(ClusterKeys::signing_key_hex)
    };

    let variables = [("THE_KEY", &*other)];
    let settings = load_text(&text, &variables, &Overrides::default()).unwrap();
    assert_eq!(keys(settings), Some(other.clone()));

    let variables = [(env::CLUSTER_KEY, GOOD_KEY)];
    let settings = load_text(&text, &variables, &Overrides::default()).unwrap();
    assert_eq!(
        keys(settings).as_deref(),
        Some(GOOD_KEY),
        "it stands for the whole list"
    );

    set_mode(&path, 0o644);
    let complaints = load_text(&text, &[], &Overrides::default()).unwrap_err();
    let expected = format!(
        "switchboard.toml:2: cluster.keys: entry 1: the environment variable THE_KEY is not set\n\
         switchboard.toml:2: cluster.keys: entry 2: the file {} can be read or changed by every \
         user: take that away with `chmod o=`",
        path.display()
    );
    assert_eq!(complaints, expected);

    // What is cut would be another secret.
    fs::write(&path, "x".repeat(17 * 1024)).unwrap();
    set_mode(&path, 0o600);
    let complaints = load_text(&text, &[], &Overrides::default()).unwrap_err();
    assert!(
        complaints.ends_with("is too long for a secret"),
        "{complaints}"
    );
}

#[test]
fn a_redis_store_takes_who_we_are_from_its_url_or_by_reference() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    fs::write(&ca, "-----BEGIN CERTIFICATE-----\n").unwrap();
    let text = format!(
        "[store]\nurl = \"rediss://old:older@host:7000/2\"\nuser = \"app\"\n\
         password = \"env:THE_PASSWORD\"\nca = \"file:{}\"\nreplicas = 1\ntimeout = \"1s\"\n\
         [cluster]\nkeys = [\"{GOOD_KEY}\"]\nlease = \"3s\"",
        ca.display()
    );
    let variables = [("THE_PASSWORD", "hunter2")];
    let settings = load_text(&text, &variables, &Overrides::default()).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
    assert_eq!(settings.cluster.lease, Duration::from_secs(3));
    let StoreKind::Redis(config) = settings.store.kind else {
        panic!("unexpected {:?}", settings.store.kind);
    };
    assert_eq!(config.target.user.as_deref(), Some("app"));
    assert_eq!(config.target.password, Some(Password("hunter2".into())));
    assert!(config.target.tls && config.ca.is_some());
    assert_eq!(
        (config.replicas, config.timeout),
        (1, Duration::from_secs(1))
    );
    assert_eq!(config.target.to_string(), "redis at host:7000 (TLS)");
}

#[test]
fn what_a_redis_store_lacks_is_said() {
    check(
        "[store]\nurl = \"redis://host\"\nuser = \"app\"\npassword = \"hunter2\"\n\
         ca = \"file:ca.pem\"\ntimeout = \"1ms\"\n[cluster]\nlease = \"500ms\"",
        &[
            "switchboard.toml:4: store.password: write where the secret is: `env:NAME` or \
             `file:PATH`",
            "switchboard.toml:5: store.ca: is for encrypted connections: begin the URL with \
             `rediss`",
            "switchboard.toml:6: store.timeout: must be at least 50ms",
            "switchboard.toml:8: cluster.lease: must be at least 1s",
            &format!(
                "switchboard.toml: cluster.keys: is needed with a Redis store, so that every node \
                 knows what another one signed: set it, or the environment variable {}, on all \
                 nodes alike",
                env::CLUSTER_KEY
            ),
        ],
    );
    check(
        "[store]\nurl = \"redis://a,b\"",
        &[
            "switchboard.toml:2: store.url: names several hosts; `redis+sentinel` and \
           `redis+cluster` take a list",
        ],
    );
    check(
        "[store]\nurl = \"memory:\"\nreplicas = 1",
        &[
            "switchboard.toml:3: store.replicas: is for a Redis store, and `store.url` is of another",
        ],
    );
}

#[test]
fn a_secret_is_never_shown() {
    let secret = "deadbeefdeadbeefdeadbeef";
    for text in [
        format!("[cluster]\nkeys = \"{secret}\""),
        format!("[cluster]\nkeys = [\"{secret}\"]"),
        format!("[cluster]\nkeys = [\"{secret}\", 1]"),
        format!("[cluster]\nkeys = {{ a = \"{secret}\" }}"),
        format!("[cluster]\nkeys = [\"{secret}\"\n"),
        format!("[cluster]\nkey = \"{secret}\""),
        format!("[store]\nurl = \"redis://:{secret}@host\""),
        format!("[store]\nurl = \"redis://:{secret}@host:port\""),
        format!("[store]\nurl = \"redis://host\"\npassword = \"{secret}\""),
        format!("[upstreams.a]\nurl = \"ftp://{secret}\""),
        format!("[upstreams.a]\nurl = \"https://user:{secret}@host\""),
        format!("[upstreams.a]\nurl = \"https://host\"\nheaders = \"{secret}\""),
        format!("[upstreams.a]\nurl = \"https://host\"\nheaders.X = \"{secret}\\n\""),
        format!("[upstreams.a]\ncommand = \"server {secret}\""),
        format!("[upstreams.a]\ncommand = [\"server\"]\nenv = {{ X = [\"{secret}\"] }}"),
        format!("[upstreams.a]\ncommand = [\"server\"]\nenv = {{ X = \"{secret}\\u0000\" }}"),
    ] {
        let complaints = load_file(&text).unwrap_err();
        assert!(!complaints.contains(secret), "{complaints}");
    }
    let settings = load_file(&format!("[cluster]\nkeys = [\"{GOOD_KEY}\"]")).unwrap();
    assert!(!format!("{settings:?}").contains(GOOD_KEY));
}

#[test]
fn a_named_file_must_exist() {
    let missing = Source::read(Some(Path::new("no/such.toml")))
        .unwrap_err()
        .to_string();
    assert!(
        missing.starts_with("no/such.toml: cannot be read: "),
        "{missing}"
    );
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(feature = "sabotage")]
#[test]
fn a_deliberate_bug_is_chosen_by_its_name_or_refused() {
    use crate::runtime::sabotage::Bug;

    let load = |name| load_text("", &[(env::SABOTAGE, name)], &Overrides::default());
    assert_eq!(load("").unwrap().sabotage, None);
    let bug = load("epoch_ignored").unwrap().sabotage;
    assert_eq!(bug, Some(Bug::EpochIgnored));
    let complaint = load("epoch").unwrap_err();
    let expected = format!("{}: there is no bug \"epoch\"; there are: ", env::SABOTAGE);
    assert!(complaint.starts_with(&expected), "{complaint}");
}
