//! A page of a list, without what its caller may not see.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::protocol::encode;
use crate::protocol::raw::RawJson;
use crate::service::{CacheHints, EntryKind, Reply};

/// The members of a page that matter here; what else there is stays.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(
        borrow,
        alias = "tools",
        alias = "prompts",
        alias = "resources",
        alias = "resourceTemplates"
    )]
    entries: Vec<&'a RawValue>,
    #[serde(rename = "nextCursor", default)]
    next: Option<String>,
}

/// What an entry is known by.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    name: String,
    #[serde(default)]
    uri: String,
    #[serde(rename = "uriTemplate", default)]
    template: String,
}

/// The same page with those entries alone of which `sees` says so. It may have few, or none, and yet
/// others after it. `None` for what is no page.
pub(super) fn seen(reply: Reply, kind: EntryKind, sees: impl Fn(&str) -> bool) -> Option<Reply> {
    let page: Page<'_> = serde_json::from_str(reply.members.as_str()).ok()?;
    let member = match kind {
        EntryKind::Tool => "tools",
        EntryKind::Prompt => "prompts",
        EntryKind::Resource => "resources",
        EntryKind::Template => "resourceTemplates",
    };
    let mut members = format!("{{\"{member}\":[");
    let mut separator = "";
    for entry in page.entries {
        let head: Head = serde_json::from_str(entry.get()).ok()?;
        let known_by = match kind {
            EntryKind::Tool | EntryKind::Prompt => &head.name,
            EntryKind::Resource => &head.uri,
            EntryKind::Template => &head.template,
        };
        if sees(known_by) {
            members.push_str(separator);
            members.push_str(entry.get());
            separator = ",";
        }
    }
    members.push(']');
    if let Some(next) = page.next {
        members.push_str(",\"nextCursor\":");
        encode::push_string(&mut members, &next);
    }
    members.push('}');
    Some(Reply {
        members: RawJson::from_valid(members),
        // Somebody else may see another one.
        cache: CacheHints {
            public: false,
            ..reply.cache
        },
        ..reply
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(kind: EntryKind, members: &str, seen_names: &[&str]) -> Reply {
        let reply = Reply {
            cache: CacheHints {
                ttl_ms: 5,
                public: true,
            },
            ..Reply::complete(RawJson::from_valid(members.to_owned()))
        };
        seen(reply, kind, |name| seen_names.contains(&name)).unwrap()
    }

    #[test]
    fn a_page_loses_what_is_not_to_be_seen_and_nothing_else() {
        let tools = r#"{"tools":[{"name":"a","n":18446744073709551616},{"name":"b"},{"name":"a","x":1}],"nextCursor":"c\""}"#;
        let reply = page(EntryKind::Tool, tools, &["a"]);
        assert_eq!(
            reply.members.as_str(),
            r#"{"tools":[{"name":"a","n":18446744073709551616},{"name":"a","x":1}],"nextCursor":"c\""}"#
        );
        assert_eq!((reply.cache.ttl_ms, reply.cache.public), (5, false));
        for (kind, members, left) in [
            (
                EntryKind::Resource,
                r#"{"resources":[{"name":"a","uri":"u:1"}]}"#,
                r#"{"resources":[]}"#,
            ),
            (
                EntryKind::Template,
                r#"{"resourceTemplates":[{"uriTemplate":"a"}]}"#,
                r#"{"resourceTemplates":[{"uriTemplate":"a"}]}"#,
            ),
            (EntryKind::Prompt, r#"{"prompts":[]}"#, r#"{"prompts":[]}"#),
        ] {
            assert_eq!(page(kind, members, &["a"]).members.as_str(), left);
        }
    }
}
