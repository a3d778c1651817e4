//! `switchboard stdio`: on standard input and output, until they close.

use std::path::Path;

use super::BuiltinChoice;
use crate::config::Overrides;

/// What `stdio` takes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// What to serve when no endpoint is configured [default: demo]
    #[arg(long, value_enum)]
    builtin: Option<BuiltinChoice>,
}

pub(super) fn run(config: Option<&Path>, args: &Args) -> u8 {
    let overrides = Overrides {
        builtin: args.builtin.map(Into::into),
        ..Overrides::default()
    };
    super::with_settings(config, &overrides, crate::app::stdio)
}
