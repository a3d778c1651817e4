//! `switchboard check`: is the configuration right, and what does it come to?

use std::fmt;

use super::{USAGE, serve};
use crate::app::Host;
use crate::config::Settings;
use crate::config::settings::{BuiltinSet, StoreKind};

/// `check` takes what `serve` takes, and judges what that would have served.
pub(super) type Args = serve::Args;

pub(super) fn run(host: Host, args: &Args) -> u8 {
    match host.overrides(args.overrides()).settings() {
        Err(complaints) => {
            super::complain(&complaints);
            USAGE
        }
        Ok(settings) => {
            for caution in &settings.cautions {
                super::complain(&format_args!("caution: {caution}"));
            }
            super::answer(&Summary(&settings))
        }
    }
}

/// One line that says what would be served.
struct Summary<'a>(&'a Settings);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.0;
        write!(f, "ok: {}", settings.server.listen)?;
        for endpoint in &settings.endpoints {
            let serves = match endpoint.builtin {
                Some(BuiltinSet::Demo) => "demo",
                Some(BuiltinSet::Conformance) => "conformance",
                None if endpoint.own => "tools of its own",
                None => "nothing",
            };
            write!(f, ", {} serves {serves}", endpoint.path)?;
        }
        match &settings.store.kind {
            StoreKind::Memory => write!(f, ", state in memory"),
            StoreKind::Embedded { directory } => write!(f, ", state in {}", directory.display()),
            StoreKind::Redis(config) => write!(f, ", state in {}", config.target),
        }
    }
}
