//! Method names, and in which revisions each exists.
//!
//! Spec: schema pages of every revision; the table of removed methods in 2026-07-28 changelog.

use std::fmt;
use std::sync::Arc;

use super::version::{Era, ProtocolVersion};

/// A request method a client may send.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `initialize`
    Initialize,
    /// `ping`
    Ping,
    /// `server/discover`
    Discover,
    /// `subscriptions/listen`
    Listen,
    /// `tools/list`
    ToolsList,
    /// `tools/call`
    ToolsCall,
    /// `resources/list`
    ResourcesList,
    /// `resources/templates/list`
    ResourceTemplatesList,
    /// `resources/read`
    ResourcesRead,
    /// `resources/subscribe`
    ResourcesSubscribe,
    /// `resources/unsubscribe`
    ResourcesUnsubscribe,
    /// `prompts/list`
    PromptsList,
    /// `prompts/get`
    PromptsGet,
    /// `completion/complete`
    Complete,
    /// `logging/setLevel`
    SetLevel,
    /// `tasks/get`
    TasksGet,
    /// `tasks/update`
    TasksUpdate,
    /// `tasks/cancel`
    TasksCancel,
    /// `tasks/result`
    TasksResult,
    /// `tasks/list`
    TasksList,
    /// Anything else, as it was sent.
    Other(Arc<str>),
}

impl Method {
    /// The methods we know, for tables and tests.
    pub const KNOWN: [Self; 20] = [
        Self::Initialize,
        Self::Ping,
        Self::Discover,
        Self::Listen,
        Self::ToolsList,
        Self::ToolsCall,
        Self::ResourcesList,
        Self::ResourceTemplatesList,
        Self::ResourcesRead,
        Self::ResourcesSubscribe,
        Self::ResourcesUnsubscribe,
        Self::PromptsList,
        Self::PromptsGet,
        Self::Complete,
        Self::SetLevel,
        Self::TasksGet,
        Self::TasksUpdate,
        Self::TasksCancel,
        Self::TasksResult,
        Self::TasksList,
    ];

    /// The method of that name. Names are case-sensitive.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name {
            "initialize" => Self::Initialize,
            "ping" => Self::Ping,
            "server/discover" => Self::Discover,
            "subscriptions/listen" => Self::Listen,
            "tools/list" => Self::ToolsList,
            "tools/call" => Self::ToolsCall,
            "resources/list" => Self::ResourcesList,
            "resources/templates/list" => Self::ResourceTemplatesList,
            "resources/read" => Self::ResourcesRead,
            "resources/subscribe" => Self::ResourcesSubscribe,
            "resources/unsubscribe" => Self::ResourcesUnsubscribe,
            "prompts/list" => Self::PromptsList,
            "prompts/get" => Self::PromptsGet,
            "completion/complete" => Self::Complete,
            "logging/setLevel" => Self::SetLevel,
            "tasks/get" => Self::TasksGet,
            "tasks/update" => Self::TasksUpdate,
            "tasks/cancel" => Self::TasksCancel,
            "tasks/result" => Self::TasksResult,
            "tasks/list" => Self::TasksList,
            other => Self::Other(other.into()),
        }
    }

    /// The name on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(name) => name,
            known => known.label(),
        }
    }

    /// The name from a closed set, for metrics: `other` for what we do not know.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::Ping => "ping",
            Self::Discover => "server/discover",
            Self::Listen => "subscriptions/listen",
            Self::ToolsList => "tools/list",
            Self::ToolsCall => "tools/call",
            Self::ResourcesList => "resources/list",
            Self::ResourceTemplatesList => "resources/templates/list",
            Self::ResourcesRead => "resources/read",
            Self::ResourcesSubscribe => "resources/subscribe",
            Self::ResourcesUnsubscribe => "resources/unsubscribe",
            Self::PromptsList => "prompts/list",
            Self::PromptsGet => "prompts/get",
            Self::Complete => "completion/complete",
            Self::SetLevel => "logging/setLevel",
            Self::TasksGet => "tasks/get",
            Self::TasksUpdate => "tasks/update",
            Self::TasksCancel => "tasks/cancel",
            Self::TasksResult => "tasks/result",
            Self::TasksList => "tasks/list",
            Self::Other(_) => "other",
        }
    }

    /// Whether the method is defined in `version`.
    #[must_use]
    pub const fn exists_in(&self, version: ProtocolVersion) -> bool {
        let stateless = matches!(version.era(), Era::Stateless);
        match self {
            Self::Initialize
            | Self::Ping
            | Self::ResourcesSubscribe
            | Self::ResourcesUnsubscribe
            | Self::SetLevel => !stateless,
            Self::Discover | Self::Listen | Self::TasksUpdate => stateless,
            Self::TasksResult | Self::TasksList => matches!(version, ProtocolVersion::V2025_11_25),
            Self::TasksGet | Self::TasksCancel => version.has_tasks(),
            Self::ToolsList
            | Self::ToolsCall
            | Self::ResourcesList
            | Self::ResourceTemplatesList
            | Self::ResourcesRead
            | Self::PromptsList
            | Self::PromptsGet
            | Self::Complete => true,
            Self::Other(_) => false,
        }
    }

    /// Whether the protocol defines it, but not in `version`: nobody is asked. A method that no revision
    /// defines may be an extension's, which only who serves it knows.
    #[must_use]
    pub const fn is_foreign_to(&self, version: ProtocolVersion) -> bool {
        !matches!(self, Self::Other(_)) && !self.exists_in(version)
    }

    /// Whether its complete results carry caching hints
    /// (2026-07-28 server/utilities/caching).
    #[must_use]
    pub const fn is_cacheable(&self) -> bool {
        matches!(
            self,
            Self::Discover
                | Self::ToolsList
                | Self::PromptsList
                | Self::ResourcesList
                | Self::ResourceTemplatesList
                | Self::ResourcesRead
        )
    }

    /// Whether it may be answered with `input_required` (2026-07-28 basic/patterns/mrtr).
    #[must_use]
    pub const fn may_require_input(&self) -> bool {
        matches!(
            self,
            Self::ToolsCall | Self::PromptsGet | Self::ResourcesRead
        )
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for method in Method::KNOWN {
            assert_eq!(Method::parse(method.as_str()), method);
        }
        assert_eq!(
            Method::parse("Tools/Call"),
            Method::Other("Tools/Call".into())
        );
    }

    #[test]
    fn the_stateless_era_has_no_handshake_ping_or_subscribe() {
        let removed = Method::KNOWN
            .into_iter()
            .filter(|method| !method.exists_in(ProtocolVersion::V2026_07_28))
            .map(|method| method.to_string())
            .collect::<Vec<_>>();
        assert_eq!(
            removed,
            [
                "initialize",
                "ping",
                "resources/subscribe",
                "resources/unsubscribe",
                "logging/setLevel",
                "tasks/result",
                "tasks/list"
            ]
        );
    }
}
