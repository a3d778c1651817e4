//! Which era a message belongs to: decided per message, by what it carries.
//!
//! [`classify`] is the whole table, rows E1 to E17 of `docs/protocol.md` (E18 to E21 concern HTTP
//! methods and unreadable bodies, which the transport settles before). The body decides and the
//! version header only cross-checks it: a proxy that strips or adds a header must never turn a
//! stateless request into a session-era one.
//!
//! Spec: 2026-07-28 basic/versioning; basic/transports/streamable-http, protocol version header.

use super::jsonrpc::{Message, Notification, Request};
use super::meta::{DeclaredClient, MetaError, MetaHead, PROTOCOL_VERSION_KEY};
use super::method::Method;
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

/// A message and where it belongs.
#[derive(Clone, Debug)]
pub enum Belongs {
    /// To a session, or to the handshake that opens one.
    Session(Message),
    /// A request that is complete in itself, and the client it declares.
    Stateless(Request, DeclaredClient),
    /// A notification under a stateless header.
    StatelessNotification(Notification),
}

/// Decides the era of one message.
///
/// # Errors
/// [`EraError`] when it belongs to neither.
pub fn classify(message: Message, header: VersionHeader<'_>) -> Result<Belongs, EraError> {
    let header_is_stateless =
        matches!(header, VersionHeader::Http(Some(header)) if is_stateless_header(header));
    match message {
        Message::Request(request) => {
            let meta = match MetaHead::of(&request.params) {
                Ok(meta) => meta,
                // Without a readable `_meta` there is no claim; only a stateless header makes it
                // this table's business.
                Err(error) if header_is_stateless => return Err(error.into()),
                Err(_) => MetaHead::default(),
            };
            match meta.claim()? {
                Some(claim) => {
                    let client = claimed(&claim, header, &meta)?;
                    Ok(Belongs::Stateless(request, client))
                }
                None if matches!(request.method, Method::Initialize) => match header {
                    VersionHeader::Http(Some(header)) if header_is_stateless => {
                        Err(EraError::HeaderDiffers {
                            header: header.to_owned(),
                            body: "initialize".to_owned(),
                        })
                    }
                    VersionHeader::Http(_) | VersionHeader::None => {
                        Ok(Belongs::Session(Message::Request(request)))
                    }
                },
                None if header_is_stateless => Err(MetaError::Missing(PROTOCOL_VERSION_KEY).into()),
                None => Ok(Belongs::Session(Message::Request(request))),
            }
        }
        Message::Notification(notification) if header_is_stateless => {
            Ok(Belongs::StatelessNotification(notification))
        }
        Message::Response(_) if header_is_stateless => Err(EraError::NotHere(
            "responses are not posted in this protocol version",
        )),
        message @ (Message::Notification(_) | Message::Response(_)) => {
            Ok(Belongs::Session(message))
        }
    }
}

/// Rows E1 to E5, E10 and E11: the request names a version.
fn claimed(
    claim: &str,
    header: VersionHeader<'_>,
    meta: &MetaHead<'_>,
) -> Result<DeclaredClient, EraError> {
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
            Era::Stateless => Ok(meta.client()?),
        },
    }
}

/// Whether any element of a batch claims a version: then it may not be a batch (E15).
#[must_use]
pub fn any_claim<'a>(messages: impl IntoIterator<Item = &'a Message>) -> bool {
    messages.into_iter().any(|message| match message {
        Message::Request(request) => {
            MetaHead::of(&request.params).is_ok_and(|meta| meta.protocol_version.is_some())
        }
        Message::Notification(_) | Message::Response(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::protocol::jsonrpc::Body;
    use crate::protocol::meta::CLIENT_CAPABILITIES_KEY;
    use crate::protocol::prescan::Limits;

    const NOW: &str = "2026-07-28";

    fn verdict(message: &str, header: Option<&str>) -> Result<Era, EraError> {
        let bytes = Bytes::from(message.to_owned());
        match Body::parse(&bytes, &Limits::default()) {
            Ok(Body::Single(message)) => {
                let belongs = classify(message, VersionHeader::Http(header));
                belongs.map(|belongs| match belongs {
                    Belongs::Session(_) => Era::Session,
                    Belongs::Stateless(..) | Belongs::StatelessNotification(_) => Era::Stateless,
                })
            }
            other => panic!("{message} is one message, not {other:?}"),
        }
    }

    fn request(method: &str, meta: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"_meta":{meta}}}}}"#)
    }

    fn claim(version: &str) -> String {
        format!(r#"{{"{PROTOCOL_VERSION_KEY}":"{version}","{CLIENT_CAPABILITIES_KEY}":{{}}}}"#)
    }

    #[test]
    fn the_body_decides_and_the_header_cross_checks() {
        let missing = |key| Err(EraError::Meta(MetaError::Missing(key)));
        let malformed = |key| Err(EraError::Meta(MetaError::Malformed(key)));
        let differs = |header: &str, body: &str| {
            Err(EraError::HeaderDiffers {
                header: header.into(),
                body: body.into(),
            })
        };
        let unsupported = |version: &str| {
            Err(EraError::Unsupported {
                requested: version.into(),
            })
        };
        let list = "tools/list";
        let number = format!(r#"{{"{PROTOCOL_VERSION_KEY}":7}}"#);
        let bare = format!(r#"{{"{PROTOCOL_VERSION_KEY}":"{NOW}"}}"#);
        for (row, message, header, expected) in [
            (
                "E1",
                request(list, &claim(NOW)),
                Some(NOW),
                Ok(Era::Stateless),
            ),
            (
                "E2",
                request(list, &claim(NOW)),
                Some("2025-11-25"),
                differs("2025-11-25", NOW),
            ),
            (
                "E3",
                request(list, &claim(NOW)),
                None,
                Err(EraError::HeaderMissing),
            ),
            (
                "E4",
                request(list, &claim("2099-01-01")),
                Some("2099-01-01"),
                unsupported("2099-01-01"),
            ),
            (
                "E4",
                request(list, &claim("v999")),
                Some("v999"),
                unsupported("v999"),
            ),
            (
                "E5",
                request(list, &number),
                Some(NOW),
                malformed(PROTOCOL_VERSION_KEY),
            ),
            (
                "E5",
                request(list, &bare),
                Some(NOW),
                missing(CLIENT_CAPABILITIES_KEY),
            ),
            (
                "E6",
                request(list, "{}"),
                Some(NOW),
                missing(PROTOCOL_VERSION_KEY),
            ),
            (
                "E7",
                request(list, "{}"),
                Some("2025-06-18"),
                Ok(Era::Session),
            ),
            ("E7", request(list, "{}"), None, Ok(Era::Session)),
            ("E8", request("initialize", "{}"), None, Ok(Era::Session)),
            (
                "E8",
                request("initialize", "{}"),
                Some("2025-11-25"),
                Ok(Era::Session),
            ),
            (
                "E9",
                request("initialize", "{}"),
                Some(NOW),
                differs(NOW, "initialize"),
            ),
            (
                "E10",
                request("initialize", &claim(NOW)),
                Some(NOW),
                Ok(Era::Stateless),
            ),
            (
                "E11",
                request(list, &claim("2025-11-25")),
                Some("2025-11-25"),
                Err(EraError::NeedsHandshake {
                    requested: ProtocolVersion::V2025_11_25,
                }),
            ),
            (
                "E12",
                r#"{"jsonrpc":"2.0","method":"x"}"#.into(),
                Some(NOW),
                Ok(Era::Stateless),
            ),
            (
                "E13",
                r#"{"jsonrpc":"2.0","method":"x"}"#.into(),
                None,
                Ok(Era::Session),
            ),
            (
                "E14",
                r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.into(),
                None,
                Ok(Era::Session),
            ),
        ] {
            assert_eq!(verdict(&message, header), expected, "{row}: {message}");
        }
        let posted = verdict(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, Some(NOW));
        assert!(matches!(posted, Err(EraError::NotHere(_))), "E14");
    }

    #[test]
    fn without_headers_the_claim_stands_alone() {
        let bytes = Bytes::from(request("tools/list", &claim(NOW)));
        let Ok(Body::Single(message)) = Body::parse(&bytes, &Limits::default()) else {
            panic!("one message")
        };
        let Ok(Belongs::Stateless(_, client)) = classify(message, VersionHeader::None) else {
            panic!("a request of the stateless era")
        };
        assert_eq!(client.info, None);
    }
}
