//! Protocol versions and the two eras they fall into.
//!
//! Spec: basic/versioning (2026-07-28); basic/lifecycle, version negotiation (up to 2025-11-25).

use std::fmt;

/// A published revision of the protocol. Ordered by date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolVersion {
    /// HTTP+SSE, the first published revision.
    V2024_11_05,
    /// Streamable HTTP, batches.
    V2025_03_26,
    /// Structured output, elicitation, the version header.
    V2025_06_18,
    /// Polling, richer elicitation, experimental tasks.
    V2025_11_25,
    /// No sessions: every request is complete in itself.
    V2026_07_28,
}

/// The two families of behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Era {
    /// Up to 2025-11-25: a handshake, then a session.
    Session,
    /// From 2026-07-28: metadata on every request, no session.
    Stateless,
}

impl Era {
    /// The name used in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Stateless => "stateless",
        }
    }
}

impl ProtocolVersion {
    /// Every revision we serve, newest first: the order in which they are offered.
    pub const ALL: [Self; 5] = [
        Self::V2026_07_28,
        Self::V2025_11_25,
        Self::V2025_06_18,
        Self::V2025_03_26,
        Self::V2024_11_05,
    ];

    /// What `initialize` answers when it cannot echo the version asked for.
    pub const NEWEST_WITH_SESSIONS: Self = Self::V2025_11_25;

    /// The newest revision.
    pub const NEWEST: Self = Self::V2026_07_28;

    /// The revision assumed when a session-era request names none and has no session
    /// (2025-11-25 basic/transports, protocol version header).
    pub const ASSUMED: Self = Self::V2025_03_26;

    /// The revision as it is written on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// The revision of that exact name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == text)
    }

    /// The family it belongs to.
    #[must_use]
    pub const fn era(self) -> Era {
        match self {
            Self::V2024_11_05 | Self::V2025_03_26 | Self::V2025_06_18 | Self::V2025_11_25 => {
                Era::Session
            }
            Self::V2026_07_28 => Era::Stateless,
        }
    }

    /// The version a session gets that asked for `requested` in `initialize`.
    ///
    /// A session-era revision we know is echoed; everything else, the stateless revision
    /// included, gets our newest one with sessions: some clients name their newest known revision
    /// here although they came for a session.
    #[must_use]
    pub fn negotiate(requested: &str) -> Self {
        Self::parse(requested)
            .filter(|version| version.era() == Era::Session)
            .unwrap_or(Self::NEWEST_WITH_SESSIONS)
    }

    /// Whether JSON-RPC batches are accepted: received by 2025-03-26, and by 2024-11-05, which
    /// says nothing about them and so has plain JSON-RPC's.
    #[must_use]
    pub const fn accepts_batches(self) -> bool {
        matches!(self, Self::V2024_11_05 | Self::V2025_03_26)
    }

    /// Whether a stream may open with an event that has an id and empty data. Older clients try
    /// to parse the empty data as JSON.
    #[must_use]
    pub const fn has_priming_events(self) -> bool {
        matches!(self, Self::V2025_11_25)
    }

    /// Whether a call may go on as a task: experimentally in 2025-11-25, as an extension after.
    #[must_use]
    pub const fn has_tasks(self) -> bool {
        matches!(self, Self::V2025_11_25 | Self::V2026_07_28)
    }

    /// Whether invalid tool arguments are a tool error (`isError`) rather than a protocol error.
    #[must_use]
    pub const fn invalid_arguments_are_tool_errors(self) -> bool {
        matches!(self, Self::V2025_11_25 | Self::V2026_07_28)
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for ProtocolVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Whether a version header speaks of the stateless era: a date not before its first revision.
/// An unknown later date counts too, so that a newer client is told what we serve.
#[must_use]
pub fn is_stateless_header(header: &str) -> bool {
    is_date(header) && header >= ProtocolVersion::V2026_07_28.as_str()
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_order_by_date() {
        assert!(ProtocolVersion::ALL.is_sorted_by(|a, b| a > b));
        for version in ProtocolVersion::ALL {
            assert_eq!(ProtocolVersion::parse(version.as_str()), Some(version));
        }
    }

    #[test]
    fn initialize_never_negotiates_the_stateless_revision() {
        for (requested, answered) in [
            ("2024-11-05", ProtocolVersion::V2024_11_05),
            ("2025-06-18", ProtocolVersion::V2025_06_18),
            ("2026-07-28", ProtocolVersion::V2025_11_25),
            ("1999-01-01", ProtocolVersion::V2025_11_25),
            ("", ProtocolVersion::V2025_11_25),
        ] {
            assert_eq!(
                ProtocolVersion::negotiate(requested),
                answered,
                "{requested}"
            );
        }
    }

    #[test]
    fn only_dates_from_2026_07_28_on_are_stateless_headers() {
        for (header, stateless) in [
            ("2026-07-28", true),
            ("2027-01-01", true),
            ("2025-11-25", false),
            ("DRAFT-2026", false),
            ("2026-07-28 ", false),
            ("", false),
        ] {
            assert_eq!(is_stateless_header(header), stateless, "{header:?}");
        }
    }
}
