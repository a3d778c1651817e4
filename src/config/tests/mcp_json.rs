//! What `--mcp-json` takes from the files of clients.

use crate::gateway::config::{Reach, UpstreamConfig};

use super::*;

/// Loads a file of a client over `toml`. In what is said the file is called `mcp.json`.
fn load_json(json: &str, toml: &str) -> Result<Settings, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mcp.json");
    fs::write(&path, json).unwrap();
    let called = |text: &str| text.replace(&path.display().to_string(), "mcp.json");
    let overrides = Overrides {
        mcp_json: Some(path.clone()),
        ..Overrides::default()
    };
    let variables = [("TOKEN", "hunter2"), ("HOME_OF", "/home")];
    let mut settings = load_text(toml, &variables, &overrides).map_err(|said| called(&said))?;
    for caution in &mut settings.cautions {
        *caution = called(caution);
    }
    Ok(settings)
}

/// How the upstreams of a file are reached, by name.
#[track_caller]
fn reaches(json: &str) -> Vec<(String, String)> {
    let settings = load_json(json, "").unwrap();
    let upstreams = settings.gateway.upstreams.into_iter();
    upstreams
        .map(|upstream| (upstream.name.clone(), reach(&upstream)))
        .collect()
}

/// A line that shows all of it, secrets too.
fn reach(upstream: &UpstreamConfig) -> String {
    match &upstream.reach {
        Reach::Url { url, headers } => {
            let headers = headers.iter();
            let headers = headers.map(|(name, value)| format!(" {name}={}", value.0));
            format!("{url}{}", headers.collect::<String>())
        }
        Reach::Command(command) => {
            let environment = command.environment.iter();
            let environment = environment.map(|(name, value)| format!("{name}={} ", value.0));
            let directory = command.directory.as_ref();
            let directory =
                directory.map_or_else(String::new, |path| format!(" in {}", path.display()));
            let words = command.command.join(" ");
            format!("{}{words}{directory}", environment.collect::<String>())
        }
        Reach::InProcess(name) => name.clone(),
    }
}

#[track_caller]
fn check_json(json: &str, expected: &[&str]) {
    let said = load_json(json, "").err().unwrap_or_default();
    let found: Vec<_> = said.lines().collect();
    assert_eq!(found, expected, "about:\n{json}");
}

#[test]
fn a_client_s_servers_become_upstreams() {
    let json = r#"{"mcpServers": {
        "GitHub (work)": {"type": "http", "url": "https://api.example/mcp",
            "headers": {"Authorization": "Bearer ${TOKEN}"}},
        "files_1": {"command": "npx", "args": ["-y", "files", "${HOME_OF}/docs"],
            "env": {"DB": "file:/data.db", "KEY": "${env:TOKEN}", "MODE": "${MODE:-plain}"},
            "cwd": "${HOME_OF}"},
        "old": {"type": "sse", "url": "http://localhost:1/sse"},
        "off": {"disabled": true, "command": 7}
    }}"#;
    let is = |name: &str, reach: &str| (name.to_owned(), reach.to_owned());
    let expected = [
        is(
            "files-1",
            "DB=file:/data.db KEY=hunter2 MODE=plain npx -y files /home/docs in /home",
        ),
        is(
            "github-work",
            "https://api.example/mcp Authorization=Bearer hunter2",
        ),
        is("old", "http://localhost:1/sse"),
    ];
    assert_eq!(reaches(json), expected);
    let settings = load_json(json, "").unwrap();
    assert_eq!(settings.endpoints[0].serves, Serves::Upstreams);
    assert_eq!(settings.cautions, Vec::<String>::new());
}

#[test]
fn the_example_on_the_page_about_the_gateway_is_right() {
    let json = gateway::example("json").replace("GITHUB_TOKEN", "TOKEN");
    let settings = load_json(&json, "").unwrap();
    let names = settings.gateway.upstreams.iter();
    let names: Vec<_> = names.map(|upstream| &*upstream.name).collect();
    assert_eq!(names, ["github", "memory"]);
    assert_eq!(settings.cautions, Vec::<String>::new());
}

#[test]
fn the_block_is_found_under_its_names_or_bare() {
    let server = r#"{"a": {"command": "x"}}"#;
    for json in [
        format!(r#"{{"mcpServers": {server}}}"#),
        format!(r#"{{"servers": {server}}}"#),
        server.to_owned(),
    ] {
        assert_eq!(reaches(&json), [("a".to_owned(), "x".to_owned())], "{json}");
    }
}

#[test]
fn its_servers_stand_beside_the_configured_ones() {
    let toml = "[upstreams.b]\nbuiltin = \"demo\"\n[endpoints.main]\nupstreams = [\"b\", \"a\"]";
    let settings = load_json(r#"{"a": {"command": "x"}}"#, toml).unwrap();
    assert_eq!(settings.gateway.upstreams.len(), 2);
    let said = load_json(r#"{"B": {"command": "x"}}"#, toml).unwrap_err();
    let expected = "mcp.json: B: the configuration has an upstream \"b\" already";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn what_is_not_understood_is_ignored_and_named() {
    let json = r#"{"inputs": [], "servers": {
        "a": {"command": "x", "autoApprove": ["y"], "timeout": 3},
        "b": {"url": "https://example.com", "headers": {"X-Api-Key": "hunter2"}}
    }}"#;
    let settings = load_json(json, "").unwrap();
    let expected = [
        "mcp.json: ignored: inputs, servers.a.autoApprove, servers.a.timeout",
        "upstreams.b.headers.X-Api-Key: the secret stands in the configuration itself: write \
         `env:NAME` or `file:PATH`, or `text:` before it if it is none",
    ];
    assert_eq!(settings.cautions, expected);
    let many: Vec<_> = (0..20).map(|at| format!(r#""k{at:02}": 1"#)).collect();
    let json = format!(r#"{{"mcpServers": {{}}, {}}}"#, many.join(", "));
    let settings = load_json(&json, "").unwrap();
    let expected = "mcp.json: ignored: k00, k01, k02, k03, k04, k05, k06, k07 and 12 more";
    assert_eq!(settings.cautions, [expected]);
}

#[test]
fn what_is_wrong_in_it_is_said_with_its_place() {
    check_json(
        r#"{"mcpServers": {
            "a": {"command": "x", "env": {"A": "${MISSING}", "B": 1}},
            "b": {"url": "${input:address}"},
            "c": {"command": ["x"], "args": "y"},
            "d": {"type": "http", "command": "x"},
            "e": {"type": "stdio", "url": "https://example.com"},
            "f": {"type": "websocket", "url": "https://example.com"},
            "g": "x",
            "h i": {"command": "x"},
            "h-I": {"command": "x"},
            "日本": {"command": "x"},
            "k": {"command": "${TOKEN"},
            "l": {"url": "https://hunter2@example.com"},
            "m": {},
            "n": {"args": ["x"]}
        }}"#,
        &[
            "mcp.json: mcpServers.a.env.A: the environment variable MISSING is not set",
            "mcp.json: mcpServers.a.env.B: expected a text",
            "mcp.json: mcpServers.b.url: `${input:address}` is known to a client only: write \
             ${NAME} and set the environment variable NAME",
            "mcp.json: mcpServers.c.args: expected a list of texts",
            "mcp.json: mcpServers.c.command: expected a text",
            "mcp.json: mcpServers.d.type: \"http\" has a `url`",
            "mcp.json: mcpServers.e.type: \"stdio\" has a `command` and no `url`",
            "mcp.json: mcpServers.f.type: there is no type \"websocket\"; there are: \"stdio\", \
             \"http\", \"sse\" and \"streamable-http\"",
            "mcp.json: mcpServers.g: expected an object with `url` or `command`",
            "mcp.json: mcpServers.h-I: another one comes to the name \"h-i\" too",
            "mcp.json: mcpServers.k.command: `${` is not followed by a name and `}`",
            "mcp.json: mcpServers.n.args: is for a `command`",
            "mcp.json: mcpServers.日本: the name has no letter that a name here could have",
            "mcp.json: upstreams.l.url: must not hold a user or a password: set an \
             `Authorization` header",
            "mcp.json: upstreams.m: cannot be reached: set its `url`, its `command` or its \
             `builtin`",
        ],
    );
    check_json(
        r#"{"mcpServers": "hunter2"#,
        &["mcp.json: is not JSON at line 1, column 23"],
    );
    check_json("[]", &["mcp.json: expected an object with `mcpServers`"]);
    let overrides = Overrides {
        mcp_json: Some("no/such.json".into()),
        ..Overrides::default()
    };
    let said = load_text("lisen = 1", &[], &overrides).unwrap_err();
    assert!(
        said.starts_with("switchboard.toml:1: lisen: unknown key"),
        "{said}"
    );
    assert!(said.contains("\nno/such.json: cannot be read: "), "{said}");
}
