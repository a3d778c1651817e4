//! Keeps the journal small: deletes segments nobody needs, and moves what lives out of old ones.
//!
//! A thing's `origin` is the oldest segment that holds anything of it, so a segment older than
//! every origin is dead. When the journal has grown to twice what lives and [`SLACK_BYTES`] more,
//! the things of the oldest segment are written anew as a whole, synced, and the segment goes.

use std::io;

use crate::store::embedded::journal::frame::{self, Place};
use crate::store::embedded::journal::segments::Segments;
use crate::store::embedded::records::Birth;
use crate::store::memory::Scopes;

/// Dead bytes that are not worth any work.
const SLACK_BYTES: u64 = 64 << 20;

/// Whole things are written in pieces of about this size.
const PIECE_BYTES: usize = 1 << 20;

/// Drops logs that have aged, and segments nobody needs.
///
/// # Errors
/// What the operating system said; the journal is whole all the same.
pub(super) fn tidy(scopes: &Scopes<Birth>, segments: &mut Segments) -> io::Result<()> {
    scopes.remove_aged_logs();
    if segments.oldest_closed().is_none() {
        return Ok(());
    }
    delete_dead(scopes, segments)?;
    while let Some(oldest) = segments.oldest_closed() {
        if segments.bytes() <= 2 * scopes.bytes() as u64 + SLACK_BYTES {
            return Ok(());
        }
        move_out(scopes, segments, oldest)?;
        segments.delete_oldest()?;
    }
    Ok(())
}

fn delete_dead(scopes: &Scopes<Birth>, segments: &mut Segments) -> io::Result<()> {
    let mut oldest_needed = u64::MAX;
    scopes.for_each_thing(|_, _, _, thing| oldest_needed = oldest_needed.min(thing.origin));
    while segments
        .oldest_closed()
        .is_some_and(|oldest| oldest < oldest_needed)
    {
        segments.delete_oldest()?;
    }
    Ok(())
}

/// Writes every thing that begins in `oldest` anew, safe from power cuts when this returns.
fn move_out(scopes: &Scopes<Birth>, segments: &mut Segments, oldest: u64) -> io::Result<()> {
    let mut places = Vec::new();
    scopes.for_each_thing(|scope, birth, thing, known| {
        if known.origin <= oldest {
            places.push(Place {
                scope: scope.clone(),
                birth: *birth,
                thing: thing.clone(),
            });
        }
    });
    let mut frames = Vec::new();
    let mut written = 0;
    for (index, place) in places.iter().enumerate() {
        on_thing(scopes, place, |thing| {
            frame::encode_whole(&mut frames, place, thing);
        });
        if frames.len() >= PIECE_BYTES || index + 1 == places.len() {
            segments.write(&frames)?;
            frames.clear();
            for place in &places[written..=index] {
                on_thing(scopes, place, |thing| thing.origin = segments.number());
            }
            written = index + 1;
        }
    }
    segments.disk().sync()
}

fn on_thing(
    scopes: &Scopes<Birth>,
    place: &Place,
    act: impl FnOnce(&mut crate::store::memory::SingleThing),
) {
    let is_same = |birth: &Birth| *birth == place.birth;
    scopes.update_thing((&place.scope, &place.thing), is_same, act);
}
