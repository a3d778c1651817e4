//! The way in: what is served, and where the settings come from.

use std::path::PathBuf;

use super::error::StartError;
use super::hosted::Hosted;
use super::own::Own;
use super::sources::{File, Sources};
use crate::config::{Complaints, Environment, Overrides, Settings, defaults};
use crate::server::ServerBuilder;

/// A process that serves servers, with everything the `switchboard` program has: sessions and their
/// store, limits, health and metrics, a configuration file and variables, and an orderly stop.
///
/// A program of its own needs no more than this; it then has the whole command line of
/// `switchboard` (`--listen`, `--config`, `stdio`, `check`, ...):
///
/// ```no_run
/// use switchboard::Host;
/// use switchboard::server::{NoArguments, Server, Tool};
///
/// fn main() -> std::process::ExitCode {
///     let hello = Tool::new("hello", |_, NoArguments {}| async { Ok("Hello!") });
///     switchboard::cli::run(Host::new(Server::builder("hello", "1.0.0").tool(hello)))
/// }
/// ```
///
/// Inside a larger program, or in a test, it runs beside other work:
///
/// ```
/// # use switchboard::Host;
/// # use switchboard::server::{NoArguments, Server, Tool};
/// # let runtime = tokio::runtime::Runtime::new()?;
/// # runtime.block_on(async {
/// let hello = Tool::new("hello", |_, NoArguments {}| async { Ok("Hello!") });
/// let host = Host::new(Server::builder("hello", "1.0.0").tool(hello))
///     .config("server.listen = '127.0.0.1:0'\nstore.url = 'memory:'");
/// let hosted = host.start().await?;
/// println!("serving {}", hosted.url());
/// hosted.stop().await?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct Host {
    own: Own,
    sources: Sources,
}

impl Host {
    /// Serves `server` at `/mcp`, as the endpoint `main`.
    pub fn new(server: ServerBuilder) -> Self {
        Self::configured().endpoint(defaults::ENDPOINT_NAME, defaults::ENDPOINT_PATH, server)
    }

    /// Serves what the configuration names, and nothing else: the `switchboard` program.
    pub fn configured() -> Self {
        Self::default()
    }

    /// Serves `server` at one more path. The configuration may move it (`endpoints.NAME.path`).
    pub fn endpoint(mut self, name: &str, path: &str, server: ServerBuilder) -> Self {
        self.own.add(name, path, server);
        self
    }

    /// Reads this configuration file instead of `./switchboard.toml`, and again when it changes. It has
    /// to exist.
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.sources.file = File::Named(path.into());
        self
    }

    /// Takes this text for the configuration file. Variables still override it.
    pub fn config(mut self, toml: impl Into<String>) -> Self {
        self.sources.file = File::Text(toml.into());
        self
    }

    /// Takes these for the variables of the process; without any, the process's own have no say.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.sources.environment = Some(environment);
        self
    }

    /// Takes what a command line says.
    pub(crate) fn overrides(mut self, overrides: Overrides) -> Self {
        self.sources.overrides = overrides;
        self
    }

    /// What its configuration comes to.
    ///
    /// # Errors
    /// [`Complaints`]: everything that is wrong with it.
    pub fn settings(&self) -> Result<Settings, Complaints> {
        self.sources().settings()
    }

    /// Where its settings come from, with what it serves itself.
    fn sources(&self) -> Sources {
        let mut sources = self.sources.clone();
        sources.overrides.own = self.own.endpoints().cloned().collect();
        sources
    }

    /// Serves HTTP until the process is told to stop (SIGTERM, Ctrl-C), and says on standard output
    /// where. Blocks; inside an async runtime use [`Host::start`].
    ///
    /// # Errors
    /// [`StartError`].
    pub fn serve(self) -> Result<(), StartError> {
        super::serve(self.sources(), self.own)
    }

    /// Serves standard input and output until the input ends or the process is told to stop.
    /// Blocks.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn stdio(self) -> Result<(), StartError> {
        super::stdio(self.sources(), self.own)
    }

    /// Serves HTTP on threads of its own, beside whatever else the process does, until the handle
    /// is told to stop. The process's signals and its standard output are left alone.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left behind then.
    pub async fn start(self) -> Result<Hosted, StartError> {
        Hosted::start(self.sources(), self.own).await
    }
}
