//! Resource templates: families of resources behind one pattern of URIs.
//!
//! [`ResourceTemplate::new`] takes a function of typed variables. `{name}` matches one path segment,
//! `{+name}` matches the rest, slashes included; both are percent-decoded. Matching takes one pass:
//! a variable ends at the first place where the literal behind it stands.
//!
//! It does not check what a variable leads to: a function that turns `{+path}` into a file name has
//! to keep it from climbing out by itself.
//!
//! Spec: server/resources, resource templates; RFC 6570, levels 1 and 2.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Map;

use super::audience::Audience;
use super::catalog::Entry;
use super::complete::{Completable, Completer};
use super::context::Context;
use super::described::described;
use super::entries::Entries;
use super::error::RegistrationError;
use super::variables;
use crate::protocol::content::ResourceBody;
use crate::protocol::icon;
use crate::protocol::raw::RawJson;
use crate::protocol::resource::ResourceTemplateDefinition;
use crate::protocol::version::ProtocolVersion;
use crate::service::{CacheHints, ServiceError};

type Handler = Arc<
    dyn Fn(Context, Found) -> BoxFuture<'static, Result<ResourceBody, ServiceError>> + Send + Sync,
>;

/// A URI that matched, and what its variables stand for.
pub(super) struct Found {
    pub(super) uri: String,
    pub(super) variables: BTreeMap<String, String>,
}

/// A family of resources on its way to a server.
///
/// ```
/// use serde::Deserialize;
/// use switchboard::prelude::*;
///
/// #[derive(Deserialize)]
/// struct Page {
///     book: String,
///     page: u32,
/// }
///
/// let pages = ResourceTemplate::new("book://{book}/{page}", "page", |_, at: Page| async move {
///     if at.page > 300 {
///         let uri = format!("book://{}/{}", at.book, at.page);
///         return Err(ServiceError::ResourceNotFound { uri });
///     }
///     Ok(format!("page {} of {}", at.page, at.book))
/// })
/// .complete("book", Completer::among(["emma", "persuasion"]))
/// .complete("page", Completer::new(|typed: Typed| async move {
///     (1..=300).map(|page| page.to_string()).filter(|page| page.starts_with(&typed.value)).collect()
/// }));
/// # let keys = switchboard::runtime::seal::ClusterKeys::generate();
/// # Server::builder("books", "1.0.0").resource_template(pages).build(&keys)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct ResourceTemplate {
    definition: ResourceTemplateDefinition,
    cache: CacheHints,
    audience: Audience,
    completers: BTreeMap<String, Completer>,
    handler: Handler,
}

described!(ResourceTemplate, "What its resources are about.");

impl ResourceTemplate {
    /// A family of resources. The function takes the variables as a type whose members are
    /// strings, numbers or booleans; a URI whose parts do not fit is a resource that is not there.
    pub fn new<V, B, F, Fut>(
        uri_template: impl Into<String>,
        name: impl Into<String>,
        function: F,
    ) -> Self
    where
        V: DeserializeOwned,
        B: Into<ResourceBody>,
        F: Fn(Context, V) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<B, ServiceError>> + Send + 'static,
    {
        Self {
            definition: ResourceTemplateDefinition {
                uri_template: uri_template.into(),
                name: name.into(),
                title: None,
                description: None,
                mime_type: None,
                annotations: None,
                icons: Vec::new(),
                meta: Map::new(),
            },
            cache: CacheHints::default(),
            audience: Audience::default(),
            completers: BTreeMap::new(),
            handler: Arc::new(move |ctx, found| {
                if let Ok(variables) = variables::decode(&found.variables) {
                    let running = function(ctx, variables);
                    Box::pin(async move { running.await.map(Into::into) })
                } else {
                    let error = ServiceError::ResourceNotFound { uri: found.uri };
                    Box::pin(std::future::ready(Err(error)))
                }
            }),
        }
    }

    /// What kind of things they are.
    pub fn mime_type(mut self, mime_type: impl Into<String>) -> Self {
        self.definition.mime_type = Some(mime_type.into());
        self
    }

    /// How long a read may be kept.
    pub const fn cache(mut self, cache: CacheHints) -> Self {
        self.cache = cache;
        self
    }

    /// How a variable is completed while it is typed.
    pub fn complete(mut self, variable: impl Into<String>, completer: Completer) -> Self {
        self.completers.insert(variable.into(), completer);
        self
    }

    pub(super) fn register(self) -> Result<RegisteredTemplate, RegistrationError> {
        let pattern = Pattern::parse(&self.definition.uri_template).map_err(|reason| {
            RegistrationError::Template {
                template: self.definition.uri_template.clone(),
                reason,
            }
        })?;
        Ok(RegisteredTemplate {
            entries: Entries::of(|version| {
                let mut definition = self.definition.clone();
                icon::fit(&mut definition.icons, &mut definition.meta, version);
                RawJson::of(&definition)
            }),
            pattern,
            template: self,
        })
    }
}

impl std::fmt::Debug for ResourceTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ResourceTemplate({:?})", self.definition.uri_template)
    }
}

/// A family of resources as reads and lists use it.
pub(super) struct RegisteredTemplate {
    entries: Entries,
    pattern: Pattern,
    template: ResourceTemplate,
}

impl Entry for RegisteredTemplate {
    const KIND: &'static str = "resource template";

    fn key(&self) -> &str {
        &self.template.definition.uri_template
    }

    fn audience(&self) -> &Audience {
        &self.template.audience
    }

    fn entry(&self, version: ProtocolVersion) -> &RawJson {
        self.entries.get(version)
    }
}

impl RegisteredTemplate {
    pub(super) fn matches(&self, uri: &str) -> bool {
        self.pattern.variables(uri).is_some()
    }

    pub(super) fn find(&self, uri: &str) -> Option<Found> {
        self.pattern.variables(uri).map(|variables| Found {
            uri: uri.to_owned(),
            variables,
        })
    }

    pub(super) fn start(
        &self,
        ctx: Context,
        found: Found,
    ) -> BoxFuture<'static, Result<ResourceBody, ServiceError>> {
        (self.template.handler)(ctx, found)
    }

    /// What only some may see is nobody else's to keep.
    pub(super) const fn cache(&self) -> CacheHints {
        let cache = self.template.cache;
        CacheHints {
            public: cache.public && self.template.audience.is_everybody(),
            ..cache
        }
    }

    pub(super) const fn mime_type(&self) -> Option<&String> {
        self.template.definition.mime_type.as_ref()
    }

    pub(super) fn completes(&self) -> bool {
        !self.template.completers.is_empty()
    }

    /// How a variable is completed.
    pub(super) fn completable(&self, variable: &str) -> Completable<'_> {
        if self.pattern.has_variable(variable) {
            Completable::known(self.template.completers.get(variable))
        } else {
            Completable::Unknown
        }
    }
}

/// A parsed template: each variable and the literal before it, then the last literal.
#[derive(Debug, PartialEq, Eq)]
struct Pattern {
    variables: Vec<Variable>,
    end: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Variable {
    literal_before: String,
    name: String,
    takes_slashes: bool,
}

impl Pattern {
    fn parse(template: &str) -> Result<Self, &'static str> {
        let mut variables: Vec<Variable> = Vec::new();
        let mut rest = template;
        while let Some((literal, behind)) = rest.split_once('{') {
            let (expression, behind) = behind.split_once('}').ok_or("a brace is not closed")?;
            let (takes_slashes, name) = match expression.strip_prefix('+') {
                Some(name) => (true, name),
                None => (false, expression),
            };
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
            if name.is_empty() || !name.bytes().all(is_name) {
                return Err("only {name} and {+name} are understood");
            }
            if literal.is_empty() {
                return Err("a literal has to stand before each variable");
            }
            if variables.iter().any(|variable| variable.name == name) {
                return Err("a variable stands twice");
            }
            variables.push(Variable {
                literal_before: literal.to_owned(),
                name: name.to_owned(),
                takes_slashes,
            });
            rest = behind;
        }
        if variables.is_empty() {
            return Err("there is no variable in it");
        }
        Ok(Self {
            variables,
            end: rest.to_owned(),
        })
    }

    fn has_variable(&self, name: &str) -> bool {
        self.variables.iter().any(|variable| variable.name == name)
    }

    fn variables(&self, uri: &str) -> Option<BTreeMap<String, String>> {
        let mut found = BTreeMap::new();
        let mut rest = uri.strip_prefix(&self.variables.first()?.literal_before)?;
        for (at, variable) in self.variables.iter().enumerate() {
            let value;
            (value, rest) = match self.variables.get(at + 1) {
                Some(next) => rest.split_once(next.literal_before.as_str())?,
                None => (rest.strip_suffix(self.end.as_str())?, ""),
            };
            if value.is_empty() || (!variable.takes_slashes && value.contains('/')) {
                return None;
            }
            found.insert(variable.name.clone(), variables::percent_decode(value)?);
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_match_what_they_say() {
        for (template, uri, expected) in [
            ("t://{id}/data", "t://123/data", Some(vec![("id", "123")])),
            ("t://{id}/data", "t://a%20b/data", Some(vec![("id", "a b")])),
            ("t://{id}/data", "t:///data", None),
            ("t://{id}/data", "t://1/2/data", None),
            ("t://{id}/data", "t://1/other", None),
            ("t://{id}/data", "t://%ff/data", None),
            (
                "f:///{+path}",
                "f:///a/b.txt",
                Some(vec![("path", "a/b.txt")]),
            ),
            ("a:{x}-{y}", "a:1-2", Some(vec![("x", "1"), ("y", "2")])),
            (
                "a:{x}/{+y}",
                "a:1/2/3",
                Some(vec![("x", "1"), ("y", "2/3")]),
            ),
        ] {
            let found = Pattern::parse(template).unwrap().variables(uri);
            let expected = expected.map(|pairs| {
                pairs
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect::<BTreeMap<_, _>>()
            });
            assert_eq!(found, expected, "{template} {uri}");
        }
    }

    #[test]
    fn what_cannot_be_matched_is_refused() {
        for template in [
            "a:b",
            "a:{b",
            "a:{b}{c}",
            "a:{b*}",
            "a:{}",
            "a:{b}/{b}",
            "{a}",
        ] {
            assert!(Pattern::parse(template).is_err(), "{template}");
        }
    }
}
