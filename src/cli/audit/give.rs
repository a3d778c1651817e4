//! `audit export`: records that are given out, which is itself recorded.

use crate::app::Host;
use crate::audit::archive::Query;
use crate::identity::Caller;
use crate::runtime::clock::Clock;

use super::super::answer;
use super::places::Target;
use super::{Failure, Times, user, writer};

/// What `export` takes.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Everything about this user, as `audit query` shows them: `owner ci`, `proxy ann`
    #[arg(long, value_name = "USER", value_parser = user, required_unless_present = "controls")]
    subject: Option<String>,
    /// Everything that shows how controls are kept
    #[arg(long, conflicts_with = "subject")]
    controls: bool,
    /// Whose user; with --controls, only this tenant's records
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    #[command(flatten)]
    times: Times,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(host: Host, args: &Args) -> Result<u8, Failure> {
    args.times.check()?;
    if args.subject.is_some() && (args.times.from.is_some() || args.times.to.is_some()) {
        let problem = "--from and --to go with --controls: an export about a person has everything";
        return Err(Failure::Usage(problem.to_owned()));
    }
    let places = args.target.places(host)?;
    if let Some(tenant) = &args.tenant {
        places.has_records_of(tenant)?;
    }
    let archive = places.archive()?;
    let now = Clock::system().now();
    let tenant = args.tenant.as_deref().unwrap_or(Caller::DEFAULT_TENANT);
    let export = if let Some(user) = &args.subject {
        archive.export_subject(tenant, user, now)
    } else {
        let query = Query {
            from_ms: args.times.from,
            to_ms: args.times.to,
            tenant: args.tenant.clone(),
            ..Query::default()
        };
        archive.export_controls(&query, now)
    };
    let export = export.map_err(|error| Failure::of(&error))?;
    // Nobody gets what it is not recorded that they got.
    writer::exported(&places, tenant, &export)?;
    Ok(answer(&format_args!("{:#}", export.document)))
}
