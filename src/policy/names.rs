//! Patterns of canonical names: exact, `*` inside one segment, `**` across segments.
//!
//! The segments of a tool's or a prompt's name are separated by `.`, those of a URI by `/`. Letters
//! count as they are written. A template of URIs stands for many names at once: [`NamePattern::overlaps`]
//! asks whether some of them fit, [`NamePattern::covers`] whether all do.
//!
//! The time is linear in the product of pattern and name, whatever either holds.

use std::fmt;

/// Bytes of a pattern: what a decision may cost is that times the name.
pub const PATTERN_BYTES_MAX: usize = 256;
/// Bytes of a name; longer ones fit no pattern with a `*`. URIs are at most as long as the target
/// of a request.
const NAME_BYTES_MAX: usize = 16 * 1024;

/// What stands between the segments of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    /// `.`, in names of tools and prompts.
    Dot,
    /// `/`, in URIs.
    Slash,
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing.
    #[error("a pattern is not empty; `**` stands for any name")]
    Empty,
    /// Over [`PATTERN_BYTES_MAX`].
    #[error("a pattern has at most {PATTERN_BYTES_MAX} bytes")]
    TooLong,
    /// Whitespace or a control character, which no name has.
    #[error("a pattern has no spaces")]
    Space,
    /// More stars in a row than mean something.
    #[error("`*` stands for any text inside a segment and `**` for any text; `***` is neither")]
    Stars,
}

/// One pattern, ready to be matched.
#[derive(Clone, PartialEq, Eq)]
pub struct NamePattern {
    text: Box<str>,
    /// What stands before the first star: most names are told apart by it.
    prefix: usize,
    /// What follows; `None` where the pattern is exact.
    rest: Option<Box<[Atom]>>,
    separator: u8,
}

/// A part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Atom {
    Byte(u8),
    /// `*`
    Inside,
    /// `**`
    Across,
}

/// A part of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Symbol {
    Byte(u8),
    /// An expression of a template: any text, perhaps with separators.
    Any {
        separators: bool,
    },
}

impl NamePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`] when no name could be meant by it.
    pub fn new(text: &str, separator: Separator) -> Result<Self, PatternError> {
        let odd = |letter: char| letter.is_whitespace() || letter.is_control();
        match text {
            "" => return Err(PatternError::Empty),
            _ if text.len() > PATTERN_BYTES_MAX => return Err(PatternError::TooLong),
            _ if text.contains(odd) => return Err(PatternError::Space),
            _ if text.contains("***") => return Err(PatternError::Stars),
            _ => {}
        }
        let prefix = text.find('*');
        Ok(Self {
            text: text.into(),
            prefix: prefix.unwrap_or(text.len()),
            rest: prefix.map(|at| atoms(&text.as_bytes()[at..])),
            separator: match separator {
                Separator::Dot => b'.',
                Separator::Slash => b'/',
            },
        })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether this name is one it stands for.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let Some(atoms) = &self.rest else {
            return *self.text == *name;
        };
        let prefix = &self.text.as_bytes()[..self.prefix];
        match name.as_bytes().strip_prefix(prefix) {
            Some(rest) if rest.len() <= NAME_BYTES_MAX => {
                self.fits(atoms, rest.iter().map(|byte| Symbol::Byte(*byte)))
            }
            Some(_) | None => false,
        }
    }

    /// Whether it stands for all that this template of URIs stands for.
    #[must_use]
    pub fn covers(&self, template: &str) -> bool {
        let Some(symbols) = symbols(template) else {
            return false;
        };
        self.fits(&atoms(self.text.as_bytes()), symbols.into_iter())
    }

    /// Whether it stands for something that this template of URIs stands for.
    #[must_use]
    pub fn overlaps(&self, template: &str) -> bool {
        let Some(symbols) = symbols(template) else {
            return false;
        };
        let atoms = atoms(self.text.as_bytes());
        // before[j]: the atoms so far and the first j symbols can stand for the same text.
        let mut before = vec![false; symbols.len() + 1];
        before[0] = true;
        skip(&mut before, |at| is_any(symbols[at]));
        for atom in atoms {
            let mut after = vec![false; symbols.len() + 1];
            for at in 0..=symbols.len() {
                if !before[at] {
                    continue;
                }
                let symbol = symbols.get(at).copied();
                match atom {
                    Atom::Byte(byte) => match symbol {
                        Some(Symbol::Byte(found)) if found == byte => after[at + 1] = true,
                        Some(Symbol::Any { separators }) => {
                            after[at] |= separators || byte != self.separator;
                        }
                        Some(Symbol::Byte(_)) | None => {}
                    },
                    Atom::Inside | Atom::Across => {
                        after[at] = true;
                        // Having taken a symbol, the star may take the next as well.
                        if symbol.is_some_and(|symbol| self.takes_some(atom, symbol)) {
                            before[at + 1] = true;
                        }
                    }
                }
            }
            skip(&mut after, |at| is_any(symbols[at]));
            before = after;
        }
        before[symbols.len()]
    }

    /// Whether the atoms stand for exactly these symbols.
    fn fits(&self, atoms: &[Atom], symbols: impl Iterator<Item = Symbol>) -> bool {
        let star = |at: usize| matches!(atoms[at], Atom::Inside | Atom::Across);
        // reached[at]: the atoms before `at` can stand for what was read so far.
        let mut reached = vec![false; atoms.len() + 1];
        reached[0] = true;
        skip(&mut reached, star);
        let mut next = vec![false; atoms.len() + 1];
        for symbol in symbols {
            next.fill(false);
            for (at, atom) in atoms.iter().enumerate() {
                if !reached[at] {
                    continue;
                }
                match *atom {
                    Atom::Byte(byte) => next[at + 1] |= symbol == Symbol::Byte(byte),
                    Atom::Inside | Atom::Across => next[at] |= self.takes_all(*atom, symbol),
                }
            }
            skip(&mut next, star);
            std::mem::swap(&mut reached, &mut next);
        }
        reached[atoms.len()]
    }

    /// Whether a star stands for whatever this symbol may be.
    fn takes_all(&self, star: Atom, symbol: Symbol) -> bool {
        match (star, symbol) {
            (Atom::Across, _) => true,
            (Atom::Inside, Symbol::Byte(byte)) => byte != self.separator,
            (Atom::Inside, Symbol::Any { separators }) => !separators,
            (Atom::Byte(_), _) => false,
        }
    }

    /// Whether a star stands for something this symbol may be.
    fn takes_some(&self, star: Atom, symbol: Symbol) -> bool {
        matches!(symbol, Symbol::Any { .. }) || self.takes_all(star, symbol)
    }
}

impl fmt::Debug for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NamePattern({})", self.text)
    }
}

/// What may stand for nothing is passed over.
fn skip(reached: &mut [bool], passable: impl Fn(usize) -> bool) {
    for at in 0..reached.len() - 1 {
        if reached[at] && passable(at) {
            reached[at + 1] = true;
        }
    }
}

const fn is_any(symbol: Symbol) -> bool {
    matches!(symbol, Symbol::Any { .. })
}

fn atoms(text: &[u8]) -> Box<[Atom]> {
    let mut atoms = Vec::with_capacity(text.len());
    for byte in text {
        match (byte, atoms.last()) {
            (b'*', Some(Atom::Inside)) => {
                atoms.pop();
                atoms.push(Atom::Across);
            }
            (b'*', _) => atoms.push(Atom::Inside),
            (byte, _) => atoms.push(Atom::Byte(*byte)),
        }
    }
    atoms.into()
}

/// The symbols of a template; `None` of one that is too long to be compared.
fn symbols(template: &str) -> Option<Vec<Symbol>> {
    if template.len() > NAME_BYTES_MAX {
        return None;
    }
    let mut symbols = Vec::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        symbols.extend(before.bytes().map(Symbol::Byte));
        let (expression, after) = after.split_once('}').unwrap_or((after, ""));
        // Plain expressions escape what they expand to; those with an operator may not.
        let separators = expression.starts_with(|letter: char| !letter.is_alphanumeric());
        symbols.push(Symbol::Any { separators });
        rest = after;
    }
    symbols.extend(rest.bytes().map(Symbol::Byte));
    Some(symbols)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tool(pattern: &str) -> NamePattern {
        NamePattern::new(pattern, Separator::Dot).unwrap()
    }

    fn uri(pattern: &str) -> NamePattern {
        NamePattern::new(pattern, Separator::Slash).unwrap()
    }

    #[test]
    fn a_star_stays_inside_its_segment() {
        for (pattern, name, expected) in [
            ("crm.get", "crm.get", true),
            ("crm.get", "crm.Get", false),
            ("crm.get", "crm.get_one", false),
            ("crm.get_*", "crm.get_", true),
            ("crm.get_*", "crm.get_one", true),
            ("crm.get_*", "crm.get_one.more", false),
            ("crm.get_*", "xcrm.get_one", false),
            ("*.get", "crm.get", true),
            ("*.get", "get", false),
            ("*", "echo", true),
            ("*", "crm.get", false),
            ("*.*", "crm.get", true),
            ("**", "crm.get.more", true),
            ("crm.**", "crm.get.more", true),
            ("crm.**", "crmx", false),
            ("crm.*.*", "crm.get.more", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("a*a", "a", false),
            ("crm.?et", "crm.get", false),
            ("[a-z]", "a", false),
        ] {
            assert_eq!(tool(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn two_stars_cross_the_segments_of_a_uri() {
        for (pattern, name, expected) in [
            ("crm://accounts/*", "crm://accounts/7", true),
            ("crm://accounts/*", "crm://accounts/7/notes", false),
            ("crm://accounts/**", "crm://accounts/7/notes", true),
            ("crm://accounts/**", "crm://accounts/", true),
            ("crm://accounts/**", "crm://accounts", false),
            ("crm://**/notes", "crm://accounts/7/notes", true),
            ("crm://**/n*s", "crm://a/notes/n/x", false),
            ("crm://**/n*s", "crm://a/n/x/nos", true),
            ("crm://a.*/b", "crm://a.x.y/b", true),
        ] {
            assert_eq!(uri(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn templates_stand_for_many_names() {
        for (pattern, template, overlaps, covers) in [
            ("crm://accounts/**", "crm://accounts/{id}", true, true),
            ("crm://accounts/*", "crm://accounts/{id}", true, true),
            ("crm://accounts/*", "crm://accounts/{+path}", true, false),
            ("crm://accounts/7", "crm://accounts/{id}", true, false),
            ("crm://accounts/7/x", "crm://accounts/{id}", false, false),
            ("crm://accounts/7/x", "crm://accounts/{+id}", true, false),
            ("crm://accounts/7/x", "crm://accounts/{id}/x", true, false),
            ("crm://orders/**", "crm://accounts/{id}", false, false),
            ("crm://orders/**", "crm://{kind}/{id}", true, false),
            ("crm://**", "crm://{kind}/{id}", true, true),
            ("crm://a/*x", "crm://a/{id}", true, false),
            ("crm://a/b", "crm://a/b", true, true),
            ("crm://a/*", "crm://a/{id", true, true),
        ] {
            assert_eq!(
                uri(pattern).overlaps(template),
                overlaps,
                "{pattern} {template}"
            );
            assert_eq!(
                uri(pattern).covers(template),
                covers,
                "{pattern} {template}"
            );
        }
    }

    #[test]
    fn what_can_mean_no_name_is_no_pattern() {
        for (text, problem) in [
            ("", PatternError::Empty),
            ("a b", PatternError::Space),
            ("a***", PatternError::Stars),
            (&"a".repeat(PATTERN_BYTES_MAX + 1), PatternError::TooLong),
        ] {
            assert_eq!(
                NamePattern::new(text, Separator::Dot),
                Err(problem),
                "{text}"
            );
        }
    }

    /// By trying everything: right, and slow.
    fn tried(pattern: &str, name: &str) -> bool {
        if let Some(rest) = pattern.strip_prefix("**") {
            return tried(rest, name) || (!name.is_empty() && tried(pattern, &name[1..]));
        }
        if let Some(rest) = pattern.strip_prefix('*') {
            let goes_on = !name.is_empty() && !name.starts_with('.');
            return tried(rest, name) || (goes_on && tried(pattern, &name[1..]));
        }
        match (pattern.chars().next(), name.chars().next()) {
            (None, None) => true,
            (Some(one), Some(other)) if one == other => tried(&pattern[1..], &name[1..]),
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        #[test]
        fn it_matches_what_trying_everything_matches(
            pattern in "[ab.*]{1,8}",
            name in "[ab.]{0,8}",
        ) {
            if let Ok(compiled) = NamePattern::new(&pattern, Separator::Dot) {
                prop_assert_eq!(compiled.matches(&name), tried(&pattern, &name));
                prop_assert_eq!(compiled.covers(&name), compiled.matches(&name));
                prop_assert_eq!(compiled.overlaps(&name), compiled.matches(&name));
            }
        }
    }
}
