//! Redaction: what must not be stored is taken out before anything is.
//!
//! A [`Redactor`] reads JSON text once and writes it again, without building trees. Taken out are
//! (1) what the pointers of the tool lead to, (2) what stands under the name of a secret, and
//! (3) what a detector finds in a text, a number or a name; texts that are JSON themselves are gone
//! through as documents, base64 is decoded once, and so is percent-encoding. What was taken out is
//! counted by [`Class`] in a [`Report`].
//!
//! A tool without an entry of its own gets the strict profile: [`Action::Keep`] masks there.
//!
//! It does not decide what is recorded, nor seal it; [`super::writer`] does.
//!
//! Invariants:
//! - The time is linear in the text: each detector is, and a text is a document within a document at
//!   most [`NESTED_MAX`] times.
//! - Nothing is written beyond the bound the caller gives, and what is cut is cut between values.

mod class;
mod detect;
mod document;
mod pointer;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use class::{Action, Class, Report};

use crate::protocol::raw::RawJson;
use crate::runtime::seal::{ClusterKeys, Mac, Seal};
use detect::{Detectors, Span};
use document::Document;
use pointer::Pointers;

/// How deep documents within texts within documents are gone through; deeper ones are texts.
const NESTED_MAX: usize = 4;
/// Hexadecimal digits of a token: 64 bits tell all values of a tenant apart.
const TOKEN_DIGITS: usize = 16;

/// What the configuration says about redaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Names of members that hold secrets, as regular expressions.
    pub keys: Vec<String>,
    /// What is done where nothing else is said.
    pub action: Action,
    /// What is done with a class.
    pub actions: BTreeMap<&'static str, Action>,
    /// What is known of single tools, by name.
    pub tools: BTreeMap<String, Vec<String>>,
}

impl Rules {
    /// The names of members that hold secrets wherever nothing else is configured.
    pub const KEYS: [&'static str; 6] = [
        "(?i)pass(word|phrase|wd)?",
        "(?i)secret",
        "(?i)token",
        "(?i)api[_-]?key",
        "(?i)authorization",
        "(?i)ssn",
    ];
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            keys: Self::KEYS.map(str::to_owned).into(),
            action: Action::Mask,
            actions: BTreeMap::new(),
            tools: BTreeMap::new(),
        }
    }
}

/// Why rules cannot be used. Each names the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// A pattern of names.
    #[error("cannot be read as a pattern: {0}")]
    Key(String),
    /// A pointer of a tool.
    #[error("{problem}")]
    Pointer {
        /// Whose it is.
        tool: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Takes out what must not be stored. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Redactor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    detectors: Detectors,
    actions: [Action; Class::COUNT],
    tools: BTreeMap<String, Pointers>,
    mac: Mac,
    seal: Seal,
}

/// What holds for one text.
#[derive(Clone, Copy, Debug)]
struct Profile<'a> {
    tenant: &'a str,
    pointers: Option<&'a Pointers>,
    is_strict: bool,
}

impl Redactor {
    /// A redactor for these rules; tokens and seals are made with the cluster's keys.
    ///
    /// # Errors
    /// When a rule cannot be used.
    pub fn new(rules: &Rules, keys: &ClusterKeys) -> Result<Self, RulesError> {
        let detectors = Detectors::new(&rules.keys).map_err(RulesError::Key)?;
        let tools = rules.tools.iter().map(|(tool, pointers)| {
            let read = Pointers::parse(pointers).map_err(|problem| RulesError::Pointer {
                tool: tool.clone(),
                problem,
            });
            Ok((tool.clone(), read?))
        });
        let action = |class: Class| rules.actions.get(class.name()).copied();
        Ok(Self(Arc::new(Inner {
            detectors,
            actions: Class::ALL.map(|class| action(class).unwrap_or(rules.action)),
            tools: tools.collect::<Result<_, _>>()?,
            mac: keys.mac("audit redaction token"),
            seal: keys.seal("audit redaction"),
        })))
    }

    /// The document without what must not be stored, and at most about `most` bytes of it.
    #[must_use]
    pub fn document(
        &self,
        tenant: &str,
        tool: Option<&str>,
        json: &RawJson,
        most: usize,
        report: &mut Report,
    ) -> String {
        let profile = self.profile(tenant, tool);
        let mut document = Document::new(self, profile, json.as_str(), most, 0);
        document.write();
        let (text, found) = document.done();
        report.add(&found);
        text
    }

    /// A text without what must not be stored: an error's, a URI.
    #[must_use]
    pub fn text<'a>(
        &self,
        tenant: &str,
        tool: Option<&str>,
        text: &'a str,
        report: &mut Report,
    ) -> Cow<'a, str> {
        self.cleaned(self.profile(tenant, tool), text, report)
    }

    fn profile<'a>(&'a self, tenant: &'a str, tool: Option<&str>) -> Profile<'a> {
        let pointers = tool.and_then(|tool| self.0.tools.get(tool));
        Profile {
            tenant,
            pointers,
            is_strict: pointers.is_none(),
        }
    }

    fn action(&self, profile: Profile<'_>, class: Class) -> Action {
        match self.0.actions[class.index()] {
            Action::Keep if profile.is_strict => Action::Mask,
            action => action,
        }
    }

    fn is_secret_name(&self, name: &str) -> bool {
        self.0.detectors.is_secret_name(name)
    }

    /// `text` with something else in each place that a detector finds.
    fn cleaned<'a>(
        &self,
        profile: Profile<'_>,
        text: &'a str,
        report: &mut Report,
    ) -> Cow<'a, str> {
        let mut spans = self.0.detectors.find(text);
        spans.retain(|span| self.action(profile, span.class) != Action::Keep);
        if spans.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut cleaned = String::with_capacity(text.len());
        let mut from = 0;
        for Span { start, end, class } in spans {
            cleaned.push_str(&text[from..start]);
            cleaned.push_str(&self.instead_of(profile, class, &text[start..end], report));
            from = end;
        }
        cleaned.push_str(&text[from..]);
        Cow::Owned(cleaned)
    }

    /// What stands where `found` stood.
    fn instead_of(
        &self,
        profile: Profile<'_>,
        class: Class,
        found: &str,
        report: &mut Report,
    ) -> String {
        report.count(class);
        let name = class.name();
        match self.action(profile, class) {
            Action::Drop => String::new(),
            Action::Mask | Action::Keep => format!("[{name}]"),
            Action::Token => {
                let parts = [profile.tenant.as_bytes(), name.as_bytes(), found.as_bytes()];
                let tag = self.0.mac.tag(&parts);
                let digits = tag.iter().take(TOKEN_DIGITS / 2);
                let digits: String = digits.map(|byte| format!("{byte:02x}")).collect();
                format!("[{name}:{digits}]")
            }
            Action::Encrypt => {
                let sealed = self
                    .0
                    .seal
                    .seal(profile.tenant.as_bytes(), found.as_bytes());
                format!("[{name}!{sealed}]")
            }
        }
    }
}
