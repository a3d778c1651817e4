//! JSON kept as the text it came as.

use std::borrow::Cow;
use std::fmt;

use bytestring::ByteString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::members::for_each_member;

/// One complete, valid JSON value as text. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct RawJson(ByteString);

/// A value did not have the shape its place asks for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ShapeError(String);

impl ShapeError {
    /// An error that says `what` is wrong, for the sender.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl RawJson {
    /// The text of any serializable value.
    ///
    /// # Panics
    /// When serializing fails, which our own types (no maps with non-string keys) never do.
    #[must_use]
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        let text = serde_json::to_string(value).expect("invariant: our values serialize");
        Self(ByteString::from(text))
    }

    /// Takes text that a JSON parser has already accepted as one complete value.
    #[must_use]
    pub fn from_valid(text: impl Into<ByteString>) -> Self {
        Self(text.into())
    }

    /// The part of `whole` that a parser found to be a value, sharing its bytes.
    #[must_use]
    pub fn slice_of(whole: &ByteString, part: &str) -> Self {
        Self(whole.slice_ref(part))
    }

    /// `{}`.
    #[must_use]
    pub const fn empty_object() -> Self {
        Self(ByteString::from_static("{}"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the value is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.0.trim_ascii_start().starts_with('{')
    }

    /// The members of an object as text, without its braces; `None` when it has none.
    ///
    /// # Panics
    /// When the value is not an object.
    #[must_use]
    pub fn members(&self) -> Option<&str> {
        let inner = self
            .0
            .trim_ascii()
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
            .expect("invariant: only objects are asked for members")
            .trim_ascii();
        (!inner.is_empty()).then_some(inner)
    }

    /// The members of an object in their order, each value as the JSON it came as; none when it is
    /// not an object.
    #[must_use]
    pub fn entries(&self) -> Vec<(Cow<'_, str>, &str)> {
        entries(&self.0)
    }

    /// The object, which has no `_meta`, with this one.
    #[must_use]
    pub fn with_meta(&self, meta: &serde_json::Value) -> Self {
        let members = self.members().unwrap_or("");
        let comma = if members.is_empty() { "" } else { "," };
        Self::from_valid(format!(r#"{{"_meta":{meta}{comma}{members}}}"#))
    }

    /// The object, which has no member of this plain name, with one more.
    #[must_use]
    pub fn with_member(&self, key: &str, value: &Self) -> Self {
        let members = self.members().unwrap_or("");
        let comma = if members.is_empty() { "" } else { "," };
        Self::from_valid(format!("{{{members}{comma}\"{key}\":{}}}", value.as_str()))
    }

    /// Decodes the value, borrowing from it.
    ///
    /// # Errors
    /// [`ShapeError`] when it does not have the shape of `T`. An array is never taken for an
    /// object, which derived decoding would allow.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ShapeError> {
        decode(&self.0)
    }

    /// The value as a tree.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

/// The members of the object in `text`; see [`RawJson::entries`].
#[must_use]
pub fn entries(text: &str) -> Vec<(Cow<'_, str>, &str)> {
    let mut found = Vec::new();
    for_each_member(text, |key, value| found.push((key, value)));
    found
}

/// Decodes an object from text; see [`RawJson::decode`].
///
/// # Errors
/// [`ShapeError`] when the text is not an object of that shape.
pub fn decode<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ShapeError> {
    if !text.trim_ascii_start().starts_with('{') {
        return Err(ShapeError("an object is expected".into()));
    }
    serde_json::from_str(text).map_err(|error| ShapeError(without_position(&error)))
}

/// Decodes a member that must be an object; for `deserialize_with`. Derived decoding would take an
/// array there too, and read it by position.
///
/// # Errors
/// When it is not an object of that shape.
pub fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<T, D::Error> {
    let value = Box::<RawValue>::deserialize(deserializer)?;
    decode(value.get()).map_err(serde::de::Error::custom)
}

/// Decodes any JSON value into an owned type.
///
/// # Errors
/// [`ShapeError`] when the text does not have the shape of `T`.
pub fn decode_any<T: DeserializeOwned>(text: &str) -> Result<T, ShapeError> {
    serde_json::from_str(text).map_err(|error| ShapeError(without_position(&error)))
}

/// The text of a JSON string, copied only if it has escapes; `None` when it is another value.
#[must_use]
pub fn string(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.bytes().any(|byte| byte == b'\\') {
        return serde_json::from_str(json).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// Keeps `null` apart from "not there", which `Option` alone would merge; for `deserialize_with`.
///
/// # Errors
/// As the deserializer fails.
pub fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Line and column count from the start of a fragment the sender never saw as such.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Contents may be private; their size is enough to follow a log.
        write!(f, "RawJson({} bytes)", self.0.len())
    }
}

impl Serialize for RawJson {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(ByteString::from(String::from(Box::<str>::from(
            value,
        )))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Named {
        name: String,
    }

    #[test]
    fn an_array_is_never_taken_for_an_object() {
        let object = RawJson::from_valid(r#"{"name":"a"}"#);
        assert_eq!(object.decode::<Named>().unwrap().name, "a");
        assert!(RawJson::from_valid(r#"["a"]"#).decode::<Named>().is_err());
    }

    #[test]
    fn nor_is_an_array_in_a_member() {
        #[derive(Deserialize)]
        struct Outer {
            #[serde(deserialize_with = "object")]
            inner: Named,
        }
        let good = RawJson::from_valid(r#"{"inner": {"name":"a"}}"#);
        assert_eq!(good.decode::<Outer>().unwrap().inner.name, "a");
        let array = RawJson::from_valid(r#"{"inner": ["a"]}"#);
        assert!(array.decode::<Outer>().is_err());
    }

    #[test]
    fn members_come_without_braces() {
        assert_eq!(
            RawJson::from_valid(r#" { "a":1 } "#).members(),
            Some(r#""a":1"#)
        );
        assert_eq!(RawJson::empty_object().members(), None);
    }

    #[test]
    fn entries_keep_their_order_and_their_text() {
        let raw = RawJson::from_valid(r#" {"b":{"x": 1.0},"\u0061":18446744073709551616} "#);
        let entries = raw.entries();
        assert_eq!(entries[0], ("b".into(), r#"{"x": 1.0}"#));
        assert_eq!(entries[1], ("a".into(), "18446744073709551616"));
        assert!(RawJson::from_valid("[1]").entries().is_empty());
    }

    #[test]
    fn a_string_is_copied_only_for_its_escapes() {
        assert!(matches!(string(r#""aé""#), Some(Cow::Borrowed("aé"))));
        assert!(matches!(string(r#""""#), Some(Cow::Borrowed(""))));
        assert_eq!(string(r#""a\"\u0062\\""#).as_deref(), Some("a\"b\\"));
        for other in ["null", "1", "{}", r#"["a"]"#] {
            assert_eq!(string(other), None, "{other}");
        }
    }

    #[test]
    fn big_integers_survive() {
        let raw = RawJson::from_valid("18446744073709551616");
        assert_eq!(serde_json::to_string(&raw).unwrap(), "18446744073709551616");
    }
}
