//! Which server is meant, and how to speak to it.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::ask::Terminal;
use super::notices::Notices;
use super::{Failure, Output};
use crate::client::Environment::Inherited;
use crate::client::oauth::{AuthorizationCode, Config, Loopback, Means, OAuth, Scopes};
use crate::client::{Builder, Client, ClientError, Program, Speak};
use crate::config::values::Period;
use crate::config::{self, Environment};
use crate::egress::{self, Egress};
use crate::protocol::logging::LogLevel;
use crate::protocol::version::{Era, ProtocolVersion};
use crate::runtime::clock::Clock;
use crate::runtime::tasks::Tasks;

/// Where a server on this machine is by default.
const HERE: &str = "http://127.0.0.1:8000/mcp";

/// How long somebody may take to log in: as long as a call.
const LOGIN: Duration = Duration::from_secs(600);

/// The server, and how to speak to it.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Target {
    /// The MCP endpoint [default: http://127.0.0.1:8000/mcp]
    #[arg(long, value_name = "URL", conflicts_with = "program")]
    url: Option<String>,
    /// The protocol's era: with sessions (up to 2025-11-25) or without [default: auto]
    #[arg(long, value_enum, conflicts_with = "protocol_version")]
    era: Option<EraChoice>,
    /// One revision of the protocol, for example 2025-06-18
    #[arg(long, value_name = "DATE", value_parser = revision)]
    protocol_version: Option<ProtocolVersion>,
    /// A header of every request (repeatable)
    #[arg(long, value_name = "NAME: VALUE", value_parser = header, conflicts_with = "program")]
    header: Vec<(String, String)>,
    /// Where the bearer token is: env:NAME or file:PATH
    #[arg(long, value_name = "REFERENCE", conflicts_with = "program")]
    bearer: Option<String>,
    /// Log in where the server sends one to, in a browser on this machine
    #[arg(long, conflicts_with_all = ["program", "bearer"])]
    login: bool,
    /// How long to wait, questions to you not counted [default: 10m]
    #[arg(long, value_name = "TIME")]
    timeout: Option<Period>,
    /// Show the server's log lines from this level on
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    log_level: Option<LogLevel>,
    /// How to write the result
    #[arg(long, value_enum, default_value = "text")]
    pub(super) output: Output,
    /// Instead of a URL: a program to start, that serves on standard input and output
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum EraChoice {
    /// Ask the server
    Auto,
    /// With a handshake
    Session,
    /// Without
    Stateless,
}

impl Target {
    /// A client as asked for, with a person behind it.
    pub(super) fn builder(&self, tasks: Tasks, notices: Notices) -> Result<Builder, Failure> {
        let terminal = Terminal::new(notices.clone());
        let (forms, turns) = (terminal.clone(), terminal);
        let login = self
            .login
            .then(|| self.account(tasks.clone(), notices.clone()));
        let mut builder = Client::builder(tasks)
            .speak(self.speak())
            .follows_tasks()
            .on_elicitation(move |question| forms.clone().elicit(question))
            .opens_urls()
            .on_sampling(move |question| turns.clone().sample(question))
            .on_notice(move |notice| notices.show(&notice));
        if let Some(timeout) = self.timeout {
            builder = builder.timeout(timeout.get());
        }
        if let Some(level) = self.log_level {
            builder = builder.log_level(level);
        }
        for (name, value) in &self.header {
            builder = builder.header(name, value);
        }
        if let Some(reference) = &self.bearer {
            let token = config::by_reference(reference, &Environment::of_process())
                .map_err(|problem| Failure::Usage(format!("--bearer: {problem}")))?;
            builder = builder.header("authorization", format!("Bearer {token}"));
        }
        if let Some(account) = login {
            builder = builder.credentials(Arc::new(account?));
        }
        Ok(builder)
    }

    /// An account at the server that is logged in to when the server wants that.
    fn account(&self, tasks: Tasks, notices: Notices) -> Result<OAuth, ClientError> {
        let callback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let egress = Egress::new(egress::Settings::default());
        let browser = Loopback::new(callback, LOGIN, tasks.clone(), move |url| {
            notices.say(&format!("Log in at {url}"));
        });
        let means = Means {
            egress: egress.map_err(|error| ClientError::Address(error.to_string()))?,
            clock: Clock::system(),
            tasks,
            browser: Arc::new(browser),
        };
        let config = AuthorizationCode {
            issuer: None,
            client: None,
            metadata_document: None,
            scopes: Scopes::default(),
            callback,
        };
        let account = OAuth::new(self.url(), Config::AuthorizationCode(config), means);
        account.map_err(ClientError::Credential)
    }

    fn url(&self) -> &str {
        self.url.as_deref().unwrap_or(HERE)
    }

    pub(super) async fn connect(&self, builder: Builder) -> Result<Client, ClientError> {
        match self.program.split_first() {
            Some((program, arguments)) => {
                let mut program = Program::new(program, arguments.to_vec());
                // Whoever types the command means what stands before it to reach the program.
                program.environment = Inherited;
                builder.program(&program).await
            }
            None => builder.http(self.url()).await,
        }
    }

    fn speak(&self) -> Speak {
        match (self.protocol_version, self.era) {
            (Some(version), _) => Speak::Version(version),
            (None, None | Some(EraChoice::Auto)) => Speak::Newest,
            (None, Some(EraChoice::Session)) => Speak::Era(Era::Session),
            (None, Some(EraChoice::Stateless)) => Speak::Era(Era::Stateless),
        }
    }
}

fn revision(text: &str) -> Result<ProtocolVersion, String> {
    ProtocolVersion::parse(text).ok_or_else(|| {
        let known = ProtocolVersion::ALL.map(ProtocolVersion::as_str);
        format!("known revisions are {}", known.join(", "))
    })
}

fn level(text: &str) -> Result<LogLevel, String> {
    LogLevel::parse(text).ok_or_else(|| {
        let known = LogLevel::ALL.map(LogLevel::as_str);
        format!("levels are {}", known.join(", "))
    })
}

fn header(text: &str) -> Result<(String, String), String> {
    // What stands there may be a secret: it is not repeated.
    let (name, value) = text.split_once(':').ok_or("write `NAME: VALUE`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_a_name_and_a_value() {
        let parsed = header("X-Team:  blue:green ").unwrap();
        assert_eq!(parsed, ("X-Team".to_owned(), "blue:green".to_owned()));
        let refused = header("secret").unwrap_err();
        assert!(!refused.contains("secret"));
    }
}
