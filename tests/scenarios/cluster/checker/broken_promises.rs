//! Each rule of the checker, and a history that breaks it and no other.

use super::*;
use crate::cluster::history::Record;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn run(call: &str, owner: u32) -> Execution {
    Execution {
        call: call.to_owned(),
        owner,
    }
}

fn event(id: &str) -> Record {
    Record::of("ada", Op::Event).event_id(id).mark("ada")
}

fn asked(call: &str) -> Record {
    Record::of("ada", Op::Call).call(call)
}

fn answered(call: &str) -> Record {
    Record::of("ada", Op::Answer).call(call)
}

fn stored(stream: &str, events: impl IntoIterator<Item = u64>) -> Dump {
    let log = Log {
        events: events.into_iter().collect(),
        trimmed: false,
    };
    [(("ada".to_owned(), stream.to_owned()), log)].into()
}

/// A story in which all goes well, a crash included.
fn good() -> (Vec<Record>, Vec<Execution>, Dump) {
    let history = vec![
        Record::of("ada", Op::Open),
        Record::of("ada", Op::Attach).stream("s"),
        event("s_0"),
        asked("one"),
        event("s_1"),
        answered("one").mark("ada").node(1),
        asked("two"),
        event("s_2"),
        Record::of("ada", Op::Attach).event_id("s_2"),
        answered("two").outcome(Outcome::Unknown),
        event("s_3"),
        // A client may ask again for what it has seen.
        Record::of("ada", Op::Attach).event_id("s_1"),
        event("s_2"),
        event("s_3"),
        Record::of("ada", Op::Delete).at(ms(5)),
        asked("three").at(ms(6)),
        answered("three").at(ms(7)).outcome(Outcome::Fail),
    ];
    let ledger = vec![run("one", 1), run("two", 1)];
    (history, ledger, stored("s", 1..=3))
}

#[track_caller]
fn assert_found(history: &[Record], ledger: &[Execution], store: &Dump, sentence: &str) {
    let found = violations(history, ledger, store);
    assert_eq!(found, [sentence]);
}

#[test]
fn a_story_that_goes_well_breaks_nothing() {
    let (history, ledger, store) = good();
    let found = violations(&history, &ledger, &store);
    assert_eq!(found, Vec::<String>::new());
    assert_promises_kept(&history, &ledger, &store);
}

#[test]
fn a_call_that_never_ends_is_found() {
    let (mut history, ledger, store) = good();
    history.retain(|record| *record != answered("two").outcome(Outcome::Unknown));
    assert_found(&history, &ledger, &store, "D1: call two never ended");
}

#[test]
fn a_call_that_ends_twice_is_found() {
    let (mut history, ledger, store) = good();
    history.push(answered("two").outcome(Outcome::Fail));
    let sentence = "D1: call two ended 2 times: [Unknown, Fail]";
    assert_found(&history, &ledger, &store, sentence);
}

#[test]
fn a_call_that_runs_twice_is_found() {
    let (history, mut ledger, store) = good();
    ledger.push(run("two", 2));
    let sentence = "D2: call two was executed 2 times, by [1, 2]";
    assert_found(&history, &ledger, &store, sentence);
}

#[test]
fn an_effect_that_was_told_and_never_was_is_found() {
    let (history, mut ledger, store) = good();
    ledger.remove(0);
    let sentence = "D2: call one ended well and was never executed";
    assert_found(&history, &ledger, &store, sentence);
}

#[test]
fn an_answer_of_who_did_not_execute_is_found() {
    let (history, mut ledger, store) = good();
    ledger[0].owner = 2;
    let sentence = "D2: call one was executed by [2] and answered by 1";
    assert_found(&history, &ledger, &store, sentence);
}

#[test]
fn a_gap_is_found_on_a_stream_and_at_its_resumption() {
    let store = stored("s", 1..=9);
    let within = [event("s_1"), event("s_3")];
    let sentence = "O1: session ada, stream s: event 3 after 1 is a gap";
    assert_found(&within, &[], &store, sentence);
    let resumed = [Record::of("ada", Op::Attach).event_id("s_4"), event("s_6")];
    let sentence = "O1: session ada, stream s: event 6 after 4 is a gap";
    assert_found(&resumed, &[], &store, sentence);
}

#[test]
fn what_came_without_an_id_is_no_gap_and_hides_no_other() {
    let store = stored("s", 1..=9);
    let bare = || Record::of("ada", Op::Event).stream("s");
    let within = [event("s_1"), bare(), event("s_3"), event("s_5")];
    let sentence = "O1: session ada, stream s: event 5 after 3 is a gap";
    assert_found(&within, &[], &store, sentence);
    assert_eq!(violations(&within[..3], &[], &store), [""; 0]);
}

#[test]
fn a_duplicate_is_found_on_a_stream_and_at_its_resumption() {
    let store = stored("s", 1..=9);
    let within = [event("s_1"), event("s_1")];
    let sentence = "O1: session ada, stream s: event 1 after 1 is a duplicate";
    assert_found(&within, &[], &store, sentence);
    let resumed = [Record::of("ada", Op::Attach).event_id("s_4"), event("s_4")];
    let sentence = "O1: session ada, stream s: event 4 after 4 is a duplicate";
    assert_found(&resumed, &[], &store, sentence);
}

#[test]
fn events_out_of_order_are_found() {
    let sentence = "O1: session ada, stream s: event 1 after 2 is a step back";
    let history = [event("s_2"), event("s_1")];
    assert_found(&history, &[], &stored("s", 1..=9), sentence);
}

#[test]
fn streams_count_for_themselves() {
    let bob = |id| Record::of("bob", Op::Event).event_id(id);
    let history = [event("s_0"), bob("s_0"), event("x_0")];
    assert_eq!(
        violations(&history, &[], &Dump::new()),
        Vec::<String>::new()
    );
}

#[test]
fn an_event_that_the_store_never_had_is_found() {
    let (history, ledger, _) = good();
    let history = &history[..history.len() - 3];
    let sentence = "O2: session ada, stream s: a client saw events {3}, which the store does not \
                    hold";
    assert_found(history, &ledger, &stored("s", 1..=2), sentence);
}

#[test]
fn what_a_rule_dropped_is_not_missed() {
    let mut store = stored("s", 5..=6);
    let history = [event("s_4"), event("s_5")];
    assert_eq!(violations(&history, &[], &store).len(), 1);
    for log in store.values_mut() {
        log.trimmed = true;
    }
    assert_eq!(violations(&history, &[], &store), Vec::<String>::new());
    let beyond = [event("s_7")];
    assert_eq!(violations(&beyond, &[], &store).len(), 1, "the newest stay");
}

#[test]
fn a_payload_of_another_session_is_found() {
    let history = [Record::of("bob", Op::Event).event_id("s_0").mark("ada")];
    let sentence = "S1: session bob saw what was marked for session ada";
    assert_found(&history, &[], &Dump::new(), sentence);
}

#[test]
fn a_deleted_session_that_answers_is_found() {
    let history = [
        Record::of("ada", Op::Delete).at(ms(5)),
        asked("late").at(ms(6)),
        answered("late").at(ms(7)),
    ];
    let sentence = "deleted session ada answered call late, made after its end";
    assert_found(&history, &[], &Dump::new(), sentence);
    let history = [
        Record::of("ada", Op::Delete).at(ms(5)),
        Record::of("ada", Op::Attach).stream("s").at(ms(6)),
    ];
    let sentence = "deleted session ada opened a stream after its end";
    assert_found(&history, &[], &Dump::new(), sentence);
}

#[test]
fn what_was_asked_before_the_end_may_be_answered_after_it() {
    let history = [
        asked("early").at(ms(4)),
        Record::of("ada", Op::Delete).at(ms(5)),
        answered("early").at(ms(6)),
    ];
    assert_eq!(
        violations(&history, &[], &Dump::new()),
        Vec::<String>::new()
    );
}
