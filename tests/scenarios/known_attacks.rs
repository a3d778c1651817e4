//! Attacks that worked on other servers, SDKs and gateways, and fail here. Each story is named for
//! what does not happen.
//!
//! `docs/attacks.md` has the whole list; the others of it are told where the behaviour is told that
//! makes them fail.

mod bypasses;
mod credentials;
mod crossings;
mod hostile_values;
mod learned_urls;
mod second_path;
mod smuggling;
mod spelling;
mod takeovers;

use serde_json::{Value, json};
use switchboard::Host;
use switchboard::config::Environment;
use switchboard::server::ServerBuilder;

use crate::world::asserted::{VARIABLE, believed_from};
use crate::world::own::{Own, configuration};
use crate::world::{Stateless, Switchboard, within};

const VERSION: &str = "2025-11-25";

/// A proxy says who calls, and whoever it names may do everything.
fn asked() -> String {
    let admins =
        "[[bindings]]\nrole = \"admin\"\nany_of = [{ claim = \"groups\", has = \"admins\" }]\n";
    believed_from("127.0.0.1") + admins
}

/// Somebody who may do everything.
fn person(tenant: &str, name: &str) -> Value {
    json!({"sub": name, "tenant": tenant, "groups": ["admins"]})
}

/// A server that asks who calls.
async fn asking(server: ServerBuilder) -> Own {
    let host = Host::new(server).config(configuration(&asked()));
    let host = host.environment(Environment::of(&[VARIABLE]));
    let started = within("the host starts", host.start()).await;
    Own(started.expect("the host can start"))
}

/// Waits until somebody finds this tool.
async fn finds(client: &Stateless, tool: &str) {
    crate::world::eventually("the tool is listed", async || {
        let listed = client.call("tools/list", json!({})).await.result();
        let mut tools = listed["tools"].as_array()?.iter();
        tools.any(|it| it["name"] == tool).then_some(())
    })
    .await;
}

/// A gateway that asks who calls, with these upstreams.
async fn gateway(upstreams: &str) -> Switchboard {
    let gateway = Switchboard::with().config(&format!("{}{upstreams}", asked()));
    gateway.variable(VARIABLE.0, VARIABLE.1).start().await
}
