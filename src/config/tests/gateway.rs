//! Upstreams, and the endpoints that have some.

use crate::gateway::config::{
    BreakerConfig, BulkheadConfig, CommandConfig, Isolation, Pin, Reach, RootConfig, Secret, Show,
    Timeouts, ToolShown, UpstreamConfig,
};
use crate::protocol::version::ProtocolVersion;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[track_caller]
fn upstream(text: &str) -> UpstreamConfig {
    let mut upstreams = load_file(text).unwrap().gateway.upstreams;
    assert_eq!(upstreams.len(), 1, "{upstreams:?}");
    upstreams.remove(0)
}

fn secret(text: &str) -> Secret {
    Secret(text.to_owned())
}

#[test]
fn strangers_share_nothing_unless_it_is_said() {
    let open = "server.listen = \"0.0.0.0:8000\"\nserver.allow_unauthenticated = true\n";
    let one = "[upstreams.a]\nurl = \"https://a.example/mcp\"\n";
    let said = "isolation = \"shared\"";
    for (text, isolation) in [
        (format!("{open}{one}"), Isolation::Request),
        (format!("{open}{one}{said}"), Isolation::Shared),
        (one.to_owned(), Isolation::Shared),
    ] {
        assert_eq!(upstream(&text).isolation, isolation, "{text}");
    }
}

#[test]
fn an_upstream_needs_no_more_than_a_place() {
    let jira = upstream("[upstreams.my_jira]\nurl = \"https://jira.example/mcp\"");
    let expected = UpstreamConfig {
        name: "my_jira".to_owned(),
        reach: Reach::Url {
            url: "https://jira.example/mcp".to_owned(),
            headers: Vec::new(),
        },
        auth: None,
        prefix: "my-jira".to_owned(),
        isolation: Isolation::Shared,
        handle: "session".to_owned(),
        version: None,
        roots: Vec::new(),
        show: Show::default(),
        pin: Pin::Warn,
        pins: BTreeMap::new(),
        idempotent: Vec::new(),
        bulkhead: BulkheadConfig {
            running_max: 256,
            waiting_max: 256,
            wait_max: 10 * SECOND,
        },
        breaker: BreakerConfig {
            failure_rate: 0.5,
            slow_call: None,
            window: 30 * SECOND,
            calls_min: 10,
            open_for: 10 * SECOND,
        },
        timeouts: Timeouts {
            connect: 10 * SECOND,
            list: 10 * SECOND,
            ping: 30 * SECOND,
            idle: 300 * SECOND,
            parked: 600 * SECOND,
        },
        message_max: 10 << 20,
        list_ttl: 5 * SECOND,
    };
    assert_eq!(jira, expected);

    let files = upstream("[upstreams.files]\ncommand = [\"npx\", \"-y\", \"files\"]");
    let expected = CommandConfig {
        command: ["npx", "-y", "files"].map(str::to_owned).to_vec(),
        environment: BTreeMap::new(),
        directory: None,
        children_max: 8,
        warm: 0,
        memory_max: None,
        files_max: None,
    };
    assert_eq!(files.reach, Reach::Command(expected));
    let gateway = load_file("").unwrap().gateway;
    assert_eq!((gateway.upstreams, gateway.hops_max), (Vec::new(), 8));
}

#[test]
fn every_key_of_an_upstream_can_be_written() {
    let text = r#"
        [gateway]
        max_hops = 3

        [upstreams.files]
        command = ["files-server", "--verbose"]
        env = { TOKEN = "env:FILES_TOKEN", DATABASE = "text:file:/data.db", MODE = "plain" }
        cwd = "/srv"
        prefix = "f"
        isolation = "handle"
        handle = "conversation"
        version = "2025-06-18"
        roots = ["file:///srv", { uri = "file:///home", name = "Home" }]
        allow = ["read_*"]
        deny = ["read_secret"]
        rename = { read_file = "read" }
        pin = "block"
        pins = { read_file = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" }
        idempotent = ["read_*"]
        max_running = 10
        max_waiting = 0
        max_wait = "1s"
        max_children = 4
        warm = 2
        list_ttl = "1s"
        breaker = { failure_rate = 1, slow_call = "5s", window = "1m", min_calls = 2, open_for = "2s" }
        timeouts = { connect = "1s", list = "2s", ping = "3s", idle = "4s", parked = "5s" }
        limits = { message = "1MiB", memory = "1GiB", files = 64 }
        [upstreams.files.tools.read_file]
        title = "Read"
        description = "Reads a file."

        [upstreams.jira]
        url = "https://jira.example/mcp"
        headers = { Authorization = "env:JIRA", X-Team = "a" }
        isolation = "session"
        pin = "hide"

        [upstreams.demo]
        builtin = "demo"
        isolation = "request"
    "#;
    let variables = [("FILES_TOKEN", "hunter2"), ("JIRA", "Bearer hunter3")];
    let settings = load_text(text, &variables, &Overrides::default()).unwrap();
    let shown = format!("{settings:?}");
    assert!(!shown.contains("hunter"), "secrets are never shown");
    assert_eq!(settings.gateway.hops_max, 3);
    let [demo, files, jira] = settings.gateway.upstreams.as_slice() else {
        panic!("three upstreams")
    };
    assert_eq!(demo.reach, Reach::InProcess("demo".to_owned()));
    assert_eq!(demo.isolation, Isolation::Request);
    let expected = Reach::Url {
        url: "https://jira.example/mcp".to_owned(),
        headers: vec![
            ("Authorization".to_owned(), secret("Bearer hunter3")),
            ("X-Team".to_owned(), secret("a")),
        ],
    };
    assert_eq!(jira.reach, expected);
    assert_eq!((jira.isolation, jira.pin), (Isolation::Session, Pin::Hide));
    let environment = [
        ("DATABASE", "file:/data.db"),
        ("MODE", "plain"),
        ("TOKEN", "hunter2"),
    ];
    let expected = UpstreamConfig {
        name: "files".to_owned(),
        reach: Reach::Command(CommandConfig {
            command: vec!["files-server".to_owned(), "--verbose".to_owned()],
            environment: environment
                .map(|(name, value)| (name.to_owned(), secret(value)))
                .into(),
            directory: Some("/srv".into()),
            children_max: 4,
            warm: 2,
            memory_max: Some(1 << 30),
            files_max: Some(64),
        }),
        auth: None,
        prefix: "f".to_owned(),
        isolation: Isolation::Handle,
        handle: "conversation".to_owned(),
        version: Some(ProtocolVersion::V2025_06_18),
        roots: vec![
            RootConfig {
                uri: "file:///srv".to_owned(),
                name: None,
            },
            RootConfig {
                uri: "file:///home".to_owned(),
                name: Some("Home".to_owned()),
            },
        ],
        show: Show {
            allow: Some(vec!["read_*".to_owned()]),
            deny: vec!["read_secret".to_owned()],
            rename: [("read_file".to_owned(), "read".to_owned())].into(),
            tools: [(
                "read_file".to_owned(),
                ToolShown {
                    title: Some("Read".to_owned()),
                    description: Some("Reads a file.".to_owned()),
                },
            )]
            .into(),
        },
        pin: Pin::Block,
        pins: [("read_file".to_owned(), "0123456789abcdef".repeat(4))].into(),
        idempotent: vec!["read_*".to_owned()],
        bulkhead: BulkheadConfig {
            running_max: 10,
            waiting_max: 0,
            wait_max: SECOND,
        },
        breaker: BreakerConfig {
            failure_rate: 1.0,
            slow_call: Some(5 * SECOND),
            window: 60 * SECOND,
            calls_min: 2,
            open_for: 2 * SECOND,
        },
        timeouts: Timeouts {
            connect: SECOND,
            list: 2 * SECOND,
            ping: 3 * SECOND,
            idle: 4 * SECOND,
            parked: 5 * SECOND,
        },
        message_max: 1 << 20,
        list_ttl: SECOND,
    };
    assert_eq!(*files, expected);
}

#[test]
fn what_is_wrong_with_upstreams_is_said_at_once() {
    check(
        r#"[gateway]
max_hops = 100
[upstreams.a]
command = "npx -y server"
[upstreams.b]
url = "ftp://example.com"
version = "2025-01-01"
isolation = "none"
roots = ["file:///srv", { url = "x" }]
[upstreams.c]
url = "https://user:hunter2@example.com"
command = ["x"]
[upstreams.d]
prefix = "d"
[upstreams.e]
url = "https://user:hunter2@example.com"
env = { A = "b" }
max_children = 2
limits.files = 3
[upstreams.e.headers]
Host = "x"
"X Y" = "x"
X-Good = "x"
X-Line = "a\nb"
X-Missing = "env:MISSING"
X-Number = 1
[upstreams.f]
command = []
headers = { A = "b" }
warm = 9
env = { "A=B" = "c" }
rename = { a = "x y", b = "z", c = "z" }
roots = ["srv"]
[upstreams.f.breaker]
failure_rate = 0.0
min_calls = 0
failur_rate = 3
[upstreams.f.limits]
message = "1KiB"
[upstreams.g]
builtin = "none"
[upstreams.h]
builtin = "demo"
prefix = "G.h"
deny = [""]
cwd = "/"
handle = "x"
[upstreams.ui]
builtin = "demo"
[upstreams.I]
builtin = "demo"
[upstreams.j]
builtin = "demo"
prefix = "4j"
tools.x.titel = "X"
pins = { x = "5EA7" }
[upstreams.k]
url = "http://k.example"
isolation = "handle"
handle = "the session"
"#,
        &[
            "switchboard.toml:2: gateway.max_hops: must be at most 64",
            "switchboard.toml:4: upstreams.a.command: expected the program and its arguments, each \
             in quotes, as in [\"npx\", \"-y\", \"server\"]: there is no shell to take them apart",
            "switchboard.toml:6: upstreams.b.url: must be an http or https URL, as in \
             \"https://example.com/mcp\"",
            "switchboard.toml:7: upstreams.b.version: there is no revision \"2025-01-01\"; there \
             are: 2026-07-28, 2025-11-25, 2025-06-18, 2025-03-26, 2024-11-05",
            "switchboard.toml:8: upstreams.b.isolation: unknown value `none`, expected one of \
             `shared`, `session`, `handle`, `request`",
            "switchboard.toml:9: upstreams.b.roots: expected a list of URIs, as in \
             [\"file:///srv\"], or of { uri = \"...\", name = \"...\" }",
            "switchboard.toml:10: upstreams.c: is reached in one way: leave all but one of `url`, \
             `command` and `builtin` out",
            "switchboard.toml:13: upstreams.d: cannot be reached: set its `url`, its `command` or \
             its `builtin`",
            "switchboard.toml:16: upstreams.e.url: must not hold a user or a password: set an \
             `Authorization` header",
            "switchboard.toml:17: upstreams.e.env: is for an upstream with `command`, and this one \
             has `url`",
            "switchboard.toml:18: upstreams.e.max_children: is for an upstream with `command`, and \
             this one has `url`",
            "switchboard.toml:19: upstreams.e.limits.files: is for an upstream with `command`, and \
             this one has `url`",
            "switchboard.toml:21: upstreams.e.headers.Host: is set by the gateway itself",
            "switchboard.toml:22: upstreams.e.headers.X Y: \"X Y\" is not the name of a header",
            "switchboard.toml:24: upstreams.e.headers.X-Line: its value has characters that no \
             header can have",
            "switchboard.toml:25: upstreams.e.headers.X-Missing: the environment variable MISSING \
             is not set",
            "switchboard.toml:26: upstreams.e.headers.X-Number: expected a text in quotes",
            "switchboard.toml:28: upstreams.f.command: names no program",
            "switchboard.toml:29: upstreams.f.headers: is for an upstream with `url`, and this one \
             has `command`",
            "switchboard.toml:30: upstreams.f.warm: must be at most `upstreams.f.max_children` (8)",
            "switchboard.toml:31: upstreams.f.env.A=B: \"A=B\" is not the name of a variable",
            "switchboard.toml:32: upstreams.f.rename.a: \"x y\" is not a name: it is made of \
             letters, digits, `_`, `-`, `.` and `/`",
            "switchboard.toml:32: upstreams.f.rename.c: \"z\" stands for \"b\" already",
            "switchboard.toml:33: upstreams.f.roots: \"srv\" is not a URI, as in \"file:///srv\"",
            "switchboard.toml:35: upstreams.f.breaker.failure_rate: must be more than 0 and at \
             most 1, as in 0.5",
            "switchboard.toml:36: upstreams.f.breaker.min_calls: must be more than zero",
            "switchboard.toml:37: upstreams.f.breaker.failur_rate: unknown key; did you mean \
             `failure_rate`?",
            "switchboard.toml:39: upstreams.f.limits.message: must be at least 4KiB, so that an \
             answer fits",
            "switchboard.toml:41: upstreams.g.builtin: unknown value `none`, expected `demo` or \
             `conformance`",
            "switchboard.toml:44: upstreams.h.prefix: the prefix \"G.h\" must begin with a \
             lower-case letter",
            "switchboard.toml:45: upstreams.h.deny: an empty pattern fits nothing; `*` stands for \
             anything",
            "switchboard.toml:46: upstreams.h.cwd: is for an upstream with `command`, and this one \
             has `builtin`",
            "switchboard.toml:47: upstreams.h.handle: is for an upstream with `isolation = \
             \"handle\"`",
            "switchboard.toml:48: upstreams.ui: the prefix \"ui\" is reserved",
            "switchboard.toml:50: upstreams.I: an upstream's name is made of lower-case letters, \
             digits, `-` and `_`",
            "switchboard.toml:54: upstreams.j.prefix: the prefix \"4j\" must begin with a \
             lower-case letter",
            "switchboard.toml:55: upstreams.j.tools.x.titel: unknown key; did you mean `title`?",
            "switchboard.toml:56: upstreams.j.pins.x: \"5EA7\" is not a hash: it is 64 of the \
             digits 0-9 and a-f, as the log warns of a change with",
            "switchboard.toml:60: upstreams.k.handle: \"the session\" is not a name: it is made of \
             letters, digits, `_` and `-`",
        ],
    );
}

#[test]
fn a_prefix_is_short_and_names_a_scheme() {
    let prefixed = |prefix: &str| format!("[upstreams.a]\nbuiltin = \"demo\"\nprefix = {prefix:?}");
    for prefix in ["", "a", "a-1", &"a".repeat(32)] {
        assert_eq!(upstream(&prefixed(prefix)).prefix, prefix);
    }
    for (prefix, problem) in [
        ("switchboard", "is reserved"),
        ("ui", "is reserved"),
        (&*"a".repeat(33), "must be at most 32 bytes long"),
        ("-a", "must begin with a lower-case letter"),
        ("a_b", "is made of lower-case letters, digits and `-`"),
        ("a.b", "is made of lower-case letters, digits and `-`"),
    ] {
        let said =
            format!("switchboard.toml:3: upstreams.a.prefix: the prefix {prefix:?} {problem}");
        check(&prefixed(prefix), &[&said]);
    }
}

#[test]
fn there_is_a_most_of_upstreams() {
    let most = |count: usize| {
        let tables = (0..count).map(|at| format!("[upstreams.a{at}]\nbuiltin = \"demo\"\n"));
        tables.collect::<String>()
    };
    assert_eq!(load_file(&most(200)).unwrap().gateway.upstreams.len(), 200);
    check(
        &most(201),
        &["switchboard.toml: upstreams: there are 201; at most 200 fit behind one process"],
    );
}

#[test]
fn without_endpoints_all_upstreams_are_served_at_mcp() {
    let text = "[upstreams.b]\nbuiltin = \"demo\"\n[upstreams.a]\nbuiltin = \"demo\"";
    let settings = load_file(text).unwrap();
    let [main] = settings.endpoints.as_slice() else {
        panic!("one endpoint")
    };
    assert_eq!((&*main.name, &*main.path), ("main", "/mcp"));
    assert_eq!(main.serves, Serves::Upstreams);
    let [shown] = settings.gateway.endpoints.as_slice() else {
        panic!("one endpoint with upstreams")
    };
    assert_eq!(shown.name, "main");
    assert_eq!(shown.upstreams, ["a", "b"]);
    assert_eq!(shown.separator, ".");
    let overrides = Overrides {
        builtin: Some(Builtin::Demo),
        ..Overrides::default()
    };
    let said = load_text(text, &[], &overrides).unwrap_err();
    let expected = "--builtin: upstreams: upstreams are configured; write one with `builtin`, or \
                    name endpoints for both";
    assert_eq!(said, expected);
}

#[test]
fn an_endpoint_names_its_upstreams_in_order() {
    let text = r#"
        [endpoints.main]
        upstreams = ["b", "a"]
        separator = "__"
        title = "Everything"
        version = "2.0"
        deprecated = "Use /v3."
        [endpoints.other]
        path = "/other"
        builtin = "demo"
        [upstreams.a]
        builtin = "demo"
        [upstreams.b]
        builtin = "conformance"
        [upstreams.c]
        builtin = "demo"
    "#;
    let settings = load_file(text).unwrap();
    let expected = crate::gateway::config::EndpointConfig {
        name: "main".to_owned(),
        title: Some("Everything".to_owned()),
        version: Some("2.0".to_owned()),
        separator: "__".to_owned(),
        upstreams: vec!["b".to_owned(), "a".to_owned()],
        deprecated: Some("Use /v3.".to_owned()),
    };
    assert_eq!(settings.gateway.endpoints, [expected]);
    let served = settings.endpoints.iter().map(|endpoint| endpoint.serves);
    let expected = [Serves::Upstreams, Serves::Builtin(BuiltinSet::Demo)];
    assert_eq!(served.collect::<Vec<_>>(), expected);
    let said = ["upstreams.c: no endpoint has it among its `upstreams`"];
    assert_eq!(settings.cautions, said);
}

#[test]
fn what_an_endpoint_says_of_its_upstreams_fits_together() {
    check(
        r#"[endpoints.a]
path = "/a"
upstreams = ["one", "two", "on", "one", "missing"]
separator = ":"
[endpoints.b]
path = "/b"
upstreams = ["one"]
builtin = "demo"
[endpoints.c]
path = "/c"
upstreams = []
[endpoints.d]
path = "/d"
builtin = "demo"
title = "D"
[endpoints.e]
path = "/e"
upstreams = "one"
[endpoints.f]
path = "/f"
upstreams = ["one", "bare"]
[endpoints.g]
path = "/g"
upstreams = ["bare"]
[upstreams.one]
builtin = "demo"
[upstreams.two]
builtin = "demo"
prefix = "one"
[upstreams.bare]
builtin = "demo"
prefix = ""
"#,
        &[
            "switchboard.toml:3: endpoints.a.upstreams: names \"one\" twice",
            "switchboard.toml:3: endpoints.a.upstreams: there is no upstream \"missing\"",
            "switchboard.toml:3: endpoints.a.upstreams: there is no upstream \"on\"; did you mean \
             \"one\"?",
            "switchboard.toml:4: endpoints.a.separator: unknown value `:`, expected `.` or `__`",
            "switchboard.toml:8: endpoints.b.builtin: serves either; write an upstream with \
             `builtin`, and leave this out",
            "switchboard.toml:9: endpoints.c: serves nothing: name its `upstreams`, or set its \
             `builtin` to \"demo\", \"conformance\" or \"none\"",
            "switchboard.toml:15: endpoints.d.title: is for an endpoint with `upstreams`",
            "switchboard.toml:18: endpoints.e.upstreams: expected a list of texts",
            "switchboard.toml:29: upstreams.two.prefix: the prefix \"one\" is also that of \
             `upstreams.one`, and `endpoints.a` has both",
            "switchboard.toml:32: upstreams.bare.prefix: can be empty only for the sole upstream of \
             `endpoints.f`",
        ],
    );
}

#[test]
fn a_program_with_tools_of_its_own_names_an_endpoint_for_upstreams() {
    let overrides = Overrides {
        own: vec![OwnEndpoint {
            name: "main".to_owned(),
            path: "/mcp".to_owned(),
        }],
        ..Overrides::default()
    };
    let said = |text: &str| load_text(text, &[], &overrides).err().unwrap_or_default();
    let upstream = "[upstreams.a]\nbuiltin = \"demo\"\n";
    let expected = "switchboard.toml: upstreams: this program serves tools of its own: name an \
                    endpoint for the upstreams, as in `[endpoints.NAME]` with `path` and \
                    `upstreams`";
    assert_eq!(said(upstream), expected);
    let here = format!("{upstream}[endpoints.main]\nupstreams = [\"a\"]");
    let expected = "switchboard.toml:4: endpoints.main.upstreams: this program serves its own tools \
                    here; leave `upstreams` out";
    assert!(said(&here).contains(expected), "{}", said(&here));
    let beside = format!("{upstream}[endpoints.b]\npath = \"/b\"\nupstreams = [\"a\"]");
    assert_eq!(said(&beside), "");
}

#[test]
fn a_secret_on_its_way_to_another_machine_is_cautioned_about() {
    let cautions = |url: &str, header: &str| {
        let text = format!("[upstreams.a]\nurl = {url:?}\nheaders = {{ {header} }}");
        let variables = [("THE_TOKEN", "x")];
        let settings = load_text(&text, &variables, &Overrides::default()).unwrap();
        settings.cautions.join("\n")
    };
    let inline = "upstreams.a.headers.Authorization: the secret stands in the configuration itself: \
                  write `env:NAME` or `file:PATH`, or `text:` before it if it is none";
    let plain = "upstreams.a.url: Authorization is sent without encryption to another machine";
    let (https, http) = ("https://example.com", "http://example.com");
    for (url, header, said) in [
        (https, "Authorization = 'Bearer x'", inline),
        (https, "Authorization = 'env:THE_TOKEN'", ""),
        (https, "Authorization = 'text:public'", ""),
        (https, "X-Team = 'a'", ""),
        (http, "Authorization = 'env:THE_TOKEN'", plain),
        ("http://127.0.0.1:1", "Authorization = 'x'", ""),
        ("http://[::1]:1", "Authorization = 'x'", ""),
        ("http://localhost:1", "Authorization = 'x'", ""),
    ] {
        assert_eq!(cautions(url, header), said, "{url} {header}");
    }
    let both = cautions(http, "Authorization = 'Bearer x'");
    assert_eq!(both, format!("{inline}\n{plain}"));
}

#[test]
fn the_environment_sets_every_key_of_an_upstream() {
    let name = |rest: &str| format!("{}UPSTREAMS_{rest}", env::PREFIX);
    let variables = [
        (name("MY_JIRA_URL"), "https://other.example"),
        (name("MY_JIRA_HEADERS"), "X-A=1, X-B=env:THE_TOKEN"),
        (name("MY_JIRA_BREAKER_FAILURE_RATE"), "0.25"),
        (name("MY_JIRA_TOOLS_GET_TITLE"), "Get"),
        (name("FILES_COMMAND"), "npx, -y, files"),
        (name("FILES_ROOTS"), "file:///a,file:///b"),
        (name("FILES_LIMITS_FILES"), "10"),
        ("THE_TOKEN".to_owned(), "secret"),
    ];
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    let text = "[upstreams.my-jira]\nurl = \"https://jira.example\"\nheaders = { X-C = \"3\" }";
    let settings = load_text(text, &variables, &Overrides::default()).unwrap();
    let [files, jira] = settings.gateway.upstreams.as_slice() else {
        panic!("two upstreams")
    };
    let expected = Reach::Url {
        url: "https://other.example".to_owned(),
        headers: vec![
            ("X-A".to_owned(), secret("1")),
            ("X-B".to_owned(), secret("secret")),
        ],
    };
    assert_eq!((&*jira.name, &jira.reach), ("my-jira", &expected));
    assert!((jira.breaker.failure_rate - 0.25).abs() < f64::EPSILON);
    assert_eq!(jira.show.tools["get"].title.as_deref(), Some("Get"));
    let Reach::Command(command) = &files.reach else {
        panic!("a command")
    };
    assert_eq!(command.command, ["npx", "-y", "files"]);
    assert_eq!((files.roots.len(), command.files_max), (2, Some(10)));

    let wrong = [(&*name("A_HEADERS"), "X-A"), (&*name("A_BUILTIN"), "demo")];
    let said = load_text("", &wrong, &Overrides::default()).unwrap_err();
    let expected = "upstreams.a.headers: expected NAME=TEXT, separated by commas";
    assert!(said.contains(expected), "{said}");
}

/// What operators read about the gateway.
const PAGE: &str = include_str!("../../../docs/gateway.md");

/// The examples of the page in a language.
fn examples(language: &str) -> impl Iterator<Item = &'static str> {
    let start = format!("```{language}\n");
    let starts = PAGE
        .match_indices(&start)
        .map(|(at, start)| at + start.len());
    let starts = starts.collect::<Vec<_>>();
    starts
        .into_iter()
        .map(|at| PAGE[at..].split_once("```").expect("it ends").0)
}

/// The first of them.
pub(super) fn example(language: &str) -> &'static str {
    examples(language).next().expect("there is an example")
}

#[test]
fn the_examples_on_the_page_about_the_gateway_are_right() {
    let variables = [
        ("JIRA_AUTHORIZATION", "Bearer x"),
        ("CRM_CLIENT_SECRET", "x"),
        ("TICKETS_TOKEN", "x"),
    ];
    let examples = examples("toml").collect::<Vec<_>>();
    assert_eq!(examples.len(), 2);
    for example in examples {
        let settings = load_text(example, &variables, &Overrides::default()).unwrap();
        assert_eq!(settings.gateway.upstreams.len(), 3);
        assert_eq!(settings.cautions, Vec::<String>::new());
    }
}

#[test]
fn the_page_about_the_gateway_names_every_key() {
    let missing: Vec<_> = keys::leaves()
        .into_iter()
        .filter(|(path, _)| {
            let of_endpoint = ["upstreams", "separator", "title", "version", "deprecated"];
            match path[0] {
                "upstreams" | "gateway" => true,
                "endpoints" => of_endpoint.contains(&path[2]),
                _ => false,
            }
        })
        .map(|(path, _)| match path[0] {
            "gateway" => path.join("."),
            _ => path[2..].join(".").replace('*', "NAME"),
        })
        .filter(|key| !PAGE.contains(&format!("`{key}`")))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}
