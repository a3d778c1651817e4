//! What a message was that is too large to be taken, told from how it begins.
//!
//! Servers write the id before the result, so an answer that nobody can take is still known to be the answer
//! to one request, and no other has to be given up.

use std::cell::Cell;
use std::fmt;

use serde::de::{Deserializer as _, Error, IgnoredAny, MapAccess, Visitor};

use crate::protocol::jsonrpc::RequestId;

/// What it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Overlong {
    /// The answer to this request.
    Answer(RequestId),
    /// Something the server tells or asks: nobody waits for it.
    NoAnswer,
    /// Its beginning does not tell.
    Unknown,
}

impl Overlong {
    /// What begins like this.
    pub(super) fn of(head: &[u8]) -> Self {
        let found = Cell::new(Self::Unknown);
        let mut json = serde_json::Deserializer::from_slice(head);
        // Fails at the latest where the head is cut.
        let _cut = json.deserialize_map(Reader(&found));
        found.into_inner()
    }
}

struct Reader<'a>(&'a Cell<Overlong>);

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut id = None;
        while let Some(key) = members.next_key::<String>()? {
            match (&*key, &id) {
                ("id", _) => id = Some(members.next_value::<RequestId>()?),
                ("method", _) => {
                    self.0.set(Overlong::NoAnswer);
                    return Err(A::Error::custom("known"));
                }
                ("result" | "error", Some(id)) => {
                    self.0.set(Overlong::Answer(id.clone()));
                    return Err(A::Error::custom("known"));
                }
                _other => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_message_tells_whose_answer_it_is() {
        let seven = Overlong::Answer(RequestId::Number(7));
        for (head, expected) in [
            (
                r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"te"#,
                &seven,
            ),
            (r#" {"id":7,"error":{"code"#, &seven),
            (r#"{"id":7,"extra":{"result":1},"result":"#, &seven),
            (
                r#"{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{"#,
                &Overlong::NoAnswer,
            ),
            (
                r#"{"method":"notifications/message","params":{"id":7,"result":"#,
                &Overlong::NoAnswer,
            ),
            (r#"{"result":{"id":7,"error":{}"#, &Overlong::Unknown),
            (r#"{"jsonrpc":"2.0","id":7"#, &Overlong::Unknown),
            (r#"{"id":{"a":1},"result":"#, &Overlong::Unknown),
            (r#"[{"id":7,"result":"#, &Overlong::Unknown),
            ("xxxxxxx", &Overlong::Unknown),
            ("", &Overlong::Unknown),
        ] {
            assert_eq!(Overlong::of(head.as_bytes()), *expected, "{head}");
        }
    }
}
