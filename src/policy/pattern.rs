//! Patterns of names: `*` stands for any text, also none; everything else for itself.

/// Whether `pattern` stands for `name`. The time is linear in both.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        // The earliest place leaves most for the parts that follow.
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("get", "get", true),
            ("get", "gets", false),
            ("get", "", false),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything.at-all", true),
            ("get_*", "get_", true),
            ("get_*", "get_one", true),
            ("get_*", "forget_one", false),
            ("*_one", "get_one", true),
            ("*_one", "get_one_more", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*b*", "abc", true),
            ("a*b*c", "abbc", true),
            ("a*b*c", "acb", false),
            ("a*bc*c", "abc", false),
            ("a**b", "ab", true),
            ("[a-z].?", "[a-z].?", true),
            ("ä*", "äö", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
