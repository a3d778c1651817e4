//! An upstream's result, for a client of another revision.
//!
//! The envelope of a result belongs to one hop: its type, its cache hints and who answers are read
//! here and written anew by the transport. Of the rest, content that the client's revision does not
//! know becomes what it knows, and own URIs become shown ones.
//!
//! Most results need none of that, so most bytes are looked at once: the members of the result, and
//! in its content a search for the names of blocks that would have to change.
//!
//! It does not know how large a result may be, and lists of definitions are only held to their
//! shape: what clients see of those is the catalog's.
//!
//! Spec: 2026-07-28 basic/index, `resultType`; server/utilities/caching; server/tools, tool result
//! (all revisions).

use serde_json::{Value, json};

use super::array::{self, change_elements, quoted};
use super::{Broken, Crossing};
use crate::protocol::content::Content;
use crate::protocol::members::Members;
use crate::protocol::meta;
use crate::protocol::method::Method;
use crate::protocol::raw::{self, RawJson};
use crate::protocol::version::{Era, ProtocolVersion};
use crate::service::{CacheHints, Reply, ReplyKind};

/// Members of results that belong to a hop of the stateless era.
const ENVELOPE: [&str; 3] = ["resultType", "ttlMs", "cacheScope"];
/// Members of results that ask.
const QUESTIONS: [&str; 2] = ["inputRequests", "requestState"];
/// Keys of `_meta` that speak of a hop: who answers it, and which of its requests or tasks it is of.
const HOP_KEYS: [&str; 7] = [
    meta::SERVER_INFO_KEY,
    meta::SUBSCRIPTION_ID_KEY,
    meta::PROTOCOL_VERSION_KEY,
    meta::CLIENT_CAPABILITIES_KEY,
    meta::CLIENT_INFO_KEY,
    meta::LOG_LEVEL_KEY,
    meta::RELATED_TASK_KEY,
];
/// The member under which a result that is no object travels in the session era.
const WRAPPER: &str = "result";

/// The result of `method` as the client takes it. `wraps` says that the client was shown a wrapped
/// output schema of the tool.
///
/// A result that asks keeps its questions and its state, byte for byte: for a client of the
/// stateless era it is the answer, for another it is read by [`super::questions`].
///
/// # Errors
/// [`Broken`] when it is not what the method's result must be.
pub(crate) fn reply(
    method: &Method,
    result: &RawJson,
    crossing: &Crossing<'_>,
    wraps: bool,
) -> Result<Reply, Broken> {
    let Some(mut members) = Members::of(result.as_str()) else {
        return Err(Broken("a result is no object"));
    };
    let kind = kind(method, &members, crossing)?;
    let cache = cache(method, &members, crossing, kind);
    let meta = match members.remove("_meta") {
        Some(meta) => meta_of(&meta, crossing)?,
        None => None,
    };
    for name in ENVELOPE {
        members.remove(name);
    }
    let mut is_tool_error = false;
    if kind == ReplyKind::Complete {
        for name in QUESTIONS {
            members.remove(name);
        }
        is_tool_error = content(method, &mut members, crossing, wraps)?;
    }
    let members = members.changed();
    Ok(Reply {
        kind,
        members: members.map_or_else(|| result.clone(), RawJson::from_valid),
        meta,
        cache,
        is_tool_error,
    })
}

/// What kind of result it is. Only the stateless era has others than complete ones.
fn kind(
    method: &Method,
    members: &Members<'_>,
    crossing: &Crossing<'_>,
) -> Result<ReplyKind, Broken> {
    let named = match crossing.upstream.era() {
        Era::Session => None,
        Era::Stateless => members.get("resultType"),
    };
    match named {
        // Servers built before the final text leave it out.
        None | Some(r#""complete""#) => Ok(ReplyKind::Complete),
        Some(r#""input_required""#) if !method.may_require_input() => {
            Err(Broken("it asks where nothing may be asked"))
        }
        Some(r#""input_required""#) => {
            if QUESTIONS.iter().all(|name| members.get(name).is_none()) {
                return Err(Broken("a result that asks asks for nothing"));
            }
            Ok(ReplyKind::InputRequired)
        }
        // No task was offered to it, and no other extension.
        Some(_) => Err(Broken("a result is of a type that was not offered")),
    }
}

fn cache(
    method: &Method,
    members: &Members<'_>,
    crossing: &Crossing<'_>,
    kind: ReplyKind,
) -> CacheHints {
    let is_hinted = crossing.upstream.era() == Era::Stateless
        && kind == ReplyKind::Complete
        && method.is_cacheable();
    if !is_hinted {
        return CacheHints::default();
    }
    // A hint that cannot be read is none.
    let ttl_ms = members.get("ttlMs").and_then(|ttl| ttl.parse().ok());
    CacheHints {
        ttl_ms: ttl_ms.unwrap_or_default(),
        public: members.get("cacheScope") == Some(r#""public""#),
    }
}

fn meta_of(meta: &str, crossing: &Crossing<'_>) -> Result<Option<RawJson>, Broken> {
    if meta == "null" {
        return Ok(None);
    }
    let mut meta_object = Members::of(meta).ok_or(Broken("`_meta` is no object"))?;
    for key in HOP_KEYS {
        meta_object.remove(key);
    }
    if crossing.renames() {
        for key in ["ui/resourceUri", "ui"] {
            let Some(value) = meta_object.get(key) else {
                continue;
            };
            let mut ui = Members::of(value);
            let shown = match &mut ui {
                None => raw::string(value)
                    .and_then(|own| crossing.shown(&own))
                    .map(|uri| quoted(&uri)),
                Some(ui) => {
                    show_member(ui, "resourceUri", crossing);
                    ui.changed()
                }
            };
            if let Some(shown) = shown {
                meta_object.set(key, shown);
            }
        }
    }
    Ok((!meta_object.is_empty()).then(|| {
        let changed = meta_object.changed();
        RawJson::from_valid(changed.unwrap_or_else(|| meta.to_owned()))
    }))
}

/// Checks the shape of a complete result, and changes what it holds. Returns whether it is one of a
/// tool that failed.
fn content(
    method: &Method,
    members: &mut Members<'_>,
    crossing: &Crossing<'_>,
    wraps: bool,
) -> Result<bool, Broken> {
    match method {
        Method::ToolsCall => return tool_result(members, crossing, wraps),
        Method::ResourcesRead => {
            let contents = array(members, "contents", "`contents` is no array")?;
            if crossing.renames() {
                let broken = Broken("`contents` is no array");
                let shown = change_elements(contents, broken, |part| {
                    let mut part = Members::of(part).ok_or(NO_CONTENTS)?;
                    part.string("uri").ok_or(NO_CONTENTS)?;
                    show_member(&mut part, "uri", crossing);
                    Ok(part.changed())
                })?;
                members.set_if("contents", shown);
            }
        }
        Method::PromptsGet => {
            let messages = array(members, "messages", "`messages` is no array")?;
            if may_change(messages, crossing) {
                let broken = Broken("`messages` is no array");
                let changed = change_elements(messages, broken, |message| {
                    let mut message = Members::of(message).ok_or(NO_MESSAGE)?;
                    let said = message.get("content").ok_or(NO_MESSAGE)?;
                    let said = block(said, crossing)?;
                    message.set_if("content", said);
                    Ok(message.changed())
                })?;
                members.set_if("messages", changed);
            }
        }
        Method::Complete => {
            let completion = members.get("completion").and_then(Members::of);
            let values = completion.as_ref().and_then(|given| given.get("values"));
            if !values.is_some_and(|values| values.starts_with('[')) {
                return Err(Broken("`completion` has no values"));
            }
        }
        Method::ToolsList => {
            array(members, "tools", "`tools` is no array")?;
        }
        Method::PromptsList => {
            array(members, "prompts", "`prompts` is no array")?;
        }
        Method::ResourcesList => {
            array(members, "resources", "`resources` is no array")?;
        }
        Method::ResourceTemplatesList => {
            array(
                members,
                "resourceTemplates",
                "`resourceTemplates` is no array",
            )?;
        }
        // Nothing of these is passed on.
        Method::Initialize
        | Method::Ping
        | Method::Discover
        | Method::Listen
        | Method::ResourcesSubscribe
        | Method::ResourcesUnsubscribe
        | Method::SetLevel
        | Method::TasksGet
        | Method::TasksUpdate
        | Method::TasksCancel
        | Method::TasksResult
        | Method::TasksList
        | Method::Other(_) => {}
    }
    Ok(false)
}

const NO_CONTENTS: Broken = Broken("one of `contents` has no `uri`");
const NO_MESSAGE: Broken = Broken("one of `messages` has no `content`");
const NO_ARRAY: Broken = Broken("`content` is no array");
const NO_BLOCK: Broken = Broken("a content block is not of its type's shape");

fn array<'o>(
    members: &'o Members<'_>,
    name: &str,
    otherwise: &'static str,
) -> Result<&'o str, Broken> {
    members
        .get(name)
        .filter(|value| value.starts_with('['))
        .ok_or(Broken(otherwise))
}

fn tool_result(
    members: &mut Members<'_>,
    crossing: &Crossing<'_>,
    wraps: bool,
) -> Result<bool, Broken> {
    let is_error = match members.get("isError") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Broken("`isError` is no boolean")),
    };
    // Some servers of the session era write what they do not have as null.
    let has_null = members.get("structuredContent") == Some("null");
    if has_null && crossing.upstream.era() == Era::Session {
        members.remove("structuredContent");
    }
    let structured = members.get("structuredContent");
    let is_older = crossing.client < ProtocolVersion::V2025_06_18;
    let content = members.get("content").unwrap_or("[]");
    let mut changed = match (members.get("content"), structured) {
        // The protocol wants it, some servers leave it out, and most clients read nothing else.
        (None, Some(value)) => text_beside(content, value)?,
        (None, None) => return Err(Broken("a result of a tool has no `content`")),
        (Some(said), _) if !said.starts_with('[') => return Err(NO_ARRAY),
        (Some(said), _) if !may_change(said, crossing) => None,
        (Some(said), _) => change_elements(said, NO_ARRAY, |said| block(said, crossing))?,
    };
    let mut wrapped = None;
    if let Some(value) = structured {
        if is_older {
            let beside = text_beside(changed.as_deref().unwrap_or(content), value)?;
            changed = beside.or(changed);
        } else if crossing.client.era() == Era::Session && (wraps || !value.starts_with('{')) {
            wrapped = Some(format!(r#"{{"{WRAPPER}":{value}}}"#));
        }
    }
    members.set_if("content", changed);
    members.set_if("structuredContent", wrapped);
    if is_older {
        members.remove("structuredContent");
    }
    Ok(is_error)
}

/// The content with a block of text that says what `value` is, if it has none.
fn text_beside(content: &str, value: &str) -> Result<Option<String>, Broken> {
    let mut blocks = array::elements(content).ok_or(NO_ARRAY)?;
    let same = serde_json::from_str::<Value>(value).map_err(|_| NO_BLOCK)?;
    let says_it = |block: &&str| {
        let block = Members::of(block);
        let text = block.as_ref().and_then(|block| block.string("text"));
        text.is_some_and(|text| serde_json::from_str(&text).is_ok_and(|said: Value| said == same))
    };
    if blocks.iter().any(says_it) {
        return Ok(None);
    }
    let block = json!({"type": "text", "text": value}).to_string();
    blocks.push(&block);
    Ok(Some(array::array_of(&blocks)))
}

/// Whether content may hold a block that has to change. It may say so of one that does not.
fn may_change(content: &str, crossing: &Crossing<'_>) -> bool {
    let mut names: Vec<&str> = Vec::new();
    if crossing.renames() {
        names.push("\"resource");
    } else if crossing.client < ProtocolVersion::V2025_06_18 {
        names.push("\"resource_link\"");
    }
    if crossing.client < ProtocolVersion::V2025_03_26 {
        names.push("\"audio\"");
    }
    // A name could be written with escapes, which no search finds.
    let is_found = |name: &&str| content.contains(*name) || content.contains("\\u00");
    names.iter().any(is_found)
}

/// A content block as the client takes it, if it has to change.
fn block(json: &str, crossing: &Crossing<'_>) -> Result<Option<String>, Broken> {
    let mut block = Members::of(json).ok_or(NO_BLOCK)?;
    let kind = block.string("type").ok_or(NO_BLOCK)?.into_owned();
    let mut is_unknown = false;
    match &*kind {
        "resource_link" => {
            block.string("uri").ok_or(NO_BLOCK)?;
            show_member(&mut block, "uri", crossing);
            is_unknown = crossing.client < ProtocolVersion::V2025_06_18;
        }
        "resource" => {
            let resource = block.get("resource").ok_or(NO_BLOCK)?;
            let mut resource = Members::of(resource).ok_or(NO_BLOCK)?;
            resource.string("uri").ok_or(NO_BLOCK)?;
            show_member(&mut resource, "uri", crossing);
            let shown = resource.changed();
            block.set_if("resource", shown);
        }
        "audio" => is_unknown = crossing.client < ProtocolVersion::V2025_03_26,
        _ => {}
    }
    if !is_unknown {
        return Ok(block.changed());
    }
    older_block(&block.to_string(), crossing.client).map(Some)
}

/// A block of a kind that `client` does not know, as one that it does.
pub(super) fn older_block(json: &str, client: ProtocolVersion) -> Result<String, Broken> {
    let content = serde_json::from_str::<Content>(json).map_err(|_| NO_BLOCK)?;
    let mut text = String::new();
    content.for_version(client).push_to(&mut text);
    Ok(text)
}

fn show_member(object: &mut Members<'_>, key: &'static str, crossing: &Crossing<'_>) {
    let shown = object.string(key).and_then(|own| crossing.shown(&own));
    object.set_if(key, shown.map(|shown| quoted(&shown)));
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::gateway::naming::Naming;
    use ProtocolVersion::{V2024_11_05, V2025_03_26, V2025_06_18, V2025_11_25, V2026_07_28};

    static PLAIN: LazyLock<Naming> = LazyLock::new(|| Naming::new("", "."));
    static FILES: LazyLock<Naming> = LazyLock::new(|| Naming::new("files", "."));

    fn crossing(upstream: ProtocolVersion, client: ProtocolVersion) -> Crossing<'static> {
        Crossing {
            upstream,
            client,
            naming: &PLAIN,
        }
    }

    fn prefixed(upstream: ProtocolVersion, client: ProtocolVersion) -> Crossing<'static> {
        Crossing {
            naming: &FILES,
            ..crossing(upstream, client)
        }
    }

    fn raw(value: &Value) -> RawJson {
        RawJson::of(value)
    }

    /// The members of a tool's result for a client.
    fn called(result: &Value, crossing: &Crossing<'_>) -> Value {
        let reply = reply(&Method::ToolsCall, &raw(result), crossing, false);
        reply.unwrap().members.to_value()
    }

    #[test]
    fn what_nobody_needs_to_change_passes_as_the_bytes_it_came_as() {
        let text = "{ \"content\":[ {\"type\":\"text\",\"text\":\"a \\\"resource\\\"\\u001b\", \"x\":1e400} ],\n\"n\":18446744073709551616 }";
        let result = RawJson::from_valid(text);
        for upstream in ProtocolVersion::ALL {
            for client in ProtocolVersion::ALL {
                for crossing in [crossing(upstream, client), prefixed(upstream, client)] {
                    let reply = reply(&Method::ToolsCall, &result, &crossing, true).unwrap();
                    assert_eq!(reply.members.as_str(), text, "{crossing:?}");
                    assert_eq!(reply.kind, ReplyKind::Complete);
                    assert!(reply.meta.is_none());
                }
            }
        }
    }

    #[test]
    fn the_envelope_of_one_hop_does_not_reach_the_next() {
        let result = json!({
            "resultType": "complete",
            "contents": [],
            "ttlMs": 7_000,
            "cacheScope": "public",
            "requestState": "s",
            "inputRequests": {},
            "theirs": {"ttlMs": 1},
            "_meta": {
                "io.modelcontextprotocol/serverInfo": {"name": "u", "version": "1"},
                "io.modelcontextprotocol/subscriptionId": 1,
                "io.modelcontextprotocol/related-task": {"taskId": "t"},
                "com.example/kept": [1],
                "io.modelcontextprotocol/unknown": true,
            },
        });
        for client in ProtocolVersion::ALL {
            let crossing = crossing(V2026_07_28, client);
            let reply = reply(&Method::ResourcesRead, &raw(&result), &crossing, false).unwrap();
            assert_eq!(
                reply.members.to_value(),
                json!({"contents": [], "theirs": {"ttlMs": 1}})
            );
            assert_eq!(
                reply.meta.unwrap().to_value(),
                json!({"com.example/kept": [1], "io.modelcontextprotocol/unknown": true})
            );
            let hints = CacheHints {
                ttl_ms: 7_000,
                public: true,
            };
            assert_eq!(reply.cache, hints);
        }
    }

    #[test]
    fn cache_hints_count_only_where_they_can_be_and_can_be_read() {
        let list =
            |ttl: Value, scope: Value| json!({"tools": [], "ttlMs": ttl, "cacheScope": scope});
        for (method, upstream, result, ttl_ms, public) in [
            (
                Method::ToolsList,
                V2026_07_28,
                list(json!(5), json!("private")),
                5,
                false,
            ),
            (
                Method::ToolsList,
                V2026_07_28,
                list(json!(-5), json!("all")),
                0,
                false,
            ),
            (
                Method::ToolsList,
                V2026_07_28,
                list(json!("5"), json!(true)),
                0,
                false,
            ),
            (
                Method::ToolsList,
                V2025_11_25,
                list(json!(5), json!("public")),
                0,
                false,
            ),
            (
                Method::ToolsCall,
                V2026_07_28,
                json!({"content": [], "ttlMs": 5, "cacheScope": "public"}),
                0,
                false,
            ),
        ] {
            let crossing = crossing(upstream, V2026_07_28);
            let reply = reply(&method, &raw(&result), &crossing, false).unwrap();
            assert_eq!(reply.cache, CacheHints { ttl_ms, public }, "{result}");
        }
    }

    #[test]
    fn a_result_that_asks_keeps_its_questions_and_its_state_byte_for_byte() {
        let text = r#"{"resultType":"input_required","inputRequests":{"b": {"method":"roots/list"},"a":1},"requestState":"\u0073"}"#;
        let result = RawJson::from_valid(text);
        let crossing = crossing(V2026_07_28, V2026_07_28);
        let asked = reply(&Method::ToolsCall, &result, &crossing, false).unwrap();
        assert_eq!(asked.kind, ReplyKind::InputRequired);
        assert_eq!(
            asked.members.as_str(),
            r#"{"inputRequests":{"b": {"method":"roots/list"},"a":1},"requestState":"\u0073"}"#
        );
        // A server of the session era may use the same name for anything.
        let crossing = Crossing {
            upstream: V2025_11_25,
            ..crossing
        };
        let text = r#"{"resultType":"input_required","content":[]}"#;
        let result = RawJson::from_valid(text);
        let complete = reply(&Method::ToolsCall, &result, &crossing, false).unwrap();
        assert_eq!(complete.kind, ReplyKind::Complete);
        assert_eq!(complete.members.as_str(), r#"{"content":[]}"#);
    }

    #[test]
    fn results_that_are_not_of_their_methods_shape_are_broken() {
        for (method, result) in [
            (Method::ToolsCall, json!([])),
            (Method::ToolsCall, json!("content")),
            (Method::ToolsCall, json!({})),
            (Method::ToolsCall, json!({"content": "x"})),
            (Method::ToolsCall, json!({"content": null})),
            (Method::ToolsCall, json!({"content": [], "isError": "no"})),
            (Method::ToolsCall, json!({"content": [], "isError": null})),
            (Method::ToolsCall, json!({"content": [], "_meta": 1})),
            (
                Method::ToolsCall,
                json!({"content": [], "resultType": "task"}),
            ),
            (Method::ToolsCall, json!({"content": [], "resultType": 1})),
            (Method::ToolsCall, json!({"resultType": "input_required"})),
            (Method::ResourcesRead, json!({})),
            (Method::ResourcesRead, json!({"contents": {}})),
            (Method::ResourcesRead, json!({"contents": [{"text": "x"}]})),
            (Method::ResourcesRead, json!({"contents": ["x"]})),
            (Method::PromptsGet, json!({"messages": {}})),
            (Method::PromptsGet, json!({"messages": ["resource"]})),
            (
                Method::PromptsGet,
                json!({"messages": [{"role": "user", "content": {"type": "resource"}}]}),
            ),
            (Method::Complete, json!({"completion": {}})),
            (Method::Complete, json!({"values": []})),
            (Method::ToolsList, json!({"tools": {}})),
            (Method::PromptsList, json!({})),
            (Method::ResourcesList, json!({"resources": null})),
            (Method::ResourceTemplatesList, json!({"resources": []})),
            (
                Method::ToolsList,
                json!({"resultType": "input_required", "requestState": "s"}),
            ),
            (
                Method::ToolsCall,
                json!({"content": [{"type": "resource_link"}]}),
            ),
            (
                Method::ToolsCall,
                json!({"content": [{"type": "resource", "resource": ["uri"]}]}),
            ),
        ] {
            let crossing = prefixed(V2026_07_28, V2026_07_28);
            let outcome = reply(&method, &raw(&result), &crossing, false);
            assert!(outcome.is_err(), "{method} {result}");
        }
    }

    #[test]
    fn blocks_a_revision_does_not_know_become_text() {
        let link =
            json!({"type": "resource_link", "uri": "own:a", "name": "A", "description": "d"});
        let audio = json!({"type": "audio", "data": "YWJj", "mimeType": "audio/wav"});
        let image = json!({"type": "image", "data": "YWJj", "mimeType": "image/png", "x": 1});
        let result = json!({"content": [link, audio, image]});
        let text = |text: &str| json!({"type": "text", "text": text});
        let link_text = text("A: own:a\nd");
        let audio_text = text("[audio: audio/wav, 3 bytes]");
        for (client, content) in [
            (V2024_11_05, json!([link_text, audio_text, image])),
            (V2025_03_26, json!([link_text, audio, image])),
            (V2025_06_18, json!([link, audio, image])),
            (V2025_11_25, json!([link, audio, image])),
            (V2026_07_28, json!([link, audio, image])),
        ] {
            let crossing = crossing(V2026_07_28, client);
            assert_eq!(called(&result, &crossing)["content"], content, "{client}");
        }
        // However its type is written.
        let escaped = r#"{"content":[{"type":"\u0072esource_link","uri":"own:a","name":"A"}]}"#;
        let crossing = prefixed(V2025_11_25, V2025_03_26);
        let result = RawJson::from_valid(escaped);
        let reply = reply(&Method::ToolsCall, &result, &crossing, false).unwrap();
        let content = &reply.members.to_value()["content"];
        assert_eq!(*content, json!([text("A: files+own:a")]));
    }

    #[test]
    fn structured_content_is_what_each_revision_takes() {
        let object = json!({"content": [{"type": "text", "text": "{\"a\": 1}"}],
                            "structuredContent": {"a": 1}});
        let list = json!({"content": [], "structuredContent": [1]});
        let null = json!({"content": [], "structuredContent": null});
        for (result, upstream, client, wraps, structured, texts) in [
            (
                &object,
                V2026_07_28,
                V2025_03_26,
                false,
                None,
                vec![r#"{"a": 1}"#],
            ),
            (
                &object,
                V2026_07_28,
                V2025_06_18,
                false,
                Some(json!({"a": 1})),
                vec![r#"{"a": 1}"#],
            ),
            (
                &object,
                V2026_07_28,
                V2025_11_25,
                true,
                Some(json!({"result": {"a": 1}})),
                vec![r#"{"a": 1}"#],
            ),
            (
                &object,
                V2025_11_25,
                V2026_07_28,
                true,
                Some(json!({"a": 1})),
                vec![r#"{"a": 1}"#],
            ),
            (&list, V2026_07_28, V2024_11_05, false, None, vec!["[1]"]),
            (
                &list,
                V2026_07_28,
                V2025_06_18,
                false,
                Some(json!({"result": [1]})),
                vec![],
            ),
            (
                &list,
                V2026_07_28,
                V2026_07_28,
                false,
                Some(json!([1])),
                vec![],
            ),
            (
                &null,
                V2026_07_28,
                V2025_11_25,
                false,
                Some(json!({"result": null})),
                vec![],
            ),
            (&null, V2025_11_25, V2026_07_28, false, None, vec![]),
        ] {
            let crossing = crossing(upstream, client);
            let reply = reply(&Method::ToolsCall, &raw(result), &crossing, wraps).unwrap();
            let members = reply.members.to_value();
            let case = format!("{result} {crossing:?} {wraps}");
            assert_eq!(
                members.get("structuredContent"),
                structured.as_ref(),
                "{case}"
            );
            let content = members["content"].as_array().unwrap();
            let said = content.iter().map(|block| block["text"].as_str().unwrap());
            assert_eq!(said.collect::<Vec<_>>(), texts, "{case}");
        }
    }

    #[test]
    fn a_structured_result_without_content_gets_the_words_that_clients_read() {
        let result = json!({"structuredContent": {"a": 1}});
        for client in ProtocolVersion::ALL {
            let members = called(&result, &crossing(V2025_11_25, client));
            assert_eq!(members["content"][0]["text"], r#"{"a":1}"#, "{client}");
        }
    }

    #[test]
    fn a_tool_that_failed_is_counted_as_one() {
        for (is_error, counted) in [(json!(true), true), (json!(false), false)] {
            let result = raw(&json!({"content": [], "isError": is_error}));
            let crossing = crossing(V2025_11_25, V2025_11_25);
            let reply = reply(&Method::ToolsCall, &result, &crossing, false).unwrap();
            assert_eq!(reply.is_tool_error, counted);
        }
    }

    #[test]
    fn own_uris_become_shown_ones_wherever_results_have_them() {
        let link =
            |uri: &str| json!({"type": "resource_link", "uri": uri, "name": "n", "x": "own:x"});
        let inside = |uri: &str| json!({"type": "resource", "resource": {"uri": uri, "text": "own:t", "_meta": {"k": 1}}});
        let app = |uri: &str| json!({"ui": {"resourceUri": uri, "csp": {}}, "ui/resourceUri": uri});
        let of = |uri: &str| {
            [
                (
                    Method::ToolsCall,
                    json!({"content": [link(uri), inside(uri), {"type": "text", "text": "own:t"}]}),
                ),
                (
                    Method::PromptsGet,
                    json!({"messages": [{"role": "user", "content": inside(uri)}]}),
                ),
                (
                    Method::ResourcesRead,
                    json!({"contents": [{"uri": uri, "text": "own:t"}, {"uri": uri, "blob": ""}]}),
                ),
            ]
        };
        for ((method, own), (_, shown)) in of("own:a").into_iter().zip(of("files+own:a")) {
            let mut with_meta = own.clone();
            with_meta["_meta"] = app("own:a");
            let crossing = prefixed(V2025_11_25, V2026_07_28);
            let reply = reply(&method, &raw(&with_meta), &crossing, false).unwrap();
            assert_eq!(reply.members.to_value(), shown, "{method}");
            assert_eq!(
                reply.meta.unwrap().to_value(),
                app("files+own:a"),
                "{method}"
            );
        }
    }

    /// Values made of what results are made of, put together in any way.
    fn any_value() -> impl Strategy<Value = Value> {
        let key = prop::sample::select(vec![
            "content",
            "structuredContent",
            "isError",
            "contents",
            "messages",
            "completion",
            "values",
            "tools",
            "prompts",
            "resources",
            "resourceTemplates",
            "type",
            "text",
            "uri",
            "name",
            "resource",
            "data",
            "mimeType",
            "_meta",
            "ui",
            "ui/resourceUri",
            "resourceUri",
            "resultType",
            "ttlMs",
            "cacheScope",
            "inputRequests",
            "requestState",
        ]);
        let word = prop::sample::select(vec![
            json!("resource_link"),
            json!("resource"),
            json!("audio"),
            json!("text"),
            json!("complete"),
            json!("input_required"),
            json!("public"),
            json!("own:a"),
            json!("{}"),
            json!(null),
            json!(true),
            json!(-1),
            json!(7.5),
            json!({}),
            json!([]),
        ]);
        word.prop_recursive(5, 40, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::btree_map(key.clone(), inner, 0..6).prop_map(|members| {
                    let members = members.into_iter();
                    Value::Object(
                        members
                            .map(|(key, value)| (key.to_owned(), value))
                            .collect(),
                    )
                }),
            ]
        })
    }

    fn any_object() -> impl Strategy<Value = Value> {
        any_value().prop_filter("a result is an object", Value::is_object)
    }

    proptest! {
        #[test]
        fn whatever_an_upstream_answers_is_a_result_or_broken_and_once_bridged_stays(
            result in any_object(),
            members in prop::collection::btree_map(
                prop::sample::select(vec!["content", "contents", "messages"]),
                prop::collection::vec(any_value(), 0..4).prop_map(Value::Array),
                3..=3,
            ),
            method in prop::sample::select(vec![
                Method::ToolsCall, Method::ResourcesRead, Method::PromptsGet, Method::ToolsList,
            ]),
            upstream in prop::sample::select(ProtocolVersion::ALL.to_vec()),
            client in prop::sample::select(ProtocolVersion::ALL.to_vec()),
        ) {
            let crossing = prefixed(upstream, client);
            let mut result = result;
            for (name, parts) in members {
                result[name] = parts;
            }
            let Ok(once) = reply(&method, &raw(&result), &crossing, false) else {
                return Ok(());
            };
            for gone in ["_meta", "resultType", "ttlMs", "cacheScope"] {
                prop_assert!(once.members.to_value().get(gone).is_none());
            }
            if once.kind == ReplyKind::Complete {
                let crossing = Crossing { upstream: client, naming: &PLAIN, ..crossing };
                let twice = reply(&method, &once.members, &crossing, false).unwrap();
                prop_assert_eq!(twice.members.as_str(), once.members.as_str());
            }
        }
    }
}
