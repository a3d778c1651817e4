//! A real `redis-server` of the scenario's own: started on a free port, broken and mended.
//!
//! It listens on loopback only and keeps its files in a temporary directory. What is told to it
//! goes by [`resp`], past TLS and past the product's own client. [`group`] has sets of them.

mod certificate;
mod group;
mod journal;
mod monitor;
mod resp;
mod setup;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{eventually, signals, within};
pub use group::{RedisCluster, Watched};
pub use journal::Command as Journaled;
pub use monitor::Monitor;
pub use resp::{Connection, Reply};
pub use setup::Setup;

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct Redis {
    setup: Setup,
    directory: TempDir,
    port: u16,
    process: Child,
}

impl Redis {
    /// One that keeps everything in memory and asks for no password.
    pub async fn start() -> Self {
        Self::with().start().await
    }

    /// One to be set up first.
    pub fn with() -> Setup {
        Setup::default()
    }

    /// Where the product finds it, with what it needs to be let in.
    pub fn url(&self) -> String {
        self.url_as("", &self.address().to_string())
    }

    /// The same for a server of several that are found at `hosts`; `topology` is `+cluster` or so.
    fn url_as(&self, topology: &str, hosts: &str) -> String {
        let scheme = if self.setup.tls { "rediss" } else { "redis" };
        let credentials = match (&self.setup.user, &self.setup.password) {
            (Some((name, password)), _) => format!("{name}:{password}@"),
            (None, Some(password)) => format!(":{password}@"),
            (None, None) => String::new(),
        };
        format!("{scheme}{topology}://{credentials}{hosts}")
    }

    /// Where it serves its clients: with TLS, the port that speaks it.
    pub fn address(&self) -> SocketAddr {
        let tls = self.setup.tls;
        ([127, 0, 0, 1], self.port + u16::from(tls)).into()
    }

    /// The certificate of the authority to trust, if it speaks TLS.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    /// The directory with its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The file that it appends each change to; see [`Setup::append_only`], [`Setup::journal`].
    pub fn appended(&self) -> PathBuf {
        let directory = self.directory().join("appendonlydir");
        let files = std::fs::read_dir(directory).expect("it appends");
        let mut names = files.map(|file| file.expect("it is there").path());
        let found = names.find(|path| path.to_string_lossy().ends_with(".incr.aof"));
        found.expect("there is one")
    }

    /// All that changed it so far, in order; nothing if it keeps no journal.
    pub fn journal(&self) -> Vec<Journaled> {
        if !self.setup.journal {
            return Vec::new();
        }
        let file = std::fs::read(self.appended()).expect("it can be read");
        journal::commands(&file)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.id().expect("the server is running")
    }

    /// Says a command and gives its reply.
    pub async fn cli<T: AsRef<[u8]>>(&self, command: &[T]) -> Reply {
        let said = async { self.connection().await?.command(command).await };
        let reply = within("Redis replies", said).await;
        reply.unwrap_or_else(|error| {
            let name = String::from_utf8_lossy(command[0].as_ref());
            panic!("{name}: {error}")
        })
    }

    /// A connection that is let in.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connection(&self) -> std::io::Result<Connection> {
        let mut connection = Connection::open(([127, 0, 0, 1], self.port).into()).await?;
        if let Some(login) = self.setup.login() {
            let login: Vec<&str> = login.iter().map(String::as_str).collect();
            connection.command(&login).await?;
        }
        Ok(connection)
    }

    /// Ends it as a crash would: SIGKILL.
    pub async fn stop_hard(&mut self) {
        self.process.kill().await.expect("it can be killed");
    }

    /// Starts it again at its port on its files; without [`Setup::append_only`] it is empty then.
    pub async fn restart(&mut self) {
        if self.process.id().is_some() {
            self.stop_hard().await;
        }
        self.process = self.setup.spawn(self.directory.path(), self.port);
        assert!(self.is_up().await, "it starts again at its port");
    }

    /// Lets clients wait for their replies (`CLIENT PAUSE`): connected, and silent.
    pub async fn pause(&self, time: Duration) {
        let millis = time.as_millis().to_string();
        assert_eq!(self.cli(&["CLIENT", "PAUSE", &millis, "ALL"]).await, ok());
    }

    /// Stops the process for a while (SIGSTOP): it neither replies nor accepts until
    /// [`Redis::wake`].
    pub async fn freeze(&self) {
        signals::send("STOP", self.pid()).await;
    }

    /// Lets it go on (SIGCONT).
    pub async fn wake(&self) {
        signals::send("CONT", self.pid()).await;
    }

    /// Makes it forget everything.
    pub async fn flushall(&self) {
        assert_eq!(self.cli(&["FLUSHALL"]).await, ok());
    }

    /// How often each command ran since the start; those that a script ran count too, so this is
    /// never too low. [`Redis::monitor`] tells them apart.
    pub async fn command_counts(&self) -> BTreeMap<String, u64> {
        let text = self.info("commandstats").await;
        let lines = text.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let calls = rest.split(',').next()?.parse().ok()?;
            Some((name.to_owned(), calls))
        });
        lines.collect()
    }

    /// Counts what clients say from now on.
    pub async fn monitor(&self) -> Monitor {
        let connection = self.connection().await.expect("Redis answers");
        Monitor::over(connection).await
    }

    /// Bytes it keeps its data in.
    pub async fn used_memory(&self) -> u64 {
        let value = self.info_value("memory", "used_memory").await;
        value.parse().expect("memory is a number")
    }

    /// One line of `INFO`.
    pub async fn info_value(&self, section: &str, name: &str) -> String {
        let text = self.info(section).await;
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(other, _)| *other == name);
        found
            .unwrap_or_else(|| panic!("no {name} in {text}"))
            .1
            .to_owned()
    }

    /// Makes a replica a primary, or (with an address) the other way round.
    pub async fn replicate(&self, primary: Option<SocketAddr>) {
        let (host, port) = match primary {
            Some(primary) => (primary.ip().to_string(), primary.port().to_string()),
            None => ("NO".to_owned(), "ONE".to_owned()),
        };
        assert_eq!(self.cli(&["REPLICAOF", &host, &port]).await, ok());
    }

    /// Waits until a replica has all that its primary had, and the primary knows: until then it
    /// counts for none that a write waits for.
    pub async fn in_step_with(&self, primary: &Self) {
        eventually("the replica follows", || async {
            let link = self.info_value("replication", "master_link_status").await;
            (link == "up").then_some(())
        })
        .await;
        let port = format!("port={},state=online", self.address().port());
        eventually("its primary knows", || async {
            let known = primary.info("replication").await;
            known.contains(&port).then_some(())
        })
        .await;
    }

    /// Asks again when it hangs up: it does to all when it becomes a primary or a replica.
    async fn info(&self, section: &str) -> String {
        eventually("Redis tells of itself", || async {
            let mut connection = self.connection().await.ok()?;
            let told = connection.command(&["INFO", section]).await.ok()?;
            matches!(told, Reply::Text(_)).then(|| told.text())
        })
        .await
    }

    /// Waits until it answers; `false` when it ended instead, as on a port that was just taken.
    async fn is_up(&mut self) -> bool {
        let started = std::time::Instant::now();
        loop {
            let ended = self.process.try_wait().expect("its end can be asked for");
            if ended.is_some() {
                return false;
            }
            let pong = async { self.connection().await?.command(&["PING"]).await };
            if matches!(pong.await, Ok(Reply::Text(_))) {
                return true;
            }
            assert!(started.elapsed() < super::PATIENCE, "Redis does not start");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn ok() -> Reply {
    Reply::Text(b"OK".to_vec())
}

/// The installed server.
fn program() -> Command {
    Command::new("redis-server")
}
