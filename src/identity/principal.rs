//! The principal: whose request this is.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Whose request this is. Two requests of equal principals may share state, others never do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Principal(Arc<str>);

impl Principal {
    /// The one principal of a process without authentication: whoever can reach a loopback
    /// address, or holds the other end of our standard input.
    #[must_use]
    pub fn local() -> Self {
        Self("local".into())
    }

    /// Whoever holds a key of `owner`: a new key of the same owner is the same principal.
    #[must_use]
    pub fn of_owner(tenant: &str, owner: &str) -> Self {
        Self::of_words(&["owner", tenant, owner])
    }

    /// A subject as its issuer knows it, through one client.
    #[must_use]
    pub fn of_subject(tenant: &str, issuer: &str, subject: &str, client: &str) -> Self {
        Self::of_words(&["subject", tenant, issuer, subject, client])
    }

    /// A JSON array, so that no word can be written to look like two.
    fn of_words(words: &[&str]) -> Self {
        Self(serde_json::json!(words).to_string().into())
    }

    /// A text that names this principal and no other, for keys and MACs.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.0
    }

    /// Whether a text is the key of any principal.
    #[must_use]
    pub fn is_key(text: &str) -> bool {
        let words = serde_json::from_str::<Vec<String>>(text).unwrap_or_default();
        let kind = words.first().map(String::as_str);
        text == "local"
            || matches!(
                (kind, words.len()),
                (Some("owner"), 3) | (Some("subject"), 5)
            )
    }

    /// The principal a checkpoint names.
    #[must_use]
    pub fn from_key(key: &str) -> Self {
        Self(key.into())
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Words of what separates words.
    fn word() -> impl Strategy<Value = String> {
        vec(
            prop::sample::select(r#"",[]\/:|a "#.chars().collect::<Vec<_>>()),
            0..5,
        )
        .prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        /// Whatever is kept is kept under a key that is made of this one.
        #[test]
        fn names_written_in_any_way_are_of_one_principal(
            one in [word(), word(), word(), word()],
            other in [word(), word(), word(), word()],
        ) {
            let subject = |it: &[String; 4]| Principal::of_subject(&it[0], &it[1], &it[2], &it[3]);
            let owner = |it: &[String; 4]| Principal::of_owner(&it[0], &it[1]);
            prop_assert_eq!(one == other, subject(&one) == subject(&other));
            prop_assert_eq!(one[..2] == other[..2], owner(&one) == owner(&other));
            prop_assert_ne!(owner(&one), subject(&other));
        }
    }

    #[test]
    fn no_two_callers_share_a_principal_however_their_names_are_written() {
        let all = [
            Principal::local(),
            Principal::of_owner("t", "ab"),
            Principal::of_owner("ta", "b"),
            Principal::of_owner("t\",\"a", "b"),
            Principal::of_owner("t", "a\",\"b"),
            Principal::of_subject("t", "a", "b", ""),
            Principal::of_subject("t", "a", "", "b"),
            Principal::of_subject("t", "", "a", "b"),
        ];
        let keys: std::collections::BTreeSet<_> = all.iter().map(Principal::key).collect();
        assert_eq!(keys.len(), all.len());
    }
}
