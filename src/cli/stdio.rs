//! `switchboard stdio`: on standard input and output, until they close.

use super::BuiltinChoice;
use crate::app::Host;
use crate::config::Overrides;

/// What `stdio` takes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// What to serve when no endpoint is configured [default: demo]
    #[arg(long, value_enum)]
    builtin: Option<BuiltinChoice>,
}

pub(super) fn run(host: Host, args: &Args) -> u8 {
    let overrides = Overrides {
        builtin: args.builtin.map(Into::into),
        ..Overrides::default()
    };
    super::ended(host.overrides(overrides).stdio())
}
