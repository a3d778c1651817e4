//! Judging a story when it is over: what clients recorded, what was executed and what the store
//! holds are joined, and every broken promise is a sentence.
//!
//! Pure. Each rule stands alone in a function and has a history made by hand that breaks it. What a
//! store in Redis must look like is in [`store`].

#[cfg(test)]
mod broken_promises;
pub mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use super::history::{Op, Outcome, Record};
use super::ledger::Execution;

/// Sentences of one kind that are told in full; of more, only the number.
const TOLD_MAX: usize = 5;

/// What the store holds of each stream, by session and stream.
pub type Dump = BTreeMap<(String, String), Log>;

/// What the store holds of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The numbers of its events.
    pub events: BTreeSet<u64>,
    /// Whether older ones were dropped by rule: too many, too old, or the stream ended long ago.
    pub trimmed: bool,
}

/// Every promise that was broken.
pub fn violations(history: &[Record], ledger: &[Execution], store: &Dump) -> Vec<String> {
    let rules = [
        one_outcome_per_call(history),
        at_most_one_execution_per_call(history, ledger),
        streams_without_gap_or_duplicate(history),
        what_was_seen_is_stored(history, store),
        no_session_sees_another(history),
        no_deleted_session_answers(history),
    ];
    rules.into_iter().flatten().collect()
}

/// Fails with everything that [`violations`] finds.
pub fn assert_promises_kept(history: &[Record], ledger: &[Execution], store: &Dump) {
    assert_none(&violations(history, ledger, store));
}

/// Fails if there is any.
pub fn assert_none(found: &[String]) {
    let (mut told, mut kinds) = (String::new(), BTreeMap::<_, usize>::new());
    for violation in found {
        let count = kinds.entry(violation.split(' ').next()).or_default();
        *count += 1;
        if *count <= TOLD_MAX {
            writeln!(told, "  {violation}").expect("memory can be written");
        }
    }
    assert!(found.is_empty(), "{} broken promises:\n{told}", found.len());
}

/// D1: every call ends, in exactly one outcome.
fn one_outcome_per_call(history: &[Record]) -> Vec<String> {
    let mut calls: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in history {
        let Some(call) = record.call.as_deref() else {
            continue;
        };
        let ends = calls.entry(call).or_default();
        if record.op == Op::Answer {
            ends.push(record);
        }
    }
    let wrong = calls.into_iter().filter(|(_, ends)| ends.len() != 1);
    wrong
        .map(|(call, ends)| match ends.as_slice() {
            [] => format!("D1: call {call} never ended"),
            ends => {
                let outcomes: Vec<_> = ends.iter().map(|end| end.outcome).collect();
                format!("D1: call {call} ended {} times: {outcomes:?}", ends.len())
            }
        })
        .collect()
}

/// D2: a call runs at most once; one that ended well ran, where its answer says.
fn at_most_one_execution_per_call(history: &[Record], ledger: &[Execution]) -> Vec<String> {
    let mut runs: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for execution in ledger {
        let owners = runs.entry(&execution.call).or_default();
        owners.push(execution.owner);
    }
    let repeated = runs.iter().filter(|(_, owners)| owners.len() > 1);
    let repeated = repeated.map(|(call, owners)| {
        let times = owners.len();
        format!("D2: call {call} was executed {times} times, by {owners:?}")
    });
    let lost = history.iter().filter_map(|record| {
        let call = record.call.as_deref()?;
        // A call with an effect says which process made it.
        let effective = record.op == Op::Answer && record.outcome == Outcome::Ok;
        (effective && record.node.is_some() && !runs.contains_key(call))
            .then(|| format!("D2: call {call} ended well and was never executed"))
    });
    let foreign = history.iter().filter_map(|record| {
        let (call, told) = (record.call.as_deref()?, record.node?);
        let owners = runs.get(call)?;
        (record.op == Op::Answer && !owners.contains(&told))
            .then(|| format!("D2: call {call} was executed by {owners:?} and answered by {told}"))
    });
    repeated.chain(lost).chain(foreign).collect()
}

/// O1: within a stream each event follows the one before; a resumed one goes on after the last
/// that was seen. What came without an id may have one in the log: its place is no gap.
fn streams_without_gap_or_duplicate(history: &[Record]) -> Vec<String> {
    let mut last: BTreeMap<(&str, &str), Option<u64>> = BTreeMap::new();
    let mut without_id: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut found = Vec::new();
    for record in history {
        let Some(stream) = record.stream.as_deref() else {
            continue;
        };
        let session = record.session.as_str();
        let place = last.entry((session, stream)).or_default();
        let unnumbered = without_id.entry((session, stream)).or_default();
        match (record.op, record.event_id) {
            (Op::Attach, after) => (*place, *unnumbered) = (after, 0),
            (Op::Event, None) => *unnumbered += 1,
            (Op::Event, Some(number)) => {
                let heard = std::mem::take(unnumbered);
                if let Some(last) = *place {
                    let what = match number {
                        number if (last + 1..=last + 1 + heard).contains(&number) => None,
                        number if number > last => Some("a gap"),
                        number if number == last => Some("a duplicate"),
                        _ => Some("a step back"),
                    };
                    if let Some(what) = what {
                        found.push(format!(
                            "O1: session {session}, stream {stream}: event {number} after {last} \
                             is {what}"
                        ));
                    }
                }
                *place = Some(number);
            }
            _ => {}
        }
    }
    found
}

/// O2: an event that left with an id is in the store, unless a rule dropped it or its session was
/// deleted.
fn what_was_seen_is_stored(history: &[Record], store: &Dump) -> Vec<String> {
    let deleted: BTreeSet<&str> = deletions(history).keys().copied().collect();
    let mut missing: BTreeMap<(&str, &str), BTreeSet<u64>> = BTreeMap::new();
    for record in history.iter().filter(|record| record.op == Op::Event) {
        // 0 is where a stream begins, and never stored.
        let (Some(stream), Some(number @ 1..)) = (record.stream.as_deref(), record.event_id) else {
            continue;
        };
        let session = record.session.as_str();
        let log = store.get(&(session.to_owned(), stream.to_owned()));
        let kept = log.is_some_and(|log| {
            let first = log.events.first().copied().unwrap_or(u64::MAX);
            log.events.contains(&number) || (log.trimmed && number < first)
        });
        if !kept && !deleted.contains(session) {
            missing.entry((session, stream)).or_default().insert(number);
        }
    }
    let told = missing.into_iter().map(|((session, stream), numbers)| {
        format!(
            "O2: session {session}, stream {stream}: a client saw events {numbers:?}, which the \
             store does not hold"
        )
    });
    told.collect()
}

/// S1: what is marked for one session is seen in that one only.
fn no_session_sees_another(history: &[Record]) -> Vec<String> {
    let foreign = history.iter().filter_map(|record| {
        let mark = record.mark.as_deref()?;
        let session = &record.session;
        (mark != session)
            .then(|| format!("S1: session {session} saw what was marked for session {mark}"))
    });
    foreign.collect()
}

/// A session that was deleted answers nothing that was asked afterwards.
fn no_deleted_session_answers(history: &[Record]) -> Vec<String> {
    let deleted = deletions(history);
    let after = |record: &Record| {
        let end = deleted.get(record.session.as_str());
        end.is_some_and(|end| record.t > *end)
    };
    let asked_after: BTreeSet<&str> = (history.iter())
        .filter(|record| record.op == Op::Call && after(record))
        .filter_map(|record| record.call.as_deref())
        .collect();
    let answered = history.iter().filter_map(|record| {
        let session = &record.session;
        let well = record.outcome == Outcome::Ok;
        match (record.op, record.call.as_deref()) {
            (Op::Answer, Some(call)) if well && asked_after.contains(call) => Some(format!(
                "deleted session {session} answered call {call}, made after its end"
            )),
            (Op::Attach, _) if well && after(record) => Some(format!(
                "deleted session {session} opened a stream after its end"
            )),
            _ => None,
        }
    });
    answered.collect()
}

/// When each deleted session ended, as its client was told.
fn deletions(history: &[Record]) -> BTreeMap<&str, Duration> {
    let deleted = (history.iter()).filter(|record| record.op == Op::Delete);
    let deleted = deleted.filter(|record| record.outcome == Outcome::Ok);
    deleted
        .map(|record| (record.session.as_str(), record.t))
        .collect()
}
