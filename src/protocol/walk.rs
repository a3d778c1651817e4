//! A walk through valid JSON text, once from its beginning to its end.
//!
//! For what must look into everything: text that is parsed level by level is read as often as it is
//! deep. Whoever recurses over a [`Walk`] relies on the pre-scan that bounds how deep a text may be.
//! Text that is not valid is walked to its end too, with whatever result.

/// A place in a text.
pub(super) struct Walk<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Walk<'a> {
    pub(super) const fn through(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The byte that the next token begins with.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    /// Goes behind the next byte, which is a bracket, a comma or a colon.
    pub(super) fn step(&mut self) {
        if self.peek().is_some() {
            self.at += 1;
        }
    }

    /// Whether there is another member or element; goes behind a comma before it, and behind the
    /// bracket that ends the last.
    pub(super) fn another(&mut self) -> bool {
        if self.peek() == Some(b',') {
            self.step();
        }
        match self.peek() {
            None => false,
            Some(b'}' | b']') => {
                self.step();
                false
            }
            Some(_) => true,
        }
    }

    /// The next value as text, if it is no container; or the next key.
    pub(super) fn scalar(&mut self) -> &'a str {
        let is_string = self.peek() == Some(b'"');
        let start = self.at;
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            let is_first = self.at == start;
            match byte {
                b'"' if is_string && !is_first => {
                    self.at += 1;
                    break;
                }
                b'\\' if is_string => self.at += 1,
                b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r' if !is_string && !is_first => {
                    break;
                }
                _ => {}
            }
            self.at += 1;
        }
        self.at = self.at.min(bytes.len());
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// The next value as text, whatever it is.
    pub(super) fn value(&mut self) -> &'a str {
        self.peek();
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                None => break,
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.step();
                }
                Some(b'}' | b']') => {
                    depth = depth.saturating_sub(1);
                    self.step();
                }
                Some(b',' | b':') if depth > 0 => self.step(),
                Some(_) => {
                    self.scalar();
                }
            }
            if depth == 0 {
                break;
            }
        }
        self.text.get(start..self.at).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::canonical;
    use super::*;

    #[test]
    fn a_walk_passes_each_value_once() {
        let mut walk = Walk::through(r#" {"a\"]" : [1, {"b": "}"}] , "c":null} x"#);
        assert_eq!(walk.peek(), Some(b'{'));
        walk.step();
        assert!(walk.another());
        assert_eq!(walk.scalar(), r#""a\"]""#);
        walk.step();
        assert_eq!(walk.value(), r#"[1, {"b": "}"}]"#);
        assert!(walk.another());
        assert_eq!(walk.scalar(), r#""c""#);
        walk.step();
        assert_eq!(walk.scalar(), "null");
        assert!(!walk.another());
        assert_eq!(walk.peek(), Some(b'x'));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn a_walk_through_anything_ends(text in prop_oneof![any::<String>(), r#"[\[\]{}:,"\\a ]{0,12}"#]) {
            let mut walk = Walk::through(&text);
            for _ in 0..=text.len() {
                walk.value();
            }
            prop_assert_eq!(walk.peek(), None);
            let is_blank = text.trim_ascii().is_empty();
            prop_assert_eq!(canonical::value(&text).is_empty(), is_blank);
        }
    }
}
