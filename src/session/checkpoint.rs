//! A session's state as bytes for the store, and back.
//!
//! One byte of format version, then JSON: an array, whose places mean what the names of an object
//! would. The names would be a third of what a store keeps per session. A version we do not know is refused, not guessed: the
//! session then ends for its client (404) and the record is reported, never overwritten in place.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::record::{Changing, Negotiated};
use crate::identity::Principal;
use crate::protocol::capabilities::ClientCapabilities;
use crate::protocol::lifecycle::Implementation;
use crate::protocol::logging::LogLevel;
use crate::protocol::raw::RawJson;
use crate::protocol::version::ProtocolVersion;
use crate::runtime::clock::Timestamp;
use crate::runtime::sabotage;
use crate::service::Client;
use crate::service::changes::CatalogDigest;
use crate::store::Incarnation;

const FORMAT: u8 = 3;

fn format() -> u8 {
    sabotage::format(FORMAT)
}

/// Why stored bytes are not a session we can carry on.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckpointError {
    /// Written by another release.
    #[error("session checkpoint has format {0}, this release reads 3")]
    UnknownFormat(u8),
    /// Cut short or altered.
    #[error("session checkpoint is damaged: {0}")]
    Damaged(String),
}

/// The stored form, in this order: revision, capabilities, client, principal, endpoint, time of
/// birth in milliseconds; log level, subscriptions, the digests last heard of (tools, prompts,
/// resources), and the node where it is at home.
type Stored = (
    String,
    RawJson,
    Option<Implementation>,
    String,
    String,
    u64,
    Option<LogLevel>,
    BTreeSet<String>,
    [u64; 3],
    Incarnation,
);

/// The same for writing: a session is written when it begins, so nothing is copied for it.
type Storing<'a> = (
    ProtocolVersion,
    &'a RawJson,
    Option<&'a Implementation>,
    &'a str,
    &'a str,
    u64,
    Option<LogLevel>,
    &'a BTreeSet<String>,
    [u64; 3],
    Incarnation,
);

/// Bytes of most records, so that writing one does not begin small and grow.
const USUAL: usize = 256;

pub(super) fn encode(negotiated: &Negotiated, changing: &Changing) -> Bytes {
    let CatalogDigest {
        tools,
        prompts,
        resources,
    } = changing.seen;
    let stored: Storing<'_> = (
        negotiated.version,
        &negotiated.client.capabilities.raw,
        negotiated.client.info.as_ref(),
        negotiated.principal.key(),
        &negotiated.endpoint,
        negotiated.created.0,
        changing.log_level,
        &changing.subscriptions,
        [tools, prompts, resources],
        changing.home,
    );
    let mut bytes = Vec::with_capacity(USUAL);
    bytes.push(format());
    serde_json::to_writer(&mut bytes, &stored).expect("invariant: our values serialize");
    // Kept for as long as the session; what the buffer grew beyond is not.
    bytes.shrink_to_fit();
    bytes.into()
}

pub(super) fn decode(bytes: &[u8]) -> Result<(Negotiated, Changing), CheckpointError> {
    let damaged = |what: String| CheckpointError::Damaged(what);
    let stored: Stored = match bytes.split_first() {
        Some((&written, json)) if written == format() => {
            serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?
        }
        Some((&written, _)) => return Err(CheckpointError::UnknownFormat(written)),
        None => return Err(damaged("it is empty".into())),
    };
    let (
        version,
        capabilities,
        info,
        principal,
        endpoint,
        created,
        level,
        subscriptions,
        seen,
        home,
    ) = stored;
    let version = ProtocolVersion::parse(&version)
        .ok_or_else(|| damaged(format!("unknown protocol version {version:?}")))?;
    let capabilities =
        ClientCapabilities::parse(capabilities).map_err(|error| damaged(error.to_string()))?;
    let negotiated = Negotiated {
        version,
        client: Arc::new(Client { capabilities, info }),
        principal: Principal::from_key(&principal),
        endpoint: endpoint.into(),
        created: Timestamp(created),
    };
    let [tools, prompts, resources] = seen;
    let changing = Changing {
        log_level: level,
        subscriptions,
        seen: CatalogDigest {
            tools,
            prompts,
            resources,
        },
        home,
    };
    Ok((negotiated, changing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> (Negotiated, Changing) {
        let capabilities = RawJson::from_valid(r#"{"sampling":{},"extensions":{"x/y":{"z":1}}}"#);
        let negotiated = Negotiated {
            version: ProtocolVersion::V2025_06_18,
            client: Arc::new(Client {
                capabilities: ClientCapabilities::parse(capabilities).unwrap(),
                info: None,
            }),
            principal: Principal::local(),
            endpoint: "main".into(),
            created: Timestamp(17),
        };
        let mut changing = Changing::default();
        changing.subscriptions.insert("clock://now".into());
        changing.log_level = Some(LogLevel::Warning);
        changing.home = Incarnation(u64::MAX);
        (negotiated, changing)
    }

    #[test]
    fn a_session_comes_back_as_it_was() {
        let (negotiated, changing) = session();
        let bytes = encode(&negotiated, &changing);
        assert_eq!(decode(&bytes).unwrap(), (negotiated, changing));
    }

    #[test]
    fn unknown_cut_and_empty_checkpoints_are_refused() {
        let (negotiated, changing) = session();
        let bytes = encode(&negotiated, &changing);
        let mut future = bytes.to_vec();
        future[0] = 4;
        assert!(matches!(
            decode(&future),
            Err(CheckpointError::UnknownFormat(4))
        ));
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}
