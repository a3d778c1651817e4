//! Where calls are counted that are limited: with the nodes that share the store, or here alone.

use std::sync::Arc;

use super::store::OpenedStore;
use crate::config::Settings;
use crate::policy::limits::{LocalTokens, Permits, SharedTokens, Tokens};
use crate::runtime::clock::Clock;
use crate::telemetry::metrics::Metrics;

/// The buckets of all limits, and the calls that run. Cloning shares them.
#[derive(Clone)]
pub(super) struct Counted {
    pub(super) tokens: Arc<dyn Tokens>,
    pub(super) permits: Permits,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
}

impl Counted {
    pub(super) fn of(
        opened: &OpenedStore,
        settings: &Settings,
        clock: &Clock,
        metrics: &Metrics,
    ) -> Self {
        let tokens: Arc<dyn Tokens> = match opened {
            OpenedStore::Memory(_) | OpenedStore::Embedded(..) => Arc::new(LocalTokens::new()),
            OpenedStore::Redis(store) => {
                let nodes = settings.policy.limits.nodes();
                Arc::new(SharedTokens::new(store.clone(), nodes, metrics.clone()))
            }
        };
        Self {
            tokens,
            permits: Permits::default(),
            metrics: metrics.clone(),
            clock: clock.clone(),
        }
    }

    /// Forgets what makes no difference any more; to be called every second, since where there is no
    /// room somebody new waits for it.
    pub(super) fn upkeep(&self) {
        self.tokens.sweep(self.clock.wall_micros());
        self.metrics.limit_keys(self.tokens.keys());
    }
}
