//! What a server announces is heard wherever its clients listen.

use std::collections::BTreeSet;

use std::sync::Arc;

use super::{One, nodes, within};
use crate::identity::Caller;
use crate::node::sharing;
use crate::protocol::subscription::{Change, SubscriptionFilter};
use crate::runtime::seal::ClusterKeys;
use crate::server::{NoArguments, Resource, Server, ServerBuilder, Tool};
use crate::service::changes::Watch;

const URI: &str = "news://today";
const SECRET: &str = "news://secret";

/// One resource for everybody and one for Alice.
fn news(_: usize) -> ServerBuilder {
    let secret = Resource::fixed(SECRET, "secret", "Hush.");
    Server::builder("news", "1")
        .tool(tool("read"))
        .resource(Resource::fixed(URI, "today", "Nothing happened."))
        .resource(secret.visible_to(|caller| *caller == alice()))
}

fn tool(name: &str) -> Tool {
    Tool::new(name, |_, NoArguments {}| async { Ok("Done.") })
}

fn alice() -> Caller {
    Caller::known_as("alice")
}

async fn watch(one: &One, caller: Caller) -> Watch {
    let filter = SubscriptionFilter {
        tools_list_changed: true,
        resource_subscriptions: [URI, SECRET].map(str::to_owned).into(),
        ..SubscriptionFilter::default()
    };
    one.service.watch(&Arc::new(caller), filter).await.unwrap()
}

/// All that is heard until this is.
async fn heard_until(watch: &Watch, change: Change) -> BTreeSet<Change> {
    let heard = async {
        let mut heard = BTreeSet::new();
        while !heard.contains(&change) {
            heard.append(&mut watch.changed().await);
        }
        heard
    };
    within("it is heard of", heard).await
}

#[tokio::test]
async fn what_one_node_announces_is_heard_at_the_other() {
    let [here, there] = nodes(news).await;
    let watch = watch(&there, Caller::local()).await;

    here.server.handle().resource_updated(URI);
    heard_until(&watch, Change::Resource(URI.into())).await;
    here.server.handle().add_tool(tool("write")).unwrap();
    heard_until(&watch, Change::Tools).await;
}

/// What only some may see is told to nobody else, wherever they listen.
#[tokio::test]
async fn each_node_tells_only_those_who_may_see_it() {
    let [here, there] = nodes(news).await;
    let alices = watch(&there, alice()).await;
    let bobs = watch(&there, Caller::known_as("bob")).await;

    here.server.handle().resource_updated(SECRET);
    heard_until(&alices, Change::Resource(SECRET.into())).await;
    here.server.handle().resource_updated(URI);

    let heard = heard_until(&bobs, Change::Resource(URI.into())).await;
    assert!(!heard.contains(&Change::Resource(SECRET.into())));
}

#[tokio::test]
async fn a_node_that_may_have_missed_something_looks_again() {
    let (store, keys) = (sharing::store(), ClusterKeys::generate());
    let [here, there] = [0, 1].map(|at| One::build(&store, &keys, at, news(at)));
    let watch = watch(&there, Caller::local()).await;
    // A node that comes later was not there for what was announced before.
    sharing::start(&[&here.node, &there.node]).await;
    heard_until(&watch, Change::Tools).await;
}
