//! Servers at one endpoint of several nodes that share a store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::Spread;
use crate::identity::Principal;
use crate::node::{Node, sharing};
use crate::protocol::subscription::{Change, SubscriptionFilter};
use crate::runtime::seal::ClusterKeys;
use crate::runtime::tasks::Tasks;
use crate::server::{NoArguments, Resource, Server, Tool};
use crate::service::Service;
use crate::service::changes::Watch;
use crate::store::Store;

const PATIENCE: Duration = Duration::from_secs(10);
const URI: &str = "news://today";

/// A node with one server, which has one resource for everybody and one for Alice.
fn node(store: &Arc<dyn Store>, number: u64) -> (Node, Server, Arc<dyn Service>) {
    let secret = Resource::fixed("news://secret", "secret", "Hush.");
    let server = Server::builder("news", "1")
        .tool(Tool::new("read", |_, NoArguments {}| async {
            Ok("Nothing.")
        }))
        .resource(Resource::fixed(URI, "today", "Nothing happened."))
        .resource(secret.visible_to(|principal| *principal == alice()))
        .build(&ClusterKeys::generate())
        .unwrap();
    let node = sharing::node(store, number);
    let service: Arc<dyn Service> = Arc::new(server.clone());
    let tasks = Tasks::on(tokio::runtime::Handle::current());
    Spread::start(&node, &tasks, [(&"main".into(), &service)]);
    (node, server, service)
}

fn alice() -> Principal {
    Principal::from_key("alice")
}

async fn two() -> [(Node, Server, Arc<dyn Service>); 2] {
    let store = sharing::store();
    let nodes = [node(&store, 1), node(&store, 2)];
    sharing::start(&[&nodes[0].0, &nodes[1].0]).await;
    nodes
}

async fn watch(server: &Server, principal: &Principal) -> Watch {
    let filter = SubscriptionFilter {
        tools_list_changed: true,
        resource_subscriptions: [URI, "news://secret"].map(str::to_owned).into(),
        ..SubscriptionFilter::default()
    };
    server.watch(principal, filter).await.unwrap()
}

/// Waits until this is heard of.
async fn hears(watch: &Watch, change: Change) {
    let heard = async { while !watch.changed().await.contains(&change) {} };
    tokio::time::timeout(PATIENCE, heard)
        .await
        .unwrap_or_else(|_| panic!("{change:?} is heard of"));
}

#[tokio::test]
async fn what_one_node_announces_is_heard_at_the_other() {
    let [(_, server, _here), (_, other, _there)] = two().await;
    let watch = watch(&other, &Principal::local()).await;

    server.handle().resource_updated(URI);
    hears(&watch, Change::Resource(URI.into())).await;

    let tool = Tool::new("write", |_, NoArguments {}| async { Ok("Written.") });
    server.handle().add_tool(tool).unwrap();
    hears(&watch, Change::Tools).await;
}

/// What only some may see is told to nobody else, wherever they listen.
#[tokio::test]
async fn each_node_tells_only_those_who_may_see_it() {
    let [(_, server, _here), (_, other, _there)] = two().await;
    let alices = watch(&other, &alice()).await;
    let bobs = watch(&other, &Principal::from_key("bob")).await;

    server.handle().resource_updated("news://secret");
    hears(&alices, Change::Resource("news://secret".into())).await;
    server.handle().resource_updated(URI);

    let heard = tokio::time::timeout(PATIENCE, async {
        let mut heard = BTreeSet::new();
        while !heard.contains(&Change::Resource(URI.into())) {
            heard.append(&mut bobs.changed().await);
        }
        heard
    });
    let secret = Change::Resource("news://secret".into());
    assert!(!heard.await.unwrap().contains(&secret));
}

#[tokio::test]
async fn a_node_that_comes_later_is_told_to_look_again() {
    let store = sharing::store();
    let [(here, _, _here), (there, other, _there)] = [node(&store, 1), node(&store, 2)];
    let watch = watch(&other, &Principal::local()).await;
    sharing::start(&[&here, &there]).await;
    hears(&watch, Change::Tools).await;
}
