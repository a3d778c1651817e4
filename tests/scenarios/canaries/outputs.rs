//! All there is to be read of a house: what it logged, shows, sent, and keeps.

use std::path::{Path, PathBuf};

use super::canary::{Collected, Output};
use super::house::House;
use super::visitor::Told;
use crate::reload::replace;
use crate::world::eventually;
use crate::world::scripted::{Heard, Scripted};

/// What was collected so far.
#[derive(Debug, Default)]
pub struct Outputs {
    /// See [`Output::OwnAnswers`].
    pub own: Told,
    /// See [`Output::OtherAnswers`].
    pub others: Told,
    /// See [`Output::NewKeys`].
    pub new_keys: Vec<u8>,
    rest: Collected,
}

impl Outputs {
    fn add(&mut self, output: Output, bytes: &[u8]) {
        let all = self.rest.entry(output).or_default();
        all.extend(bytes);
        all.push(b'\n');
    }

    /// Command lines of nodes and all that came of them, and what these have in their environment.
    pub fn of_processes(&mut self, house: &House) {
        for node in &house.nodes {
            let children = descendants(node.server.pid());
            assert!(!children.is_empty(), "an upstream is a child");
            self.add(
                Output::CommandLines,
                &of_process(node.server.pid(), "cmdline"),
            );
            for child in children {
                self.add(Output::CommandLines, &of_process(child, "cmdline"));
                self.add(Output::Environments, &of_process(child, "environ"));
            }
        }
    }

    /// What operators and clients can look at.
    pub async fn of_pages(&mut self, house: &House) {
        for node in &house.nodes {
            for path in ["/health", "/ready", "/nothing"] {
                let page = node.page(path).await.expect("it answers");
                self.add(Output::Pages, page.as_bytes());
            }
            let metrics = node.page("/metrics").await.expect("it answers");
            self.add(Output::Metrics, metrics.as_bytes());
            let metadata = "/.well-known/oauth-protected-resource";
            let page = node.client.get(node.server.url(metadata)).send().await;
            let page = page.expect("it answers").text().await.expect("it is text");
            self.add(Output::Pages, page.as_bytes());
        }
    }

    /// What the command line says, of a key too that it was given.
    pub async fn of_commands(&mut self, house: &House, keys: &[String]) {
        for (node, key) in house.nodes.iter().zip(keys) {
            for words in [
                &["key", "list"][..],
                &["key", "list", "--json"],
                &["key", "revoke", "0000000000000000"],
                &["drain", "--listen", "127.0.0.1:1"],
            ] {
                let ended = match words[0] {
                    "drain" => house.command(node, words).await,
                    _ => house.asks_node(node, words).await,
                };
                self.add(Output::Commands, format!("{ended:?}").as_bytes());
            }
            let id = key.split('_').nth(1).expect("a key has an id");
            let tenant = ["--tenant", "acme"];
            for words in [
                &["--version"][..],
                &["--help"],
                &["check"],
                &["schema"],
                &["policy", "explain", "crm.lookup", "--tenant", "acme"],
                &["key", "create", "--owner"],
                &[
                    "tools",
                    "ls",
                    "--url",
                    "http://127.0.0.1:1/mcp",
                    "--bearer",
                    "env:MAIL_TOKEN",
                ],
                &["audit", "verify"],
                &["key", "revoke", id, "--listen", "127.0.0.1:1"],
            ] {
                let ended = house.command(node, words).await;
                self.add(Output::Commands, format!("{ended:?}").as_bytes());
            }
            for words in [
                &["audit", "query", "--limit", "10000"][..],
                &["audit", "query", "--kind", "authentication_failed"],
                &[
                    &["audit", "export", "--subject", "owner alice"],
                    &tenant[..],
                ]
                .concat(),
                &["audit", "export", "--controls"],
            ] {
                let ended = match words[1] {
                    "export" => house.asks_node(node, words).await,
                    _ => house.command(node, words).await,
                };
                assert_eq!(ended.code, 0, "{}", ended.err);
                self.add(Output::AuditAnswers, ended.out.as_bytes());
                self.add(Output::Commands, ended.err.as_bytes());
            }
        }
    }

    /// Configurations that are refused: with what was right, and something wrong beside it.
    pub async fn of_bad_configurations(&mut self, house: &House) {
        for node in &house.nodes {
            let file = node.config();
            let good = std::fs::read_to_string(&file).unwrap();
            let refused = "mcp_config_reloads_total{outcome=\"refused\"}";
            for (count, bad) in [
                good.replacen("[upstreams.crm]", "[upstreams.crm]\nnothing = 1", 1),
                good.replacen("env:DESK_SECRET", "env:NOT_THERE", 1),
                format!("{good}[[["),
            ]
            .into_iter()
            .enumerate()
            {
                replace(&file, &bad);
                let line = format!("{refused} {}", count + 1);
                eventually("it is refused", async || {
                    node.page("/metrics").await?.contains(&line).then_some(())
                })
                .await;
                let ended = house.command(node, &["check"]).await;
                self.add(Output::Commands, format!("{ended:?}").as_bytes());
            }
            replace(&file, &good);
        }
    }

    /// One node drains, the other is told to stop.
    pub async fn of_stopping(&mut self, house: &mut House) {
        let drained = house.asks_node(&house.nodes[0], &["drain"]).await;
        assert_eq!(drained.code, 0, "{}", drained.err);
        self.add(Output::Commands, format!("{drained:?}").as_bytes());
        let [first, second] = &mut house.nodes;
        first.server.ended().await;
        assert!(second.server.stop().await.success());
        // What is verified now has its checkpoints.
        for node in &house.nodes {
            let verified = house.command(node, &["audit", "verify"]).await;
            assert_eq!(verified.code, 0, "{}", verified.err);
            self.add(Output::Commands, format!("{verified:?}").as_bytes());
        }
    }

    /// Everything, with what is left in files.
    pub fn collected(mut self, house: &House) -> Collected {
        for node in &house.nodes {
            let directory = node.server.directory();
            self.add(node.log, node.server.log().as_bytes());
            self.add(Output::Said, node.server.said().as_bytes());
            for file in files_below(directory) {
                let name = file.strip_prefix(directory).expect("it is below");
                let output = match name.to_str().expect("names are text") {
                    // Searched already, or written by the scenario.
                    "log" | "said" | "switchboard.toml" | "switchboard.new" => continue,
                    name if name.contains("audit") => Output::AuditFiles,
                    _ => Output::Files,
                };
                self.add(output, &std::fs::read(&file).unwrap());
            }
        }
        let stored = std::fs::read(house.redis.appended()).unwrap();
        self.add(Output::Store, &stored);
        for heard in house.upstreams.iter().flat_map(all_heard) {
            self.add(Output::UpstreamHeads, head(&heard).as_bytes());
            self.add(Output::UpstreamBodies, heard.body.as_bytes());
        }
        for heard in all_heard(&house.issuer) {
            self.add(Output::Issuer, head(&heard).as_bytes());
            self.add(Output::Issuer, heard.body.as_bytes());
        }
        let taken = |told: &Told| std::mem::take(&mut *told.lock().unwrap());
        let (own, others) = (taken(&self.own), taken(&self.others));
        self.add(Output::OwnAnswers, &own);
        self.add(Output::OtherAnswers, &others);
        let new_keys = std::mem::take(&mut self.new_keys);
        self.add(Output::NewKeys, &new_keys);
        let empty = self.rest.iter().find(|(output, bytes)| {
            // Nothing may be there: it is enough that it was looked at.
            **output != Output::Files && bytes.len() < 2
        });
        assert!(empty.is_none(), "there is nothing in {empty:?}");
        self.rest
    }
}

fn all_heard(server: &Scripted) -> Vec<Heard> {
    server.heard(|_| true)
}

fn head(heard: &Heard) -> String {
    format!("{} {} {:?}", heard.verb, heard.path, heard.headers)
}

/// Children of a process, and theirs.
fn descendants(process: u32) -> Vec<u32> {
    let tasks = format!("/proc/{process}/task");
    let tasks = std::fs::read_dir(tasks).into_iter().flatten().flatten();
    let children = tasks.flat_map(|task| {
        let children = std::fs::read_to_string(task.path().join("children"));
        let children = children.unwrap_or_default();
        let ids = children.split_whitespace().map(|id| id.parse().unwrap());
        ids.collect::<Vec<u32>>()
    });
    children
        .flat_map(|child| [vec![child], descendants(child)].concat())
        .collect()
}

fn of_process(process: u32, file: &str) -> Vec<u8> {
    let file = Path::new("/proc").join(process.to_string()).join(file);
    std::fs::read(file).expect("it lives")
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("it is a directory");
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.symlink_metadata().unwrap().file_type() {
            kind if kind.is_dir() => files_below(&path),
            kind if kind.is_file() => vec![path],
            _ => Vec::new(),
        })
        .collect()
}
