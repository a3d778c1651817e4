//! One rule, ready to be asked.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::claims::Wanted;
use super::config::{Complaint, RuleConfig};
use super::target::Kind;
use crate::policy::names::{NamePattern, Separator};

/// Patterns, scopes and conditions of one rule: a page of them is already hard to read.
const ENTRIES_MAX: usize = 1_000;
/// The member of `when` that is about arguments.
const ARGS: &str = "args";

/// Names a rule in decisions, logs and audit records: its key in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub(super) Arc<str>);

impl RuleId {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a rule does with what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// See the module docs.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) id: RuleId,
    /// The role it is written in.
    pub(super) role: Arc<str>,
    pub(super) effect: Effect,
    pub(super) visible: bool,
    pub(super) scopes: BTreeSet<Arc<str>>,
    tools: Vec<NamePattern>,
    resources: Vec<NamePattern>,
    prompts: Vec<NamePattern>,
    claims: Vec<Wanted>,
    arguments: Vec<Wanted>,
}

impl Rule {
    /// Checks and compiles a rule of `role` that stands at `key`.
    pub(super) fn new(
        config: &RuleConfig,
        effect: Effect,
        role: &Arc<str>,
        key: &str,
        complaints: &mut Vec<Complaint>,
    ) -> Self {
        let mut check = Check { key, complaints };
        let tools = check.patterns("tools", &config.tools, Separator::Dot);
        let resources = check.patterns("resources", &config.resources, Separator::Slash);
        let prompts = check.patterns("prompts", &config.prompts, Separator::Dot);
        let named = [&config.tools, &config.resources, &config.prompts];
        if named.iter().all(|named| named.is_empty()) {
            let problem = "names nothing: write `tools`, `resources` or `prompts`";
            check.complain("", problem);
        }
        if effect == Effect::Deny && !config.scopes.is_empty() {
            let problem = "is for `allow`: what is denied is denied with any scope";
            check.complain("scopes", problem);
        }
        for scope in config.scopes.iter().filter(|scope| !is_scope(scope)) {
            check.complain("scopes", format!("{scope:?} is no scope: {SCOPE_FORM}"));
        }
        let arguments = check.arguments(config);
        let claims = config.when.iter().filter(|(name, _)| *name != ARGS);
        let claims = claims
            .filter_map(|(name, value)| check.wanted("when", name, value))
            .collect();
        Self {
            id: RuleId(key.into()),
            role: role.clone(),
            effect,
            visible: config.visible,
            scopes: config
                .scopes
                .iter()
                .map(|scope| scope.as_str().into())
                .collect(),
            tools,
            resources,
            prompts,
            claims,
            arguments,
        }
    }

    /// Whether it is about this name. Of a template of URIs, allowing some is to be about it, and
    /// denying all.
    pub(super) fn names(&self, kind: Kind, name: &str) -> bool {
        let patterns = match kind {
            Kind::Tool => &self.tools,
            Kind::Prompt => &self.prompts,
            Kind::Resource | Kind::Template => &self.resources,
        };
        patterns.iter().any(|pattern| match (kind, self.effect) {
            (Kind::Tool | Kind::Prompt | Kind::Resource, _) => pattern.matches(name),
            (Kind::Template, Effect::Allow) => pattern.overlaps(name),
            (Kind::Template, Effect::Deny) => pattern.covers(name),
        })
    }

    /// The first claim that the caller lacks.
    pub(super) fn unclaimed(&self, claims: &Map<String, Value>) -> Option<&Wanted> {
        self.claims.iter().find(|wanted| !wanted.is_claimed(claims))
    }

    /// Whether it depends on the arguments.
    pub(super) fn asks_for_arguments(&self) -> bool {
        !self.arguments.is_empty()
    }

    /// What it wants of the arguments, in words.
    pub(super) fn on_arguments(&self) -> String {
        let wanted: Vec<_> = self.arguments.iter().map(Wanted::to_string).collect();
        wanted.join(" and ")
    }

    /// The first argument that is not as the rule wants it.
    pub(super) fn unmet(&self, arguments: &Value) -> Option<&Wanted> {
        self.arguments.iter().find(|wanted| match self.effect {
            Effect::Allow => !wanted.is_argument(arguments),
            Effect::Deny => !wanted.is_among_arguments(arguments),
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.effect {
            Effect::Allow => "allows",
            Effect::Deny => "denies",
        })?;
        for (word, patterns) in [
            ("tools", &self.tools),
            ("resources", &self.resources),
            ("prompts", &self.prompts),
        ] {
            if !patterns.is_empty() {
                let patterns: Vec<_> = patterns.iter().map(NamePattern::text).collect();
                write!(f, " {word} {}", patterns.join(", "))?;
            }
        }
        let conditions = self.claims.iter().chain(&self.arguments);
        for (at, wanted) in conditions.enumerate() {
            write!(f, " {} {wanted}", if at == 0 { "when" } else { "and" })?;
        }
        if !self.scopes.is_empty() {
            let scopes: Vec<_> = self.scopes.iter().map(AsRef::as_ref).collect();
            write!(f, " with scope {}", scopes.join(" "))?;
        }
        Ok(())
    }
}

/// A rule while it is checked.
struct Check<'a> {
    key: &'a str,
    complaints: &'a mut Vec<Complaint>,
}

impl Check<'_> {
    /// Complains about a member; about the rule if it has no name.
    fn complain(&mut self, member: &str, problem: impl Into<String>) {
        let key = match member {
            "" => self.key.to_owned(),
            member => format!("{}.{member}", self.key),
        };
        let problem = problem.into();
        self.complaints.push(Complaint { key, problem });
    }

    fn patterns(&mut self, member: &str, of: &[String], separator: Separator) -> Vec<NamePattern> {
        if of.len() > ENTRIES_MAX {
            self.complain(member, format!("at most {ENTRIES_MAX} fit in one rule"));
        }
        let mut patterns = Vec::with_capacity(of.len());
        for text in of {
            match NamePattern::new(text, separator) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => self.complain(member, format!("{text:?}: {error}")),
            }
        }
        patterns
    }

    fn arguments(&mut self, config: &RuleConfig) -> Vec<Wanted> {
        let pointers = match config.when.get(ARGS) {
            None => return Vec::new(),
            Some(Value::Object(pointers)) => pointers,
            Some(_) => {
                let problem =
                    "expected a table of JSON pointers, as in { \"/env\" = [\"staging\"] }";
                self.complain("when.args", problem);
                return Vec::new();
            }
        };
        for pointer in pointers.keys().filter(|pointer| !pointer.starts_with('/')) {
            let problem = format!("{pointer:?} is no JSON pointer; did you mean \"/{pointer}\"?");
            self.complain("when.args", problem);
        }
        if !config.resources.is_empty() {
            let problem = "resources have no arguments; write a rule of their own for them";
            self.complain("when.args", problem);
        }
        let wanted = pointers.iter();
        wanted
            .filter_map(|(pointer, value)| self.wanted("when.args", pointer, value))
            .collect()
    }

    fn wanted(&mut self, table: &str, path: &str, value: &Value) -> Option<Wanted> {
        match Wanted::new(path, value) {
            Ok(wanted) => Some(wanted),
            Err(problem) => {
                self.complain(&format!("{table}.{path}"), problem);
                None
            }
        }
    }
}

/// What a scope looks like, for complaints.
pub(super) const SCOPE_FORM: &str = "visible ASCII without spaces, `\"` and `\\`";

/// Whether a text can be a scope (RFC 6749, appendix A.4): others could not be sent.
pub(super) fn is_scope(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    !text.is_empty() && text.bytes().all(fits)
}
