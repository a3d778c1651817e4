//! What a call asks for, in the words of rules.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;

use crate::policy::access::{Kind, Target};
use crate::protocol::completion::{CompletionContext, CompletionReference};
use crate::protocol::method::Method;
use crate::protocol::params::{ParamsHead, string_of};
use crate::protocol::raw::{self, RawJson};
use crate::service::{Call, Canonical, EntryKind, Service, ServiceError};

/// What a call asks for.
#[derive(Debug)]
pub(super) enum Asked {
    /// Something with a name, which rules are about.
    Named(Named),
    /// A list: what may not be seen is left out of it.
    List(EntryKind),
    /// Something of the caller's own, which was allowed when it began.
    Own,
    /// Something that we do not know, and that rules cannot be about.
    Unknown,
}

/// A thing with a name.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) kind: Kind,
    /// The name clients know.
    pub(super) shown: String,
    pub(super) canonical: Canonical,
    /// Whether a server gave it that name; otherwise the client did.
    pub(super) is_given: bool,
    pub(super) arguments: Option<RawJson>,
}

impl Named {
    pub(super) fn target(&self) -> Target<'_> {
        Target::called(self.kind, &self.canonical.name, self.arguments.as_ref())
    }

    /// Whether rules can look into its arguments.
    pub(super) fn has_proper_arguments(&self) -> bool {
        are_proper(self.arguments.as_ref().map(RawJson::as_str))
    }

    /// The answer to somebody for whom it does not exist.
    pub(super) fn unknown(&self) -> ServiceError {
        let name = self.shown.clone();
        match self.kind {
            Kind::Tool => ServiceError::UnknownTool(name),
            Kind::Prompt => ServiceError::UnknownPrompt(name),
            Kind::Resource | Kind::Template => ServiceError::ResourceNotFound { uri: name },
        }
    }
}

impl Asked {
    /// What `call` asks `service` for. Params that say nothing are the service's to refuse, so they
    /// ask for the empty name, which no rule allows.
    pub(super) fn of(call: &Call, service: &dyn Service, endpoint: &Arc<str>) -> Self {
        let head = ParamsHead::of(&call.params);
        let named = |kind, shown: Option<Cow<'_, str>>| {
            let arguments = match kind {
                Kind::Tool | Kind::Prompt => {
                    head.arguments.map(|it| RawJson::from_valid(it.to_owned()))
                }
                Kind::Resource | Kind::Template => None,
            };
            let shown = shown.unwrap_or_default().into_owned();
            Self::Named(Named {
                kind,
                canonical: canonical(service, endpoint, kind, &shown),
                is_given: service.lists(&call.context.caller, entry_of(kind), &shown),
                shown,
                arguments,
            })
        };
        match &call.method {
            Method::ToolsCall => named(Kind::Tool, string_of(head.name)),
            Method::PromptsGet => named(Kind::Prompt, string_of(head.name)),
            Method::ResourcesRead | Method::ResourcesSubscribe | Method::ResourcesUnsubscribe => {
                named(Kind::Resource, string_of(head.uri))
            }
            Method::Complete => match completed(call) {
                Some((kind, name)) => named(kind, Some(name.into())),
                None => named(Kind::Prompt, None),
            },
            Method::ToolsList => Self::List(EntryKind::Tool),
            Method::PromptsList => Self::List(EntryKind::Prompt),
            Method::ResourcesList => Self::List(EntryKind::Resource),
            Method::ResourceTemplatesList => Self::List(EntryKind::Template),
            Method::Initialize
            | Method::Ping
            | Method::Discover
            | Method::Listen
            | Method::SetLevel
            | Method::TasksGet
            | Method::TasksUpdate
            | Method::TasksCancel
            | Method::TasksResult
            | Method::TasksList => Self::Own,
            Method::Other(_) => Self::Unknown,
        }
    }
}

/// What rules call something, and whose it is: ours, if it is not an upstream's.
pub(super) fn canonical(
    service: &dyn Service,
    endpoint: &Arc<str>,
    kind: Kind,
    shown: &str,
) -> Canonical {
    service
        .canonical(entry_of(kind), shown)
        .unwrap_or_else(|| Canonical {
            name: shown.to_owned(),
            server: endpoint.clone(),
        })
}

/// The kind of thing, as lists have it.
const fn entry_of(kind: Kind) -> EntryKind {
    match kind {
        Kind::Tool => EntryKind::Tool,
        Kind::Prompt => EntryKind::Prompt,
        Kind::Resource => EntryKind::Resource,
        Kind::Template => EntryKind::Template,
    }
}

/// The kind of thing, as rules have it.
pub(super) const fn kind_of(entry: EntryKind) -> Kind {
    match entry {
        EntryKind::Tool => Kind::Tool,
        EntryKind::Prompt => Kind::Prompt,
        EntryKind::Resource => Kind::Resource,
        EntryKind::Template => Kind::Template,
    }
}

/// What a completion is for; of a template, with the values that are chosen already: it asks for no
/// more than what is left of it.
fn completed(call: &Call) -> Option<(Kind, String)> {
    #[derive(Deserialize)]
    struct Completion {
        #[serde(rename = "ref")]
        reference: CompletionReference,
        #[serde(default)]
        context: Option<CompletionContext>,
    }
    let params = call.params.raw()?;
    let Completion { reference, context } = raw::decode(params.as_str()).ok()?;
    Some(match reference {
        CompletionReference::Prompt { name } => (Kind::Prompt, name),
        CompletionReference::Resource { uri } => {
            (Kind::Template, filled(uri, &context.unwrap_or_default()))
        }
    })
}

fn filled(template: String, context: &CompletionContext) -> String {
    let chosen = context.arguments.iter();
    chosen.fold(template, |template, (name, value)| {
        template.replace(&format!("{{{name}}}"), value)
    })
}

/// Whether arguments are what rules can look into: an object, or nothing.
fn are_proper(arguments: Option<&str>) -> bool {
    let arguments = arguments.map(str::trim);
    arguments.is_none_or(|it| it.starts_with('{') || it == "null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_asked_for_with_what_is_chosen_already() {
        let arguments = [("kind".to_owned(), "secret".to_owned())].into();
        let context = CompletionContext { arguments };
        let filled = filled("crm://{kind}/{id}".to_owned(), &context);
        assert_eq!(filled, "crm://secret/{id}");
    }

    #[test]
    fn arguments_are_an_object_or_nothing() {
        for proper in [None, Some("{}"), Some(" {\"a\":1}"), Some("null")] {
            assert!(are_proper(proper), "{proper:?}");
        }
        for improper in [
            "[]",
            r#"[{"env":"production"}]"#,
            r#""production""#,
            "7",
            "true",
        ] {
            assert!(!are_proper(Some(improper)), "{improper}");
        }
    }
}
