//! What is served at each endpoint: the program's own servers, or built-in sets.
//!
//! All of them are put together with the library, and built here with the keys of this process.

use std::time::Duration;

use crate::builtin;
use crate::config::OwnEndpoint;
use crate::config::settings::{BuiltinSet, EndpointSettings, Serves};
use crate::runtime::clock::Clock;
use crate::runtime::seal::ClusterKeys;
use crate::server::{Server, ServerBuilder};

use super::error::StartError;

/// The program's own servers, by the names of their endpoints.
#[derive(Debug, Default)]
pub(super) struct Own(Vec<(OwnEndpoint, ServerBuilder)>);

impl Own {
    /// Serves `builder` at an endpoint; what it served there before is forgotten.
    pub(super) fn add(&mut self, name: &str, path: &str, builder: ServerBuilder) {
        self.0.retain(|(endpoint, _)| endpoint.name != name);
        let endpoint = OwnEndpoint {
            name: name.to_owned(),
            path: path.to_owned(),
        };
        self.0.push((endpoint, builder));
    }

    pub(super) fn endpoints(&self) -> impl Iterator<Item = &OwnEndpoint> {
        self.0.iter().map(|(endpoint, _)| endpoint)
    }

    /// Builds what an endpoint serves.
    pub(super) fn server(
        &mut self,
        endpoint: &EndpointSettings,
        tasks_after: Option<Duration>,
        clock: &Clock,
        keys: &ClusterKeys,
    ) -> Result<Server, StartError> {
        let builder = match endpoint.serves {
            Serves::Own => {
                let own = (self.0.iter()).position(|(own, _)| own.name == endpoint.name);
                let own = own.expect("invariant: such an endpoint is one of the program's");
                self.0.swap_remove(own).1
            }
            Serves::Builtin(set) => built_in(set, clock),
            Serves::Upstreams | Serves::Nothing => {
                Server::builder("switchboard", env!("CARGO_PKG_VERSION")).clock(clock.clone())
            }
        };
        // Without a word in the configuration, what the program said of it stands.
        let builder = match tasks_after {
            Some(after) => builder.tasks_after(after),
            None => builder,
        };
        builder
            .build(keys)
            .map_err(|source| StartError::Registration {
                endpoint: endpoint.name.clone(),
                source,
            })
    }
}

/// A built-in set.
pub(super) fn built_in(set: BuiltinSet, clock: &Clock) -> ServerBuilder {
    match set {
        BuiltinSet::Demo => builtin::demo::demo(clock),
        BuiltinSet::Conformance => builtin::conformance::conformance(clock),
    }
}
