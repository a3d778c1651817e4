//! What a caller wants to reach.

use std::fmt;

use crate::protocol::raw::RawJson;

/// What kind of thing a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A tool, by its canonical name.
    Tool,
    /// A resource, by its URI.
    Resource,
    /// A prompt, by its canonical name.
    Prompt,
    /// A template of URIs, where it is listed or completed. What is read are resources.
    Template,
}

impl Kind {
    /// A word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Resource => "resource",
            Self::Prompt => "prompt",
            Self::Template => "template",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A thing and, where it is called, with which arguments.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    pub(super) kind: Kind,
    pub(super) name: &'a str,
    pub(super) arguments: Arguments<'a>,
}

/// The arguments of a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arguments<'a> {
    /// It is not called yet.
    Unknown,
    /// As they came; none are an empty object.
    Known(Option<&'a RawJson>),
}

impl<'a> Target<'a> {
    /// Something that is called, read or asked for now.
    #[must_use]
    pub const fn called(kind: Kind, name: &'a str, arguments: Option<&'a RawJson>) -> Self {
        let arguments = Arguments::Known(arguments);
        Self {
            kind,
            name,
            arguments,
        }
    }

    /// Something in a list, which may be called later with whatever arguments.
    #[must_use]
    pub const fn listed(kind: Kind, name: &'a str) -> Self {
        let arguments = Arguments::Unknown;
        Self {
            kind,
            name,
            arguments,
        }
    }
}
