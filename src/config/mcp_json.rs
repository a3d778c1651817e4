//! `--mcp-json`: the block that people have for their clients, as upstreams.
//!
//! Taken are `mcpServers`, `servers` (VS Code), and a map without either. Each entry becomes
//! `[upstreams.NAME]` with what it says; everything else holds as for one that says no more. Names
//! there are free text, so a name that can be one here is made of them.
//!
//! Its values are never references of ours (`env:NAME`), but `${NAME}` in them is replaced.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde_json::{Map, Value};
use toml::Table;

use super::complaint::Place;
use super::env::Environment;
use super::layers::Layers;
use super::{defaults, secrets};

/// Clients keep much else beside the block: their settings, the history of projects.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Members that are ignored and named; of more, only their number is said.
const IGNORED_MAX: usize = 8;

/// Lays the servers of a file over what is there.
pub(super) fn lay(path: &Path, environment: &Environment, layers: &mut Layers) {
    let file = path.display().to_string();
    let mut block = Block {
        place: Place::McpJson(file.clone()),
        environment,
        layers,
        ignored: Vec::new(),
        complaints: 0,
    };
    match read(path) {
        Ok(members) => block.servers(members),
        Err(problem) => block.complain("", problem),
    }
    let ignored = block.ignored;
    if !ignored.is_empty() {
        let named = ignored[..ignored.len().min(IGNORED_MAX)].join(", ");
        let more = match ignored.len().saturating_sub(IGNORED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        layers.caution(format!("{file}: ignored: {named}{more}"));
    }
}

fn read(path: &Path) -> Result<Map<String, Value>, String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    let length = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    if length.map_err(unreadable)? as u64 > FILE_BYTES_MAX {
        return Err("is too long for a list of servers".to_owned());
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err("expected an object with `mcpServers`".to_owned()),
        // Without what stands there, which may be a secret.
        Err(error) => Err(format!(
            "is not JSON at line {}, column {}",
            error.line(),
            error.column()
        )),
    }
}

/// The block, while it is read.
struct Block<'a> {
    place: Place,
    environment: &'a Environment,
    layers: &'a mut Layers,
    ignored: Vec<String>,
    complaints: usize,
}

impl Block<'_> {
    fn complain(&mut self, at: &str, problem: impl Into<String>) {
        self.complaints += 1;
        self.layers.complain(self.place.clone(), at, problem);
    }

    fn servers(&mut self, mut members: Map<String, Value>) {
        let named = ["mcpServers", "servers"];
        let Some(name) = named
            .into_iter()
            .find(|name| members.get(*name).is_some_and(Value::is_object))
        else {
            for (name, server) in members {
                self.server(&name, &name, server);
            }
            return;
        };
        let servers = members.remove(name);
        self.ignored
            .extend(members.into_iter().map(|(name, _)| name));
        if let Some(Value::Object(servers)) = servers {
            for (server, value) in servers {
                self.server(&format!("{name}.{server}"), &server, value);
            }
        }
    }

    /// One entry, which stands at `at` of the file.
    fn server(&mut self, at: &str, name: &str, server: Value) {
        let Value::Object(members) = server else {
            self.complain(at, "expected an object with `url` or `command`");
            return;
        };
        if members.get("disabled") == Some(&Value::Bool(true)) {
            return;
        }
        let Some(slug) = slug(name) else {
            self.complain(at, "the name has no letter that a name here could have");
            return;
        };
        let Some(keys) = self.keys(at, &members) else {
            return;
        };
        if let Err(other) = self.layers.upstream(&slug, keys, &self.place) {
            let problem = match other {
                Place::McpJson(_) => format!("another one comes to the name {slug:?} too"),
                _ => format!("the configuration has an upstream {slug:?} already"),
            };
            self.complain(at, problem);
        }
    }

    /// What it says, as keys of an upstream; `None` if anything of it is wrong.
    fn keys(
        &mut self,
        at: &str,
        members: &Map<String, Value>,
    ) -> Option<Vec<(&'static str, toml::Value)>> {
        let complaints = self.complaints;
        let mut keys = Vec::new();
        let mut kind = None;
        let mut program = None;
        let mut words = Vec::new();
        for (member, value) in members {
            let at = format!("{at}.{member}");
            match member.as_str() {
                "type" => kind = self.text(&at, value),
                "command" => program = self.text(&at, value),
                "args" => words = self.texts(&at, value),
                "url" => keys.extend(self.text(&at, value).map(|text| ("url", text.into()))),
                "cwd" => keys.extend(self.text(&at, value).map(|text| ("cwd", text.into()))),
                "headers" => keys.push(("headers", self.pairs(&at, value).into())),
                "env" => keys.push(("env", self.pairs(&at, value).into())),
                "disabled" => {}
                _ => self.ignored.push(at),
            }
        }
        let has_url = members.contains_key("url");
        if let Some(problem) = kind.and_then(|kind| contradiction(&kind, has_url)) {
            self.complain(&format!("{at}.type"), problem);
        }
        match program {
            Some(program) => {
                words.insert(0, program);
                keys.push(("command", words.into()));
            }
            None if !words.is_empty() && !members.contains_key("command") => {
                self.complain(&format!("{at}.args"), "is for a `command`");
            }
            None => {}
        }
        (self.complaints == complaints).then_some(keys)
    }

    fn text(&mut self, at: &str, value: &Value) -> Option<String> {
        let text = match value.as_str() {
            Some(text) => self.expanded(text),
            None => Err("expected a text".to_owned()),
        };
        text.map_err(|problem| self.complain(at, problem)).ok()
    }

    fn texts(&mut self, at: &str, value: &Value) -> Vec<String> {
        let Value::Array(entries) = value else {
            self.complain(at, "expected a list of texts");
            return Vec::new();
        };
        let texts = entries.iter().filter_map(|entry| self.text(at, entry));
        texts.collect()
    }

    /// A table of texts that are what they are, whatever they look like.
    fn pairs(&mut self, at: &str, value: &Value) -> Table {
        let mut table = Table::new();
        let Value::Object(pairs) = value else {
            self.complain(at, "expected an object of texts");
            return table;
        };
        for (name, value) in pairs {
            let Some(text) = self.text(&format!("{at}.{name}"), value) else {
                continue;
            };
            // Where the file only refers to a secret, it does not hold one.
            let refers = Some(text.as_str()) != value.as_str();
            let literal = refers || !secrets::is_inline(&text);
            let text = if literal {
                format!("text:{text}")
            } else {
                text
            };
            table.insert(name.clone(), text.into());
        }
        table
    }

    /// The text with each `${NAME}`, `${env:NAME}` and `${NAME:-otherwise}` replaced.
    fn expanded(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            expanded.push_str(before);
            let (reference, after) = after
                .split_once('}')
                .ok_or("`${` is not followed by a name and `}`")?;
            expanded.push_str(&self.variable(reference)?);
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn variable(&self, reference: &str) -> Result<String, String> {
        let (reference, otherwise) = match reference.split_once(":-") {
            Some((reference, otherwise)) => (reference, Some(otherwise)),
            None => (reference, None),
        };
        let name = reference.strip_prefix("env:").unwrap_or(reference);
        let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(part) {
            return Err(format!(
                "`${{{reference}}}` is known to a client only: write ${{NAME}} and set the \
                 environment variable NAME"
            ));
        }
        match (self.environment.get(name), otherwise) {
            (Ok(Some(value)), _) => Ok(value.to_owned()),
            (Ok(None), Some(otherwise)) => Ok(otherwise.to_owned()),
            (Ok(None), None) => Err(format!("the environment variable {name} is not set")),
            (Err(error), _) => Err(format!("the environment variable {name}: {error}")),
        }
    }
}

/// What is wrong with the kind of a server, as far as it is told. Which of the transports over HTTP an
/// upstream speaks is found out, so their names all mean a URL.
fn contradiction(kind: &str, has_url: bool) -> Option<String> {
    match kind {
        "stdio" if has_url => Some(format!("{kind:?} has a `command` and no `url`")),
        "stdio" => None,
        "http" | "sse" | "streamable-http" | "streamableHttp" if has_url => None,
        "http" | "sse" | "streamable-http" | "streamableHttp" => {
            Some(format!("{kind:?} has a `url`"))
        }
        _ => Some(format!(
            "there is no type {kind:?}; there are: \"stdio\", \"http\", \"sse\" and \
             \"streamable-http\""
        )),
    }
}

/// A name made of free text: lower-case letters and digits, everything else as `-`.
fn slug(name: &str) -> Option<String> {
    let mut slug = String::new();
    for letter in name.chars() {
        let letter = letter.to_ascii_lowercase();
        if letter.is_ascii_alphanumeric() {
            slug.push(letter);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    // It is the prefix, too, and that begins with a letter.
    let mut slug = slug
        .trim_start_matches(|first: char| !first.is_ascii_lowercase())
        .to_owned();
    slug.truncate(defaults::PREFIX_BYTES_MAX);
    let slug = slug.trim_end_matches('-');
    (!slug.is_empty()).then(|| slug.to_owned())
}
