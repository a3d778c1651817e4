//! The tree of keys, read off the types in [`super::raw`], and guesses at what was meant.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::raw::Raw;
use super::values::{PERIOD_PATTERN, SIZE_PATTERN};
use crate::policy::limits::rate::RATE_PATTERN;

/// What stands at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A table with these keys.
    Table(BTreeMap<String, Node>),
    /// A table whose keys are names of the user's choice.
    Named(Box<Node>),
    /// A list of tables: `[[bindings]]`, or `[{ ... }, { ... }]`.
    Each(Box<Node>),
    /// A value, or a table with these keys that says more.
    Either(Kind, BTreeMap<String, Node>),
    /// A value.
    Leaf(Kind),
}

/// What kind of value stands at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `"text"`
    Text,
    /// `"10s"`
    Period,
    /// `"4MiB"`
    Size,
    /// `["text", "text"]`
    Texts,
    /// `["program", "argument"]`
    Command,
    /// `{ name = "text" }`
    Pairs,
    /// `["uri", { uri = "uri", name = "text" }]`
    Roots,
    /// `7`
    Number,
    /// `0.5`
    Fraction,
    /// `true`
    Flag,
    /// `"600/min"`
    Rate,
    /// `"text"`, `7` or `true`
    Scalar,
    /// `{ name = "text", other = { name = [1, 2] } }`
    Values,
}

impl Kind {
    /// What to write, for messages.
    #[must_use]
    pub const fn expected(self) -> &'static str {
        match self {
            Self::Text => "a text in quotes",
            Self::Period => "a duration in quotes, as in \"10s\"",
            Self::Size => "a size in quotes, as in \"4MiB\"",
            Self::Texts => "a list of texts",
            Self::Command => {
                "the program and its arguments, each in quotes, as in [\"npx\", \"-y\", \"server\"]: \
                 there is no shell to take them apart"
            }
            Self::Pairs => "a table of texts, as in { name = \"text\" }",
            Self::Roots => {
                "a list of URIs, as in [\"file:///srv\"], or of { uri = \"...\", name = \"...\" }"
            }
            Self::Number => "a whole number",
            Self::Fraction => "a number, as in 0.5",
            Self::Flag => "true or false",
            Self::Rate => {
                "a rate in quotes, as in \"600/min\", or { rate = \"600/min\", burst = 20 }"
            }
            Self::Scalar => "a text in quotes, a number, true or false",
            Self::Values => "a table, as in { acr = \"mfa\", args = { \"/env\" = [\"staging\"] } }",
        }
    }
}

/// The keys of a configuration.
pub static TREE: LazyLock<Node> = LazyLock::new(|| {
    let mut settings = SchemaSettings::draft07();
    settings.inline_subschemas = true;
    let schema = settings.into_generator().into_root_schema_for::<Raw>();
    read(schema.as_value())
});

/// Every key that holds a value, as its path; `*` stands for a name of the user's choice.
#[must_use]
pub fn leaves() -> Vec<(Vec<&'static str>, Kind)> {
    fn collect<'a>(node: &'a Node, path: &mut Vec<&'a str>, into: &mut Vec<(Vec<&'a str>, Kind)>) {
        match node {
            Node::Leaf(kind) | Node::Either(kind, _) => into.push((path.clone(), *kind)),
            // What stands in a list has no name of its own.
            Node::Each(_) => {}
            Node::Named(node) => {
                path.push("*");
                collect(node, path, into);
                path.pop();
            }
            Node::Table(keys) => {
                for (key, node) in keys {
                    path.push(key);
                    collect(node, path, into);
                    path.pop();
                }
            }
        }
    }
    let mut leaves = Vec::new();
    collect(&TREE, &mut Vec::new(), &mut leaves);
    leaves
}

fn read(schema: &Value) -> Node {
    if let Some(properties) = schema["properties"].as_object() {
        let keys = properties
            .iter()
            .map(|(key, schema)| (key.clone(), read(schema)));
        return Node::Table(keys.collect());
    }
    if schema["items"]["properties"].is_object() {
        return Node::Each(Box::new(read(&schema["items"])));
    }
    if let [first, second] = schema["anyOf"].as_array().map_or(&[][..], Vec::as_slice) {
        match read(second) {
            Node::Table(keys) if first["pattern"] == RATE_PATTERN => {
                return Node::Either(Kind::Rate, keys);
            }
            _ if second["type"] == "null" => return read(first),
            _ => {}
        }
    }
    if schema["additionalProperties"] == true {
        return Node::Leaf(Kind::Values);
    }
    if schema["additionalProperties"]["type"] == "string" {
        return Node::Leaf(Kind::Pairs);
    }
    if schema["additionalProperties"].is_object() {
        return Node::Named(Box::new(read(&schema["additionalProperties"])));
    }
    // An optional value's type is a pair of its own type and null.
    let is = |kind: &str| match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(|found| found == kind),
        found => found == kind,
    };
    Node::Leaf(if is("boolean") && is("string") {
        Kind::Scalar
    } else if is("boolean") {
        Kind::Flag
    } else if is("integer") {
        Kind::Number
    } else if is("number") {
        Kind::Fraction
    } else if is("array") && schema["items"]["anyOf"].is_array() {
        Kind::Roots
    } else if is("array") && !schema["minItems"].is_null() {
        Kind::Command
    } else if is("array") {
        Kind::Texts
    } else if schema["pattern"] == PERIOD_PATTERN {
        Kind::Period
    } else if schema["pattern"] == SIZE_PATTERN {
        Kind::Size
    } else {
        Kind::Text
    })
}

/// The candidate that `written` was most likely meant to be, if one is near enough.
#[must_use]
pub fn nearest<'a>(written: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_ascii_lowercase().replace('-', "_");
    candidates
        .map(|candidate| (distance(&written, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many insertions, deletions, changes and swaps of neighbours turn `from` into `to`.
fn distance(from: &str, to: &str) -> usize {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    let mut before = vec![0; to.len() + 1];
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for row in 1..=from.len() {
        let mut current = vec![row; to.len() + 1];
        for column in 1..=to.len() {
            let changed = usize::from(from[row - 1] != to[column - 1]);
            current[column] = (above[column] + 1)
                .min(current[column - 1] + 1)
                .min(above[column - 1] + changed);
            let swapped = row > 1
                && column > 1
                && from[row - 1] == to[column - 2]
                && from[row - 2] == to[column - 1];
            if swapped {
                current[column] = current[column].min(before[column - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, current);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_read_off_the_types() {
        let leaves = leaves();
        let kind = |path: &str| {
            let path: Vec<_> = path.split('.').collect();
            leaves
                .iter()
                .find(|(found, _)| *found == path)
                .map(|(_, kind)| *kind)
        };
        assert_eq!(kind("server.listen"), Some(Kind::Text));
        assert_eq!(kind("server.public_url"), Some(Kind::Text));
        assert_eq!(kind("server.allowed_hosts"), Some(Kind::Texts));
        assert_eq!(kind("server.http_sse"), Some(Kind::Flag));
        assert_eq!(kind("server.workers"), Some(Kind::Number));
        assert_eq!(kind("server.limits.body"), Some(Kind::Size));
        assert_eq!(kind("server.limits.header_count"), Some(Kind::Number));
        assert_eq!(kind("calls.grace"), Some(Kind::Period));
        assert_eq!(kind("cluster.keys"), Some(Kind::Texts));
        assert_eq!(kind("endpoints.*.builtin"), Some(Kind::Text));
        assert_eq!(kind("upstreams.*.command"), Some(Kind::Command));
        assert_eq!(kind("upstreams.*.headers"), Some(Kind::Pairs));
        assert_eq!(kind("upstreams.*.rename"), Some(Kind::Pairs));
        assert_eq!(kind("upstreams.*.roots"), Some(Kind::Roots));
        assert_eq!(kind("upstreams.*.allow"), Some(Kind::Texts));
        assert_eq!(kind("upstreams.*.tools.*.title"), Some(Kind::Text));
        assert_eq!(
            kind("upstreams.*.breaker.failure_rate"),
            Some(Kind::Fraction)
        );
        assert_eq!(kind("upstreams.*.breaker.min_calls"), Some(Kind::Number));
        assert_eq!(kind("upstreams.*.limits.memory"), Some(Kind::Size));
        assert_eq!(kind("log.format"), Some(Kind::Text));
        assert_eq!(kind("server.limits"), None);
        assert_eq!(kind("limits.per_user"), Some(Kind::Rate));
        assert_eq!(kind("limits.per_tool.*"), Some(Kind::Rate));
        assert_eq!(kind("roles.*.inherits"), Some(Kind::Texts));
        assert_eq!(kind("roles.*.limits.per_user"), Some(Kind::Rate));
        assert_eq!(kind("scopes.*"), Some(Kind::Texts));
        assert_eq!(kind("bindings"), None);
        assert!(leaves.len() > 50, "{}", leaves.len());
    }

    #[test]
    fn guesses_are_near_or_none() {
        let keys = [
            "listen",
            "public_url",
            "allowed_hosts",
            "allowed_origins",
            "workers",
        ];
        for (written, meant) in [
            ("lisen", Some("listen")),
            ("lsiten", Some("listen")),
            ("Listen", Some("listen")),
            ("public-url", Some("public_url")),
            ("allowed_host", Some("allowed_hosts")),
            ("allow_origins", Some("allowed_origins")),
            ("worker", Some("workers")),
            ("port", None),
            ("tls", None),
        ] {
            assert_eq!(nearest(written, keys.into_iter()), meant, "{written}");
        }
    }
}
