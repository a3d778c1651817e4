//! Several nodes over one Redis, behind nginx: what a scenario about more than one node is told
//! with.

use std::net::SocketAddr;
use std::ops::{Index, IndexMut};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fault_proxy::FaultProxy;
use super::server::{self, example};
use super::{Nginx, Redis, Switchboard, command, eventually, signals};

/// How long a silent node is taken for alive. Short, so that a story about a dead one is short.
pub const LEASE: Duration = Duration::from_secs(2);
/// What all nodes of a cluster share.
const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// What clients call a node: nginx, as it comes, calls it by the name of its upstream.
const HOSTS: &str = "nodes,127.0.0.1";
/// How long a stream that has ended is remembered: longer than any story, so that when it is over what
/// is not there was lost.
const REMEMBERED: &str = "1h";
/// Idle connections that nginx keeps to the nodes, as many deployments have it.
const KEEPALIVE: u32 = 32;

/// Which fault the nodes of every cluster have: a variable of this test program, for stories that are
/// to end badly.
pub const SABOTAGE: &str = "TEST_SABOTAGE";

/// A program that can have a fault.
pub fn sabotaged(name: &str) -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools");
    tools.join("sabotaged").join(name)
}

/// How a cluster is to be started.
#[derive(Debug)]
pub struct Setup {
    redis: Option<Redis>,
    proxied: bool,
    ledger: bool,
    journal: bool,
    apart: bool,
    keeps_logs: bool,
    config: String,
    store_url: Option<String>,
    keepalive: Option<u32>,
    /// One list for each node.
    variables: Vec<Vec<(String, String)>>,
}

/// Nodes, their store, and nginx before them. All are killed when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// The store.
    pub redis: Redis,
    /// Before the nodes, round robin.
    pub nginx: Nginx,
    nodes: Vec<Node>,
    ledger: tempfile::TempDir,
}

/// One of them.
#[derive(Debug)]
pub struct Node {
    /// The process.
    pub server: Switchboard,
    /// Its link to the store, if there is one in between.
    pub link: Option<FaultProxy>,
    /// Its runs so far; the first is 1.
    pub incarnation: usize,
}

impl Setup {
    /// Puts a proxy between each node and the store.
    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// Uses a store that was set up for it.
    pub fn redis(mut self, redis: Redis) -> Self {
        self.redis = Some(redis);
        self
    }

    /// Leaves each node to a store of its own, in its memory: they share nothing but nginx.
    pub fn apart(mut self) -> Self {
        self.apart = true;
        self
    }

    /// Keeps what each node logs.
    pub fn keeps_logs(mut self) -> Self {
        self.keeps_logs = true;
        self
    }

    /// Serves the tools of the ledger (`tests/servers/ledger.rs`) instead of the demonstration.
    pub fn ledger(mut self) -> Self {
        self.ledger = true;
        self
    }

    /// Lets the store write down each change, for [`Redis::journal`].
    pub fn journal(mut self) -> Self {
        self.journal = true;
        self
    }

    /// Adds lines to the configuration of every node.
    pub fn config(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self.config.push('\n');
        self
    }

    /// Finds the store by this URL, as that of sentinels.
    pub fn store_url(mut self, url: &str) -> Self {
        self.store_url = Some(url.to_owned());
        self
    }

    /// Puts nginx before the nodes as it comes, which connects anew for each request.
    pub fn nginx_as_it_comes(mut self) -> Self {
        self.keepalive = None;
        self
    }

    /// Sets variables of one node's environment.
    pub fn variables_of(mut self, node: usize, variables: &[(&str, &str)]) -> Self {
        let own = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.variables[node].extend(own);
        self
    }

    /// Starts everything and waits until it takes traffic.
    pub async fn start(self) -> Cluster {
        let redis = match self.redis {
            Some(redis) => redis,
            None if self.journal => Redis::with().journal().start().await,
            None => Redis::start().await,
        };
        let ledger = tempfile::TempDir::new().expect("a temporary directory can be made");
        let mut nodes = Vec::new();
        for own in &self.variables {
            let link = if self.proxied {
                Some(FaultProxy::before(redis.address()).await)
            } else {
                None
            };
            let url = match (&self.store_url, &link) {
                _ if self.apart => "memory:".to_owned(),
                (Some(url), _) => url.clone(),
                (None, None) => redis.url(),
                (None, Some(link)) => {
                    (redis.url()).replace(&redis.address().to_string(), &link.address().to_string())
                }
            };
            let mut setup = Switchboard::with()
                .store_url(&url)
                .variable("SWITCHBOARD_CLUSTER_KEY", KEY)
                .variable("SWITCHBOARD_SERVER_ALLOWED_HOSTS", HOSTS)
                .variable("SWITCHBOARD_STREAMS_ENDED_LOG_AGE", REMEMBERED)
                .config(&self.config)
                .variable(
                    "SWITCHBOARD_CLUSTER_LEASE",
                    &format!("{}s", LEASE.as_secs()),
                )
                .same_port();
            for (name, value) in own {
                setup = setup.variable(name, value);
            }
            if self.keeps_logs {
                setup = setup.keeps_log();
            }
            if self.ledger {
                let file = ledger_file(ledger.path());
                setup = setup
                    .program(example("ledger"))
                    .variable("LEDGER", &file.display().to_string());
            }
            let of_all = std::env::var(SABOTAGE).ok();
            let of_this = own.iter().find(|(name, _)| name == "SWITCHBOARD_SABOTAGE");
            if let Some(fault) = of_this.map(|(_, fault)| fault).or(of_all.as_ref()) {
                let program = if self.ledger { "ledger" } else { "switchboard" };
                setup = setup
                    .program(sabotaged(program))
                    .variable("SWITCHBOARD_SABOTAGE", fault);
            }
            nodes.push(Node::start(setup, link).await);
        }
        let addresses: Vec<&str> = (nodes.iter())
            .map(|node: &Node| node.server.authority())
            .collect();
        let mut nginx = Nginx::before(&addresses);
        if let Some(connections) = self.keepalive {
            nginx = nginx.keepalive(connections);
        }
        let nginx = nginx.start().await;
        Cluster {
            redis,
            nginx,
            nodes,
            ledger,
        }
    }
}

impl Cluster {
    /// So many nodes over a Redis of their own.
    pub async fn of(nodes: usize) -> Self {
        Self::with(nodes).start().await
    }

    /// So many nodes, to be set up first.
    pub fn with(nodes: usize) -> Setup {
        Setup {
            redis: None,
            proxied: false,
            ledger: false,
            journal: false,
            apart: false,
            keeps_logs: false,
            config: String::new(),
            store_url: None,
            keepalive: Some(KEEPALIVE),
            variables: vec![Vec::new(); nodes],
        }
    }

    /// The nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The URL of a path, through nginx.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.nginx.url())
    }

    /// The file that says what was executed.
    pub fn ledger_file(&self) -> PathBuf {
        ledger_file(self.ledger.path())
    }

    /// How many nodes run.
    pub fn running(&self) -> usize {
        let running = self.nodes.iter().filter(|node| node.server.is_running());
        running.count()
    }

    /// An API key of `owner`, who may do everything.
    pub async fn api_key(&self, owner: &str) -> String {
        self.api_key_in("default", owner).await
    }

    /// The same in a tenant.
    pub async fn api_key_in(&self, tenant: &str, owner: &str) -> String {
        let server = &self.nodes[0].server;
        let (listen, store) = (server.authority(), self.redis.url());
        let create = ["key", "create", "--owner", owner, "--role", "admin"];
        let rest = ["--tenant", tenant, "--listen", listen, "--store", &store];
        let words = [&create[..], &rest].concat();
        let variables = [("SWITCHBOARD_CLUSTER_KEY", KEY)];
        let made = command::run_with(server.directory(), &words, &variables).await;
        assert_eq!(made.code, 0, "{}", made.err);
        made.out.trim_end().to_owned()
    }

    /// The sum of a metric over the nodes that run.
    pub async fn metric(&self, line: &str) -> f64 {
        let mut sum = 0.0;
        for node in self.nodes.iter().filter(|node| node.server.is_running()) {
            sum += node.server.metric(line).await;
        }
        sum
    }
}

fn ledger_file(directory: &Path) -> PathBuf {
    directory.join("ledger.jsonl")
}

impl Index<usize> for Cluster {
    type Output = Node;

    fn index(&self, node: usize) -> &Node {
        &self.nodes[node]
    }
}

impl IndexMut<usize> for Cluster {
    fn index_mut(&mut self, node: usize) -> &mut Node {
        &mut self.nodes[node]
    }
}

impl Node {
    async fn start(setup: server::Setup, link: Option<FaultProxy>) -> Self {
        Self {
            server: setup.start().await,
            link,
            incarnation: 1,
        }
    }

    /// Where it listens, past nginx.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The URL of a path, past nginx.
    pub fn url(&self, path: &str) -> String {
        self.server.url(path)
    }

    /// Ends it as a crash would (SIGKILL).
    pub async fn kill_hard(&mut self) {
        self.server.crash().await;
    }

    /// Stops it in the middle of whatever it does (SIGSTOP).
    pub async fn pause(&self) {
        signals::send("STOP", self.server.pid()).await;
    }

    /// Lets it go on (SIGCONT).
    pub async fn wake(&self) {
        signals::send("CONT", self.server.pid()).await;
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    pub async fn term(&mut self) {
        let ended = self.server.stop().await;
        assert!(ended.success(), "{ended}");
    }

    /// Starts it again where it was, and waits until it takes traffic.
    pub async fn restart(&mut self) {
        if self.server.is_running() {
            self.kill_hard().await;
        }
        self.server.start_again().await;
        self.incarnation += 1;
        self.is_ready().await;
    }

    /// The value of a metric line, given as it starts.
    pub async fn metric(&self, line: &str) -> f64 {
        self.server.metric(line).await
    }

    /// Waits until it says that it is ready.
    pub async fn is_ready(&self) {
        self.server.is_ready().await;
    }

    /// Waits until its readiness is told with these words.
    pub async fn says_of_itself(&self, words: &str) {
        eventually(&format!("it says: {words}"), || async {
            let ready = super::get(self.url("/ready")).await.ok()?;
            ready.text().await.ok()?.contains(words).then_some(())
        })
        .await;
    }
}
