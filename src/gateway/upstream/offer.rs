//! What an upstream says it offers.

use serde_json::Value;
use tokio::time::Instant;

use crate::gateway::definition::Source;
use crate::protocol::lifecycle::Implementation;
use crate::protocol::meta::SERVER_INFO_KEY;
use crate::protocol::raw::RawJson;
use crate::protocol::version::ProtocolVersion;

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
    /// When that was read.
    pub(in crate::gateway) read: Option<Instant>,
    /// Whether it tells when its lists change.
    pub(in crate::gateway) announces: bool,
}

impl Offer {
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

    /// Whether it declared that resources can be subscribed to.
    pub(in crate::gateway) fn subscribes(&self) -> bool {
        self.server["capabilities"]["resources"]["subscribe"] == true
    }

    /// Whether it declared that it tells of changes of this list.
    pub(super) fn tells_of(&self, list: &str) -> bool {
        self.server["capabilities"][list]["listChanged"] == true
    }
}
