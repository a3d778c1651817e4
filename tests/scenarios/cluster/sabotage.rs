//! The rig can fail: each of ten faults, built into programs that are never shipped, breaks a story.
//!
//! A story is told once more by this very test program, with nodes that have one fault, and must
//! end badly for the reason given. `tests/run` builds the programs (feature `sabotage`); the fault
//! is chosen when they start.

use std::process::Stdio;

use tokio::process::Command;

use crate::world::cluster::{SABOTAGE, sabotaged};

/// Tells a story with nodes that have this fault; what was said, and whether it ended well.
async fn told_with(fault: &str, story: &str) -> (bool, String) {
    let program = sabotaged("switchboard");
    assert!(
        program.exists(),
        "{} is missing: tests/run builds it",
        program.display()
    );
    let this_program = std::env::current_exe().expect("this program is a file");
    let output = Command::new(this_program)
        .args(["--exact", story, "--nocapture"])
        .env(SABOTAGE, fault)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("this program can be started");
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("running 1 test"), "no story {story}: {said}");
    (output.status.success(), said)
}

/// The story fails, and what it says has one of these in it.
async fn turns_red(fault: &str, story: &str, because: &[&str]) {
    let (well, said) = told_with(fault, story).await;
    assert!(!well, "{story} does not notice {fault}");
    let reason = because.iter().find(|reason| said.contains(*reason));
    println!("{fault}: {reason:?}");
    assert!(reason.is_some(), "{story} fails for another reason: {said}");
}

/// Ours: what these programs are built with changes nothing by itself.
#[tokio::test]
async fn without_a_fault_the_story_ends_well() {
    let story = "cluster::together::a_running_call_is_followed_at_another_node";
    let (well, said) = told_with("", story).await;
    assert!(well, "{said}");
}

#[tokio::test]
async fn an_event_that_leaves_before_it_is_stored_is_noticed() {
    let story =
        "cluster::takeover::what_a_dead_node_said_is_told_again_though_its_store_was_far_away";
    turns_red("no_output_gate", story, &["O1", "O2", "D1"]).await;
}

#[tokio::test]
async fn an_owner_that_goes_on_after_its_epoch_is_noticed() {
    let story = "cluster::together::a_node_that_wakes_after_a_takeover_says_nothing_more";
    turns_red("epoch_ignored", story, &["its epoch is over"]).await;
}

#[tokio::test]
async fn a_takeover_from_a_node_that_lives_is_noticed() {
    let story = "cluster::together::a_running_call_is_followed_at_another_node";
    turns_red(
        "last_write_wins_lease",
        story,
        &["left == right", "unknown"],
    )
    .await;
}

#[tokio::test]
async fn an_end_that_is_not_announced_is_noticed() {
    let story = "cluster::together::a_session_deleted_at_one_node_ends_at_all";
    let because = ["did not happen", "it does not exist any more", "within"];
    turns_red("lost_announcement", story, &because).await;
}

#[tokio::test]
async fn a_session_that_comes_back_is_noticed() {
    let story = "cluster::together::a_session_that_ends_while_it_changes_stays_ended";
    let because = ["nothing was changed:", "it does not exist any more"];
    turns_red("resurrection_after_delete", story, &because).await;
}

#[tokio::test]
async fn sessions_that_share_a_program_are_noticed() {
    let story = "upstream_programs::a_program_of_one_session_is_not_seen_by_another";
    let because = ["another session's calls were counted"];
    turns_red("pool_without_principal", story, &because).await;
}

#[tokio::test]
async fn a_call_that_is_sent_again_blindly_is_noticed() {
    let story = "upstream_recovery::a_call_that_is_cut_off_is_not_sent_again";
    turns_red("blind_retry", story, &["it was sent again"]).await;
}

#[tokio::test]
async fn tenants_that_share_a_limit_are_noticed() {
    let story = "shared_limits::users_of_one_name_in_two_tenants_each_have_a_whole_limit";
    let because = ["not counted by itself"];
    turns_red("rate_key_without_tenant", story, &because).await;
}

#[tokio::test]
async fn a_failed_call_without_an_end_on_record_is_noticed() {
    let story = "audit_ends::each_call_that_began_has_one_end_on_record_and_it_is_what_was_told";
    let because = ["its client was told"];
    turns_red("audit_skipped_on_error", story, &because).await;
}

#[tokio::test]
async fn a_token_in_the_log_is_noticed() {
    let story = "canaries::no_canary_is_met_where_it_must_not_be";
    let because = ["token is in TextLog", "token is in JsonLog"];
    turns_red("token_logged", story, &because).await;
}
