//! The members of an object as the text they came as: looked at, some of them changed, and written
//! again in their order.
//!
//! Nothing here builds trees, so what nobody changes keeps its digits, its spelling and its order.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::encode;

/// An object's members, each a key and a value that is JSON text.
#[derive(Clone, Debug, Default)]
pub struct Members<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Members<'a> {
    /// The members of `object`; `None` when it is another value. The text must be valid JSON.
    #[must_use]
    pub fn of(object: &'a str) -> Option<Self> {
        if !object.trim_ascii_start().starts_with('{') {
            return None;
        }
        let mut found = Vec::new();
        for_each_member(object, |key, value| found.push((key, value.into())));
        Some(Self(found))
    }

    /// The value of that key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut members = self.0.iter();
        members.find(|(it, _)| it == key).map(|(_, value)| &**value)
    }

    /// Gives the key this value, in its place if it has one and as the last otherwise.
    pub fn set(&mut self, key: &'static str, value: String) {
        match self.0.iter_mut().find(|(it, _)| it == key) {
            Some((_, current)) => *current = value.into(),
            None => self.0.push((key.into(), value.into())),
        }
    }

    /// Takes the key and its value out; whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(it, _)| it != key);
        self.0.len() < before
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes the object.
    pub fn push_to(&self, out: &mut String) {
        for (at, (key, value)) in self.0.iter().enumerate() {
            out.push(if at == 0 { '{' } else { ',' });
            encode::push(out, key);
            out.push(':');
            out.push_str(value);
        }
        out.push_str(if self.0.is_empty() { "{}" } else { "}" });
    }
}

impl fmt::Display for Members<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.push_to(&mut text);
        f.write_str(&text)
    }
}

/// Passes the members of an object to `act`; a value of another kind has none.
pub fn for_each_member<'a>(object: &'a str, act: impl FnMut(Cow<'a, str>, &'a str)) {
    struct Each<F>(F);

    impl<'de, F: FnMut(Cow<'de, str>, &'de str)> Visitor<'de> for Each<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                (self.0)(key, value.get());
            }
            Ok(())
        }
    }

    /// A key that is copied only if it has escapes.
    #[derive(Deserialize)]
    struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

    serde_json::Deserializer::from_str(object)
        .deserialize_map(Each(act))
        .unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_is_written_as_it_came() {
        let object = r#" {"z": 1.0e400, "\u0061": {"k" : [18446744073709551616 ]}, "é\n": null} "#;
        let mut members = Members::of(object).unwrap();
        assert_eq!(members.get("a"), Some(r#"{"k" : [18446744073709551616 ]}"#));
        members.set("z", "2".into());
        members.set("new", "true".into());
        assert!(members.remove("é\n"));
        assert!(!members.remove("b"));
        let expected = r#"{"z":2,"a":{"k" : [18446744073709551616 ]},"new":true}"#;
        assert_eq!(members.to_string(), expected);
    }

    #[test]
    fn only_objects_have_members() {
        assert_eq!(Members::of("{ }").unwrap().to_string(), "{}");
        for other in ["[]", "null", r#""{}""#, "1"] {
            assert!(Members::of(other).is_none(), "{other}");
        }
    }
}
