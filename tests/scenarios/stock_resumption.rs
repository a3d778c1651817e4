//! Stock clients whose stream breaks in the middle of a call: they resume it by themselves.
//!
//! What they find is what our own clients find in `resumption.rs` and `crash.rs`; here nobody but
//! the package of others knows how to come back. A client comes by a road that can be cut.

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{ChildStdout, Command};

use crate::client_table::Opening::Handshake;
use crate::client_table::Way::Http;
use crate::client_table::{CLIENTS, Client, Driver};
use crate::stock_clients::command;
use crate::world::relay::Relay;
use crate::world::{Store, Switchboard, within};

/// A driver in the middle of a call, and the road it came by.
struct Interrupted {
    who: String,
    server: Switchboard,
    road: Relay,
    lines: Lines<BufReader<ChildStdout>>,
    _directory: TempDir,
    _process: tokio::process::Child,
}

impl Interrupted {
    /// Starts a driver and waits until its call has told progress.
    async fn in_the_middle_of_a_call(client: &Client, driver: Driver) -> Self {
        let server = Switchboard::with().store(Store::Embedded).start().await;
        let road = Relay::to(server.authority()).await;
        let directory = TempDir::new().expect("a temporary directory can be made");
        let mut driver = command(client, driver, Http(Handshake));
        driver.args(["--interrupted", "--url", &road.url("/mcp")]);
        let (process, lines) = started(driver, &directory);
        let mut this = Self {
            who: format!("{} {}", client.name, client.version),
            server,
            road,
            lines,
            _directory: directory,
            _process: process,
        };
        this.step("connect").await;
        this.step("running").await;
        this
    }

    /// The next line, which must tell that this step went well. Returns what it told.
    async fn step(&mut self, name: &str) -> Value {
        let line = within(name, self.lines.next_line()).await;
        let line = line.expect("it says text").expect("it goes on");
        println!("{}: {line}", self.who);
        let line: Value = serde_json::from_str(&line).expect("the driver says JSON");
        assert_eq!(line["step"], name, "{}: {line}", self.who);
        assert_eq!(line["ok"], true, "{}: {line}", self.who);
        line["detail"].clone()
    }

    /// The end of the call, after each step of the countdown that was told, once and in order.
    async fn end(&mut self) -> (u32, String) {
        let survived = self.step("survive").await;
        let told = survived["progress"].as_array().expect("a list").iter();
        let told: Vec<f64> = told.filter_map(Value::as_f64).collect();
        let count = u32::try_from(told.len()).expect("forty steps are few");
        let in_order: Vec<f64> = (1..=count).map(f64::from).collect();
        assert_eq!(told, in_order, "{}", self.who);
        let end = survived["end"].as_str().expect("a text").to_owned();
        // The session goes on.
        self.step("call").await;
        self.step("close").await;
        (count, end)
    }
}

fn started(
    mut driver: Command,
    directory: &TempDir,
) -> (tokio::process::Child, Lines<BufReader<ChildStdout>>) {
    let mut process = driver
        .current_dir(directory)
        .env("HOME", directory.path())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the driver can be started");
    let lines = process.stdout.take().expect("its output is piped");
    (process, BufReader::new(lines).lines())
}

/// Those that shake hands over HTTP and follow progress: a call that tells none is no stream.
fn clients() -> impl Iterator<Item = (&'static Client, Driver)> {
    let clients = CLIENTS.iter();
    clients
        .filter(|client| client.comes(Http(Handshake)) && client.takes("progress"))
        .filter_map(|client| Some((client, client.driver?)))
}

/// 2025-11-25 basic/transports, resumability: nothing is lost with the connection.
#[tokio::test]
async fn stock_clients_get_the_whole_answer_when_their_connection_is_cut() {
    for (client, driver) in clients() {
        let mut cut = Interrupted::in_the_middle_of_a_call(client, driver).await;

        cut.road.cut_and_lead_to(cut.server.authority());

        let (told, end) = cut.end().await;
        assert_eq!(end, "counted down from 40: liftoff", "{}", cut.who);
        // SDK 1.x handles an answer before the notification that came with it.
        assert!(told >= 39, "{}: {told}", cut.who);
    }
}

/// 2025-11-25 basic/transports, resumability: the outcome of a call that a crash cut is told.
#[tokio::test]
async fn stock_clients_learn_after_a_crash_that_the_outcome_is_unknown() {
    for (client, driver) in clients() {
        let mut cut = Interrupted::in_the_middle_of_a_call(client, driver).await;

        cut.server.crash().await;
        cut.server.start_again().await;
        cut.road.cut_and_lead_to(cut.server.authority());

        let (told, end) = cut.end().await;
        assert!(end.contains("the outcome of this call is unknown"), "{end}");
        assert!(told < 40, "{}: {told}", cut.who);
    }
}
