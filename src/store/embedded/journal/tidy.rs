//! Keeps the journal small: deletes segments nobody needs, and moves what lives out of old ones.
//!
//! A thing's `origin` is the oldest segment that holds anything of it, so a segment older than
//! every origin is dead. When the journal has grown to twice what lives and [`SLACK_BYTES`] more,
//! the things of the oldest segment are written anew as a whole, synced, and the segment goes.

use std::io;

use crate::store::embedded::journal::frame::{self, Place};
use crate::store::embedded::journal::segments::Segments;
use crate::store::embedded::records::Birth;
use crate::store::memory::{Scopes, SingleThing};

/// Dead bytes that are not worth any work.
const SLACK_BYTES: u64 = 64 << 20;

/// What one pass moves. Appends wait meanwhile, so a pass is short; there is one after every
/// segment begun and every sweep, so moving keeps up with writing.
const PASS_BYTES: usize = 8 << 20;

/// Deletes segments nobody needs, and goes some way towards needing fewer.
///
/// # Errors
/// What the operating system said; the journal is whole all the same.
pub(super) fn tidy(scopes: &Scopes<Birth>, segments: &mut Segments) -> io::Result<()> {
    while let Some(oldest) = segments.oldest_closed() {
        let needing = needing(scopes, oldest);
        if !needing.is_empty() {
            let is_small = segments.bytes() <= 2 * scopes.bytes() as u64 + SLACK_BYTES;
            if is_small || !move_out(scopes, segments, &needing)? {
                return Ok(());
            }
            segments.disk().sync()?;
        }
        segments.delete_oldest()?;
    }
    Ok(())
}

/// The things that still need a segment.
fn needing(scopes: &Scopes<Birth>, segment: u64) -> Vec<Place> {
    let mut places = Vec::new();
    scopes.for_each_thing(|scope, birth, thing, known| {
        if known.origin <= segment {
            places.push(Place {
                scope: scope.clone(),
                birth: *birth,
                thing: thing.clone(),
            });
        }
    });
    places
}

/// Writes these things anew. `false`: they were too many for one pass.
fn move_out(scopes: &Scopes<Birth>, segments: &mut Segments, places: &[Place]) -> io::Result<bool> {
    let mut frames = Vec::new();
    let mut moved = 0;
    for place in places {
        if frames.len() >= PASS_BYTES {
            break;
        }
        on_thing(scopes, place, |thing| {
            frame::encode_whole(&mut frames, place, thing);
        });
        moved += 1;
    }
    segments.write(&frames)?;
    let number = segments.number();
    for place in &places[..moved] {
        on_thing(scopes, place, |thing| thing.origin = number);
    }
    Ok(moved == places.len())
}

/// A thing that went meanwhile is passed over.
fn on_thing(scopes: &Scopes<Birth>, place: &Place, act: impl FnOnce(&mut SingleThing)) {
    let is_same = |birth: &Birth| *birth == place.birth;
    scopes.update_thing((&place.scope, &place.thing), is_same, act);
}
