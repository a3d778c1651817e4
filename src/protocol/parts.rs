//! The members of a message that are looked at before anything is decoded.
//!
//! [`MESSAGE`] is what the pre-scan of a body notes ([`super::prescan`]): the envelope, the members
//! of `params` that more than one place asks for, and those of `_meta` that we act on. Everything
//! else is skipped over once and decoded, if at all, by whoever answers the method.

use super::meta;
use super::prescan::{Outline, Wanted};

/// One of the members.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Message,
    Jsonrpc,
    Id,
    Method,
    Params,
    Result,
    Error,
    Name,
    Uri,
    Arguments,
    InputResponses,
    RequestState,
    Task,
    TaskId,
    Meta,
    ProtocolVersion,
    ClientCapabilities,
    ClientInfo,
    LogLevel,
    ProgressToken,
    IdempotencyKey,
    Path,
}

impl Part {
    /// Its value in `text`, the document that `outline` is of.
    pub(super) fn of<'a>(self, outline: &Outline, text: &'a str) -> Option<&'a str> {
        outline.find(text, self as usize)
    }
}

const fn whole(key: &'static str, part: Part) -> Wanted {
    Wanted::whole(key, part as usize)
}

const fn object(key: &'static str, part: Part, inside: &'static [Wanted]) -> Wanted {
    Wanted::object(key, part as usize, inside)
}

/// What is looked at in a message.
pub(super) static MESSAGE: Wanted = object(
    "",
    Part::Message,
    &[
        whole("jsonrpc", Part::Jsonrpc),
        whole("id", Part::Id),
        whole("method", Part::Method),
        PARAMS_IN_MESSAGE,
        whole("result", Part::Result),
        whole("error", Part::Error),
    ],
);

/// What is looked at in params that come without a message.
pub(super) static PARAMS: Wanted = PARAMS_IN_MESSAGE;

const PARAMS_IN_MESSAGE: Wanted = object(
    "params",
    Part::Params,
    &[
        whole("name", Part::Name),
        whole("arguments", Part::Arguments),
        whole("uri", Part::Uri),
        whole("inputResponses", Part::InputResponses),
        whole("requestState", Part::RequestState),
        whole("task", Part::Task),
        whole("taskId", Part::TaskId),
        object(
            "_meta",
            Part::Meta,
            &[
                whole("progressToken", Part::ProgressToken),
                whole(meta::PROTOCOL_VERSION_KEY, Part::ProtocolVersion),
                whole(meta::CLIENT_CAPABILITIES_KEY, Part::ClientCapabilities),
                whole(meta::CLIENT_INFO_KEY, Part::ClientInfo),
                whole(meta::LOG_LEVEL_KEY, Part::LogLevel),
                whole(meta::IDEMPOTENCY_KEY, Part::IdempotencyKey),
                whole(meta::PATH_KEY, Part::Path),
            ],
        ),
    ],
);
