//! What a session is: what was negotiated, for good, and the little that may change.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::identity::Principal;
use crate::protocol::logging::LogLevel;
use crate::protocol::version::ProtocolVersion;
use crate::runtime::clock::Timestamp;
use crate::service::Client;
use crate::service::changes::CatalogDigest;

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

/// What a client may change during its session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changing {
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
        }
    }
}
