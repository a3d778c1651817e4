//! What a store in Redis must look like when a story is over, and how it may have come to that.
//!
//! It agrees with what clients were told; owners changed by takeover only; nothing stays for ever.

use std::collections::BTreeMap;

use super::super::history::{Op, Outcome, Record};
use super::super::kept::{Change, Kept, Owned, StreamOf};
use super::deletions;

/// The stream of a session that belongs to no call.
const STANDING: &str = "s";
/// The owner of what nobody runs: whoever reads it may end it.
const NOBODY: u64 = 0;

/// Everything that is not as it must be.
pub fn violations(history: &[Record], kept: &Kept, changes: &[Change]) -> Vec<String> {
    let rules = [
        logs_have_no_hole(kept),
        what_was_seen_is_kept(history, kept),
        what_was_told_last_is_the_end(history, kept),
        owners_never_go_back(changes),
        what_has_not_ended_belongs_to_the_living(history, kept),
        nothing_stays(kept),
    ];
    rules.into_iter().flatten().collect()
}

fn told((session, stream): &StreamOf) -> String {
    format!("session {session}, stream {stream}")
}

/// O1: a log has the newest events of its stream, each once, and all that its record counts.
fn logs_have_no_hole(kept: &Kept) -> Vec<String> {
    let mut found = Vec::new();
    for (stream, numbers) in &kept.logs {
        match kept.streams.get(stream) {
            None => found.push(format!("O1: the log of {} is nobody's", told(stream))),
            Some(owned) => {
                let counted = owned.last + 1 - owned.kept..=owned.last;
                if !counted.clone().eq(numbers.iter().copied()) {
                    found.push(format!(
                        "O1: the log of {} has events {numbers:?} where its record counts \
                         {counted:?}",
                        told(stream)
                    ));
                }
            }
        }
    }
    let logged = |stream| kept.logs.contains_key(stream);
    let lost = (kept.streams.iter()).filter(|(stream, owned)| owned.kept > 0 && !logged(*stream));
    found.extend(lost.map(|(stream, _)| format!("O1: {} has lost its log", told(stream))));
    found
}

/// O2: an event that left with an id is in its log, unless it was dropped with all before it.
fn what_was_seen_is_kept(history: &[Record], kept: &Kept) -> Vec<String> {
    let mut newest: BTreeMap<StreamOf, u64> = BTreeMap::new();
    for record in history.iter().filter(|record| record.op == Op::Event) {
        if let (Some(stream), Some(number)) = (&record.stream, record.event_id) {
            let of = (record.session.clone(), stream.clone());
            let last = newest.entry(of).or_default();
            *last = number.max(*last);
        }
    }
    let deleted = deletions(history);
    let missing = newest.into_iter().filter(|(of, number)| {
        // A log has no hole, so that the newest speaks for all. 0 is where a stream begins.
        let has = kept.streams.get(of).map_or(0, |owned| owned.last);
        *number > has && !deleted.contains_key(of.0.as_str())
    });
    missing
        .map(|(of, number)| {
            let told = told(&of);
            format!("O2: {told}: a client saw event {number}, which Redis does not hold")
        })
        .collect()
}

/// D1: an end that was told by an event is the end of its stream.
fn what_was_told_last_is_the_end(history: &[Record], kept: &Kept) -> Vec<String> {
    let answers = history.iter().filter(|record| record.op == Op::Answer);
    let beyond = answers.filter_map(|record| {
        let (stream, number) = (record.stream.clone()?, record.event_id?);
        let of = (record.session.clone(), stream);
        let owned = kept.streams.get(&of)?;
        (!owned.ended || owned.last != number).then(|| {
            let (told, ended) = (told(&of), if owned.ended { "ends" } else { "goes on" });
            let last = owned.last;
            format!("D1: {told}: a client was told the end by event {number}; it {ended} at {last}")
        })
    });
    let unlisted = (kept.streams.iter())
        .filter(|(stream, owned)| owned.ended != kept.listed.contains(*stream))
        .map(|(stream, _)| format!("D1: {} has ended in one place only", told(stream)));
    beyond.chain(unlisted).collect()
}

/// W1: an epoch has one owner and is never gone back to; what was written stays, and nothing
/// follows an end.
fn owners_never_go_back(changes: &[Change]) -> Vec<String> {
    let mut standing: BTreeMap<&StreamOf, Owned> = BTreeMap::new();
    let mut found = Vec::new();
    for (stream, change) in changes {
        let Some(now) = change else {
            standing.remove(stream);
            continue;
        };
        if let Some(before) = standing.insert(stream, *now) {
            let what = if now.epoch < before.epoch {
                "an earlier epoch came back"
            } else if now.epoch == before.epoch && now.owner != before.owner {
                "two owners under one epoch"
            } else if now.last < before.last {
                "events were taken back"
            } else if before.ended && (now.last != before.last || !now.ended) {
                "it went on after its end"
            } else {
                continue;
            };
            let told = told(stream);
            found.push(format!("W1: {told}: {what}: {before:?}, then {now:?}"));
        }
    }
    found
}

/// W1: a stream that a client opened and that has not ended is owned by a node that lives, or waits
/// for whoever reads it.
fn what_has_not_ended_belongs_to_the_living(history: &[Record], kept: &Kept) -> Vec<String> {
    let opened = history.iter().filter(|record| {
        record.op == Op::Attach && record.outcome == Outcome::Ok && record.stream.is_some()
    });
    let mut opened: Vec<StreamOf> = opened
        .filter_map(|record| Some((record.session.clone(), record.stream.clone()?)))
        .collect();
    opened.sort_unstable();
    opened.dedup();
    let orphaned = opened.into_iter().filter_map(|of| {
        let owned = kept.streams.get(&of)?;
        let owner = owned.owner;
        let lives = owner == NOBODY || kept.living.contains(&owner);
        (!owned.ended && !lives).then(|| {
            let kind = if of.1 == STANDING {
                "standing"
            } else {
                "a call's"
            };
            format!(
                "W1: {} ({kind}) belongs to {owner}, which is dead",
                told(&of)
            )
        })
    });
    orphaned.collect()
}

/// U3, and docs/nodes.md: everything has a time to live but what tells a store from an emptied one.
fn nothing_stays(kept: &Kept) -> Vec<String> {
    let is_generation = |key: &&String| key.starts_with("sb:1:{p") && key.ends_with("}:g");
    let lasting = kept.lasting.iter().filter(|key| !is_generation(key));
    let lasting = lasting.map(|key| format!("U3: {key} stays for ever"));
    let unknown = kept.unknown.iter();
    let unknown = unknown.map(|key| format!("U3: {key} is in no layout"));
    lasting.chain(unknown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNED: Owned = Owned {
        epoch: 5,
        owner: 1,
        last: 3,
        kept: 3,
        ended: true,
    };

    fn of(stream: &str) -> StreamOf {
        ("ada".into(), stream.into())
    }

    fn event(id: &str) -> Record {
        Record::of("ada", Op::Event).event_id(id)
    }

    /// A call that ended, a standing stream, and what keeps them.
    fn good() -> (Vec<Record>, Kept, Vec<Change>) {
        let history = vec![
            Record::of("ada", Op::Attach).stream("s"),
            Record::of("ada", Op::Attach).stream("x"),
            event("x_0"),
            event("x_3"),
            Record::of("ada", Op::Answer).call("one").event_id("x_3"),
        ];
        let standing = Owned {
            owner: 2,
            last: 0,
            kept: 0,
            ended: false,
            ..OWNED
        };
        let kept = Kept {
            lasting: vec!["sb:1:{p07}:g".into()],
            streams: [(of("x"), OWNED), (of("s"), standing)].into(),
            logs: [(of("x"), vec![1, 2, 3])].into(),
            listed: [of("x")].into(),
            living: [2].into(),
            ..Kept::default()
        };
        (history, kept, vec![(of("x"), Some(OWNED))])
    }

    #[track_caller]
    fn assert_found(history: &[Record], kept: &Kept, changes: &[Change], sentence: &str) {
        assert_eq!(violations(history, kept, changes), [sentence]);
    }

    /// The changes of one stream, as epoch, owner, last event and end.
    fn lived(steps: &[(u64, u64, u64, bool)]) -> Vec<String> {
        let step = |&(epoch, owner, last, ended)| Owned {
            epoch,
            owner,
            last,
            kept: 0,
            ended,
        };
        let changes: Vec<Change> = (steps.iter()).map(|it| (of("x"), Some(step(it)))).collect();
        owners_never_go_back(&changes)
    }

    #[test]
    fn a_store_after_a_story_that_goes_well_is_in_order() {
        let (history, kept, changes) = good();
        assert_eq!(violations(&history, &kept, &changes), Vec::<String>::new());
    }

    #[test]
    fn a_log_with_a_hole_is_found() {
        let (history, mut kept, changes) = good();
        kept.logs.insert(of("x"), vec![1, 3]);
        let sentence = "O1: the log of session ada, stream x has events [1, 3] where its record \
                        counts 1..=3";
        assert_found(&history, &kept, &changes, sentence);
    }

    #[test]
    fn a_log_whose_oldest_events_were_dropped_is_in_order() {
        let (history, mut kept, changes) = good();
        kept.logs.insert(of("x"), vec![3]);
        kept.streams.insert(of("x"), Owned { kept: 1, ..OWNED });
        assert_eq!(violations(&history, &kept, &changes), Vec::<String>::new());
    }

    #[test]
    fn a_log_without_its_record_and_a_record_without_its_log_are_found() {
        let (_, mut kept, _) = good();
        let numbers = kept.logs.remove(&of("x")).unwrap();
        let sentence = "O1: session ada, stream x has lost its log";
        assert_found(&[], &kept, &[], sentence);
        kept.streams.remove(&of("x"));
        kept.listed.clear();
        kept.logs.insert(of("x"), numbers);
        let sentence = "O1: the log of session ada, stream x is nobody's";
        assert_found(&[], &kept, &[], sentence);
    }

    #[test]
    fn an_event_that_redis_never_had_is_found_unless_its_session_is_gone() {
        let (mut history, kept, changes) = good();
        history.push(event("s_1"));
        let sentence = "O2: session ada, stream s: a client saw event 1, which Redis does not hold";
        assert_found(&history, &kept, &changes, sentence);
        history.push(Record::of("ada", Op::Delete));
        assert_eq!(violations(&history, &kept, &changes), Vec::<String>::new());
    }

    #[test]
    fn an_end_that_is_none_in_the_store_is_found() {
        let (history, mut kept, changes) = good();
        let longer = Owned {
            last: 4,
            kept: 4,
            ..OWNED
        };
        kept.streams.insert(of("x"), longer);
        kept.logs.insert(of("x"), vec![1, 2, 3, 4]);
        let sentence = "D1: session ada, stream x: a client was told the end by event 3; it ends \
                        at 4";
        assert_found(&history, &kept, &changes, sentence);
        let (_, mut kept, _) = good();
        kept.listed.clear();
        let sentence = "D1: session ada, stream x has ended in one place only";
        assert_found(&history, &kept, &changes, sentence);
    }

    #[test]
    fn an_owner_that_comes_back_is_found() {
        assert_eq!(lived(&[(5, 1, 0, false), (6, 2, 0, false)]).len(), 0);
        assert_eq!(lived(&[(6, 2, 0, false), (5, 1, 0, false)]).len(), 1);
    }

    #[test]
    fn two_owners_under_one_epoch_are_found() {
        let found = lived(&[(5, 1, 0, false), (5, 2, 0, false)]);
        assert!(found[0].contains("two owners under one epoch"), "{found:?}");
    }

    #[test]
    fn events_that_were_taken_back_or_follow_an_end_are_found() {
        assert_eq!(lived(&[(5, 1, 2, false), (6, 2, 1, false)]).len(), 1);
        assert_eq!(lived(&[(5, 1, 2, true), (6, 2, 3, true)]).len(), 1);
        assert_eq!(lived(&[(5, 1, 2, true), (6, 2, 2, false)]).len(), 1);
        assert_eq!(lived(&[(5, 1, 2, true), (6, 2, 2, true)]).len(), 0);
    }

    #[test]
    fn a_stream_that_was_forgotten_may_begin_anew() {
        let (_, _, mut changes) = good();
        let anew = Owned {
            last: 0,
            ended: false,
            ..OWNED
        };
        changes.extend([(of("x"), None), (of("x"), Some(anew))]);
        assert_eq!(owners_never_go_back(&changes), Vec::<String>::new());
    }

    #[test]
    fn a_stream_that_a_dead_node_still_owns_is_found() {
        let (history, mut kept, changes) = good();
        kept.living = [3].into();
        let sentence = "W1: session ada, stream s (standing) belongs to 2, which is dead";
        assert_found(&history, &kept, &changes, sentence);
    }

    #[test]
    fn a_key_that_stays_and_one_that_nobody_knows_are_found() {
        let (history, mut kept, changes) = good();
        kept.lasting.push("sb:1:{p07}:s:ada".into());
        let sentence = "U3: sb:1:{p07}:s:ada stays for ever";
        assert_found(&history, &kept, &changes, sentence);
        let (_, mut kept, _) = good();
        kept.unknown.push("other".into());
        let sentence = "U3: other is in no layout";
        assert_found(&history, &kept, &changes, sentence);
    }
}
