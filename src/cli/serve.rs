//! `switchboard serve`: over HTTP, until told to stop.

use std::path::PathBuf;

use super::BuiltinChoice;
use crate::app::Host;
use crate::config::Overrides;

/// What `serve` takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Args {
    /// The address and port to listen on [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where to keep state: embedded:DIRECTORY, memory: or redis://HOST:PORT [default: embedded:./switchboard-data]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// What /mcp serves when no endpoint and no upstream is configured [default: demo]
    #[arg(long, value_enum, hide_default_value = true)]
    builtin: Option<BuiltinChoice>,
    /// Upstreams besides those of the configuration: the `mcpServers` block of a client
    #[arg(long, value_name = "FILE")]
    mcp_json: Option<PathBuf>,
    /// A listener of its own for /health, /ready and /metrics
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
}

impl Args {
    pub(super) fn is_empty(&self) -> bool {
        self.overrides() == Overrides::default()
    }

    pub(super) fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen.clone(),
            store: self.store.clone(),
            admin: self.admin.clone(),
            builtin: self.builtin.map(Into::into),
            mcp_json: self.mcp_json.clone(),
            own: Vec::new(),
        }
    }
}

pub(super) fn run(host: Host, args: &Args) -> u8 {
    super::ended(host.overrides(args.overrides()).serve())
}
