//! The error codes of JSON-RPC and of the protocol, by name.
//!
//! Spec: JSON-RPC 2.0 section 5.1; 2026-07-28 basic/index, error codes. Which outcome gets which
//! code is decided in one place, `transport/reply.rs`.

/// A JSON-RPC error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub i64);

impl ErrorCode {
    /// The text is not JSON.
    pub const PARSE_ERROR: Self = Self(-32700);
    /// The JSON is not a JSON-RPC message, or not one that may come here.
    pub const INVALID_REQUEST: Self = Self(-32600);
    /// No such method in this revision.
    pub const METHOD_NOT_FOUND: Self = Self(-32601);
    /// The method exists, its parameters do not fit.
    pub const INVALID_PARAMS: Self = Self(-32602);
    /// Something went wrong on our side.
    pub const INTERNAL_ERROR: Self = Self(-32603);
    /// Session era only: no such resource.
    pub const RESOURCE_NOT_FOUND: Self = Self(-32002);
    /// Stateless era: a header is missing, malformed or differs from the body.
    pub const HEADER_MISMATCH: Self = Self(-32020);
    /// Stateless era: the client did not declare a capability the request needs.
    pub const MISSING_CLIENT_CAPABILITY: Self = Self(-32021);
    /// Stateless era: a protocol version we do not serve.
    pub const UNSUPPORTED_PROTOCOL_VERSION: Self = Self(-32022);
    /// 2025-11-25 only: the user must be sent to URLs first.
    pub const URL_ELICITATION_REQUIRED: Self = Self(-32042);

    /// Whether the stateless era keeps the code for itself, so that nobody else's may be passed on.
    #[must_use]
    pub const fn is_reserved(self) -> bool {
        matches!(self.0, -32_099..=-32_020)
    }
}
