//! `switchboard stdio`: on standard input and output, until they close.

use std::path::PathBuf;

use super::BuiltinChoice;
use crate::app::Host;
use crate::config::Overrides;

/// What `stdio` takes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// What to serve when no endpoint and no upstream is configured [default: demo]
    #[arg(long, value_enum)]
    builtin: Option<BuiltinChoice>,
    /// Upstreams besides those of the configuration: the `mcpServers` block of a client
    #[arg(long, value_name = "FILE")]
    mcp_json: Option<PathBuf>,
}

pub(super) fn run(host: Host, args: &Args) -> u8 {
    let overrides = Overrides {
        builtin: args.builtin.map(Into::into),
        mcp_json: args.mcp_json.clone(),
        ..Overrides::default()
    };
    super::ended(host.overrides(overrides).stdio())
}
