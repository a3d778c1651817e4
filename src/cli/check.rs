//! `switchboard check`: is the configuration right, and what does it come to?

use std::fmt;

use super::{USAGE, serve};
use crate::app::Host;
use crate::config::Settings;
use crate::config::settings::{Serves, StoreKind};

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
            write!(f, ", {} serves ", endpoint.path)?;
            match endpoint.serves {
                Serves::Builtin(set) => f.write_str(set.name())?,
                Serves::Own => f.write_str("tools of its own")?,
                Serves::Nothing => f.write_str("nothing")?,
                Serves::Upstreams => {
                    let mut shown = settings.gateway.endpoints.iter();
                    let shown = shown.find(|shown| shown.name == endpoint.name);
                    let upstreams = shown.map_or(&[][..], |shown| &shown.upstreams);
                    f.write_str(&upstreams.join(" and "))?;
                }
            }
        }
        match &settings.store.kind {
            StoreKind::Memory => write!(f, ", state in memory"),
            StoreKind::Embedded { directory } => write!(f, ", state in {}", directory.display()),
            StoreKind::Redis(config) => write!(f, ", state in {}", config.target),
        }
    }
}
