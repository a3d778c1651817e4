//! Where a document has the members that somebody will ask for.
//!
//! What is asked for is a constant tree ([`Wanted`]); each node has its own place in the
//! [`Outline`], so noting a member is one store and nothing has to be bounded.

use std::ops::Range;

use crate::protocol::spelling;

/// Places in an outline; the tree of a JSON-RPC message has that many nodes.
const PLACES: usize = 22;
/// Longest document that has an outline. Bodies and lines are bounded far below; half-size numbers
/// keep small what each request carries along.
pub(super) const BYTES_MAX: usize = u32::MAX as usize;

/// A value that will be asked for, and what will be asked for inside it.
#[derive(Debug)]
pub struct Wanted {
    /// The key of its member, without escapes. The root has none.
    pub key: &'static str,
    /// Its own place in the outline.
    pub place: usize,
    /// Its members that are wanted, if it is an object.
    pub inside: &'static [Wanted],
}

impl Wanted {
    /// A value of which nothing else is wanted.
    #[must_use]
    pub const fn whole(key: &'static str, place: usize) -> Self {
        Self::object(key, place, &[])
    }

    /// A value that should be an object.
    #[must_use]
    pub const fn object(key: &'static str, place: usize, inside: &'static [Self]) -> Self {
        assert!(place < PLACES, "an outline has as many places as needed");
        Self { key, place, inside }
    }

    /// The wanted member of that name.
    ///
    /// # Errors
    /// The one that it is spelled alike, and is not.
    pub(super) fn find(&self, key: &[u8]) -> Result<Option<&Self>, &'static str> {
        let mut members = self.inside.iter();
        match members.find(|member| member.key.as_bytes() == key) {
            Some(member) => Ok(Some(member)),
            None => self.alike(key).map_or(Ok(None), Err),
        }
    }

    fn alike(&self, key: &[u8]) -> Option<&'static str> {
        let key = std::str::from_utf8(key).ok()?;
        let mut members = self.inside.iter().map(|member| member.key);
        members.find(|member| spelling::are_alike(member, key))
    }
}

/// Where the wanted values of one document are; those that are not there are nowhere.
#[derive(Clone, Copy, Debug)]
pub struct Outline([Place; PLACES]);

/// From the first byte of a value to after its last; no value is empty.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: u32,
    end: u32,
}

impl Outline {
    /// The outline of nothing.
    #[must_use]
    pub const fn empty() -> Self {
        Self([Place { start: 0, end: 0 }; PLACES])
    }

    /// The value at `place` of `text`, the document this is the outline of.
    #[must_use]
    pub fn find<'a>(&self, text: &'a str, place: usize) -> Option<&'a str> {
        let Place { start, end } = self.0[place];
        text.get(start as usize..end as usize)
            .filter(|value| !value.is_empty())
    }

    /// This outline for the part of its document that begins at `start`. What stands before is
    /// not to be found in it.
    #[must_use]
    pub fn of_part(mut self, start: usize) -> Self {
        let start = short(start);
        for place in &mut self.0 {
            place.start = place.start.saturating_sub(start);
            place.end = place.end.saturating_sub(start);
        }
        self
    }

    pub(super) fn note(&mut self, wanted: &Wanted, range: Range<usize>) {
        self.0[wanted.place] = Place {
            start: short(range.start),
            end: short(range.end),
        };
    }
}

fn short(at: usize) -> u32 {
    u32::try_from(at).expect("invariant: longer documents are refused")
}
