//! The gateways of this process: started with it, changed by a new configuration.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::error::StartError;
use super::own::built_in;
use crate::audit::Audit;
use crate::config::Settings;
use crate::config::settings::BuiltinSet;
use crate::gateway::config::Config;
use crate::gateway::{Gateways, Parts};
use crate::runtime::arbiters::Arbiters;
use crate::runtime::clock::Clock;
use crate::runtime::seal::ClusterKeys;
use crate::service::Service;
use crate::task;

/// How often it is seen to that upstreams' actors live.
const LOOK: Duration = Duration::from_secs(1);
/// Threads for the actors of upstreams: they only say what comes next.
const ARBITERS: usize = 1;

/// Starts what the settings name; nothing when they name no upstreams.
pub(super) fn start(
    settings: &Settings,
    ground: &task::Parts,
    audit: Option<&Audit>,
) -> Result<Option<Gateways>, StartError> {
    if settings.gateway.endpoints.is_empty() {
        return Ok(None);
    }
    let parts = Parts {
        arbiters: Arbiters::start(ARBITERS),
        tasks: ground.tasks.clone(),
        keys: ground.keys.clone(),
        clock: ground.clock.clone(),
        node: ground.node.clone(),
        store: ground.store.clone(),
        metrics: ground.metrics.clone(),
        audit: audit.cloned(),
        error_on_the_wire: ground.error_on_the_wire,
    };
    let here = here(&ground.clock, &ground.keys);
    Ok(Some(Gateways::start(parts, &settings.gateway, &here)?))
}

/// Lets gateways follow the configuration, for as long as there is one.
pub(super) async fn change(
    gateways: Gateways,
    mut told: watch::Receiver<Arc<Config>>,
    (clock, keys): (Clock, ClusterKeys),
) {
    while told.changed().await.is_ok() {
        let config = told.borrow_and_update().clone();
        if let Err(error) = gateways.change(&config, &here(&clock, &keys)) {
            tracing::error!(%error, "the upstreams stay as they were");
        }
    }
}

/// Keeps upstreams' actors alive.
pub(super) async fn upkeep(gateways: Gateways) {
    let mut interval = tokio::time::interval(LOOK);
    loop {
        interval.tick().await;
        gateways.revive();
    }
}

/// The services of this process that can be upstreams.
fn here(clock: &Clock, keys: &ClusterKeys) -> impl Fn(&str) -> Option<Arc<dyn Service>> {
    move |name| {
        let sets = [BuiltinSet::Demo, BuiltinSet::Conformance];
        let set = sets.into_iter().find(|set| set.name() == name)?;
        let server = built_in(set, clock).build(keys);
        // Sets of ours are put together right, or their own tests fail.
        server
            .ok()
            .map(|server| Arc::new(server) as Arc<dyn Service>)
    }
}
