//! Nothing that is secret or personal is met where it must not be: everything is on, every place for a
//! secret has a canary, everything is done, and then all there is to be read is searched.
//!
//! Each canary says where it may be met; those that may nowhere were only ever presented, configured, or
//! refused. What was searched is told as a table, and the search itself is tried on texts that have each
//! canary in each form.

mod canary;
mod house;
mod outputs;
mod refused;
mod upstreams;
mod visitor;
mod visits;

use canary::{Canaries, Search, forms, told};
use house::House;
use outputs::Outputs;
use visits::Visits;

/// Security: secrets in logs, errors, process arguments, admin listings.
#[tokio::test]
async fn no_canary_is_met_where_it_must_not_be() {
    let canaries = Canaries::default();
    let opaque = canaries.new_one("an opaque token", &[canary::Output::Issuer]);
    let mut house = House::open(&canaries, &opaque).await;
    let mut outputs = Outputs::default();
    let mut keys = Vec::new();
    for node in &house.nodes {
        let visits = Visits {
            canaries: &canaries,
            house: &house,
            node,
            own: &outputs.own,
            others: &outputs.others,
        };
        let boss = ["--role", "boss", "--scope", "mcp:admin"];
        let alice = visits.key("alice", &boss, &mut outputs.new_keys).await;
        let bob = visits
            .key("bob", &["--role", "boss"], &mut outputs.new_keys)
            .await;
        let session = visits.does_what_is_allowed(&alice).await;
        visits.presents_what_is_bad(&alice).await;
        visits.comes_with_good_tokens(&opaque, &session).await;
        visits.sends_what_is_wrong(&bob).await;
        keys.push(alice);
    }

    outputs.of_processes(&house);
    outputs.of_pages(&house).await;
    outputs.of_commands(&house, &keys).await;
    outputs.of_bad_configurations(&house).await;
    outputs.of_stopping(&mut house).await;
    let collected = outputs.collected(&house);

    let canaries = canaries.all();
    let search = Search::of(&canaries);
    let found = search.found(&collected);
    let (table, wrong) = told(&canaries, &collected, &found);
    println!("{table}");
    assert!(
        wrong.is_empty(),
        "{} canaries:\n{}",
        wrong.len(),
        wrong.join("\n")
    );

    // It would have found each of them, in whatever form and wherever it stands.
    for (index, canary) in canaries.iter().enumerate() {
        for form in forms(&canary.text) {
            for around in [["", ""], ["key=", "&"], ["{\"text\":\"", "\"}"]] {
                let scratch = around.join(&form);
                assert_eq!(search.found_in(scratch.as_bytes()), [index], "{form}");
            }
        }
    }
}
