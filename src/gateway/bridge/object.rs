//! JSON objects and arrays one level deep: members in their order, undecoded.
//!
//! A tree would forget the order and the digits of large numbers. Here only what is changed is
//! written anew.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::protocol::encode;
use crate::protocol::raw;

/// The members of an object.
pub(super) struct Object<'a> {
    members: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    is_changed: bool,
}

impl<'a> Object<'a> {
    /// The members of this JSON, if it is an object.
    pub(super) fn parse(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let mut members = self.members.iter();
        let (_, value) = members.find(|(name, _)| name == key)?;
        Some(value)
    }

    /// A member that is a string.
    pub(super) fn string(&self, key: &str) -> Option<Cow<'_, str>> {
        raw::string(self.get(key)?)
    }

    /// Puts a value where the member is, or at the end.
    pub(super) fn set(&mut self, key: &'static str, value: impl Into<String>) {
        self.is_changed = true;
        let value = Cow::Owned(value.into());
        match self.members.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.members.push((Cow::Borrowed(key), value)),
        }
    }

    /// The same, if there is a value.
    pub(super) fn set_if(&mut self, key: &'static str, value: Option<String>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Cow<'a, str>> {
        let at = self.members.iter().position(|(name, _)| name == key)?;
        self.is_changed = true;
        Some(self.members.remove(at).1)
    }

    /// Gives each value a chance to be another.
    ///
    /// # Errors
    /// As `change` fails.
    pub(super) fn change_each<E>(
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

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter().map(|(key, value)| (&**key, &**value))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The object as text, if it is not what it was.
    pub(super) fn changed(&self) -> Option<String> {
        self.is_changed.then(|| self.text())
    }

    pub(super) fn text(&self) -> String {
        let length = |(key, value): &(Cow<'_, str>, Cow<'_, str>)| key.len() + value.len() + 4;
        let length = self.members.iter().map(length).sum::<usize>();
        let mut text = String::with_capacity(length + 2);
        text.push('{');
        for (at, (key, value)) in self.members.iter().enumerate() {
            text.push_str(if at == 0 { "" } else { "," });
            encode::push_string(&mut text, key);
            text.push(':');
            text.push_str(value);
        }
        text.push('}');
        text
    }
}

/// The elements of this JSON, if it is an array.
pub(super) fn elements(json: &str) -> Option<Vec<&str>> {
    let elements = serde_json::from_str::<Vec<&RawValue>>(json).ok()?;
    Some(elements.into_iter().map(RawValue::get).collect())
}

/// The array with some elements changed; `None` when none is.
///
/// # Errors
/// As `change` fails, and with `otherwise` when this is no array.
pub(super) fn change_elements<E>(
    array: &str,
    otherwise: E,
    mut change: impl FnMut(&str) -> Result<Option<String>, E>,
) -> Result<Option<String>, E> {
    let Some(elements) = elements(array) else {
        return Err(otherwise);
    };
    let mut is_changed = false;
    let mut all = Vec::with_capacity(elements.len());
    for element in elements {
        let changed = change(element)?;
        is_changed |= changed.is_some();
        all.push(changed.map_or(Cow::Borrowed(element), Cow::Owned));
    }
    Ok(is_changed.then(|| array_of(&all)))
}

/// An array of these values.
pub(super) fn array_of<S: AsRef<str>>(elements: &[S]) -> String {
    let mut text = String::from("[");
    for (at, element) in elements.iter().enumerate() {
        text.push_str(if at == 0 { "" } else { "," });
        text.push_str(element.as_ref());
    }
    text.push(']');
    text
}

/// A text as JSON.
pub(super) fn quoted(text: &str) -> String {
    let mut json = String::new();
    encode::push_string(&mut json, text);
    json
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(map.size_hint().unwrap_or(4));
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &RawValue>()? {
                    members.push((key, Cow::Borrowed(value.get())));
                }
                Ok(Object {
                    members,
                    is_changed: false,
                })
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A name, copied only if it has escapes; `Cow` alone always copies.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_stays_in_its_place_as_it_came() {
        let json = r#"{"z": 18446744073709551616, "a":[1,  2],"\u0062":"\u0041", "c":{}}"#;
        let mut object = Object::parse(json).unwrap();
        assert_eq!(object.string("b").as_deref(), Some("A"));
        assert!(object.changed().is_none());
        object.set("a", "true");
        object.set("d", "null");
        assert_eq!(object.remove("c").as_deref(), Some("{}"));
        assert_eq!(
            object.changed().unwrap(),
            r#"{"z":18446744073709551616,"a":true,"b":"\u0041","d":null}"#
        );
        for other in ["[]", "1", r#""{}""#, "null", "{", ""] {
            assert!(Object::parse(other).is_none(), "{other}");
        }
    }
}
