//! Tools and results, for people.
//!
//! Whatever a server says is shown without control characters where a terminal would obey them.

use std::fmt::Write as _;

use serde_json::Value;

use crate::protocol::raw::RawJson;

/// A text that a terminal only shows. Line breaks and tabs stay.
pub(super) fn plain(text: &str) -> String {
    let is_shown = |letter: &char| matches!(letter, '\n' | '\t') || !letter.is_control();
    text.chars().filter(is_shown).collect()
}

/// The same on one line.
pub(super) fn one_line(text: &str) -> String {
    plain(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The tools of a list: each with its arguments.
pub(super) fn tools(tools: &[RawJson]) -> String {
    let mut text = String::new();
    for tool in tools {
        let tool = tool.to_value();
        let about = [
            &tool["description"],
            &tool["title"],
            &tool["annotations"]["title"],
        ];
        let about = about.into_iter().find_map(|value| value.as_str());
        let first_line = about.and_then(|about| about.trim().lines().next());
        let name = one_line(tool["name"].as_str().unwrap_or("?"));
        let _infallible = writeln!(text, "{name}  {}", one_line(first_line.unwrap_or("")));
        let properties = tool["inputSchema"]["properties"].as_object();
        for (key, schema) in properties.into_iter().flatten() {
            let required = tool["inputSchema"]["required"].as_array();
            let is_required =
                required.is_some_and(|required| required.contains(&Value::from(&**key)));
            let about = schema["description"].as_str().unwrap_or_default();
            let _infallible = writeln!(
                text,
                "    {}: {}{}  {}",
                one_line(key),
                one_line(&type_of(schema)),
                if is_required { "" } else { "?" },
                one_line(about)
            );
        }
    }
    text.lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

/// The type a schema asks for, in a word or two.
pub(super) fn type_of(schema: &Value) -> String {
    if let Some(choices) = schema["enum"].as_array() {
        let choices = choices.iter().map(Value::to_string);
        return choices.collect::<Vec<_>>().join("|");
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => {
            format!("{}[]", type_of(&schema["items"]))
        }
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let kinds = kinds.iter().filter_map(Value::as_str);
            kinds.collect::<Vec<_>>().join("|")
        }
        _any => "any".to_owned(),
    }
}

/// What a tool said.
pub(super) fn result(result: &RawJson, to_a_terminal: bool) -> String {
    let result = result.to_value();
    let blocks = result["content"].as_array().map_or(&[][..], Vec::as_slice);
    let mut parts = blocks.iter().map(block).collect::<Vec<_>>();
    if parts.is_empty() && !result["structuredContent"].is_null() {
        parts.push(format!("{:#}", result["structuredContent"]));
    }
    let text = parts.join("\n");
    if to_a_terminal { plain(&text) } else { text }
}

/// A block of content: its words, or a line about it.
pub(super) fn block(block: &Value) -> String {
    let kind = block["type"].as_str().unwrap_or("content");
    let resource = &block["resource"];
    match kind {
        "text" => block["text"].as_str().unwrap_or_default().to_owned(),
        "image" | "audio" => {
            format!("[{kind} {}, {}]", media(block), size(&block["data"]))
        }
        "resource" if resource["text"].is_string() => {
            resource["text"].as_str().unwrap_or_default().to_owned()
        }
        "resource" => {
            let uri = resource["uri"].as_str().unwrap_or_default();
            let size = size(&resource["blob"]);
            format!("[resource {uri} {}, {size}]", media(resource))
        }
        "resource_link" => {
            let name = block["name"].as_str().unwrap_or_default();
            format!(
                "[link {} {name}]",
                block["uri"].as_str().unwrap_or_default()
            )
        }
        other => format!("[{other}]"),
    }
}

fn media(block: &Value) -> &str {
    block["mimeType"].as_str().unwrap_or("of unknown type")
}

fn size(base64: &Value) -> String {
    let text = base64.as_str().unwrap_or_default();
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    format!("{} bytes", (text.len() / 4 * 3).saturating_sub(padding))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn blocks_are_words_or_a_line_about_them() {
        let result = RawJson::of(&json!({"content": [
            {"type": "text", "text": "hello\u{1b}[2J"},
            {"type": "image", "mimeType": "image/png", "data": "AAAA"},
            {"type": "audio", "mimeType": "audio/wav", "data": "AAA="},
            {"type": "resource", "resource": {"uri": "a:b", "mimeType": "x/y", "blob": "AA=="}},
            {"type": "resource", "resource": {"uri": "a:b", "text": "inside"}},
            {"type": "resource_link", "uri": "a:c", "name": "c"},
            {"type": "hologram"},
        ]}));
        assert_eq!(
            super::result(&result, true),
            "hello[2J\n[image image/png, 3 bytes]\n[audio audio/wav, 2 bytes]\n\
            [resource a:b x/y, 1 bytes]\ninside\n[link a:c c]\n[hologram]"
        );
        assert!(super::result(&result, false).contains('\u{1b}'));
    }

    #[test]
    fn a_tool_is_shown_with_its_arguments() {
        let tool = RawJson::of(&json!({"name": "order", "description": "Orders.\nMore.",
        "inputSchema": {"required": ["item"], "properties": {
            "item": {"type": "string", "description": "What."},
            "size": {"enum": ["s", "l"]}, "tags": {"type": "array", "items": {"type": "string"}},
        }}}));
        assert_eq!(
            tools(&[tool]),
            "order  Orders.\n    item: string  What.\n    size: \"s\"|\"l\"?\n    tags: string[]?"
        );
    }
}
