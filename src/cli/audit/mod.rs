//! `switchboard audit`: is what was recorded whole, what does it say, and who is to be forgotten.
//!
//! Reading goes straight to the directories, beside a node that may be writing. What has to be
//! recorded itself, an erasure or an export, goes through the node that runs here, which is the only
//! one that may write; if none runs, the command writes.

mod give;
mod places;
mod writer;

use std::fmt::Display;
use std::iter;
use std::ops::ControlFlow;

use clap::Subcommand;
use clap::builder::PossibleValuesParser;

use super::{Chain, FAILED, OK, USAGE, answer, complain};
use crate::app::Host;
use crate::audit::archive::Query;
use crate::audit::{CallId, Ending, NotACallId, What};
use crate::auth::user;
use crate::runtime::calendar;
use crate::runtime::clock::Timestamp;
use places::{Places, Target};

/// What `audit` takes.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// Check that every record is there and as it was written
    Verify {
        #[command(flatten)]
        times: Times,
        #[command(flatten)]
        target: Target,
    },
    /// Show records, the latest last, each as a line of JSON
    Query {
        #[command(flatten)]
        question: Question,
        #[command(flatten)]
        target: Target,
    },
    /// Give out everything about a person, or about controls, as one JSON document
    Export(give::Args),
    /// Make everything personal about somebody unreadable, for good
    Erase {
        /// The user, as `audit query` shows them: `owner ci`, `proxy ann`
        #[arg(long, value_name = "USER", value_parser = user)]
        subject: String,
        /// Whose user
        #[arg(long, value_name = "TENANT", default_value = "default")]
        tenant: String,
        #[command(flatten)]
        target: Target,
    },
}

/// From when to when.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Times {
    /// Not before this time: 2026-07-28, or 2026-07-28T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<u64>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<u64>,
}

/// Which records.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Question {
    #[command(flatten)]
    times: Times,
    /// Of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// About this user, as it shows them: `owner ci`, `proxy ann`
    #[arg(long, value_parser = user)]
    user: Option<String>,
    /// Of this tool
    #[arg(long)]
    tool: Option<String>,
    /// This call
    #[arg(long, value_name = "ID", value_parser = call)]
    call: Option<String>,
    /// Calls that ended so
    #[arg(long, value_parser = PossibleValuesParser::new(Ending::ALL.map(Ending::as_str)))]
    outcome: Option<String>,
    /// Of this kind
    #[arg(long, value_parser = PossibleValuesParser::new(kinds()))]
    kind: Vec<String>,
    /// At most so many
    #[arg(long, default_value_t = 1_000)]
    limit: usize,
}

/// Why it did not work.
enum Failure {
    /// It was asked for in a way that cannot be done.
    Usage(String),
    /// It failed.
    Failed(String),
}

impl Failure {
    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Failed(Chain(error).to_string())
    }
}

fn time(text: &str) -> Result<u64, String> {
    let at = calendar::parse(text).map(|Timestamp(ms)| ms);
    at.ok_or_else(|| "write 2026-07-28, or 2026-07-28T10:00:00Z".to_owned())
}

/// The kinds of records as `query` shows them.
fn kinds() -> impl Iterator<Item = &'static str> {
    iter::once("call").chain(What::KINDS)
}

fn user(text: &str) -> Result<String, String> {
    let is_one = user::can_be(text).then(|| text.to_owned());
    is_one.ok_or_else(|| format!("nobody is called so: {}", user::FORMS))
}

fn call(text: &str) -> Result<String, NotACallId> {
    text.parse::<CallId>().map(|call| call.to_string())
}

impl Times {
    /// Refuses a time that ends before it begins: whatever is asked of it, the answer would mean nothing.
    fn check(&self) -> Result<(), Failure> {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from >= to => {
                Err(Failure::Usage("--from must be before --to".to_owned()))
            }
            (Some(_) | None, _) => Ok(()),
        }
    }
}

pub(super) fn run(host: Host, command: &Command) -> u8 {
    let done = match command {
        Command::Verify { times, target } => times
            .check()
            .and_then(|()| verify(&target.places(host)?, times)),
        Command::Query { question, target } => question
            .times
            .check()
            .and_then(|()| query(&target.places(host)?, question)),
        Command::Export(args) => give::run(host, args),
        Command::Erase {
            subject,
            tenant,
            target,
        } => target
            .places(host)
            .and_then(|places| writer::erase(&places, tenant, subject)),
    };
    done.unwrap_or_else(|failure| match failure {
        Failure::Usage(problem) => {
            complain(&problem);
            USAGE
        }
        Failure::Failed(problem) => {
            complain(&problem);
            FAILED
        }
    })
}

fn verify(places: &Places, times: &Times) -> Result<u8, Failure> {
    let (from, to) = (times.from.unwrap_or(0), times.to.unwrap_or(u64::MAX));
    let verified = places.archive()?.verify(from, to);
    let verified = verified.map_err(|error| Failure::of(&error))?;
    for problem in &verified.problems {
        complain(problem);
    }
    let count = verified.problems.len();
    if count > 0 {
        return Err(Failure::Failed(format!(
            "not everything is there as it was written: {count} problems"
        )));
    }
    let erased = noted(verified.erased, "parts erased");
    let torn = noted(verified.torn, "bytes at an open end");
    let (records, segments) = (verified.records, verified.segments);
    Ok(answer(&format_args!(
        "ok: {records} records in {segments} segments{erased}{torn}"
    )))
}

fn noted(count: u64, what: impl Display) -> String {
    if count > 0 {
        format!(", {count} {what}")
    } else {
        String::new()
    }
}

fn query(places: &Places, question: &Question) -> Result<u8, Failure> {
    if let Some(tenant) = &question.tenant {
        places.has_records_of(tenant)?;
    }
    let query = Query {
        from_ms: question.times.from,
        to_ms: question.times.to,
        tenant: question.tenant.clone(),
        user: question.user.clone(),
        target: question.tool.clone(),
        call: question.call.clone(),
        outcome: question.outcome.clone(),
        kinds: question.kind.clone(),
    };
    let mut left = question.limit;
    let mut code = OK;
    let found = places.archive()?.query(&query, |record| {
        if left == 0 {
            complain(&"there are more, later ones: raise --limit, or go on with --from");
            return ControlFlow::Break(());
        }
        left -= 1;
        code = answer(&serde_json::Value::Object(record));
        if code == OK {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    found.map_err(|error| Failure::of(&error))?;
    if left == question.limit && left > 0 {
        complain(&"no record is like that");
    }
    Ok(code)
}
