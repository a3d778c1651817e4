//! The `_meta` of a request: the claim of the stateless era, the progress token of both.
//!
//! Spec: 2026-07-28 basic/index, `_meta`; basic/utilities/progress (all revisions).

use serde::Deserialize;
use serde_json::value::RawValue;

use super::capabilities::ClientCapabilities;
use super::jsonrpc::ProgressToken;
use super::lifecycle::Implementation;
use super::logging::LogLevel;
use super::raw::{self, RawJson};

/// The key that makes a request one of the stateless era.
pub const PROTOCOL_VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
/// The key of the capabilities a stateless request declares.
pub const CLIENT_CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
/// The key of who the client says it is.
pub const CLIENT_INFO_KEY: &str = "io.modelcontextprotocol/clientInfo";
/// The key of the log level a stateless request wants.
pub const LOG_LEVEL_KEY: &str = "io.modelcontextprotocol/logLevel";
/// The key under which results say who we are.
pub const SERVER_INFO_KEY: &str = "io.modelcontextprotocol/serverInfo";
/// The key that ties a message to its listen request.
pub const SUBSCRIPTION_ID_KEY: &str = "io.modelcontextprotocol/subscriptionId";

/// The members of `_meta` we act on, undecoded.
#[derive(Debug, Default, Deserialize)]
pub struct MetaHead<'a> {
    /// The claim.
    #[serde(
        borrow,
        default,
        rename = "io.modelcontextprotocol/protocolVersion",
        deserialize_with = "raw::present"
    )]
    pub protocol_version: Option<&'a RawValue>,
    #[serde(
        borrow,
        default,
        rename = "io.modelcontextprotocol/clientCapabilities",
        deserialize_with = "raw::present"
    )]
    client_capabilities: Option<&'a RawValue>,
    #[serde(
        borrow,
        default,
        rename = "io.modelcontextprotocol/clientInfo",
        deserialize_with = "raw::present"
    )]
    client_info: Option<&'a RawValue>,
    #[serde(
        borrow,
        default,
        rename = "io.modelcontextprotocol/logLevel",
        deserialize_with = "raw::present"
    )]
    log_level: Option<&'a RawValue>,
    #[serde(
        borrow,
        default,
        rename = "progressToken",
        deserialize_with = "raw::present"
    )]
    progress_token: Option<&'a RawValue>,
}

/// A member of `_meta` is missing or has the wrong shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// `_meta` itself is no object.
    #[error("`_meta` must be an object")]
    NotAnObject,
    /// A required key is not there.
    #[error("`_meta` lacks `{0}`")]
    Missing(&'static str),
    /// A key holds something else than it should.
    #[error("`_meta` has a malformed `{0}`")]
    Malformed(&'static str),
}

impl<'a> MetaHead<'a> {
    /// Looks into a raw `_meta`.
    ///
    /// # Errors
    /// [`MetaError::NotAnObject`].
    pub fn of(raw: Option<&'a str>) -> Result<Self, MetaError> {
        match raw {
            None => Ok(Self::default()),
            Some(raw) => raw::decode(raw).map_err(|_| MetaError::NotAnObject),
        }
    }

    /// The version the request claims, if it claims one.
    ///
    /// # Errors
    /// [`MetaError::Malformed`] when the claim is no string.
    pub fn claim(&self) -> Result<Option<String>, MetaError> {
        self.protocol_version
            .map(|raw| {
                serde_json::from_str(raw.get())
                    .map_err(|_| MetaError::Malformed(PROTOCOL_VERSION_KEY))
            })
            .transpose()
    }

    /// The progress token, in either era.
    ///
    /// # Errors
    /// [`MetaError::Malformed`] when it is neither a string nor an integer.
    pub fn progress_token(&self) -> Result<Option<ProgressToken>, MetaError> {
        self.progress_token
            .map(|raw| {
                serde_json::from_str(raw.get()).map_err(|_| MetaError::Malformed("progressToken"))
            })
            .transpose()
    }

    /// The log level a stateless request asks for.
    ///
    /// # Errors
    /// [`MetaError::Malformed`] for a level that does not exist.
    pub fn log_level(&self) -> Result<Option<LogLevel>, MetaError> {
        self.log_level
            .map(|raw| {
                serde_json::from_str(raw.get()).map_err(|_| MetaError::Malformed(LOG_LEVEL_KEY))
            })
            .transpose()
    }

    /// What a stateless request must declare besides its version: the client's capabilities, and
    /// who it is if it says so.
    ///
    /// # Errors
    /// [`MetaError`] naming the key. An absent `clientInfo` is fine.
    pub fn client(&self) -> Result<(ClientCapabilities, Option<Implementation>), MetaError> {
        let declared = self
            .client_capabilities
            .ok_or(MetaError::Missing(CLIENT_CAPABILITIES_KEY))?;
        let capabilities = if declared.get() == "{}" {
            ClientCapabilities::none()
        } else {
            ClientCapabilities::parse(RawJson::from_valid(declared.get().to_owned()))
                .map_err(|_| MetaError::Malformed(CLIENT_CAPABILITIES_KEY))?
        };
        let info = self
            .client_info
            .map(|raw| raw::decode(raw.get()).map_err(|_| MetaError::Malformed(CLIENT_INFO_KEY)))
            .transpose()?;
        Ok((capabilities, info))
    }
}
