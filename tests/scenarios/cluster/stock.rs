//! Stock clients that ask one node and answer at another.
//!
//! What our own clients do in `together.rs`, done by packages of others, which know nothing of
//! nodes. Each takes the steps of `stock_clients.rs` by a road that parts.

use super::splitting::Splitting;
use crate::client_table::Opening::Handshake;
use crate::client_table::Way::Http;
use crate::client_table::{CLIENTS, Client, Driver};
use crate::stock_clients::{command, steps_of, takes_its_steps};
use crate::world::cluster::LEASE;
use crate::world::{Cluster, eventually, within};

const WAY: crate::client_table::Way = Http(Handshake);

/// Those that shake hands over HTTP and answer questions.
fn clients() -> impl Iterator<Item = (&'static Client, Driver)> {
    let clients = CLIENTS.iter();
    clients
        .filter(|client| client.comes(WAY) && client.takes("elicit"))
        .filter_map(|client| Some((client, client.driver?)))
}

/// client/elicitation, client/sampling, basic/utilities/cancellation (2025-11-25): what asks
/// nothing, answers above all, may arrive anywhere.
#[tokio::test]
async fn stock_clients_ask_one_node_and_answer_at_another() {
    for (client, driver) in clients() {
        let cluster = Cluster::with(2)
            .config("[streams]\nheartbeat = \"100ms\"")
            .start()
            .await;
        let road = Splitting::between(cluster[0].address(), cluster[1].address()).await;
        let mut driver = command(client, driver, WAY);
        driver.args(["--url", &road.url("/mcp")]);

        takes_its_steps(client, WAY, driver).await;

        assert!(road.answers() >= 2, "a form and a turn of a model");
        let called = r#"mcp_requests_total{method="tools/call",era="session",outcome="ok"}"#;
        assert!(cluster[0].metric(called).await >= 4.0);
        assert_eq!(cluster[1].metric(called).await, 0.0, "nothing runs there");
        assert_eq!(cluster[1].metric("mcp_active_sessions").await, 0.0);
        eventually("nothing is left", || async {
            (cluster.metric("mcp_running_calls").await == 0.0).then_some(())
        })
        .await;
    }
}

/// Ours: the node that asked sleeps for three leases; nobody took its stream, so it goes on.
#[tokio::test]
async fn a_stock_client_answers_a_node_that_sleeps() {
    for (client, driver) in clients() {
        let cluster = Cluster::of(2).await;
        let road = Splitting::between(cluster[0].address(), cluster[1].address()).await;
        let mut driver = command(client, driver, WAY);
        let others = "list,call,progress,sample,resource,prompt,cancel";
        driver.args(["--without", others, "--url", &road.url("/mcp")]);
        road.close_gate();

        let asking = steps_of(driver);
        let sleeping = async {
            within("it answers", road.answer_waits()).await;
            cluster[0].pause().await;
            tokio::time::sleep(3 * LEASE).await;
            within("the answer is taken", road.open_gate()).await;
            assert_eq!(cluster[1].metric("mcp_running_calls").await, 0.0);
            cluster[0].wake().await;
        };
        let (steps, ()) = tokio::join!(asking, sleeping);

        let who = format!("{} {}", client.name, client.version);
        let names: Vec<_> = steps.iter().map(|step| &step["step"]).collect();
        assert_eq!(names, ["connect", "elicit", "close"], "{who}");
        for step in &steps {
            assert_eq!(step["ok"], true, "{who}: {step}");
        }
        assert!(steps[1]["detail"].to_string().contains("Ada"), "{who}");
        assert_eq!(road.answers(), 1);
    }
}
