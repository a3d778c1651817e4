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
use super::raw;

/// An object's members, each a key and a value that is JSON text.
#[derive(Clone, Debug, Default)]
pub struct Members<'a> {
    members: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    is_changed: bool,
}

impl<'a> Members<'a> {
    /// The members of `object`; `None` when it is another value.
    #[must_use]
    pub fn of(object: &'a str) -> Option<Self> {
        let mut members = Vec::new();
        walk(object, |key, value| members.push((key, value.into()))).ok()?;
        Some(Self {
            members,
            is_changed: false,
        })
    }

    /// The value of that key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter()
            .find(|(it, _)| *it == key)
            .map(|(_, value)| value)
    }

    /// The text of that key, if it has one.
    #[must_use]
    pub fn string(&self, key: &str) -> Option<Cow<'_, str>> {
        raw::string(self.get(key)?)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Gives the key this value, in its place if it has one and as the last otherwise.
    pub fn set(&mut self, key: &'static str, value: impl Into<String>) {
        self.is_changed = true;
        let value = Cow::Owned(value.into());
        match self.members.iter_mut().find(|(it, _)| it == key) {
            Some((_, current)) => *current = value,
            None => self.members.push((key.into(), value)),
        }
    }

    /// The same, if there is a value.
    pub fn set_if(&mut self, key: &'static str, value: Option<String>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    /// Takes the key and its value out, if it was there.
    pub fn remove(&mut self, key: &str) -> Option<Cow<'a, str>> {
        let at = self.members.iter().position(|(it, _)| it == key)?;
        self.is_changed = true;
        let (_, value) = self.members.remove(at);
        self.members.retain(|(it, _)| it != key);
        Some(value)
    }

    /// Gives each value a chance to be another.
    ///
    /// # Errors
    /// As `change` fails.
    pub fn change_each<E>(
        &mut self,
        mut change: impl FnMut(&str, &str) -> Result<Option<String>, E>,
    ) -> Result<(), E> {
        for (key, value) in &mut self.members {
            if let Some(changed) = change(key, value)? {
                *value = Cow::Owned(changed);
                self.is_changed = true;
            }
        }
        Ok(())
    }

    /// The object, if it is not what it was.
    #[must_use]
    pub fn changed(&self) -> Option<String> {
        self.is_changed.then(|| self.to_string())
    }

    /// Writes the object.
    pub fn push_to(&self, out: &mut String) {
        out.reserve(
            2 + self
                .iter()
                .map(|(key, value)| key.len() + value.len() + 4)
                .sum::<usize>(),
        );
        for (at, (key, value)) in self.iter().enumerate() {
            out.push(if at == 0 { '{' } else { ',' });
            encode::push_string(out, key);
            out.push(':');
            out.push_str(value);
        }
        out.push_str(if self.is_empty() { "{}" } else { "}" });
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
    walk(object, act).unwrap_or_default();
}

fn walk<'a>(
    object: &'a str,
    act: impl FnMut(Cow<'a, str>, &'a str),
) -> Result<(), serde_json::Error> {
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

    serde_json::Deserializer::from_str(object).deserialize_map(Each(act))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_is_written_as_it_came() {
        let object = r#" {"z": 1.0e400, "\u0061": {"k" : [18446744073709551616 ]}, "é\n": null} "#;
        let mut members = Members::of(object).unwrap();
        assert_eq!(members.get("a"), Some(r#"{"k" : [18446744073709551616 ]}"#));
        assert_eq!(members.changed(), None);
        members.set("z", "2");
        members.set("new", "true");
        assert_eq!(members.remove("é\n").as_deref(), Some("null"));
        assert_eq!(members.remove("b"), None);
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
