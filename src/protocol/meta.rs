//! The `_meta` of a request: the claim of the stateless era, the progress token and idempotency key
//! of both.
//!
//! Spec: 2026-07-28 basic/index, `_meta`; basic/utilities/progress (all revisions).

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use super::capabilities::ClientCapabilities;
use super::jsonrpc::{Params, ProgressToken};
use super::lifecycle::Implementation;
use super::logging::LogLevel;
use super::parts::Part;
use super::raw::{self, RawJson};

/// The key that makes a request one of the stateless era.
pub const PROTOCOL_VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
/// The key of the capabilities a stateless request declares.
pub const CLIENT_CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
/// The key of who the client says it is.
pub const CLIENT_INFO_KEY: &str = "io.modelcontextprotocol/clientInfo";
/// The key of the log level a stateless request wants.
pub const LOG_LEVEL_KEY: &str = "io.modelcontextprotocol/logLevel";
/// The key of what makes a tool call one that is made once, however often it is sent: a string of 1 to
/// 256 bytes. Ours, not the protocol's.
pub const IDEMPOTENCY_KEY: &str = "switchboard/idempotencyKey";
/// The key of the gateways a request has passed. Ours, too.
pub const PATH_KEY: &str = "switchboard/path";
/// Longest idempotency key, in bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;
/// The key under which results say who we are.
pub const SERVER_INFO_KEY: &str = "io.modelcontextprotocol/serverInfo";
/// The key that ties a message to its listen request.
pub const SUBSCRIPTION_ID_KEY: &str = "io.modelcontextprotocol/subscriptionId";

/// The key that ties a message to a task of 2025-11-25.
pub const RELATED_TASK_KEY: &str = "io.modelcontextprotocol/related-task";

/// The members of `_meta` we act on, undecoded.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetaHead<'a> {
    /// The claim.
    pub protocol_version: Option<&'a str>,
    client_capabilities: Option<&'a str>,
    client_info: Option<&'a str>,
    log_level: Option<&'a str>,
    progress_token: Option<&'a str>,
}

/// What a stateless request declares of its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredClient {
    /// What it can do.
    pub capabilities: ClientCapabilities,
    /// Who it says it is.
    pub info: Option<Implementation>,
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
    /// Looks into the `_meta` of `params`.
    ///
    /// # Errors
    /// [`MetaError::NotAnObject`].
    pub fn of(params: &'a Params) -> Result<Self, MetaError> {
        match params.part(Part::Meta) {
            Some(meta) if !meta.starts_with('{') => Err(MetaError::NotAnObject),
            Some(_) | None => Ok(Self {
                protocol_version: params.part(Part::ProtocolVersion),
                client_capabilities: params.part(Part::ClientCapabilities),
                client_info: params.part(Part::ClientInfo),
                log_level: params.part(Part::LogLevel),
                progress_token: params.part(Part::ProgressToken),
            }),
        }
    }

    /// The version the request claims, if it claims one.
    ///
    /// # Errors
    /// [`MetaError::Malformed`] when the claim is no string.
    pub fn claim(&self) -> Result<Option<Cow<'a, str>>, MetaError> {
        self.protocol_version
            .map(|raw| raw::string(raw).ok_or(MetaError::Malformed(PROTOCOL_VERSION_KEY)))
            .transpose()
    }

    /// The progress token, in either era.
    ///
    /// # Errors
    /// [`MetaError::Malformed`] when it is neither a string nor an integer.
    pub fn progress_token(&self) -> Result<Option<ProgressToken>, MetaError> {
        decoded(self.progress_token, "progressToken")
    }

    /// The log level a stateless request asks for.
    ///
    /// # Errors
    /// [`MetaError::Malformed`] for a level that does not exist.
    pub fn log_level(&self) -> Result<Option<LogLevel>, MetaError> {
        decoded(self.log_level, LOG_LEVEL_KEY)
    }

    /// What a stateless request must declare besides its version: the client's capabilities, and
    /// who it is if it says so.
    ///
    /// # Errors
    /// [`MetaError`] naming the key. An absent `clientInfo` is fine.
    pub fn client(&self) -> Result<DeclaredClient, MetaError> {
        let declared = self
            .client_capabilities
            .ok_or(MetaError::Missing(CLIENT_CAPABILITIES_KEY))?;
        let capabilities = if declared == "{}" {
            ClientCapabilities::none()
        } else {
            ClientCapabilities::parse(RawJson::from_valid(declared.to_owned()))
                .map_err(|_| MetaError::Malformed(CLIENT_CAPABILITIES_KEY))?
        };
        let info = self
            .client_info
            .map(|raw| raw::decode(raw).map_err(|_| MetaError::Malformed(CLIENT_INFO_KEY)))
            .transpose()?;
        Ok(DeclaredClient { capabilities, info })
    }
}

/// The key of a call that is made once.
///
/// # Errors
/// [`MetaError::Malformed`] when it is no string of 1 to 256 bytes.
pub fn idempotency_key(params: &Params) -> Result<Option<Cow<'_, str>>, MetaError> {
    let Some(given) = params.part(Part::IdempotencyKey) else {
        return Ok(None);
    };
    raw::string(given)
        .filter(|key| (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()))
        .map(Some)
        .ok_or(MetaError::Malformed(IDEMPOTENCY_KEY))
}

/// The gateways a request has passed, as it says.
#[must_use]
pub fn path(params: &Params) -> Option<Vec<String>> {
    let path = params.part(Part::Path)?;
    serde_json::from_str(path).ok()
}

fn decoded<T: DeserializeOwned>(
    raw: Option<&str>,
    key: &'static str,
) -> Result<Option<T>, MetaError> {
    raw.map(|raw| serde_json::from_str(raw).map_err(|_| MetaError::Malformed(key)))
        .transpose()
}
