//! Sessions of several nodes over one store.

use std::sync::Arc;
use std::time::Duration;

use actix::System;
use futures_util::StreamExt as _;

use super::{PATIENCE, World};
use crate::identity::Principal;
use crate::node::{self, Node};
use crate::protocol::jsonrpc::{RequestId, Response};
use crate::protocol::logging::LogLevel;
use crate::protocol::raw::RawJson;
use crate::runtime::clock::Clock;
use crate::runtime::seal::ClusterKeys;
use crate::service::event::{self, EventReceiver};
use crate::session::record::Change;
use crate::session::{Config, FindError, SessionHandle};
use crate::store::memory::MemoryStore;
use crate::store::{Bounds, Incarnation, Store};
use crate::telemetry::labels::CloseReason;

const LEASE: Duration = Duration::from_millis(900);

struct Cluster {
    store: Arc<dyn Store>,
    keys: ClusterKeys,
    nodes: Vec<(Node, World)>,
}

impl Cluster {
    async fn of(count: u64) -> Self {
        let store = MemoryStore::new(Clock::system(), Bounds::default());
        let mut cluster = Self {
            store: Arc::new(store),
            keys: ClusterKeys::generate(),
            nodes: Vec::new(),
        };
        for number in 1..=count {
            cluster.add(number).await;
        }
        for (node, _) in &cluster.nodes {
            for number in 1..=count {
                assert!(node.lives(Incarnation(number)).await.unwrap());
            }
        }
        cluster
    }

    async fn add(&mut self, number: u64) {
        let clock = Clock::system();
        let node = Node::new(node::Parts {
            store: self.store.clone(),
            incarnation: Incarnation(number),
            lease: LEASE,
            clock: clock.clone(),
            fingerprints: vec![],
        });
        let (store, keys) = (self.store.clone(), self.keys.clone());
        let world = World::on(node.clone(), store, keys, clock, Config::default());
        node.start().await.unwrap();
        self.nodes.push((node, world));
    }

    fn at(&self, node: usize) -> &World {
        &self.nodes[node].1
    }

    /// The same session on another node.
    async fn seen_from(&self, node: usize, session: &SessionHandle) -> SessionHandle {
        self.at(node).find(session.id().as_str()).await.unwrap()
    }

    async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let reached = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect(what);
    }
}

/// Opens the standing stream of a session; the other end hears it.
async fn attach(session: &SessionHandle) -> EventReceiver {
    let (tx, rx) = event::connection();
    session.attach(tx, None).await.unwrap();
    rx
}

#[test]
fn a_session_is_counted_where_it_is_at_home_and_served_everywhere() {
    System::new().block_on(async {
        let cluster = Cluster::of(3).await;
        let session = cluster.at(0).open().await.unwrap();
        for node in [1, 2] {
            let guest = cluster.seen_from(node, &session).await;
            assert_eq!(guest.negotiated(), session.negotiated());
            let entered = guest.enter(&RequestId::Number(1));
            assert!(entered.is_ok(), "a guest takes calls");
            assert!(guest.inner().sleeps(), "and needs no actor for them");
        }
        let live = cluster.nodes.iter().map(|(_, world)| world.sessions.live());
        assert_eq!(live.collect::<Vec<_>>(), [1, 0, 0]);
    });
}

#[test]
fn the_newest_standing_stream_wins_wherever_it_is() {
    System::new().block_on(async {
        let cluster = Cluster::of(2).await;
        let session = cluster.at(0).open().await.unwrap();
        let mut first = attach(&session).await;
        assert!(first.next().await.is_some(), "the priming event");

        let guest = cluster.seen_from(1, &session).await;
        let mut second = attach(&guest).await;
        assert!(second.next().await.is_some(), "the priming event");

        let ended = async { while first.next().await.is_some() {} };
        tokio::time::timeout(PATIENCE, ended)
            .await
            .expect("the first ends");
        cluster
            .until("home moves with the stream", async || {
                guest.is_at_home() && !session.is_at_home()
            })
            .await;
    });
}

#[test]
fn an_answer_finds_its_question_on_another_node() {
    System::new().block_on(async {
        let cluster = Cluster::of(2).await;
        let session = cluster.at(0).open().await.unwrap();
        let mut question = session.open_question().await.unwrap();
        let guest = cluster.seen_from(1, &session).await;
        let answer = Response {
            id: Some(question.id.clone()),
            outcome: Ok(RawJson::from_valid(r#"{"action":"accept"}"#)),
        };
        assert!(guest.answer(answer).await);
        let answer = question.answer(PATIENCE).await.unwrap();
        assert_eq!(answer.as_str(), r#"{"action":"accept"}"#);
    });
}

#[test]
fn a_call_is_cancelled_through_any_node() {
    System::new().block_on(async {
        let cluster = Cluster::of(3).await;
        let session = cluster.at(0).open().await.unwrap();
        let entered = session.enter(&RequestId::Number(7)).unwrap();
        let guest = cluster.seen_from(2, &session).await;
        guest.cancel_anywhere(RequestId::Number(7));
        tokio::time::timeout(PATIENCE, entered.cancel.cancelled())
            .await
            .expect("the call hears of it");
    });
}

#[test]
fn a_change_made_on_one_node_is_known_on_all() {
    System::new().block_on(async {
        let cluster = Cluster::of(3).await;
        let session = cluster.at(0).open().await.unwrap();
        let one = cluster.seen_from(1, &session).await;
        let other = cluster.seen_from(2, &session).await;
        let change = one.change(Change::LogLevel(LogLevel::Error));
        change.await.unwrap();
        for handle in [&session, &other] {
            cluster
                .until("the level is known", async || {
                    handle.changing().log_level == Some(LogLevel::Error)
                })
                .await;
        }
        // Two who change at the same time both get their change.
        let (first, second) = tokio::join!(
            session.change(Change::Subscribe("a:1".into())),
            other.change(Change::Subscribe("a:2".into())),
        );
        first.unwrap();
        second.unwrap();
        cluster
            .until("both are known to all", async || {
                [&session, &one, &other]
                    .iter()
                    .all(|handle| handle.changing().subscriptions.len() == 2)
            })
            .await;
    });
}

#[test]
fn a_session_deleted_through_one_node_is_gone_on_all() {
    System::new().block_on(async {
        let cluster = Cluster::of(3).await;
        let session = cluster.at(0).open().await.unwrap();
        let id = session.id().as_str().to_owned();
        let guest = cluster.seen_from(1, &session).await;
        let running = session.enter(&RequestId::Number(1)).unwrap();
        let mut stream = attach(&session).await;

        let (sessions, principal) = (&cluster.at(2).sessions, Principal::local());
        let closed = sessions.close(&id, &principal, "main", CloseReason::Deleted);
        closed.await.unwrap();

        tokio::time::timeout(PATIENCE, running.cancel.cancelled())
            .await
            .expect("its calls are cancelled");
        let ended = async { while stream.next().await.is_some() {} };
        tokio::time::timeout(PATIENCE, ended)
            .await
            .expect("its stream ends");
        for node in 0..3 {
            cluster
                .until("nobody finds it", async || {
                    cluster.at(node).find(&id).await.err() == Some(FindError::NotFound)
                })
                .await;
        }
        let change = guest.change(Change::LogLevel(LogLevel::Error)).await;
        assert!(change.is_err(), "who still holds it cannot bring it back");
        assert_eq!(
            cluster.at(1).find(&id).await.unwrap_err(),
            FindError::NotFound
        );
    });
}

#[test]
fn a_session_whose_home_died_is_at_home_where_it_is_asked_for() {
    System::new().block_on(async {
        let cluster = Cluster::of(2).await;
        let session = cluster.at(0).open().await.unwrap();
        let id = session.id().as_str().to_owned();
        cluster.nodes[0].0.retire().await;
        let node = &cluster.nodes[1].0;
        while node.lives(Incarnation(1)).await.unwrap() {
            node.next_renewal().await;
        }
        let found = cluster.at(1).find(&id).await.unwrap();
        assert!(found.is_at_home());
        assert_eq!(found.negotiated(), session.negotiated());
    });
}

#[test]
fn a_node_that_missed_letters_checks_what_it_keeps() {
    System::new().block_on(async {
        let cluster = Cluster::of(1).await;
        let kept = cluster.at(0).open().await.unwrap();
        let lost = cluster.at(0).open().await.unwrap();
        // Removed behind its back, as when the letter that says so was lost.
        cluster.store.remove(&lost.id().scope()).await.unwrap();
        node::doubt_for_tests(&cluster.nodes[0].0);
        cluster
            .until("the lost one is gone", async || {
                cluster.at(0).sessions.live() == 1
            })
            .await;
        let found = cluster.at(0).find(kept.id().as_str()).await;
        assert!(found.is_ok());
    });
}
