//! The demonstration tools.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until};

use crate::protocol::capabilities::ClientCapability;
use crate::runtime::clock::Clock;
use crate::server::{Context, Elicited, Field, Form, SampleRequest, TaskUse, Tool};

#[derive(Deserialize, JsonSchema)]
struct Echo {
    /// What to give back.
    text: String,
}

/// Gives a text back.
pub(super) fn echo() -> Tool {
    Tool::new("echo", |_, Echo { text }| async move { Ok(text) })
        .title("Echo")
        .description("Gives the text back.")
        .read_only()
}

#[derive(Deserialize, JsonSchema)]
struct Countdown {
    /// Where to begin.
    #[schemars(range(min = 1, max = 100_000))]
    from: u32,
    /// Milliseconds between two steps.
    #[serde(default = "one_second_ms")]
    #[schemars(range(max = 60_000))]
    interval_ms: u32,
}

const fn one_second_ms() -> u32 {
    1_000
}

/// How long a countdown is watched as a call; longer ones become tasks where the client can.
const COUNTDOWN_AS_A_CALL: Duration = Duration::from_secs(10);

/// A long operation that tells how far it is.
pub(super) fn countdown() -> Tool {
    Tool::new(
        "countdown",
        |ctx: Context, arguments: Countdown| async move {
            let Countdown { from, interval_ms } = arguments;
            let interval = Duration::from_millis(interval_ms.into());
            for step in 1..=from {
                tokio::select! {
                    () = sleep(interval) => {}
                    () = ctx.cancelled() => return Ok(format!("stopped at {}", from - step + 1)),
                }
                let left = from - step;
                ctx.progress(
                    step.into(),
                    Some(from.into()),
                    Some(&format!("{left} to go")),
                )
                .await;
            }
            Ok(format!("counted down from {from}: liftoff"))
        },
    )
    .title("Count down")
    .description("Counts down with progress notifications; ends early when cancelled.")
    .read_only()
    .task(TaskUse::after(COUNTDOWN_AS_A_CALL))
}

#[derive(Deserialize, JsonSchema)]
struct NoInput {}

/// Puts a form to the user.
pub(super) fn ask_name() -> Tool {
    Tool::new("ask_name", |ctx: Context, NoInput {}| async move {
        let form = Form::new("What is your name?").field(
            "name",
            Field::string()
                .title("Name")
                .description("How to call you."),
        );
        let answer = ctx.elicit("name", form).await?;
        Ok(match &answer {
            Elicited::Accepted(_) => {
                format!("Hello, {}!", answer.text("name").unwrap_or("stranger"))
            }
            Elicited::Declined => "That is fine, no name then.".to_owned(),
            Elicited::Cancelled => "Another time, perhaps.".to_owned(),
        })
    })
    .title("Ask for a name")
    .description("Asks the user for a name and greets them.")
    .needs(ClientCapability::ElicitationForm)
}

#[derive(Deserialize, JsonSchema)]
struct Summarize {
    /// What to summarize.
    text: String,
}

/// Asks the client's model.
pub(super) fn summarize() -> Tool {
    Tool::new("summarize", |ctx: Context, Summarize { text }| async move {
        let request =
            SampleRequest::new(format!("Summarize in one sentence:\n\n{text}")).max_tokens(200);
        Ok(ctx.sample("summary", request).await?.text())
    })
    .title("Summarize")
    .description("Has the client's model summarize a text.")
    .needs(ClientCapability::Sampling)
}

#[derive(Deserialize, JsonSchema)]
struct Stream {
    /// How many notifications to send.
    #[schemars(range(max = 1_000_000))]
    count: u32,
    /// Microseconds between two of them; 0 sends as fast as they are taken.
    #[serde(default)]
    #[schemars(range(max = 60_000_000))]
    interval_us: u32,
}

/// Sends many notifications, each with the time it was made.
pub(super) fn stream(clock: &Clock) -> Tool {
    let clock = clock.clone();
    Tool::new("stream", move |ctx: Context, arguments: Stream| {
        let clock = clock.clone();
        async move {
            let Stream { count, interval_us } = arguments;
            let interval = Duration::from_micros(interval_us.into());
            let mut due = Instant::now();
            for step in 1..=count {
                if !interval.is_zero() {
                    // By schedule: the timer is coarser than the interval may be, so several
                    // notifications may follow one sleep, but the rate holds.
                    due += interval;
                    if due > Instant::now() {
                        sleep_until(due).await;
                    }
                }
                let now = clock.wall_micros().to_string();
                ctx.progress(step.into(), Some(count.into()), Some(&now))
                    .await;
            }
            Ok("done")
        }
    })
    .title("Stream")
    .description(
        "Sends `count` progress notifications, each with the wall clock in microseconds as its \
         message. For measuring; needs a progress token.",
    )
    .read_only()
    .idempotent()
}
