//! Which era a message belongs to: decided per message, by what it carries.
//!
//! [`classify`] is the whole table, rows E1 to E17 of `docs/protocol.md` (E18 to E21 concern HTTP
//! methods and unreadable bodies, which the transport settles before). The body decides and the
//! version header only cross-checks it: a proxy that strips or adds a header must never turn a
//! stateless request into a session-era one.
//!
//! Spec: 2026-07-28 basic/versioning; basic/transports/streamable-http, protocol version header.

use super::jsonrpc::Message;
use super::meta::{CLIENT_CAPABILITIES_KEY, MetaError, MetaHead, PROTOCOL_VERSION_KEY};
use super::method::Method;
use super::params::ParamsHead;
use super::version::{Era, ProtocolVersion, is_stateless_header};

/// Why a message belongs to neither era as it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EraError {
    /// Header and claim name different versions (E2), or a handshake comes under a stateless
    /// header (E9).
    #[error("the MCP-Protocol-Version header says {header:?}, the body {body:?}")]
    HeaderDiffers {
        /// What the header says.
        header: String,
        /// What the body says.
        body: String,
    },
    /// A stateless request without the version header (E3).
    #[error("the MCP-Protocol-Version header is required")]
    HeaderMissing,
    /// A version we do not serve (E4).
    #[error("protocol version {requested:?} is not supported")]
    Unsupported {
        /// The version asked for.
        requested: String,
    },
    /// A version we serve, but only after `initialize` (E11).
    #[error("protocol version {requested} needs an initialize handshake")]
    NeedsHandshake {
        /// The version asked for.
        requested: ProtocolVersion,
    },
    /// `_meta` is missing or malformed (E5, E6).
    #[error(transparent)]
    Meta(#[from] MetaError),
    /// A response or an array under a stateless header (E14, E15, E17).
    #[error("{0}")]
    NotHere(&'static str),
}

/// Where the version header comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionHeader<'a> {
    /// HTTP: the value of the header, if it was sent.
    Http(Option<&'a str>),
    /// stdio has no headers: the claim stands alone.
    None,
}

/// Decides the era of one message.
///
/// # Errors
/// [`EraError`] when it belongs to neither.
pub fn classify(message: &Message, header: VersionHeader<'_>) -> Result<Era, EraError> {
    let header_is_stateless =
        matches!(header, VersionHeader::Http(Some(header)) if is_stateless_header(header));
    match message {
        Message::Request(request) => {
            let params = ParamsHead::of(&request.params)
                .map_err(|_| EraError::NotHere("`params` must be an object"))?;
            let meta = match MetaHead::of(params.meta) {
                Ok(meta) => meta,
                // Without a readable `_meta` there is no claim; only a stateless header makes it
                // this table's business.
                Err(error) if header_is_stateless => return Err(error.into()),
                Err(_) => MetaHead::default(),
            };
            match meta.claim()? {
                Some(claim) => claimed(&claim, header, &meta),
                None if matches!(request.method, Method::Initialize) => match header {
                    VersionHeader::Http(Some(header)) if header_is_stateless => {
                        Err(EraError::HeaderDiffers {
                            header: header.to_owned(),
                            body: "initialize".to_owned(),
                        })
                    }
                    VersionHeader::Http(_) | VersionHeader::None => Ok(Era::Session),
                },
                None if header_is_stateless => Err(MetaError::Missing(PROTOCOL_VERSION_KEY).into()),
                None => Ok(Era::Session),
            }
        }
        Message::Notification(_) if header_is_stateless => Ok(Era::Stateless),
        Message::Notification(_) => Ok(Era::Session),
        Message::Response(_) if header_is_stateless => Err(EraError::NotHere(
            "responses are not posted in this protocol version",
        )),
        Message::Response(_) => Ok(Era::Session),
    }
}

/// Rows E1 to E5, E10 and E11: the request names a version.
fn claimed(claim: &str, header: VersionHeader<'_>, meta: &MetaHead<'_>) -> Result<Era, EraError> {
    match header {
        VersionHeader::Http(Some(header)) if header != claim => {
            return Err(EraError::HeaderDiffers {
                header: header.to_owned(),
                body: claim.to_owned(),
            });
        }
        VersionHeader::Http(None) => return Err(EraError::HeaderMissing),
        VersionHeader::Http(Some(_)) | VersionHeader::None => {}
    }
    match ProtocolVersion::parse(claim) {
        None => Err(EraError::Unsupported {
            requested: claim.to_owned(),
        }),
        Some(version) => match version.era() {
            Era::Session => Err(EraError::NeedsHandshake { requested: version }),
            Era::Stateless => {
                meta.client()?;
                Ok(Era::Stateless)
            }
        },
    }
}

/// Whether any element of a batch claims a version: then it may not be a batch (E15).
#[must_use]
pub fn any_claim<'a>(messages: impl IntoIterator<Item = &'a Message>) -> bool {
    messages.into_iter().any(|message| match message {
        Message::Request(request) => ParamsHead::of(&request.params)
            .ok()
            .and_then(|params| MetaHead::of(params.meta).ok())
            .is_some_and(|meta| meta.protocol_version.is_some()),
        Message::Notification(_) | Message::Response(_) => false,
    })
}

/// The keys a request under a stateless header must carry, for the message that says so.
pub const REQUIRED_META: [&str; 2] = [PROTOCOL_VERSION_KEY, CLIENT_CAPABILITIES_KEY];
