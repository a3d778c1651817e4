//! `switchboard policy`: who may call what, and how often. It needs no server; one that runs
//! here is asked how much of its limits is used.

mod cases;
mod explain;
mod who;

use clap::ValueEnum;
use serde::Deserialize;

use super::USAGE;
use crate::app::Host;
use crate::policy::access::Kind;

/// What `policy` can be asked.
#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Decide the cases of a file and compare with what they expect
    Test(cases::Args),
    /// Say how a call would be decided, by which rule, and which limits it would fall under
    Explain(Box<explain::Args>),
}

pub(super) fn run(host: Host, command: &Command) -> u8 {
    let settings = match command {
        Command::Test(_) => host.settings(),
        Command::Explain(args) => args.node.settings(host),
    };
    match (settings, command) {
        (Err(complaints), _) => {
            super::complain(&complaints);
            USAGE
        }
        (Ok(settings), Command::Test(args)) => cases::run(&settings.policy.access, args),
        (Ok(settings), Command::Explain(args)) => explain::run(&settings, args),
    }
}

/// What kind of thing a name is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum KindChoice {
    /// A tool, by its canonical name
    #[default]
    Tool,
    /// A resource, by its URI
    Resource,
    /// A prompt, by its canonical name
    Prompt,
    /// A template of URIs
    Template,
}

impl From<KindChoice> for Kind {
    fn from(choice: KindChoice) -> Self {
        match choice {
            KindChoice::Tool => Self::Tool,
            KindChoice::Resource => Self::Resource,
            KindChoice::Prompt => Self::Prompt,
            KindChoice::Template => Self::Template,
        }
    }
}
