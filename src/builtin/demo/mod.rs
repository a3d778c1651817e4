//! The demonstration set: one thing of each kind.
//!
//! `echo`, `stream` and `countdown` answer without asking and serve for measuring; `ask_name` and
//! `summarize` ask the client. `clock://now` changes every second while somebody watches it.

#[cfg(test)]
mod tests;
mod tools;

use std::time::Duration;

use crate::runtime::calendar;
use crate::runtime::clock::Clock;
use crate::server::{Completer, Handle, Prompt, Resource, Server, ServerBuilder};

/// The resource that changes.
const CLOCK_URI: &str = "clock://now";

const INSTRUCTIONS: &str = "Demonstration tools. `echo` gives a text back; `countdown` is a long \
    operation with progress; `ask_name` puts a form to the user and `summarize` asks the client's \
    model; `stream` sends many progress notifications for measuring. The resource `clock://now` \
    changes every second and can be subscribed to.";

/// The demonstration set.
pub fn demo(clock: &Clock) -> ServerBuilder {
    let (now, ticking) = (clock.clone(), clock.clone());
    Server::builder("switchboard-demo", env!("CARGO_PKG_VERSION"))
        .title("Switchboard demonstration")
        .instructions(INSTRUCTIONS)
        .clock(clock.clone())
        .without_logging()
        .tool(tools::echo())
        .tool(tools::countdown())
        .tool(tools::ask_name())
        .tool(tools::summarize())
        .tool(tools::stream(clock))
        .resource(
            Resource::dynamic(CLOCK_URI, "now", move |_| {
                let now = calendar::rfc3339(now.now());
                async move { Ok(now) }
            })
            .title("The present")
            .description("The time in UTC; changes every second.")
            .mime_type("text/plain"),
        )
        .prompt(
            Prompt::new("greet", |_, arguments| async move {
                Ok(format!(
                    "Greet {} warmly, in one sentence.",
                    arguments.get("name")
                ))
            })
            .title("Greet somebody")
            .description("Asks for a warm greeting.")
            .required("name", "Who is greeted.")
            .complete(
                "name",
                Completer::among(["Ada", "Alan", "Barbara", "Grace"]),
            ),
        )
        .background(|handle| tick(handle, ticking))
}

/// Announces each second that the clock moved on.
async fn tick(handle: Handle, clock: Clock) {
    loop {
        let into_second = clock.now().0 % 1_000;
        tokio::time::sleep(Duration::from_millis(1_000 - into_second)).await;
        // Other nodes have clocks of their own.
        handle.resource_updated_here(CLOCK_URI);
    }
}
