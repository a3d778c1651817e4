//! A gateway that keeps an audit, before a server that notes on disk what it does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use super::books::Books;
use crate::cluster::ledger;
use crate::world::asserted::{VARIABLE, believed_from, client_of};
use crate::world::command::{Ended, run_with};
use crate::world::server::{Setup, Store, example};
use crate::world::{FaultyDisk, Session, Stateless, Switchboard, eventually, within};

/// What its clients do.
pub const TOOL: &str = "books.ledger_append";
/// What they may not.
pub const FORBIDDEN: &str = "books.count";
const RULES: &str = r#"
[roles.clerk]
allow = [{ tools = ["books.ledger_append"] }, { prompts = ["**"] }]
[[bindings]]
role = "clerk"
any_of = [{ claim = "groups", has = "clerks" }]
"#;

/// The two, and where what they did is written.
pub struct Rig {
    pub gateway: Switchboard,
    pub upstream: Switchboard,
    directory: TempDir,
    records: PathBuf,
}

impl Rig {
    /// The audit lies on the machine's own disk.
    pub async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let places = directory.path().join("places");
        Self::at(&places, directory, "", |setup| setup).await
    }

    /// All of the audit lies on a disk that may fail; `more` is said of it.
    pub async fn on(disk: &FaultyDisk, more: &str) -> Self {
        let directory = TempDir::new().unwrap();
        Self::at(&disk.path(), directory, more, |setup| disk.under(setup)).await
    }

    async fn at(
        places: &Path,
        directory: TempDir,
        more: &str,
        under: impl FnOnce(Setup) -> Setup,
    ) -> Self {
        let file = directory.path().join("ledger").display().to_string();
        let upstream = Switchboard::with().program(example("ledger"));
        let upstream = upstream.variable("LEDGER", &file).start().await;
        let place = |name: &str| places.join(name).display().to_string();
        let config = format!(
            "{}{RULES}\n[audit]\nsink = \"file:{}\"\ncheckpoints = {:?}\nvault = {:?}\n{more}\n\
             [endpoints.main]\npath = \"/mcp\"\nupstreams = [\"books\"]\n\
             [upstreams.books]\nurl = {:?}\n",
            believed_from("127.0.0.1"),
            place("records"),
            place("checkpoints"),
            place("vault"),
            upstream.url("/mcp"),
        );
        let gateway = Switchboard::with()
            .store(Store::Embedded)
            .variable(VARIABLE.0, VARIABLE.1)
            .config(&config);
        let rig = Self {
            gateway: under(gateway).start().await,
            upstream,
            directory,
            records: places.join("records"),
        };
        rig.gateway.is_ready().await;
        rig
    }

    fn url(&self) -> String {
        self.gateway.url("/mcp")
    }

    /// A clerk who comes without a session.
    pub fn clerk(&self, name: &str) -> Stateless {
        Stateless::through(client_of(a_clerk(name)), &self.url())
    }

    /// A clerk who comes with one.
    pub async fn clerk_in_session(&self, name: &str) -> Session {
        let http = client_of(a_clerk(name));
        Session::through(http, &self.url(), "2025-11-25", json!({})).await
    }

    /// The names of the calls that were executed, in that order.
    pub fn executed(&self) -> Vec<String> {
        let lines = ledger::read(&self.directory.path().join("ledger"));
        lines.into_iter().map(|line| line.call).collect()
    }

    /// Waits until another segment of calls is begun, and not a moment longer.
    pub async fn begins_a_segment(&self) {
        let checkpoints = self.records.with_file_name("checkpoints");
        let trail = checkpoints.join("t-default/calls");
        let segments = || {
            let names = std::fs::read_dir(&trail).into_iter().flatten();
            let names = names.map(|entry| entry.unwrap().file_name());
            names.collect::<BTreeSet<_>>()
        };
        let before = segments();
        within("a segment is begun", async {
            while segments() == before {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Waits until a call has been executed.
    pub async fn has_executed(&self, call: &str) {
        eventually("it is executed", async || {
            let executed = self.executed();
            executed.iter().any(|it| it == call).then_some(())
        })
        .await;
    }

    /// What `switchboard audit` says.
    pub async fn audit(&self, arguments: &[&str]) -> Ended {
        let common = ["--store", "embedded:./data"];
        let all = [&["audit"], arguments, &common].concat();
        run_with(self.gateway.directory(), &all, &[VARIABLE]).await
    }

    /// The records are as they were written.
    pub async fn verifies(&self) {
        let verified = self.audit(&["verify"]).await;
        assert_eq!(verified.code, 0, "{}", verified.err);
    }

    /// What was executed and what was recorded.
    pub async fn books(&self) -> Books {
        let asked = ["query", "--kind", "call", "--limit", "100000"];
        let found = self.audit(&asked).await;
        assert_eq!(found.code, 0, "{}", found.err);
        Books::of(self.executed(), &found.out, &self.records)
    }

    /// Ends the gateway in order, holds that the records are whole, and starts it again.
    pub async fn restarts_whole(&mut self) {
        assert!(self.gateway.stop().await.success());
        self.verifies().await;
        self.gateway.start_again().await;
        self.gateway.is_ready().await;
        self.verifies().await;
    }
}

fn a_clerk(name: &str) -> serde_json::Value {
    json!({"sub": name, "groups": ["clerks"]})
}
