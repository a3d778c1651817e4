//! What an upstream says of one of its tools, prompts, resources or templates, and what clients
//! are shown of it.
//!
//! An [`Entry`] is read from what the upstream listed, checked, changed where it must be, and becomes
//! a [`Definition`]: one text for all revisions, which writes itself for each. Only what has to is
//! replaced; all other members, known to us or not, stay as they came and where they stood.
//!
//! It knows nothing of lists and other upstreams; `catalog.rs` does.
//!
//! Invariants:
//! - What one upstream says cannot spoil a list: an entry that clients refuse to read is left out.
//! - Tools that are shown have no `x-mcp-header` annotation that breaks a rule: clients must drop
//!   such tools (2026-07-28 basic/transports, custom headers from tool parameters).
//!
//! Spec: server/tools, prompts and resources, data types (all revisions).

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::naming::Naming;
use super::path;
use super::pins::DefinitionHash;
use crate::protocol::members::Members;
use crate::protocol::param_headers::{AnnotationError, HeaderParams, without_annotations};
use crate::protocol::prescan::{Limits, PrescanError, Wanted, prescan};
use crate::protocol::raw::{self, RawJson};
use crate::protocol::tool::{needs_wrapping, wrapped_output_schema};
use crate::protocol::version::{Era, ProtocolVersion};

/// Largest entry, in bytes: schemas of hundreds of properties have a tenth of that.
pub(super) const ENTRY_BYTES_MAX: usize = 256 * 1024;
/// Longest name, URI or template, in bytes: stateless clients repeat it in a header.
const KEY_BYTES_MAX: usize = 8 * 1024;

/// Keywords beside `properties` under which one more property may be refused, or be another's.
const BINDING_KEYWORDS: [&str; 15] = [
    "$dynamicRef",
    "$recursiveRef",
    "$ref",
    "allOf",
    "anyOf",
    "const",
    "dependencies",
    "dependentSchemas",
    "enum",
    "if",
    "maxProperties",
    "not",
    "oneOf",
    "patternProperties",
    "propertyNames",
];

/// A pre-scan that only checks.
static NOTHING: Wanted = Wanted::whole("", 0);

/// What an entry is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of `tools/list`.
    Tool,
    /// Of `prompts/list`.
    Prompt,
    /// Of `resources/list`.
    Resource,
    /// Of `resources/templates/list`.
    Template,
}

impl Kind {
    /// The member it is known by.
    const fn key(self) -> &'static str {
        match self {
            Self::Tool | Self::Prompt => "name",
            Self::Resource => "uri",
            Self::Template => "uriTemplate",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::Template => "resource template",
        })
    }
}

/// Why an entry cannot be shown; each text completes "the entry …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    /// It is too large.
    #[error("has {bytes} bytes, more than {ENTRY_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Decoders would not all read it the same, or not without running out of stack.
    #[error("cannot be read: it {0}")]
    Malformed(#[from] PrescanError),
    /// It has a number that not every decoder takes.
    #[error("cannot be read: it has a number beyond what computers count with")]
    Number,
    /// It does not say what it is called.
    #[error("has no `{0}` that is a text")]
    Nameless(&'static str),
    /// Its name or URI is too long.
    #[error("has a `{0}` of more than {KEY_BYTES_MAX} bytes")]
    KeyTooLong(&'static str),
    /// It does not say which arguments it takes.
    #[error("has an `inputSchema` that is none of an object")]
    InputSchema,
    /// Stateless clients over HTTP would have to repeat arguments as headers that cannot be.
    #[error("asks for headers that it may not ask for: {0}")]
    Annotation(AnnotationError),
}

/// Why a tool gets no further argument; each text completes "its arguments …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoRoom {
    /// It has one of that name.
    #[error("have one of that name")]
    Taken,
    /// Its schema is more than a list of properties.
    #[error("are more than a list of properties")]
    NotPlain,
}

/// An entry on its way to clients.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    key: String,
    /// What the upstream said.
    listed: &'a RawJson,
    kind: Kind,
    members: Members<'a>,
    /// The same as the members, as they came.
    tree: Value,
    output: Output,
    /// The gateways it came through.
    path: Vec<String>,
}

/// Whom an entry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// The revision the upstream is spoken to in.
    pub(super) version: ProtocolVersion,
    /// Whether it is spoken to over HTTP.
    pub(super) is_http: bool,
}

/// What is to be known of a tool besides its text.
#[derive(Debug)]
pub(super) struct ToolTraits {
    /// Arguments that stateless clients repeat as headers.
    pub(super) header_params: Option<Arc<HeaderParams>>,
    /// Annotations that break a rule and were taken out, by the first of them.
    pub(super) annotations_removed: Option<AnnotationError>,
    /// Whether its upstream lets it be called as a task only.
    pub(super) is_task_only: bool,
    /// Whether session-era clients find its structured results in an object around them.
    pub(super) has_wrapped_output: bool,
    /// Of what the upstream said.
    pub(super) hash: DefinitionHash,
}

/// What the structured results of an entry are said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Unsaid,
    Object,
    /// Anything else, which only stateless clients can take.
    Other,
}

/// An entry as clients are shown it.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    text: RawJson,
    output: Output,
    path: Vec<String>,
}

impl<'a> Entry<'a> {
    /// Reads what an upstream lists.
    ///
    /// # Errors
    /// [`Unfit`] when no client should be shown it.
    pub(super) fn read(kind: Kind, listed: &'a RawJson) -> Result<Self, Unfit> {
        let text = listed.as_str();
        if text.len() > ENTRY_BYTES_MAX {
            return Err(Unfit::TooLarge { bytes: text.len() });
        }
        prescan(text, &Limits::default(), &NOTHING)?;
        let tree = serde_json::from_str::<Value>(text).map_err(|_| Unfit::Number)?;
        // An array has no name either.
        let members = Members::of(text).ok_or(Unfit::Nameless("name"))?;
        let string = |key| {
            let found = members.get(key).and_then(raw::string);
            found.filter(|text| !text.is_empty())
        };
        string("name").ok_or(Unfit::Nameless("name"))?;
        let key = string(kind.key()).ok_or(Unfit::Nameless(kind.key()))?;
        if key.len() > KEY_BYTES_MAX {
            return Err(Unfit::KeyTooLong(kind.key()));
        }
        let mut entry = Self {
            key: key.into_owned(),
            listed,
            kind,
            members,
            tree,
            output: Output::Unsaid,
            path: Vec::new(),
        };
        entry.take_path();
        Ok(entry)
    }

    /// The upstream's own name of it, or URI, or template.
    #[must_use]
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The gateways it came through.
    #[must_use]
    pub(super) fn path(&self) -> &[String] {
        &self.path
    }

    /// Whether its texts have characters that nobody sees, but a model reads, or that turn around what is
    /// seen.
    #[must_use]
    pub(super) fn deceives(&self) -> bool {
        has_unseen(&self.tree)
    }

    /// Makes a tool of `source` fit for clients of every revision.
    ///
    /// # Errors
    /// [`Unfit`] when no client should be shown it.
    pub(super) fn as_tool(&mut self, source: Source) -> Result<ToolTraits, Unfit> {
        let hash = DefinitionHash::of(&self.members);
        self.say_that_arguments_are_an_object()?;
        let (mut header_params, mut annotations_removed) = (None, None);
        match HeaderParams::from_schema(&self.tree["inputSchema"]) {
            Ok(found) => header_params = found.map(Arc::new),
            // Its own clients must drop it, and we are one of them.
            Err(error) if source.is_http && source.version.era() == Era::Stateless => {
                return Err(Unfit::Annotation(error));
            }
            Err(error) => {
                let schema = self.members.get("inputSchema").unwrap_or_default();
                self.members.set("inputSchema", without_annotations(schema));
                annotations_removed = Some(error);
            }
        }
        self.judge_output();
        // What other revisions say about tasks is not said here.
        let is_task_only = source.version == ProtocolVersion::V2025_11_25
            && self.tree["execution"]["taskSupport"] == "required";
        // Tasks do not pass between their generations.
        self.members.remove("execution");
        Ok(ToolTraits {
            header_params,
            annotations_removed,
            is_task_only,
            has_wrapped_output: self.output == Output::Other,
            hash,
        })
    }

    /// Shows it under another name or URI than its own.
    pub(super) fn show_as(&mut self, shown: &str) {
        if shown != self.key {
            self.set_text(self.kind.key(), shown);
        }
    }

    /// Shows another text of it: its `title` or `description`.
    pub(super) fn set_text(&mut self, key: &'static str, text: &str) {
        self.members.set(key, Value::from(text).to_string());
    }

    /// Gives a tool one more argument, which need not be there: a text.
    ///
    /// # Errors
    /// [`NoRoom`] when its schema does not allow that; it is as it was then.
    pub(super) fn add_argument(&mut self, name: &str, description: &str) -> Result<(), NoRoom> {
        let schema = self.members.get("inputSchema").and_then(Members::of);
        let mut schema = schema.ok_or(NoRoom::NotPlain)?;
        if BINDING_KEYWORDS.iter().any(|it| schema.get(it).is_some()) {
            return Err(NoRoom::NotPlain);
        }
        let properties = schema.get("properties").unwrap_or("{}");
        let properties = Members::of(properties).ok_or(NoRoom::NotPlain)?;
        if properties.get(name).is_some() {
            return Err(NoRoom::Taken);
        }
        let argument = serde_json::json!({"type": "string", "description": description});
        let properties = RawJson::from_valid(properties.to_string());
        let properties = properties.with_member(name, &RawJson::of(&argument));
        schema.set("properties", properties.as_str().to_owned());
        let schema = schema.to_string();
        self.members.set("inputSchema", schema);
        Ok(())
    }

    /// Turns the URIs of apps in its metadata into shown ones, under both of their keys.
    pub(super) fn show_apps(&mut self, naming: &Naming) {
        let shown = |members: &mut Members<'_>, key: &'static str| {
            let uri = members.string(key);
            let shown = uri.map(|uri| Value::from(naming.shown_uri(&uri)).to_string());
            members.set_if(key, shown);
        };
        let Some(mut meta) = self.members.get("_meta").and_then(Members::of) else {
            return;
        };
        shown(&mut meta, "ui/resourceUri");
        if let Some(mut ui) = meta.get("ui").and_then(Members::of) {
            shown(&mut ui, "resourceUri");
            let ui = ui.changed();
            meta.set_if("ui", ui);
        }
        let meta = meta.changed();
        self.members.set_if("_meta", meta);
    }

    /// The entry as clients are shown it. What was not changed shares its text with what the
    /// upstream listed.
    #[must_use]
    pub(super) fn finish(self) -> Definition {
        let changed = self.members.changed().map(RawJson::from_valid);
        let text = changed.unwrap_or_else(|| self.listed.clone());
        Definition {
            text,
            output: self.output,
            path: self.path,
        }
    }

    /// Clients have no use for it.
    fn take_path(&mut self) {
        let Some(mut meta) = self.members.get("_meta").and_then(Members::of) else {
            return;
        };
        let Some(path) = path::take(&mut meta) else {
            return;
        };
        let meta = (!meta.is_empty()).then(|| meta.to_string());
        self.path = path;
        match meta {
            Some(meta) => self.members.set("_meta", meta),
            None => drop(self.members.remove("_meta")),
        }
    }

    /// Many clients refuse a whole list for one schema that does not say so.
    fn say_that_arguments_are_an_object(&mut self) -> Result<(), Unfit> {
        let schema = self.tree["inputSchema"].as_object();
        match schema.ok_or(Unfit::InputSchema)?.get("type") {
            Some(kind) if kind == "object" => Ok(()),
            Some(_) => Err(Unfit::InputSchema),
            None => {
                let schema = self.members.get("inputSchema").and_then(Members::of);
                let mut schema = schema.ok_or(Unfit::InputSchema)?;
                schema.set("type", r#""object""#.to_owned());
                let schema = schema.to_string();
                self.members.set("inputSchema", schema);
                Ok(())
            }
        }
    }

    fn judge_output(&mut self) {
        self.output = match &self.tree["outputSchema"] {
            Value::Null => Output::Unsaid,
            schema if needs_wrapping(schema) => Output::Other,
            _an_object => Output::Object,
        };
        if self.output == Output::Unsaid {
            // `null` instead of nothing, which many clients refuse.
            self.members.remove("outputSchema");
        }
    }
}

impl Definition {
    /// The same tool, of which nothing is shown but its name and this description.
    #[must_use]
    pub(super) fn withheld(self, name: &str, description: &str) -> Self {
        let text = serde_json::json!({
            "name": name,
            "description": description,
            "inputSchema": {"type": "object"},
        });
        Self {
            text: RawJson::of(&text),
            output: Output::Unsaid,
            path: self.path,
        }
    }

    /// All there is to say of it, from which follows what any revision reads.
    #[must_use]
    pub(super) fn as_str(&self) -> &str {
        self.text.as_str()
    }

    /// The gateways it came through.
    #[must_use]
    pub(super) fn path(&self) -> &[String] {
        &self.path
    }

    /// Writes it as `version` reads it.
    pub(super) fn push(&self, version: ProtocolVersion, out: &mut String) {
        let text = self.text.as_str();
        let has_structured_results = version >= ProtocolVersion::V2025_06_18;
        let is_fit = match self.output {
            Output::Unsaid => true,
            Output::Object => has_structured_results,
            Output::Other => version.era() == Era::Stateless,
        };
        let Some(mut members) = Members::of(text).filter(|_| !is_fit) else {
            return out.push_str(text);
        };
        // Written anew for each page that needs it: few tools and older clients do, and what is not
        // kept takes no memory.
        if has_structured_results {
            let schema = members.get("outputSchema").unwrap_or_default();
            let schema = serde_json::from_str::<Value>(schema).unwrap_or_default();
            members.set("outputSchema", wrapped_output_schema(&schema).to_string());
        } else {
            members.remove("outputSchema");
        }
        members.push_to(out);
    }
}

/// Whether any text in it has characters that do not show. Its depth was checked.
fn has_unseen(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(is_unseen),
        Value::Array(elements) => elements.iter().any(has_unseen),
        Value::Object(members) => {
            (members.iter()).any(|(name, value)| name.contains(is_unseen) || has_unseen(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What joins letters and emoji, and the marks of right-to-left writing, are for people; not these.
fn is_unseen(char: char) -> bool {
    match char {
        '\n' | '\r' | '\t' => false,
        // Spaces of no width, what turns the direction of whole texts, letters that are tags.
        '\u{200b}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => true,
        '\u{e0000}'..='\u{e007f}' => true,
        other => other.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use ProtocolVersion::{V2024_11_05, V2025_03_26, V2025_06_18, V2025_11_25, V2026_07_28};

    const OVER_STDIO: Source = Source {
        version: V2025_11_25,
        is_http: false,
    };

    fn source(version: ProtocolVersion, is_http: bool) -> Source {
        Source { version, is_http }
    }

    fn tool(listed: &str, source: Source) -> Result<(Definition, ToolTraits), Unfit> {
        let listed = RawJson::from_valid(listed.to_owned());
        let mut entry = Entry::read(Kind::Tool, &listed)?;
        let tool = entry.as_tool(source)?;
        Ok((entry.finish(), tool))
    }

    fn written(definition: &Definition, version: ProtocolVersion) -> String {
        let mut out = String::new();
        definition.push(version, &mut out);
        out
    }

    #[test]
    fn what_need_not_change_shares_the_bytes_that_came() {
        let listed = RawJson::from_valid(
            r#"{ "name": "a", "x-own": [1.50], "inputSchema": {"type":"object"} }"#,
        );
        let mut entry = Entry::read(Kind::Tool, &listed).unwrap();
        entry.as_tool(OVER_STDIO).unwrap();
        entry.show_as("a");
        entry.show_apps(&Naming::new("", "."));
        let definition = entry.finish();
        assert_eq!(definition.as_str().as_ptr(), listed.as_str().as_ptr());
        for version in ProtocolVersion::ALL {
            assert_eq!(written(&definition, version), listed.as_str());
        }
    }

    #[test]
    fn what_changes_leaves_all_else_as_it_was_and_where_it_was() {
        let listed = RawJson::from_valid(
            r#"{"zeta":18446744073709551617,"name":"a","execution":{"taskSupport":"optional"},
                "_meta":{"z":1.0,"ui":{"visibility":["app"],"resourceUri":"ui://v","y":2},"ui/resourceUri":"ui://v"},
                "inputSchema":{"type":"object","properties":{"b":{},"a":{}}},"icons":[{"src":"x"}],"description":"d"}"#,
        );
        let mut entry = Entry::read(Kind::Tool, &listed).unwrap();
        entry.as_tool(OVER_STDIO).unwrap();
        entry.show_as("p.a");
        entry.set_text("title", "A \"tool\"");
        entry.set_text("description", "other");
        entry.show_apps(&Naming::new("p", "."));
        assert_eq!(
            entry.finish().as_str(),
            concat!(
                r#"{"zeta":18446744073709551617,"name":"p.a","#,
                r#""_meta":{"z":1.0,"ui":{"visibility":["app"],"resourceUri":"ui://p+v","y":2},"ui/resourceUri":"ui://p+v"},"#,
                r#""inputSchema":{"type":"object","properties":{"b":{},"a":{}}},"icons":[{"src":"x"}],"#,
                r#""description":"other","title":"A \"tool\""}"#,
            )
        );
    }

    #[test]
    fn each_revision_reads_an_output_schema_that_it_can_take() {
        let with = |schema: Value| {
            let input = json!({"type": "object"});
            let listed = json!({"name": "a", "inputSchema": input, "outputSchema": schema});
            tool(&listed.to_string(), OVER_STDIO).unwrap()
        };
        let (object, list) = (json!({"type": "object"}), json!({"type": "array"}));
        let wrapped =
            json!({"type": "object", "properties": {"result": list}, "required": ["result"]});
        for (schema, version, expected) in [
            (&object, V2024_11_05, &Value::Null),
            (&object, V2025_03_26, &Value::Null),
            (&object, V2025_06_18, &object),
            (&object, V2026_07_28, &object),
            (&list, V2025_03_26, &Value::Null),
            (&list, V2025_06_18, &wrapped),
            (&list, V2025_11_25, &wrapped),
            (&list, V2026_07_28, &list),
        ] {
            let (definition, tool) = with(schema.clone());
            let text = written(&definition, version);
            let shown = serde_json::from_str::<Value>(&text).unwrap();
            assert_eq!(&shown["outputSchema"], expected, "{version} {schema}");
            assert_eq!(shown["name"], "a");
            assert_eq!(tool.has_wrapped_output, schema == &list);
        }
        let (nothing, tool) = with(Value::Null);
        assert!(!nothing.as_str().contains("outputSchema"));
        assert!(!tool.has_wrapped_output);
    }

    #[test]
    fn annotations_against_the_rules_are_taken_out_or_their_tool_is() {
        let annotated = |name: &str| {
            let properties = json!({"n": {"type": "string", "x-mcp-header": name}});
            let input = json!({"type": "object", "properties": properties});
            json!({"name": "a", "inputSchema": input}).to_string()
        };
        for (version, is_http, is_left_out) in [
            (V2026_07_28, true, true),
            (V2026_07_28, false, false),
            (V2025_11_25, true, false),
            (V2025_11_25, false, false),
        ] {
            let source = source(version, is_http);
            let (definition, good) = tool(&annotated("Region"), source).unwrap();
            assert!(good.header_params.is_some() && good.annotations_removed.is_none());
            assert!(definition.as_str().contains("x-mcp-header"));
            match tool(&annotated("two words"), source) {
                Err(Unfit::Annotation(_)) => assert!(is_left_out, "{source:?}"),
                Ok((definition, bad)) => {
                    assert!(!is_left_out, "{source:?}");
                    assert!(bad.header_params.is_none() && bad.annotations_removed.is_some());
                    assert!(!definition.as_str().contains("x-mcp-header"));
                    assert!(definition.as_str().contains(r#""n":{"type":"string"}"#));
                }
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[test]
    fn what_would_spoil_a_list_is_unfit() {
        let input = r#""inputSchema":{"type":"object"}"#;
        let large = "x".repeat(ENTRY_BYTES_MAX);
        let deep = format!("{}{}", "[".repeat(70), "]".repeat(70));
        let long = "n".repeat(KEY_BYTES_MAX + 1);
        for (listed, expected) in [
            (r#"{"inputSchema":{}}"#.to_owned(), "no `name`"),
            (format!(r#"{{"name":7,{input}}}"#), "no `name`"),
            (format!(r#"{{"name":"",{input}}}"#), "no `name`"),
            (r#"["a"]"#.to_owned(), "no `name`"),
            (format!(r#"{{"name":"{long}",{input}}}"#), "8192 bytes"),
            (r#"{"name":"a"}"#.to_owned(), "`inputSchema`"),
            (
                r#"{"name":"a","inputSchema":null}"#.to_owned(),
                "`inputSchema`",
            ),
            (
                r#"{"name":"a","inputSchema":[]}"#.to_owned(),
                "`inputSchema`",
            ),
            (
                r#"{"name":"a","inputSchema":{"type":"array"}}"#.to_owned(),
                "`inputSchema`",
            ),
            (format!(r#"{{"name":"a","name":"b",{input}}}"#), "twice"),
            (format!(r#"{{"name":"a","x":{deep},{input}}}"#), "deep"),
            (format!(r#"{{"name":"a","x":1e999,{input}}}"#), "number"),
            (format!(r#"{{"name":"a","x":"{large}",{input}}}"#), "262144"),
        ] {
            let unfit = tool(&listed, OVER_STDIO).map(|(definition, _)| definition);
            let unfit = unfit.unwrap_err().to_string();
            assert!(unfit.contains(expected), "{unfit}");
        }
        let unsaid = tool(r#"{"name":"a","inputSchema":{"title":"A"}}"#, OVER_STDIO);
        assert_eq!(
            unsaid.unwrap().0.as_str(),
            r#"{"name":"a","inputSchema":{"title":"A","type":"object"}}"#
        );
        let nowhere = RawJson::from_valid(r#"{"name":"a"}"#);
        for kind in [Kind::Resource, Kind::Template] {
            assert!(Entry::read(kind, &nowhere).is_err(), "{kind}");
        }
        assert!(Entry::read(Kind::Prompt, &nowhere).is_ok());
    }

    #[test]
    fn how_a_tool_runs_as_a_task_is_not_shown() {
        for (version, support, is_task_only) in [
            (V2025_11_25, "required", true),
            (V2025_11_25, "optional", false),
            (V2025_11_25, "whatever", false),
            (V2026_07_28, "required", false),
        ] {
            let listed = format!(
                r#"{{"name":"a","execution":{{"taskSupport":"{support}"}},"inputSchema":{{"type":"object"}}}}"#
            );
            let (definition, tool) = tool(&listed, source(version, true)).unwrap();
            assert_eq!(tool.is_task_only, is_task_only, "{version} {support}");
            assert!(!definition.as_str().contains("execution"));
        }
    }

    #[test]
    fn a_plain_list_of_arguments_takes_one_more() {
        let with = |schema: &str| {
            let listed = format!(r#"{{"name":"a","inputSchema":{schema}}}"#);
            let listed = RawJson::from_valid(listed);
            let mut entry = Entry::read(Kind::Tool, &listed).unwrap();
            entry.as_tool(OVER_STDIO).unwrap();
            let added = entry.add_argument("session", "S");
            added.map(|()| entry.finish().as_str().to_owned())
        };
        let argument = r#""session":{"type":"string","description":"S"}"#;
        let argument = argument.to_owned();
        for (schema, before) in [
            (r#"{"type":"object"}"#, r#"{"type":"object","properties":{"#),
            ("{}", r#"{"type":"object","properties":{"#),
            (
                r#"{"type":"object","properties":{"n":{"maximum":1.0}}}"#,
                r#"{"type":"object","properties":{"n":{"maximum":1.0},"#,
            ),
            (
                r#"{"type":"object","additionalProperties":false,"required":["n"],"properties":{"n":{}}}"#,
                r#"{"type":"object","additionalProperties":false,"required":["n"],"properties":{"n":{},"#,
            ),
        ] {
            let expected = format!(r#"{{"name":"a","inputSchema":{before}{argument}}}}}}}"#);
            let shown = with(schema).unwrap();
            let shown = serde_json::from_str::<Value>(&shown).unwrap();
            let expected = serde_json::from_str::<Value>(&expected).unwrap();
            assert_eq!(shown, expected, "{schema}");
        }
        for (schema, why) in [
            (r#"{"properties":{"session":{}}}"#, NoRoom::Taken),
            (r#"{"properties":[]}"#, NoRoom::NotPlain),
            (r##"{"$ref":"#/$defs/a"}"##, NoRoom::NotPlain),
            (
                r#"{"allOf":[{"additionalProperties":false}]}"#,
                NoRoom::NotPlain,
            ),
            (
                r#"{"patternProperties":{"^s":{"type":"integer"}}}"#,
                NoRoom::NotPlain,
            ),
            (r#"{"propertyNames":{"maxLength":1}}"#, NoRoom::NotPlain),
        ] {
            assert_eq!(with(schema), Err(why), "{schema}");
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let keys = || {
            prop_oneof![
                "[a-z]{0,3}",
                Just("name".to_owned()),
                Just("type".to_owned()),
                Just("inputSchema".to_owned()),
                Just("outputSchema".to_owned()),
                Just("properties".to_owned()),
                Just("_meta".to_owned()),
                Just("ui".to_owned()),
                Just("resourceUri".to_owned()),
                Just("x-mcp-header".to_owned()),
                Just("$ref".to_owned()),
            ]
        };
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            Just(Value::from("object")),
            Just(Value::from("#/a")),
        ];
        leaf.prop_recursive(4, 24, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(keys(), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn whatever_an_upstream_lists_is_shown_as_a_tool_or_not_at_all(
            listed in values(),
            is_named in any::<bool>(),
            (input, output) in (values(), values()),
            over in prop_oneof![Just(OVER_STDIO), Just(source(V2026_07_28, true))],
        ) {
            let mut listed = listed;
            if let Some(members) = listed.as_object_mut().filter(|_| is_named) {
                members.insert("name".into(), "a".into());
                members.insert("inputSchema".into(), input);
                members.insert("outputSchema".into(), output);
            }
            let text = RawJson::of(&listed);
            let Ok(mut entry) = Entry::read(Kind::Tool, &text) else {
                return Ok(());
            };
            entry.show_apps(&Naming::new("p", "."));
            if entry.as_tool(over).is_err() {
                return Ok(());
            }
            entry.show_as("p.a");
            let definition = entry.finish();
            for version in ProtocolVersion::ALL {
                let shown = written(&definition, version);
                let shown = serde_json::from_str::<Value>(&shown).unwrap();
                prop_assert_eq!(&shown["name"], "p.a");
                prop_assert_eq!(&shown["inputSchema"]["type"], "object");
                prop_assert!(HeaderParams::from_schema(&shown["inputSchema"]).is_ok());
                let output = &shown["outputSchema"];
                let has_none = output.is_null() && shown.get("outputSchema").is_none();
                prop_assert!(
                    version == V2026_07_28 || has_none || output["type"] == "object"
                );
                for (key, value) in listed.as_object().unwrap() {
                    let ours = ["name", "inputSchema", "outputSchema", "execution", "_meta"];
                    if !ours.contains(&&**key) {
                        prop_assert_eq!(&shown[key], value);
                    }
                }
            }
        }
    }
}
