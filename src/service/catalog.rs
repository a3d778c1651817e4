//! What stands in the lists of a service, as others than itself speak of it.

use std::sync::Arc;

/// What kind of thing an entry of a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A tool.
    Tool,
    /// A prompt.
    Prompt,
    /// A resource.
    Resource,
    /// A template of URIs.
    Template,
}

/// Which entries count, by their kind and canonical name; all, without one.
pub type Sees<'a> = Option<&'a dyn Fn(EntryKind, &str) -> bool>;

/// What rules, limits and records call something, whatever name clients are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical {
    /// Its name: `prefix.name` for a tool or prompt of an upstream.
    pub name: String,
    /// The upstream it is of.
    pub server: Arc<str>,
}
