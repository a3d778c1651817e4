//! What a session is: what was negotiated, for good, and the little that may change.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::identity::Principal;
use crate::protocol::logging::LogLevel;
use crate::protocol::version::ProtocolVersion;
use crate::runtime::clock::Timestamp;
use crate::service::Client;
use crate::service::changes::CatalogDigest;
use crate::store::Incarnation;

/// What `initialize` settled. Never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The revision spoken.
    pub version: ProtocolVersion,
    /// The other side.
    pub client: Arc<Client>,
    /// Whose session it is.
    pub principal: Principal,
    /// The endpoint it was opened at, and is good for.
    pub endpoint: Arc<str>,
    /// When.
    pub created: Timestamp,
}

/// What may change during a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changing {
    /// The node where it is at home: which counts it, and made it or holds its standing stream.
    pub home: Incarnation,
    /// The level set by `logging/setLevel`; unset, the client hears everything from `info` on.
    pub log_level: Option<LogLevel>,
    /// Resources subscribed to.
    pub subscriptions: BTreeSet<String>,
    /// The catalog the client last heard of.
    pub seen: CatalogDigest,
}

/// One step of change. A step can be applied again to a record somebody else has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `logging/setLevel`
    LogLevel(LogLevel),
    /// `resources/subscribe`
    Subscribe(String),
    /// `resources/unsubscribe`
    Unsubscribe(String),
    /// The client was told of the catalog as it is now.
    Seen(CatalogDigest),
    /// The session is at home on another node.
    Home(Incarnation),
}

impl Change {
    /// Whether nodes other than the session's home must know.
    pub(super) const fn concerns_all(&self) -> bool {
        match self {
            Self::LogLevel(_) | Self::Subscribe(_) | Self::Unsubscribe(_) => true,
            Self::Seen(_) | Self::Home(_) => false,
        }
    }
}

impl Changing {
    /// Takes one step.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::LogLevel(level) => self.log_level = Some(*level),
            Change::Subscribe(uri) => {
                self.subscriptions.insert(uri.clone());
            }
            Change::Unsubscribe(uri) => {
                self.subscriptions.remove(uri);
            }
            Change::Seen(digest) => self.seen = *digest,
            Change::Home(node) => self.home = *node,
        }
    }
}
