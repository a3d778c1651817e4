//! The first look into a request's `params`: what routing, headers and the era need of it.
//!
//! [`ParamsHead`] is decoded in one pass and borrows everything, so that even a 4 MiB argument is
//! only skipped over. The parts it names are decoded further by whoever answers the method.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::jsonrpc::Params;
use super::raw::{self, ShapeError};

/// The members of `params` that more than one place looks at.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParamsHead<'a> {
    /// `_meta`
    #[serde(borrow, default, rename = "_meta", deserialize_with = "present")]
    pub meta: Option<&'a RawValue>,
    /// `name` of a tool or prompt
    #[serde(borrow, default, deserialize_with = "present")]
    pub name: Option<&'a RawValue>,
    /// `uri` of a resource
    #[serde(borrow, default, deserialize_with = "present")]
    pub uri: Option<&'a RawValue>,
    /// `arguments` of a tool or prompt
    #[serde(borrow, default, deserialize_with = "present")]
    pub arguments: Option<&'a RawValue>,
}

fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> ParamsHead<'a> {
    /// Looks into `params`.
    ///
    /// # Errors
    /// Only when `params` is no object, which parsing has already ruled out.
    pub fn of(params: &'a Params) -> Result<Self, ShapeError> {
        match params.raw() {
            None => Ok(Self::default()),
            Some(object) => raw::decode(object.as_str()),
        }
    }
}

/// The string a raw member holds, if it is one.
#[must_use]
pub fn string_of(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}
