//! Registry, actors and store together, with a clock that the tests move: one node here, several in
//! the files below.

mod elsewhere;
mod streams_elsewhere;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::System;
use futures_util::future::{BoxFuture, join_all};

use crate::identity::{Caller, Principal};
use crate::node::Node;
use crate::protocol::capabilities::ServerCapabilities;
use crate::protocol::jsonrpc::RequestId;
use crate::protocol::lifecycle::Implementation;
use crate::protocol::logging::LogLevel;
use crate::protocol::param_headers::HeaderParams;
use crate::protocol::raw::RawJson;
use crate::protocol::subscription::SubscriptionFilter;
use crate::protocol::version::ProtocolVersion;
use crate::runtime::arbiters::Arbiters;
use crate::runtime::clock::{Clock, Timestamp};
use crate::runtime::seal::ClusterKeys;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::tasks::Tasks;
use crate::service::Sees;
use crate::service::changes::{CatalogDigest, Changes, Watch};
use crate::service::{
    Call, CallFuture, Client, Description, Reply, Service, ServiceError, TaskUse,
};
use crate::session::messages::{Close, Panic, Restore};
use crate::session::record::Change;
use crate::session::{Config, FindError, NewSession, OpenError, Parts, SessionHandle, Sessions};
use crate::store::memory::MemoryStore;
use crate::store::{Bounds, Incarnation, Store};
use crate::telemetry::labels::CloseReason;
use crate::telemetry::metrics::Metrics;

/// Far above what anything here takes; reaching it is a fault.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Answers everything with `{}` and has nothing to tell.
#[derive(Default)]
pub(super) struct Plain(Changes);

impl Service for Plain {
    fn describe(&self, _: &Caller) -> Arc<Description> {
        let info = Implementation {
            name: "plain".into(),
            version: "1".into(),
            title: None,
            description: None,
            website_url: None,
        };
        Arc::new(Description::new(info, ServerCapabilities::default(), None))
    }

    fn call(&self, _: Call) -> CallFuture {
        Box::pin(std::future::ready(Ok(Reply::complete(
            RawJson::empty_object(),
        ))))
    }

    fn header_params(&self, _: &Caller, _: &str) -> Option<Arc<HeaderParams>> {
        None
    }

    fn task_use(&self, _: &Caller, _: &str) -> Option<TaskUse> {
        None
    }

    fn is_idempotent(&self, _: &Caller, tool: &str) -> bool {
        tool == "trusted"
    }

    fn catalog_digest(&self, _: &Caller, _: Sees<'_>) -> CatalogDigest {
        CatalogDigest::default()
    }

    fn watch(
        &self,
        caller: &Arc<Caller>,
        filter: SubscriptionFilter,
    ) -> BoxFuture<'static, Result<Watch, ServiceError>> {
        Box::pin(std::future::ready(Ok(self.0.watch(caller, filter))))
    }
}

pub(super) struct World {
    pub(super) sessions: Sessions,
    clock: Clock,
}

impl World {
    fn start(config: Config) -> Self {
        Self::bounded(config, Bounds::default())
    }

    fn bounded(config: Config, bounds: Bounds) -> Self {
        let clock = Clock::manual(Timestamp(1_000_000));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone(), bounds));
        let node = Node::alone(Incarnation(1));
        Self::on(node, store, ClusterKeys::generate(), clock, config)
    }

    /// A node of a cluster: its sessions, and how it stands among the others.
    pub(super) fn on(
        node: Node,
        store: Arc<dyn Store>,
        keys: ClusterKeys,
        clock: Clock,
        config: Config,
    ) -> Self {
        let service: Arc<dyn Service> = Arc::new(Plain::default());
        let sessions = Sessions::start(Parts {
            audit: None,
            services: HashMap::from([(Arc::from("main"), service)]),
            store,
            keys,
            clock: clock.clone(),
            tasks: Tasks::on(tokio::runtime::Handle::current()),
            arbiters: Arbiters::start(2),
            shutdown: Shutdown::default(),
            node,
            metrics: Metrics::new(),
            config,
        });
        Self { sessions, clock }
    }

    pub(super) async fn open(&self) -> Result<SessionHandle, OpenError> {
        let new = NewSession {
            version: ProtocolVersion::V2025_11_25,
            client: Client::unknown(),
            caller: Arc::new(Caller::local()),
            endpoint: "main".into(),
        };
        self.sessions.open(new).await
    }

    pub(super) async fn find(&self, id: &str) -> Result<SessionHandle, FindError> {
        self.sessions
            .find(id, &Arc::new(Caller::local()), "main")
            .await
    }

    /// Waits until so many sessions live here.
    async fn until_live(&self, count: usize) {
        let reached = async {
            while self.sessions.live() != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached)
            .await
            .expect("the sweep comes around");
    }
}

/// Sweeps come every 50 ms of real time; what they see is the manual clock.
fn config() -> Config {
    Config {
        passivate_after: Duration::from_millis(100),
        ..Config::default()
    }
}

fn kill(session: &SessionHandle) {
    let addr = session.inner().actor().expect("the actor lives");
    addr.try_send(Panic).expect("its mailbox has room");
}

#[test]
fn a_session_whose_actor_died_answers_again_and_has_lost_nothing() {
    System::new().block_on(async {
        let world = World::start(Config::default());
        let session = world.open().await.unwrap();
        session
            .change(Change::LogLevel(LogLevel::Error))
            .await
            .unwrap();

        kill(&session);

        session
            .change(Change::Subscribe("a:b".into()))
            .await
            .unwrap();
        let changing = session.changing();
        assert_eq!(changing.log_level, Some(LogLevel::Error));
        assert!(changing.subscriptions.contains("a:b"));
        assert!(world.find(session.id().as_str()).await.is_ok());
        assert_eq!(world.sessions.live(), 1);
    });
}

#[test]
fn a_call_goes_on_while_the_actor_of_its_session_dies() {
    System::new().block_on(async {
        let world = World::start(Config::default());
        let session = world.open().await.unwrap();
        let entered = session.enter(&RequestId::Number(1)).unwrap();

        kill(&session);

        session.open_question().await.unwrap();
        assert!(!entered.cancel.is_cancelled());
    });
}

#[test]
fn a_session_that_keeps_dying_is_given_up() {
    System::new().block_on(async {
        let world = World::start(Config::default());
        let session = world.open().await.unwrap();
        let id = session.id().as_str().to_owned();

        for _ in 0..10 {
            if let Some(addr) = session.inner().actor() {
                // Full or closed: it is dying already.
                drop(addr.try_send(Panic));
            }
            // Queued behind the death, so it waits for the successor, if there is one.
            if session.open_question().await.is_err() {
                break;
            }
        }

        world.until_live(0).await;
        assert_eq!(world.find(&id).await.unwrap_err(), FindError::NotFound);
    });
}

#[test]
fn an_unused_session_leaves_the_process_and_comes_back_as_it_was() {
    System::new().block_on(async {
        let world = World::start(config());
        let session = world.open().await.unwrap();
        session
            .change(Change::LogLevel(LogLevel::Alert))
            .await
            .unwrap();
        let id = session.id().as_str().to_owned();

        world.clock.advance(Duration::from_secs(1));
        world.until_live(0).await;

        let again = world.find(&id).await.unwrap();
        assert_eq!(again.negotiated(), session.negotiated());
        assert_eq!(again.changing(), session.changing());
        assert!(session.enter(&RequestId::Number(1)).is_err());
        assert!(again.enter(&RequestId::Number(1)).is_ok());
    });
}

#[test]
fn a_session_in_use_stays() {
    System::new().block_on(async {
        let world = World::start(config());
        let used = world.open().await.unwrap();
        let _call = used.enter(&RequestId::Number(1)).unwrap();
        let _unused = world.open().await.unwrap();

        world.clock.advance(Duration::from_secs(1));

        world.until_live(1).await;
        assert!(used.hold().is_some());
    });
}

#[test]
fn however_many_ask_a_session_is_restored_once() {
    System::new().block_on(async {
        let world = World::start(config());
        let id = world.open().await.unwrap().id().as_str().to_owned();
        world.clock.advance(Duration::from_secs(1));
        world.until_live(0).await;

        let found = join_all((0..50).map(|_| world.find(&id))).await;

        let first = found[0].as_ref().unwrap();
        let _held = first.hold().unwrap();
        for handle in &found {
            assert!(std::ptr::eq(
                handle.as_ref().unwrap().inner(),
                first.inner()
            ));
        }
        assert_eq!(world.sessions.live(), 1);
    });
}

#[test]
fn a_session_closed_while_it_is_read_back_stays_closed() {
    System::new().block_on(async {
        let world = World::start(config());
        let id = world.open().await.unwrap().id().clone();
        world.clock.advance(Duration::from_secs(1));
        world.until_live(0).await;

        // Both are queued before the store is read, which happens on this thread.
        let registry = world.sessions.registry();
        let restore = registry.send(Restore(id.clone()));
        let close = registry.send(Close(id, CloseReason::Deleted));
        let found = restore.await.unwrap();
        close.await.unwrap();

        assert!(found.await.unwrap().unwrap().is_none());
        assert_eq!(world.sessions.live(), 0);
    });
}

#[test]
fn passivated_sessions_count_too() {
    System::new().block_on(async {
        let world = World::bounded(
            config(),
            Bounds {
                scopes: 3,
                ..Bounds::default()
            },
        );
        for _ in 0..3 {
            world.open().await.unwrap();
        }
        world.clock.advance(Duration::from_secs(1));
        world.until_live(0).await;

        assert_eq!(world.open().await.unwrap_err(), OpenError::FullForPrincipal);
    });
}

#[test]
fn a_session_ends_when_it_was_not_used_or_is_too_old() {
    System::new().block_on(async {
        let world = World::start(Config {
            idle_ttl: Duration::from_secs(60),
            absolute_ttl: Duration::from_secs(100),
            passivate_after: Duration::from_millis(200),
            ..Config::default()
        });
        let unused = world.open().await.unwrap().id().as_str().to_owned();
        let used = world.open().await.unwrap();
        let call = used.enter(&RequestId::Number(1)).unwrap();

        world.clock.advance(Duration::from_secs(61));
        world.until_live(1).await;
        assert_eq!(world.find(&unused).await.unwrap_err(), FindError::NotFound);
        assert!(!call.cancel.is_cancelled(), "a running call is use");

        world.clock.advance(Duration::from_secs(61));
        world.until_live(0).await;
        assert!(call.cancel.is_cancelled(), "too old, even in use");
    });
}

#[test]
fn places_are_limited_and_given_back() {
    System::new().block_on(async {
        let world = World::start(Config {
            max: 2,
            ..Config::default()
        });
        let first = world.open().await.unwrap();
        world.open().await.unwrap();
        assert_eq!(world.open().await.unwrap_err(), OpenError::Full);
        world
            .sessions
            .close(
                first.id().as_str(),
                &Principal::local(),
                "main",
                CloseReason::Deleted,
            )
            .await
            .unwrap();
        world.open().await.unwrap();
        assert_eq!(world.sessions.live(), 2);
    });
}

#[test]
fn the_registry_can_be_started_again_over_living_sessions() {
    System::new().block_on(async {
        let world = World::start(Config::default());
        let session = world.open().await.unwrap();
        world.sessions.kill_registry().await;

        assert_eq!(world.open().await.unwrap_err(), OpenError::Unavailable);
        assert!(world.find(session.id().as_str()).await.is_ok());
        world.sessions.revive_registry();
        world.open().await.unwrap();
        assert_eq!(world.sessions.live(), 2);
    });
}
