//! Which stock client can do what: the table that the scenarios go by and `docs/clients.md` shows.
//!
//! A client is somebody else's package, unchanged, in the version that is installed. It takes every
//! step that it can over every way that it has; what it has not is said here with its reason, and
//! that reason is always the client's.

use std::fmt::Write as _;

use crate::world::tools::root;

/// How a client comes to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Streamable HTTP.
    Http(Opening),
    /// HTTP with SSE, which always begins with a handshake.
    HttpSse,
    /// As the parent of `switchboard stdio`.
    Stdio(Opening),
}

/// How a client finds the revision to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It shakes hands.
    Handshake,
    /// It knows that it wants a revision without one.
    Without,
    /// It asks which revisions there are, and takes the newest.
    Asking,
}

use Opening::{Asking, Handshake, Without};
use Way::{Http, HttpSse, Stdio};

/// What the drivers do, in order.
const STEPS: [&str; 10] = [
    "connect", "list", "call", "progress", "elicit", "sample", "resource", "prompt", "cancel",
    "close",
];
const WAYS: [Way; 7] = [
    Http(Handshake),
    Http(Without),
    Http(Asking),
    HttpSse,
    Stdio(Handshake),
    Stdio(Without),
    Stdio(Asking),
];

/// Something a client cannot do, and why.
type Lack<T> = (&'static [T], &'static str);

/// A stock client.
#[derive(Debug)]
pub struct Client {
    /// What it is called.
    pub name: &'static str,
    /// The version that is installed.
    pub version: &'static str,
    /// The file that names it with its version, and the line there.
    pinned: (&'static str, &'static str),
    /// What drives it, if it is another program than this one.
    pub driver: Option<Driver>,
    no_way: &'static [Lack<Way>],
    no_step: &'static [Lack<&'static str>],
}

/// A program that takes the steps: what runs it, and its file in `tests/clients`.
#[derive(Clone, Copy, Debug)]
pub enum Driver {
    /// Run by Node.
    Node(&'static str),
    /// Run by Python: the environment, and the file.
    Python(&'static str, &'static str),
}

const ONLY_HANDSHAKE: Lack<Way> = (
    &[Http(Without), Http(Asking), Stdio(Without), Stdio(Asking)],
    "its 1.x speaks only the revisions that begin with a handshake",
);
const INSPECTOR_ASKS_NOBODY: &str =
    "its command line declares neither elicitation nor sampling: nobody sits there to answer";

/// Every stock client there is a driver for.
pub const CLIENTS: [Client; 7] = [
    Client {
        name: "TypeScript SDK",
        version: "1.32.2",
        pinned: ("package.json", "\"@modelcontextprotocol/sdk\": \"1.32.2\""),
        driver: Some(Driver::Node("typescript_v1.mjs")),
        no_way: &[ONLY_HANDSHAKE],
        no_step: &[],
    },
    Client {
        name: "TypeScript SDK",
        version: "2.4.0",
        pinned: (
            "package.json",
            "\"@modelcontextprotocol/client\": \"2.4.0\"",
        ),
        driver: Some(Driver::Node("typescript_v2.mjs")),
        no_way: &[],
        no_step: &[],
    },
    Client {
        name: "Python SDK",
        version: "1.30.0",
        pinned: ("python-v1.txt", "\nmcp==1.30.0\n"),
        driver: Some(Driver::Python("python-v1", "python_v1.py")),
        no_way: &[ONLY_HANDSHAKE],
        no_step: &[],
    },
    Client {
        name: "Python SDK",
        version: "2.3.0",
        pinned: ("python-v2.txt", "\nmcp==2.3.0\n"),
        driver: Some(Driver::Python("python-v2", "python_v2.py")),
        no_way: &[],
        no_step: &[],
    },
    Client {
        name: "FastMCP",
        version: "4.1.6",
        pinned: ("python-v2.txt", "\nfastmcp-slim==4.1.6\n"),
        driver: Some(Driver::Python("python-v2", "fastmcp_v4.py")),
        no_way: &[],
        no_step: &[],
    },
    Client {
        name: "MCP Inspector, `--cli`",
        version: "2.12.0",
        pinned: (
            "package.json",
            "\"@modelcontextprotocol/inspector\": \"2.12.0\"",
        ),
        driver: Some(Driver::Node("inspector.mjs")),
        no_way: &[],
        no_step: &[
            (&["progress"], "its command line asks for no progress"),
            (&["elicit", "sample"], INSPECTOR_ASKS_NOBODY),
            (&["cancel"], "its command line gives no call up"),
            (
                &["close"],
                "it leaves without a DELETE; the session ends when it has been unused for long",
            ),
        ],
    },
    Client {
        name: "Rust SDK (`rmcp`)",
        version: "3.9.0",
        pinned: ("../../Cargo.lock", "name = \"rmcp\"\nversion = \"3.9.0\"\n"),
        driver: None,
        no_way: &[(&[HttpSse], "it has no client for this transport")],
        no_step: &[],
    },
];

impl Way {
    /// The revision that is spoken then.
    pub const fn revision(self) -> &'static str {
        match self {
            Http(Handshake) | Stdio(Handshake) | HttpSse => "2025-11-25",
            Http(Without | Asking) | Stdio(Without | Asking) => "2026-07-28",
        }
    }

    /// What the drivers call it.
    pub const fn mode(self) -> &'static str {
        match self {
            HttpSse => "sse",
            Http(Handshake) | Stdio(Handshake) => "legacy",
            Http(Without) | Stdio(Without) => "modern",
            Http(Asking) | Stdio(Asking) => "auto",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Http(Handshake) => "HTTP, handshake",
            Http(Without) => "HTTP, no handshake",
            Http(Asking) => "HTTP, asking",
            HttpSse => "HTTP+SSE",
            Stdio(Handshake) => "stdio, handshake",
            Stdio(Without) => "stdio, no handshake",
            Stdio(Asking) => "stdio, asking",
        }
    }
}

impl Client {
    /// Whether it can come this way.
    pub fn comes(&self, way: Way) -> bool {
        reason(self.no_way, &way).is_none()
    }

    /// Whether it can take this step.
    pub fn takes(&self, step: &'static str) -> bool {
        reason(self.no_step, &step).is_none()
    }

    /// The steps it takes, in order.
    pub fn steps(&self) -> Vec<&'static str> {
        STEPS.into_iter().filter(|step| self.takes(step)).collect()
    }

    /// The steps it cannot take.
    pub fn without(&self) -> Vec<&'static str> {
        STEPS.into_iter().filter(|step| !self.takes(step)).collect()
    }
}

fn reason<T: PartialEq>(lacks: &[Lack<T>], what: &T) -> Option<&'static str> {
    let mut lacks = lacks.iter();
    lacks.find_map(|(of, why)| of.contains(what).then_some(*why))
}

/// The tables as the page shows them.
fn rendered() -> String {
    let mut reasons = Vec::new();
    let ways = table(
        WAYS.map(Way::title),
        |client| WAYS.map(|way| (way.revision(), reason(client.no_way, &way))),
        &mut reasons,
    );
    let steps = table(
        STEPS,
        |client| STEPS.map(|step| ("yes", reason(client.no_step, &step))),
        &mut reasons,
    );
    let mut page = format!("{ways}\n{steps}\n");
    for (at, why) in reasons.iter().enumerate() {
        writeln!(page, "{}. {why}.", at + 1).expect("memory can be written");
    }
    page
}

/// One line for each client; a cell is what it can do or the number of the reason why not.
fn table<const N: usize>(
    titles: [&str; N],
    cells: impl Fn(&Client) -> [(&'static str, Option<&'static str>); N],
    reasons: &mut Vec<&'static str>,
) -> String {
    let mut text = format!(
        "| client | {} |\n|---{}|\n",
        titles.join(" | "),
        "|---".repeat(N)
    );
    for client in &CLIENTS {
        let cells = cells(client).map(|(can, why)| match why {
            None => can.to_owned(),
            Some(why) => {
                let known = reasons.iter().position(|known| *known == why);
                let at = known.unwrap_or_else(|| {
                    reasons.push(why);
                    reasons.len() - 1
                });
                format!("no ({})", at + 1)
            }
        });
        writeln!(
            text,
            "| {} {} | {} |",
            client.name,
            client.version,
            cells.join(" | ")
        )
        .expect("memory can be written");
    }
    text
}

/// What a reader of the page is promised is what the scenarios do.
#[test]
fn the_page_about_clients_shows_this_table() {
    let table = rendered();
    println!("{table}");
    let page = root().join("docs/clients.md");
    let page = std::fs::read_to_string(page).expect("the page can be read");
    assert!(
        page.contains(&table),
        "docs/clients.md must hold:\n\n{table}"
    );
}

/// A version in the table is the one that is installed.
#[test]
fn the_clients_are_of_the_versions_that_the_table_names() {
    for client in &CLIENTS {
        let (file, line) = client.pinned;
        let file = root().join("tests/tools").join(file);
        let text = std::fs::read_to_string(&file).expect("the list of packages can be read");
        assert!(text.contains(line), "{}: {line}", file.display());
        assert!(line.contains(client.version), "{}", client.name);
    }
}
