//! How a Redis is to be started: one method for each thing that may differ.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Child;

use super::certificate::Certificate;
use super::{Redis, program};

/// How often a port that was free a moment ago may be taken by somebody else.
const TRIES_MAX: usize = 10;
/// Who gives the rig's own orders where users have names.
const RIG: (&str, &str) = ("rig", "rig-password");

/// How a Redis is to be started.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    pub(super) password: Option<String>,
    pub(super) user: Option<(String, String)>,
    pub(super) tls: bool,
    rules: String,
    clustered: bool,
    pub(super) journal: bool,
    pub(super) sentinel: bool,
    lines: String,
}

impl Setup {
    /// Adds lines to its configuration.
    pub fn config(mut self, lines: &str) -> Self {
        self.lines.push_str(lines);
        self.lines.push('\n');
        self
    }

    /// Writes each change to a file before it replies, so that a crash loses nothing.
    pub fn append_only(self) -> Self {
        self.config("appendonly yes\nappendfsync always")
    }

    /// Writes down each change in the order it was made, for [`Redis::journal`]; not for a crash.
    pub fn journal(mut self) -> Self {
        self.journal = true;
        self.config("appendonly yes\nappendfsync no\nauto-aof-rewrite-percentage 0")
    }

    /// Follows a primary, and is let in there.
    pub fn replica_of(self, primary: &Redis) -> Self {
        let follows = self.replica_of_address(primary.address());
        match &primary.setup.rig() {
            (_, None) => follows,
            (None, Some(password)) => follows.config(&format!("masterauth {password}")),
            (Some(user), Some(password)) => {
                follows.config(&format!("masteruser {user}\nmasterauth {password}"))
            }
        }
    }

    /// Follows a primary that is reached at this address, such as that of a proxy.
    pub fn replica_of_address(self, primary: SocketAddr) -> Self {
        self.config(&format!("replicaof {} {}", primary.ip(), primary.port()))
    }

    /// Asks for a password (`requirepass`).
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Knows a user by name who may do what `rules` allow, and nobody else (`aclfile`).
    pub fn user(mut self, name: &str, password: &str, rules: &str) -> Self {
        self.user = Some((name.to_owned(), password.to_owned()));
        rules.clone_into(&mut self.rules);
        self
    }

    /// Speaks TLS, with a certificate made for it.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Is a part of a cluster; [`super::RedisCluster`] makes one of several.
    pub fn clustered(mut self) -> Self {
        self.clustered = true;
        self
    }

    /// Starts it and waits until it answers.
    pub async fn start(self) -> Redis {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let mut setup = self;
        if setup.tls {
            let made = Certificate::within(directory.path());
            setup = setup.config(&format!(
                "tls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\ntls-auth-clients no",
                made.shown.display(),
                made.key.display(),
                made.authority.display()
            ));
        }
        let port = free_port().await;
        let process = setup.spawn(directory.path(), port);
        let mut redis = Redis {
            setup,
            directory,
            port,
            process,
        };
        for _ in 0..TRIES_MAX {
            if redis.is_up().await {
                return redis;
            }
            redis.port = free_port().await;
            // A sentinel's, too: it names the port that was taken.
            let _none = std::fs::remove_file(redis.directory.path().join("redis.conf"));
            redis.process = redis.setup.spawn(redis.directory.path(), redis.port);
        }
        panic!("Redis ended {TRIES_MAX} times at once; its log is above");
    }

    /// What the rig says first on a connection.
    pub(super) fn login(&self) -> Option<Vec<String>> {
        let (user, password) = self.rig();
        let parts = ["AUTH"].into_iter().chain(user).chain(Some(password?));
        Some(parts.map(str::to_owned).collect())
    }

    /// The name and the password of whoever may do everything.
    pub(super) fn rig(&self) -> (Option<&str>, Option<&str>) {
        match (&self.user, &self.password) {
            (Some(_), _) => (Some(RIG.0), Some(RIG.1)),
            (None, password) => (None, password.as_deref()),
        }
    }

    pub(super) fn spawn(&self, directory: &Path, port: u16) -> Child {
        let file = directory.join("redis.conf");
        // What a sentinel found out it has written here itself.
        if !(self.sentinel && file.exists()) {
            std::fs::write(&file, self.text(directory, port)).expect("a file can be written");
        }
        let mut command = program();
        command.arg(&file);
        if self.sentinel {
            command.arg("--sentinel");
        }
        command
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("redis-server cannot be started ({error}); `tests/run` installs it")
            })
    }

    fn text(&self, directory: &Path, port: u16) -> String {
        let mut text = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\nloglevel warning\n",
            directory.display()
        );
        if !self.sentinel {
            text.push_str("save \"\"\nenable-debug-command local\nrepl-diskless-sync-delay 0\n");
        }
        if let Some(password) = &self.password {
            writeln!(text, "requirepass {password}").expect("memory can be written");
        }
        if let Some((name, password)) = &self.user {
            let users = format!(
                "user default off\nuser {} on >{} ~* &* +@all\nuser {name} on >{password} {}\n",
                RIG.0, RIG.1, self.rules
            );
            let file = directory.join("users.acl");
            std::fs::write(&file, users).expect("a file can be written");
            writeln!(text, "aclfile {}", file.display()).expect("memory can be written");
        }
        if self.tls {
            // Among themselves they speak it, too.
            let lines = format!("tls-port {}\ntls-replication yes\n", port + 1);
            text.push_str(&lines);
        }
        if self.clustered {
            let lines = "cluster-enabled yes\ncluster-node-timeout 2000\n";
            let bus = format!("cluster-port {}\n", port + 2);
            text.push_str(lines);
            text.push_str(&bus);
            if self.tls {
                text.push_str("tls-cluster yes\n");
            }
        }
        text.push_str(&self.lines);
        text
    }
}

/// A port that was free a moment ago, and the two after it, for TLS and for the cluster's bus.
pub(super) async fn free_port() -> u16 {
    loop {
        let first = bind(0).await.expect("some port is free");
        let port = first.local_addr().expect("it has an address").port();
        if port < u16::MAX - 2 && bind(port + 1).await.is_some() && bind(port + 2).await.is_some() {
            return port;
        }
    }
}

async fn bind(port: u16) -> Option<tokio::net::TcpListener> {
    tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .ok()
}
