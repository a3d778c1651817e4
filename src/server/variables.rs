//! Variables out of a URI, read into a type.
//!
//! What stands in a URI is text; [`decode`] lets a type ask for numbers and booleans too.

use std::collections::BTreeMap;

use serde::de::value::{Error, MapDeserializer};
use serde::de::{self, DeserializeOwned, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// Reads variables into a type.
pub(super) fn decode<T: DeserializeOwned>(found: &BTreeMap<String, String>) -> Result<T, Error> {
    let members = found
        .iter()
        .map(|(name, value)| (name.as_str(), Variable(value)));
    T::deserialize(MapDeserializer::new(members))
}

/// Decodes `%xx`; `None` when that gives no UTF-8 or a `%` stands alone.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            decoded.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

struct Variable<'a>(&'a str);

impl IntoDeserializer<'_, Error> for Variable<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Parses the text as the type that is asked for.
macro_rules! parsed {
    ($($method:ident => $visit:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(de::Error::invalid_value(de::Unexpected::Str(self.0), &visitor)),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Variable<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    parsed! {
        deserialize_bool => visit_bool,
        deserialize_i8 => visit_i8,
        deserialize_i16 => visit_i16,
        deserialize_i32 => visit_i32,
        deserialize_i64 => visit_i64,
        deserialize_u8 => visit_u8,
        deserialize_u16 => visit_u16,
        deserialize_u32 => visit_u32,
        deserialize_u64 => visit_u64,
        deserialize_f32 => visit_f32,
        deserialize_f64 => visit_f64
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Variables {
        id: u32,
        name: String,
        flag: Option<bool>,
    }

    #[test]
    fn text_becomes_what_the_type_asks_for() {
        let found = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        assert_eq!(
            decode::<Variables>(&found(&[("id", "7"), ("name", "8"), ("flag", "true")])).unwrap(),
            Variables {
                id: 7,
                name: "8".into(),
                flag: Some(true)
            }
        );
        assert!(decode::<Variables>(&found(&[("id", "x"), ("name", "8")])).is_err());
        assert!(decode::<Variables>(&found(&[("name", "8")])).is_err());
    }

    #[test]
    fn percent_decoding_takes_only_whole_escapes() {
        for (text, decoded) in [
            ("a%2Fb", Some("a/b")),
            ("%", None),
            ("%zz", None),
            ("é", Some("é")),
        ] {
            assert_eq!(percent_decode(text).as_deref(), decoded, "{text}");
        }
    }
}
