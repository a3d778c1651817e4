//! What an upstream says it offers.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::gateway::definition::Source;
use crate::gateway::path;
use crate::protocol::lifecycle::Implementation;
use crate::protocol::meta::SERVER_INFO_KEY;
use crate::protocol::raw::RawJson;
use crate::protocol::version::ProtocolVersion;
use crate::service::CacheHints;

/// The places of the lists among their hints.
pub(in crate::gateway) const TOOLS: usize = 0;
pub(in crate::gateway) const PROMPTS: usize = 1;
pub(in crate::gateway) const RESOURCES: usize = 2;
pub(in crate::gateway) const TEMPLATES: usize = 3;

/// What an upstream offered when it was last asked; nothing, before that.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct Offer {
    /// The revision it speaks.
    pub(in crate::gateway) version: Option<ProtocolVersion>,
    /// What it said of itself.
    pub(in crate::gateway) server: Value,
    /// Its tools, as it describes each.
    pub(in crate::gateway) tools: Vec<RawJson>,
    /// Its prompts.
    pub(in crate::gateway) prompts: Vec<RawJson>,
    /// Its resources.
    pub(in crate::gateway) resources: Vec<RawJson>,
    /// Its resource templates.
    pub(in crate::gateway) templates: Vec<RawJson>,
    /// How long its lists are good and for whom, where it says so.
    pub(in crate::gateway) cache: [Option<CacheHints>; 4],
    /// When that was read.
    pub(in crate::gateway) read: Option<Instant>,
    /// Whether it tells when its lists change.
    pub(in crate::gateway) announces: bool,
    /// Lists that did not come whole in time.
    pub(in crate::gateway) late: [bool; 4],
}

impl Offer {
    /// Whether a gateway offers it: what one lists says which gateways it came through.
    pub(in crate::gateway) fn is_of_a_gateway(&self) -> bool {
        let lists = [&self.tools, &self.prompts, &self.resources, &self.templates];
        let mut entries = lists.into_iter().filter_map(|list| list.first());
        entries.any(path::is_said_of)
    }

    /// Who it says it is.
    pub(in crate::gateway) fn info(&self) -> Option<Implementation> {
        let of_session = self.server.get("serverInfo");
        let info = of_session.or_else(|| self.server["_meta"].get(SERVER_INFO_KEY))?;
        serde_json::from_value(info.clone()).ok()
    }

    /// How it is spoken to.
    pub(in crate::gateway) fn source(&self, is_http: bool) -> Source {
        Source {
            version: self.version.unwrap_or(ProtocolVersion::NEWEST),
            is_http,
        }
    }

    /// Whether it declared this capability.
    pub(in crate::gateway) fn declares(&self, capability: &str) -> bool {
        self.server["capabilities"][capability].is_object()
    }

    /// Whether it would say that its lists are not these any more.
    pub(super) fn stands(&self) -> bool {
        self.announces && !self.late.contains(&true)
    }

    /// For how long its lists are good, as it says; the least of what it says of each.
    pub(super) fn good_for(&self) -> Duration {
        let hints = self.cache.iter().flatten();
        let least = hints.map(|hints| hints.ttl_ms).min();
        Duration::from_millis(least.unwrap_or_default())
    }

    /// What holds of one of its lists now, by its place.
    pub(in crate::gateway) fn hints(&self, list: usize) -> CacheHints {
        let (Some(hints), Some(read)) = (self.cache[list], self.read) else {
            // What it is silent about is not known to be good for anybody else, or any longer.
            return CacheHints::default();
        };
        let age = u64::try_from(read.elapsed().as_millis()).unwrap_or(u64::MAX);
        CacheHints {
            ttl_ms: hints.ttl_ms.saturating_sub(age),
            ..hints
        }
    }

    /// Whether it declared that resources can be subscribed to.
    pub(in crate::gateway) fn subscribes(&self) -> bool {
        self.server["capabilities"]["resources"]["subscribe"] == true
    }

    /// Whether it declared that it tells of changes of this list.
    pub(super) fn tells_of(&self, list: &str) -> bool {
        self.server["capabilities"][list]["listChanged"] == true
    }
}
