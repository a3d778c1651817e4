//! `trust`: what it costs to know who calls, whether they may, how often, and to put it on record.
//!
//! The echo call of `calls` in a session, to servers that differ only in what they ask of it, each
//! one thing more than the one before: nothing; an access token; roles; limits; and each call on
//! record. All callers present the same token, which is checked once and then known, as it is in
//! use. The key that signed it is served by this process.

use std::time::Duration;

use serde_json::json;

use super::calls;
use crate::comparison;
use crate::echo_call::Subject;
use crate::failure::Failure;
use crate::findings::{Failures, Findings, to_json};
use crate::issuer::{AUDIENCE, GROUP, Issuer};
use crate::options::Common;
use crate::server_process::ServerProcess;

/// What `trust` takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// How long each run is measured [default: 3, with --quick 0.3]
    #[arg(long, value_parser = super::seconds)]
    seconds: Option<Duration>,
    /// Kept-alive connections, each with one call at a time [default: 64]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: Option<u16>,
    /// Whom to measure [default: all]; without the floor there are no ratios.
    #[arg(long, value_enum, value_delimiter = ',')]
    subjects: Vec<Asking>,
}

/// What a server asks of a call, each what the one before does and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
enum Asking {
    /// The bare server.
    Floor,
    /// Nothing.
    Nothing,
    /// A token.
    Token,
    /// Roles that allow it.
    Policy,
    /// That it is within limits.
    Limits,
    /// That it is on record before it begins.
    Audit,
}

impl Asking {
    const ALL: [Self; 6] = [
        Self::Floor,
        Self::Nothing,
        Self::Token,
        Self::Policy,
        Self::Limits,
        Self::Audit,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Nothing => "nothing",
            Self::Token => "token",
            Self::Policy => "+ policy",
            Self::Limits => "+ limits",
            Self::Audit => "+ audit",
        }
    }

    const fn caller(self) -> Subject {
        match self {
            Self::Floor => Subject::Floor,
            Self::Nothing | Self::Token | Self::Policy | Self::Limits | Self::Audit => {
                Subject::Session
            }
        }
    }

    /// The configuration of a server that asks so much.
    fn configuration(self, issuer: &Issuer) -> String {
        let mut configuration = GRACE.to_owned();
        if self >= Self::Token {
            // Who has the token may do everything, unless roles are asked for.
            let role = if self >= Self::Policy {
                "caller"
            } else {
                "admin"
            };
            configuration.push_str(&token(issuer, role));
        }
        if self >= Self::Policy {
            configuration.push_str(ROLES);
        }
        if self >= Self::Limits {
            configuration.push_str(LIMITS);
        }
        if self >= Self::Audit {
            configuration.push_str(AUDIT);
        }
        configuration
    }
}

fn token(issuer: &Issuer, role: &str) -> String {
    format!(
        "[server]\npublic_url = \"http://127.0.0.1\"\n\
         [auth.oidc.loadtest]\nissuer = \"{}\"\njwks_url = \"{}\"\naudience = \"{AUDIENCE}\"\n\
         tenant = \"acme\"\n[[bindings]]\nrole = \"{role}\"\n\
         any_of = [{{ claim = \"groups\", has = \"{GROUP}\" }}]\n",
        issuer.identifier(),
        issuer.keys_url(),
    )
}

/// A call that waits for a slow disk is not to become a stream meanwhile: that is another answer.
const GRACE: &str = "[calls]\ngrace = \"10s\"\n";

/// As many as a team may have; the call is allowed by the second, and by nothing before it.
const ROLES: &str = r#"
[roles.reader]
allow = [{ tools = ["crm.search", "crm.get_*"] }, { resources = ["crm://accounts/**"] }]
[roles.caller]
inherits = ["reader"]
allow = [
  { tools = ["deploy.*"], scopes = ["mcp:tools:write"], when = { args = { "/env" = ["staging"] } } },
  { tools = ["echo", "countdown", "stream"], scopes = ["mcp:tools"] },
]
deny = [{ tools = ["deploy.delete*"], visible = true }]
[[bindings]]
role = "reader"
any_of = [{ api_key_owner = "ci-*" }, { claim = "groups", has = "analysts" }]
"#;

/// Wider than any run, but counted.
const LIMITS: &str = r#"
[limits]
per_user = "1000000/s"
per_tenant = "1000000/s"
per_tool = { "echo" = "1000000/s" }
concurrent = { per_user = 100000 }
"#;

const AUDIT: &str = "[audit]\nsink = \"file:./records\"\n";

/// The servers that are measured.
struct Servers {
    floor: ServerProcess,
    asking: Vec<(Asking, ServerProcess)>,
    /// Their keys are asked for again now and then.
    _issuer: Issuer,
}

impl Servers {
    async fn start(common: &Common, subjects: &[Asking]) -> Result<Self, Failure> {
        let (binary, workers) = (common.switchboard()?, common.workers());
        let issuer = Issuer::start().await?;
        let bearer = issuer.bearer()?;
        let mut asking = Vec::new();
        for subject in subjects.iter().filter(|it| **it != Asking::Floor) {
            let configuration = subject.configuration(&issuer);
            let server = ServerProcess::configured(&binary, common.store, workers, &configuration);
            let mut server = server.await?;
            if *subject >= Asking::Token {
                server = server.asking_for(&bearer);
            }
            asking.push((*subject, server));
        }
        let answer_bytes = match asking.first() {
            Some((_, server)) => calls::connect(Subject::Session, server)
                .await?
                .1
                .answer_bytes(),
            // Alone, it may answer whatever it likes.
            None => 0,
        };
        Ok(Self {
            floor: ServerProcess::floor(answer_bytes, workers).await?,
            asking,
            _issuer: issuer,
        })
    }

    fn of(&self, subject: Asking) -> &ServerProcess {
        let found = self.asking.iter().find(|(other, _)| *other == subject);
        found.map_or(&self.floor, |(_, server)| server)
    }
}

/// Runs the scenario.
pub(crate) async fn measure(common: &Common, args: &Args) -> Result<Findings, Failure> {
    let machine = common.machine();
    let mut subjects = args.subjects.clone();
    if subjects.is_empty() {
        subjects.extend(Asking::ALL);
    }
    subjects.sort_unstable();
    subjects.dedup();
    let (whole, quick) = (Duration::from_secs(3), Duration::from_millis(300));
    let seconds = common.sized(args.seconds, whole, quick);
    let connections = args.connections.unwrap_or(64);

    let servers = Servers::start(common, &subjects).await?;
    let mut runs = Vec::new();
    for round in 1..=common.rounds() {
        for subject in &subjects {
            let load = calls::Load {
                seconds,
                connections,
                round,
            };
            let (label, server) = (subject.label(), servers.of(*subject));
            runs.push(calls::run(load, label, subject.caller(), server).await?);
        }
    }
    let labels = Asking::ALL.map(Asking::label);
    let medians = comparison::summaries(&labels, Asking::Floor.label(), &runs);
    let mut failures = Failures::default();
    for run in &runs {
        failures.add(run.failures(), run.first_failure());
    }
    Ok(Findings {
        scenario: "trust",
        question: "What does it cost to know who calls, whether they may, how often, and to put it on record?",
        settings: json!({
            "store": common.store,
            "rounds": common.rounds(),
            "seconds": seconds.as_secs_f64(),
            "connections": connections,
            "workers": common.workers(),
        }),
        machine,
        tables: vec![comparison::table("calls", "call", &medians)],
        charts: vec![comparison::chart("call", &medians)],
        medians: to_json(&medians),
        runs: to_json(&runs),
        failures,
    })
}
