//! Values of clients that are a path, an option, a command or a template to somebody, and are text here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{VERSION, asked, finds, person};
use crate::world::asserted::{VARIABLE, client_of};
use crate::world::marked::Mark;
use crate::world::server::Store;
use crate::world::{Session, Stateless, Switchboard};

/// What is none of ours, wherever it turns up.
const PWNED: &str = "pwned";
const HOSTILE: [&str; 22] = [
    "../../../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "..\\..\\pwned",
    "/etc/passwd",
    "//etc/passwd",
    "file:///etc/passwd",
    "../pwned",
    "./../pwned",
    "pwned/../../pwned",
    ".",
    "..",
    "--help",
    "-rf",
    "--config=/etc/passwd",
    "; touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "| touch pwned #",
    "x' && touch pwned && '",
    "a\ntouch pwned",
    "%s%n{{7*7}}${jndi:ldap://pwned}",
    "\u{202e}\u{0}pwned",
];

/// Everything below a directory.
fn everything_in(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(directory).expect("it can be listed") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(everything_in(&path));
        }
        found.insert(path);
    }
    found
}

/// The program of `tests/servers/faulty.py`, and what it was started with.
fn program() -> [String; 3] {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/faulty.py");
    [
        "python3".to_owned(),
        script.display().to_string(),
        "session".to_owned(),
    ]
}

/// Presents a value wherever clients may say something. Whatever is answered, it is an answer.
async fn presents(url: &str, value: &str) {
    let mut http = client_of(person(value, value));
    // Not everything can be a name.
    if Session::initialize(&http, url, VERSION, json!({}))
        .await
        .status
        == 401
    {
        http = client_of(person("t1", "somebody"));
    }
    let client = Stateless::through(http.clone(), url);
    let session = Session::through(http.clone(), url, VERSION, json!({})).await;
    let task = json!({"taskId": value});
    let key = json!({"switchboard/idempotencyKey": value, "progressToken": value});
    let arguments = json!({"path": value, value: value, "session": value});
    for (method, params) in [
        ("tools/call", json!({"name": value, "arguments": arguments})),
        (
            "tools/call",
            json!({"name": format!("it.{value}"), "arguments": arguments}),
        ),
        (
            "tools/call",
            json!({"name": "it.fine", "arguments": arguments, "_meta": key}),
        ),
        (
            "prompts/get",
            json!({"name": value, "arguments": {"name": value}}),
        ),
        ("resources/read", json!({"uri": value})),
        ("resources/read", json!({"uri": format!("it+{value}")})),
        (
            "resources/read",
            json!({"uri": format!("it+file:///{value}")}),
        ),
        ("resources/list", json!({"cursor": value})),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": value},
            "argument": {"name": value, "value": value}}),
        ),
        ("tasks/get", task.clone()),
        ("tasks/cancel", task),
    ] {
        let answered = session.call(method, params.clone()).await;
        assert!(answered.status < 500, "{method} {params}");
        // A header cannot say everything that a name can.
        if value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            let answered = client.call(method, params.clone()).await;
            assert!(answered.status < 500, "{method} {params}");
        }
    }
    if value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        let mut other = session.presented_by(http, url);
        value.clone_into(&mut other.id);
        let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        assert!(matches!(other.send(&ping).await.status, 400 | 404));
        let told = session.get(Some(value)).await;
        assert!(matches!(told.status().as_u16(), 200 | 400));
    }
    assert_eq!(session.delete().await.status, 204);
}

/// Ours: programs run with the words of the configuration, and files have names of ours.
#[tokio::test]
async fn no_value_of_a_client_becomes_a_path_an_option_or_a_command() {
    let mark = Mark::new();
    let (name, value) = mark.variable();
    let config = format!(
        "{}[cluster]\nkeys = [{:?}]\n[audit]\nsink = \"file:./audit\"\ncheckpoints = \"./checkpoints\"\n\
         vault = \"./vault\"\n[upstreams.it]\ncommand = {}\nversion = \"2025-11-25\"\n\
         env = {{ {} = {} }}\n",
        asked(),
        "0a1b2c3d".repeat(8),
        json!(program()),
        name.display(),
        json!(Path::new(&value)),
    );
    let setup = Switchboard::with().store(Store::Embedded).config(&config);
    let server = setup.variable(VARIABLE.0, VARIABLE.1).start().await;
    let url = server.url("/mcp");
    let somebody = Stateless::through(client_of(person("t1", "alice")), &url);
    finds(&somebody, "it.fine").await;

    for value in HOSTILE {
        presents(&url, value).await;
    }

    let fine = somebody.tool("it.fine", json!({})).await;
    assert_eq!(fine.tool_text(), "fine");
    let [_, script, word] = program();
    let running = mark.alive();
    assert!(!running.is_empty());
    for (_, command) in running {
        // `python3` may be a program that starts the right one.
        let is_ours = command.trim_end().ends_with(&format!("{script} {word}"));
        assert!(is_ours, "{command:?} was started");
    }
    let directory = server.directory();
    let files = everything_in(directory);
    for path in &files {
        let below = path.strip_prefix(directory).expect("it is below");
        let place = below.components().next().expect("it has a name");
        let place = place.as_os_str().to_str().expect("a name of ours");
        let is_ours = matches!(
            place,
            "audit" | "checkpoints" | "vault" | "data" | "switchboard.toml"
        );
        assert!(is_ours, "{} was made", path.display());
        assert_ne!(path.file_name().unwrap(), PWNED);
    }
    // What is recorded of each tenant has a directory of its own, and none is outside of `audit`.
    let records = std::fs::read_dir(directory.join("audit")).expect("there are records");
    let tenants = records.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let tenants = tenants.collect::<BTreeSet<_>>();
    assert!(tenants.len() > HOSTILE.len() / 2, "{tenants:?}");
    let is_flat = |tenant: &String| tenant.starts_with("t-") || tenant.starts_with("h-");
    assert!(tenants.iter().all(is_flat), "{tenants:?}");
    for place in [directory.parent().unwrap(), Path::new("/"), Path::new(".")] {
        assert!(!place.join(PWNED).exists(), "{}", place.display());
    }
}

/// RFC 3986 section 6: a path is served as it is written, or not at all; rules go by what was matched.
#[tokio::test]
async fn no_spelling_of_a_path_leads_to_another_endpoint() {
    let config = "[auth.api_keys]\n[endpoints.main]\nbuiltin = \"demo\"\n\
                  [endpoints.open]\npath = \"/open\"\nbuiltin = \"demo\"\nauth = [\"none\"]\n";
    let setup = Switchboard::with().store(Store::Embedded).config(config);
    let server = setup.start().await;
    let ping = |path: &str| {
        let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list",
            "params": {"_meta": Stateless::new("").meta()}});
        crate::world::wire::Parts::post(list.to_string())
            .line(format!("POST {path} HTTP/1.1"))
            .with("MCP-Protocol-Version", "2026-07-28")
            .with("Mcp-Method", "tools/list")
    };
    for (path, status) in [
        ("/open", 200),
        ("/mcp", 401),
        ("/open/../mcp", 404),
        ("/open/..%2fmcp", 404),
        ("/open/%2e%2e/mcp", 404),
        ("/open//mcp", 404),
        ("//mcp", 404),
        ("/mcp/", 404),
        ("/%6dcp", 404),
        ("/mcp;/open", 404),
        ("/open;/../mcp", 404),
        ("/mcp%00", 404),
        ("/MCP", 404),
        ("/mcp\\..\\open", 404),
        ("/./mcp", 404),
    ] {
        let mut wire = crate::world::wire::Wire::connect(&server).await;
        wire.send(ping(path).bytes()).await;
        let answer = wire.answer().await.expect("it is answered");
        assert_eq!(answer.status, status, "{path}");
        let told: Value = answer.message();
        assert!(status == 200 || told.get("result").is_none(), "{path}");
    }
}
