//! What an outage leaves in the log: what happened and how often, not a line for each time.

use futures_util::{StreamExt as _, stream};
use serde_json::json;

use super::super::http::Connection;
use super::super::requests;
use crate::world::{Cluster, eventually, get, within};

/// Streams that say something ten times a second each.
const STREAMS: usize = 20;
/// Handshakes that need the store and are refused.
const HANDSHAKES: usize = 400;
/// Lines that an operator reads.
const HANDFUL: usize = 20;

/// How often that happened by the log: the lines that say so, and what they say was suppressed.
fn told(log: &str, text: &str) -> u64 {
    let mut times = 0;
    for line in log.lines().filter(|line| line.contains(text)) {
        times += u64::from(!line.contains("warnings were suppressed"));
        if let Some((_, rest)) = line.split_once("suppressed=") {
            let count = rest.split_whitespace().next().unwrap_or(rest);
            times += count.parse::<u64>().expect("it is a number");
        }
    }
    times
}

/// How often the store failed by the metrics.
async fn failures(cluster: &Cluster) -> u64 {
    let page = get(cluster[0].url("/metrics")).await.unwrap();
    let text = page.text().await.unwrap();
    let of_one = |line: &str| {
        let (_, count) = line
            .strip_prefix("mcp_store_errors_total{")?
            .split_once(' ')?;
        count.parse::<u64>().ok()
    };
    text.lines().filter_map(of_one).sum()
}

/// Ours: a log that grows with the traffic hides what it should tell, and fills its disk.
#[tokio::test]
async fn an_outage_under_load_is_a_handful_of_lines_that_account_for_all() {
    let mut cluster = Cluster::with(1).keeps_logs().start().await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let session = cluster[0].server.session("2025-11-25").await;
        let arguments = json!({"from": 1_000, "interval_ms": 100});
        let (_, mut stream) = session.stream_tool("countdown", arguments).await;
        stream.message().await;
        streams.push(stream);
    }
    let before = cluster[0].server.log().lines().count();

    cluster.redis.stop_hard().await;
    let address = cluster[0].address();
    let handshakes = stream::iter(0..HANDSHAKES).for_each_concurrent(16, |_| async move {
        let asking = async {
            let mut connection = Connection::open(address).await?;
            connection.send(&requests::initialize()).await
        };
        let head = within("an answer", asking).await.expect("it answers");
        assert_eq!(head.status, 503);
    });
    handshakes.await;
    for stream in &mut streams {
        let without_id = async { while stream.next().await.expect("it goes on").id.is_some() {} };
        within("an event without an id", without_id).await;
    }

    eventually("every failure is accounted for", || async {
        let log = cluster[0].server.log();
        let (failed, told) = (
            failures(&cluster).await,
            told(&log, "store operation failed"),
        );
        (failed >= HANDSHAKES as u64 && failed == told).then_some(())
    })
    .await;
    let event = "an event could not be stored and leaves without an id";
    eventually("and every stream that has no ids from then on", || async {
        let log = cluster[0].server.log();
        (told(&log, event) >= STREAMS as u64).then_some(())
    })
    .await;
    let log = cluster[0].server.log();
    let lines = log.lines().skip(before).collect::<Vec<_>>();
    println!("{}", lines.join("\n"));
    assert!(lines.len() <= HANDFUL, "{} lines", lines.len());
}
