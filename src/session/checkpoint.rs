//! A session's state as bytes for the store, and back.
//!
//! One byte of format version, then JSON. A version we do not know is refused, not guessed: the
//! session then ends for its client (404) and the record is reported, never overwritten in place.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::record::{Changing, Negotiated};
use crate::identity::Principal;
use crate::protocol::capabilities::ClientCapabilities;
use crate::protocol::lifecycle::Implementation;
use crate::protocol::logging::LogLevel;
use crate::protocol::raw::RawJson;
use crate::protocol::version::ProtocolVersion;
use crate::runtime::clock::Timestamp;
use crate::service::Client;
use crate::service::changes::CatalogDigest;

const FORMAT: u8 = 1;

/// Why stored bytes are not a session we can carry on.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckpointError {
    /// Written by another release.
    #[error("session checkpoint has format {0}, this release reads 1")]
    UnknownFormat(u8),
    /// Cut short or altered.
    #[error("session checkpoint is damaged: {0}")]
    Damaged(String),
}

/// The stored form. Owned names, so that renaming a field in code changes no stored byte.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: String,
    capabilities: RawJson,
    client_info: Option<Implementation>,
    principal: String,
    endpoint: String,
    created_ms: u64,
    #[serde(default)]
    log_level: Option<LogLevel>,
    #[serde(default)]
    subscriptions: BTreeSet<String>,
    seen: CatalogDigest,
}

/// The same for writing: a session is written when it begins, so nothing is copied for it.
#[derive(Serialize)]
struct Storing<'a> {
    version: ProtocolVersion,
    capabilities: &'a RawJson,
    client_info: Option<&'a Implementation>,
    principal: &'a str,
    endpoint: &'a str,
    created_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_level: Option<LogLevel>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    subscriptions: &'a BTreeSet<String>,
    seen: CatalogDigest,
}

/// Bytes of most records, so that writing one does not begin small and grow.
const USUAL: usize = 512;

pub(super) fn encode(negotiated: &Negotiated, changing: &Changing) -> Bytes {
    let stored = Storing {
        version: negotiated.version,
        capabilities: &negotiated.client.capabilities.raw,
        client_info: negotiated.client.info.as_ref(),
        principal: negotiated.principal.key(),
        endpoint: &negotiated.endpoint,
        created_ms: negotiated.created.0,
        log_level: changing.log_level,
        subscriptions: &changing.subscriptions,
        seen: changing.seen,
    };
    let mut bytes = Vec::with_capacity(USUAL);
    bytes.push(FORMAT);
    serde_json::to_writer(&mut bytes, &stored).expect("invariant: our values serialize");
    // Kept for as long as the session; what the buffer grew beyond is not.
    bytes.shrink_to_fit();
    bytes.into()
}

pub(super) fn decode(bytes: &[u8]) -> Result<(Negotiated, Changing), CheckpointError> {
    let damaged = |what: String| CheckpointError::Damaged(what);
    let stored = match bytes.split_first() {
        Some((&FORMAT, json)) => {
            serde_json::from_slice::<Stored>(json).map_err(|error| damaged(error.to_string()))?
        }
        Some((&format, _)) => return Err(CheckpointError::UnknownFormat(format)),
        None => return Err(damaged("it is empty".into())),
    };
    let version = ProtocolVersion::parse(&stored.version)
        .ok_or_else(|| damaged(format!("unknown protocol version {:?}", stored.version)))?;
    let capabilities = ClientCapabilities::parse(stored.capabilities)
        .map_err(|error| damaged(error.to_string()))?;
    let negotiated = Negotiated {
        version,
        client: Arc::new(Client {
            capabilities,
            info: stored.client_info,
        }),
        principal: Principal::from_key(&stored.principal),
        endpoint: stored.endpoint.into(),
        created: Timestamp(stored.created_ms),
    };
    let changing = Changing {
        log_level: stored.log_level,
        subscriptions: stored.subscriptions,
        seen: stored.seen,
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
        future[0] = 2;
        assert!(matches!(
            decode(&future),
            Err(CheckpointError::UnknownFormat(2))
        ));
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}
