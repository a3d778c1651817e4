//! Keys that are spelled differently, and that some decoders take for one another.
//!
//! JSON's keys are case-sensitive, and so are ours. Decoders in common use are not: to them `Name` is
//! `name`, and the last one of an object counts. What we judge by one of them must not be read by the
//! other behind us.

/// Whether the keys are the same but for case, as Unicode folds it: `\u{17f}` is an `s`, and `\u{212a}`
/// (Kelvin) a `k`. A key is alike itself.
#[must_use]
pub fn are_alike(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    folded(one).eq(folded(other))
}

fn folded(key: &str) -> impl Iterator<Item = char> {
    key.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_alike_in_any_case_and_alphabet() {
        for alike in ["name", "Name", "NAME", "nAmE"] {
            assert!(are_alike("name", alike), "{alike}");
        }
        assert!(are_alike("task", "ta\u{17f}\u{212a}"));
        assert!(are_alike("größe", "GRÖßE"));
        for other in ["nam", "names", "n\u{e0}me", "n ame", ""] {
            assert!(!are_alike("name", other), "{other}");
        }
    }
}
