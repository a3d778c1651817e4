//! Several nodes, each with its sessions, over one store: streams that are read where their calls
//! do not run.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::System;
use bytes::Bytes;
use bytestring::ByteString;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{PATIENCE, World};
use crate::node::{self, Node};
use crate::protocol::jsonrpc::{Params, RequestId};
use crate::protocol::raw::RawJson;
use crate::runtime::clock::{Clock, Timestamp};
use crate::runtime::seal::ClusterKeys;
use crate::runtime::tasks::TaskKind;
use crate::service::event::{Event, EventReceiver};
use crate::session::event_log::{EventId, StreamName};
use crate::session::handle::Entered;
use crate::session::open_stream::OpenStream;
use crate::session::replay::{self, Resumed};
use crate::session::stand_in::{Again, StandIn};
use crate::session::{Config, SessionHandle};
use crate::store::memory::MemoryStore;
use crate::store::{
    AppendOutcome, Bounds, CasOutcome, ClaimOutcome, Epoch, InboxPage, Incarnation, LogEntry,
    LogPage, Ownership, Record, Renewed, Scope, Store, StoreError, StoreFuture, Thing, Version,
};

/// Short, so that a node that is paused is soon taken for dead.
const LEASE: Duration = Duration::from_millis(600);
const CALL: RequestId = RequestId::Number(1);

/// How a node reaches the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Up,
    /// As for a node that is paused: whatever it asks is asked when it goes on.
    Paused,
    Down,
}

/// One node's way to the store they share.
#[derive(Debug)]
struct Link {
    store: Arc<dyn Store>,
    reach: watch::Sender<Reach>,
}

impl Link {
    fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn Store) -> StoreFuture<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let store = self.store.clone();
        let mut reach = self.reach.subscribe();
        Box::pin(async move {
            let reached = reach.wait_for(|reach| *reach != Reach::Paused).await;
            let is_up = reached.is_ok_and(|reach| *reach == Reach::Up);
            if is_up {
                ask(&*store).await
            } else {
                Err(StoreError::Unavailable("the link is down".into()))
            }
        })
    }
}

impl Store for Link {
    fn describe(&self) -> String {
        self.store.describe()
    }

    fn create(&self, scope: &Scope, value: Bytes, expires: Timestamp) -> StoreFuture<bool> {
        let scope = scope.clone();
        self.ask(move |store| store.create(&scope, value, expires))
    }

    fn read(&self, scope: &Scope) -> StoreFuture<Option<Record>> {
        let scope = scope.clone();
        self.ask(move |store| store.read(&scope))
    }

    fn compare_and_set(&self, scope: &Scope, at: Version, value: Bytes) -> StoreFuture<CasOutcome> {
        let scope = scope.clone();
        self.ask(move |store| store.compare_and_set(&scope, at, value))
    }

    fn touch(&self, scopes: Vec<(Scope, Timestamp)>) -> StoreFuture<()> {
        self.ask(move |store| store.touch(scopes))
    }

    fn remove(&self, scope: &Scope) -> StoreFuture<bool> {
        let scope = scope.clone();
        self.ask(move |store| store.remove(&scope))
    }

    fn claim(
        &self,
        scope: &Scope,
        thing: &Thing,
        owner: Incarnation,
        ending: Option<Epoch>,
        note: Bytes,
    ) -> StoreFuture<ClaimOutcome> {
        let (scope, thing) = (scope.clone(), thing.clone());
        self.ask(move |store| store.claim(&scope, &thing, owner, ending, note))
    }

    fn ownership(&self, scope: &Scope, thing: &Thing) -> StoreFuture<Option<Ownership>> {
        let (scope, thing) = (scope.clone(), thing.clone());
        self.ask(move |store| store.ownership(&scope, &thing))
    }

    fn append(
        &self,
        scope: &Scope,
        thing: &Thing,
        epoch: Epoch,
        entries: Vec<LogEntry>,
        ends: bool,
    ) -> StoreFuture<AppendOutcome> {
        let (scope, thing) = (scope.clone(), thing.clone());
        self.ask(move |store| store.append(&scope, &thing, epoch, entries, ends))
    }

    fn read_log(
        &self,
        scope: &Scope,
        thing: &Thing,
        after: u64,
        limit: usize,
        follower: Option<Incarnation>,
    ) -> StoreFuture<LogPage> {
        let (scope, thing) = (scope.clone(), thing.clone());
        self.ask(move |store| store.read_log(&scope, &thing, after, limit, follower))
    }

    fn post(&self, to: Incarnation, message: Bytes) -> StoreFuture<()> {
        self.ask(move |store| store.post(to, message))
    }

    fn receive(&self, inbox: Incarnation, cursor: u64, wait: Duration) -> StoreFuture<InboxPage> {
        self.ask(move |store| store.receive(inbox, cursor, wait))
    }

    fn renew(&self, node: Incarnation, lease: Duration) -> StoreFuture<Renewed> {
        self.ask(move |store| store.renew(node, lease))
    }

    fn retire(&self, node: Incarnation) -> StoreFuture<()> {
        self.ask(move |store| store.retire(node))
    }

    fn sweep(&self) -> StoreFuture<Vec<Scope>> {
        self.ask(|store| store.sweep())
    }

    fn flush(&self) -> StoreFuture<()> {
        self.ask(|store| store.flush())
    }
}

struct Member {
    world: World,
    node: Node,
    link: Arc<Link>,
    stand_in: Arc<Successor>,
}

/// Keeps the calls it is to make again.
#[derive(Default)]
struct Successor(Mutex<Vec<Again>>);

impl StandIn for Successor {
    fn unknown(&self, _: &RequestId) -> ByteString {
        "unknown".into()
    }

    fn run_again(&self, call: Again) {
        self.0.lock().unwrap().push(call);
    }
}

/// A call that runs and has become a stream.
struct Running {
    open: Arc<OpenStream>,
    events: EventReceiver,
    entered: Entered,
    pump: JoinHandle<()>,
}

/// That many nodes, and a session opened at the first.
async fn cluster(nodes: u64) -> (Vec<Member>, SessionHandle) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Clock::system(), Bounds::default()));
    let keys = ClusterKeys::generate();
    let members = (1..=nodes).map(|number| Member::start(&store, &keys, number));
    let members = join_all(members).await;
    let session = members[0].world.open().await.unwrap();
    (members, session)
}

impl Member {
    async fn start(store: &Arc<dyn Store>, keys: &ClusterKeys, number: u64) -> Self {
        let link = Arc::new(Link {
            store: store.clone(),
            reach: watch::Sender::new(Reach::Up),
        });
        let clock = Clock::system();
        let node = Node::new(node::Parts {
            store: link.clone(),
            incarnation: Incarnation(number),
            lease: LEASE,
            clock: clock.clone(),
            fingerprints: vec![],
        });
        let world = World::on(
            node.clone(),
            link.clone(),
            keys.clone(),
            clock,
            Config::default(),
        );
        node.start().await.unwrap();
        Self {
            world,
            node,
            link,
            stand_in: Arc::default(),
        }
    }

    fn reaches(&self, reach: Reach) {
        self.link.reach.send_replace(reach);
    }

    /// Comes back here to a stream of that session, after that number.
    async fn resume(&self, session: &SessionHandle, stream: &StreamName, seq: u64) -> Resumed {
        let id = session.id().as_str();
        let session = self.world.find(id).await.unwrap();
        let from = EventId {
            stream: stream.clone(),
            seq,
        };
        let resuming = replay::resume(&session, from, self.stand_in.clone());
        resuming.await.unwrap()
    }

    async fn follow(
        &self,
        session: &SessionHandle,
        stream: &StreamName,
        seq: u64,
    ) -> EventReceiver {
        match self.resume(session, stream, seq).await {
            Resumed::Following(events) => events,
            ended => panic!("{ended:?}"),
        }
    }

    /// Makes a call again as soon as it is to.
    async fn runs_again(&self) -> Again {
        within(async {
            loop {
                if let Some(call) = self.stand_in.0.lock().unwrap().pop() {
                    return call;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    async fn until_lease_is_lost(&self) {
        within(async {
            while self.node.holds_lease() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

impl Running {
    async fn of(session: &SessionHandle) -> Self {
        Self::of_tool(session, "plain").await
    }

    async fn of_tool(session: &SessionHandle, tool: &str) -> Self {
        let entered = session.enter(&CALL).unwrap();
        let params = Params::new(RawJson::of(&json!({"name": tool})));
        let (open, events) = session.begin_stream(&[CALL], Some(&params)).await;
        let open = Arc::new(open);
        let running = open.clone();
        let tasks = &session.inner().shared.tasks;
        let pump = tasks.spawn(TaskKind::Call, async move { running.pump().await });
        Self {
            open,
            events,
            entered,
            pump,
        }
    }

    /// A call that has said something, and one who has heard it at that node.
    async fn heard_at(member: &Member, session: &SessionHandle) -> (Self, EventReceiver) {
        let call = Self::of(session).await;
        call.say("a").await;
        let mut there = member.follow(session, call.open.name(), 0).await;
        assert_eq!(told(&mut there, 1).await, numbered(1, ["a"]));
        (call, there)
    }

    /// A call that may be made again and has said something.
    async fn trusted(session: &SessionHandle, said: &'static str) -> Self {
        let mut call = Self::of_tool(session, "trusted").await;
        call.say(said).await;
        assert_eq!(told(&mut call.events, 1).await, numbered(1, [said]));
        call
    }

    async fn say(&self, data: &'static str) {
        self.open.send(ByteString::from_static(data)).await;
    }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    let what = tokio::time::timeout(PATIENCE, what);
    what.await.expect("it happens in time")
}

/// The next events, as number and text.
async fn told(events: &mut EventReceiver, count: usize) -> Vec<(u64, String)> {
    let messages = events.filter_map(message).take(count);
    let told = within(messages.collect::<Vec<_>>()).await;
    assert_eq!(told.len(), count, "the stream ended after {told:?}");
    told
}

/// All that comes until the stream ends.
async fn rest(events: EventReceiver) -> Vec<(u64, String)> {
    within(events.filter_map(message).collect()).await
}

async fn number_of_next(events: &mut EventReceiver) -> Option<u64> {
    loop {
        if let Event::Message { seq, .. } = within(events.next()).await.unwrap() {
            return seq;
        }
    }
}

async fn message(event: Event) -> Option<(u64, String)> {
    match event {
        Event::Message { seq, data } => Some((seq.expect("it has a number"), data.to_string())),
        Event::Priming { .. } | Event::Retry { .. } => None,
    }
}

fn numbered<const N: usize>(first: u64, texts: [&str; N]) -> Vec<(u64, String)> {
    let texts = texts.into_iter().map(str::to_owned);
    (first..).zip(texts).collect()
}

#[test]
fn a_call_is_followed_on_another_node_while_it_runs() {
    System::new().block_on(async {
        let (members, session) = cluster(2).await;
        let mut call = Running::of(&session).await;
        call.say("a").await;
        call.say("b").await;
        assert_eq!(told(&mut call.events, 2).await, numbered(1, ["a", "b"]));

        let mut there = members[1].follow(&session, call.open.name(), 1).await;
        assert_eq!(told(&mut there, 1).await, numbered(2, ["b"]));
        call.say("c").await;
        assert_eq!(told(&mut there, 1).await, numbered(3, ["c"]));
        call.open.last(vec!["d".into()]);

        assert_eq!(rest(there).await, numbered(4, ["d"]));
        assert_eq!(
            rest(call.events).await,
            [],
            "one message goes to one stream"
        );
        let again = members[1].resume(&session, call.open.name(), 4).await;
        assert!(matches!(again, Resumed::NothingLeft));
    });
}

#[test]
fn a_client_returns_to_the_node_that_runs_its_call() {
    System::new().block_on(async {
        let (members, session) = cluster(2).await;
        let (call, there) = Running::heard_at(&members[1], &session).await;
        drop(there);

        let mut here = members[0].follow(&session, call.open.name(), 1).await;
        call.say("b").await;
        assert_eq!(told(&mut here, 1).await, numbered(2, ["b"]));
        call.open.last(vec!["c".into()]);
        assert_eq!(rest(here).await, numbered(3, ["c"]));
    });
}

#[test]
fn a_call_whose_node_is_gone_ends_unknown_once_however_many_read_it() {
    System::new().block_on(async {
        let (members, session) = cluster(4).await;
        let call = Running::of(&session).await;
        call.say("a").await;
        let name = call.open.name();
        let before = members[1].follow(&session, name, 0).await;
        members[0].reaches(Reach::Paused);
        let others = members[1..].iter();
        let readers = join_all(others.map(|member| member.follow(&session, name, 0))).await;

        let told = join_all(readers.into_iter().map(rest)).await;

        let settled = numbered(1, ["a", "unknown"]);
        for told in told {
            assert_eq!(told, settled);
        }
        assert!(settled.starts_with(&rest(before).await), "superseded");
        let again = members[2].follow(&session, name, 0).await;
        assert_eq!(rest(again).await, settled);
    });
}

#[test]
fn a_node_that_wakes_up_overtaken_says_nothing_more_and_stops_its_call() {
    System::new().block_on(async {
        let (members, session) = cluster(2).await;
        let mut call = Running::of(&session).await;
        call.say("a").await;
        assert_eq!(told(&mut call.events, 1).await, numbered(1, ["a"]));
        members[0].reaches(Reach::Paused);
        let there = members[1].follow(&session, call.open.name(), 1).await;
        assert_eq!(rest(there).await, numbered(2, ["unknown"]));

        call.say("late").await;
        members[0].reaches(Reach::Up);

        within(call.entered.cancel.cancelled()).await;
        within(call.pump).await.unwrap();
        assert_eq!(rest(call.events).await, []);
        call.open.send("later".into()).await;
        call.open.last(vec!["result".into()]);
        let name = call.open.name().clone();
        drop(call.open);
        let again = members[0].follow(&session, &name, 0).await;
        assert_eq!(rest(again).await, numbered(1, ["a", "unknown"]));
    });
}

#[test]
fn a_node_that_was_cut_off_and_not_overtaken_goes_on() {
    System::new().block_on(async {
        let (members, session) = cluster(1).await;
        let mut call = Running::of(&session).await;
        members[0].reaches(Reach::Paused);
        members[0].until_lease_is_lost().await;
        call.say("a").await;
        members[0].reaches(Reach::Up);
        assert_eq!(told(&mut call.events, 1).await, numbered(1, ["a"]));
        call.open.last(vec!["b".into()]);
        assert_eq!(rest(call.events).await, numbered(2, ["b"]));
    });
}

#[test]
fn a_stream_that_lost_its_call_is_ended_by_its_reader_though_its_node_lives() {
    System::new().block_on(async {
        let (members, session) = cluster(2).await;
        let call = Running::of(&session).await;
        call.say("a").await;
        let name = call.open.name().clone();
        let there = members[1].follow(&session, &name, 0).await;
        call.pump.abort();
        // The task that is aborted holds the stream, too.
        within(call.pump).await.unwrap_err();
        drop(call.open);

        assert_eq!(rest(there).await, numbered(1, ["a", "unknown"]));
    });
}

#[test]
fn a_reader_sees_that_a_call_of_its_own_node_is_gone() {
    System::new().block_on(async {
        let (members, session) = cluster(1).await;
        let (call, here) = Running::heard_at(&members[0], &session).await;
        call.pump.abort();
        within(call.pump).await.unwrap_err();
        drop(call.open);

        assert_eq!(rest(here).await, numbered(2, ["unknown"]));
    });
}

#[test]
fn a_reader_whose_store_goes_away_is_let_go() {
    System::new().block_on(async {
        let (members, session) = cluster(2).await;
        let (call, there) = Running::heard_at(&members[1], &session).await;

        members[1].reaches(Reach::Down);
        call.say("b").await;
        assert_eq!(rest(there).await, []);

        members[1].reaches(Reach::Up);
        let mut there = members[1].follow(&session, call.open.name(), 1).await;
        assert_eq!(told(&mut there, 1).await, numbered(2, ["b"]));
    });
}

#[test]
fn without_a_lease_a_stream_begins_without_a_log() {
    System::new().block_on(async {
        let (members, session) = cluster(1).await;
        members[0].reaches(Reach::Down);
        members[0].until_lease_is_lost().await;

        let (open, mut events) = session.begin_stream(&[CALL], None).await;

        assert!(!open.is_durable());
        open.last(vec!["a".into()]);
        open.pump().await;
        let first = within(events.next()).await;
        let data = "a".into();
        assert_eq!(
            first,
            Some(Event::Message { seq: None, data }),
            "no priming"
        );
    });
}

#[test]
fn a_call_that_ended_while_the_store_was_away_is_read_elsewhere_as_it_ended() {
    System::new().block_on(async {
        let (members, session) = cluster(2).await;
        let (call, there) = Running::heard_at(&members[1], &session).await;
        members[0].reaches(Reach::Down);
        call.say("b").await;
        call.open.last(vec!["result".into()]);
        within(call.pump).await.unwrap();
        drop(call.open);
        members[0].reaches(Reach::Up);

        assert_eq!(rest(there).await, numbered(2, ["result"]));
    });
}

#[test]
fn how_a_call_ended_is_not_said_by_a_node_that_may_have_been_succeeded() {
    System::new().block_on(async {
        let (members, session) = cluster(2).await;
        let taken = Running::of(&session).await;
        let other = members[0].world.open().await.unwrap();
        let kept = Running::of(&other).await;
        members[0].reaches(Reach::Down);
        members[0].until_lease_is_lost().await;
        let there = members[1].follow(&session, taken.open.name(), 0).await;
        assert_eq!(rest(there).await, numbered(1, ["unknown"]));
        for call in [&taken, &kept] {
            call.open.last(vec!["result".into()]);
        }
        members[0].reaches(Reach::Up);

        assert_eq!(rest(taken.events).await, [], "another end was told");
        assert_eq!(rest(kept.events).await, numbered(1, ["result"]));
    });
}

#[test]
fn what_cannot_leave_while_the_store_is_away_waits_for_the_log() {
    System::new().block_on(async {
        let (members, session) = cluster(2).await;
        let call = Running::of(&session).await;
        call.say("a").await;
        call.open.release_connection();
        members[0].reaches(Reach::Down);
        call.say("b").await;
        call.say("c").await;
        members[0].reaches(Reach::Up);
        let mut there = members[1].follow(&session, call.open.name(), 1).await;
        assert_eq!(told(&mut there, 2).await, numbered(2, ["b", "c"]));
        call.open.last(vec!["result".into()]);
        assert_eq!(rest(there).await, numbered(4, ["result"]));
    });
}

#[test]
fn events_have_numbers_again_once_the_store_is_back() {
    System::new().block_on(async {
        let (members, session) = cluster(1).await;
        let mut call = Running::of(&session).await;
        members[0].reaches(Reach::Down);
        call.say("a").await;
        assert_eq!(number_of_next(&mut call.events).await, None);
        members[0].reaches(Reach::Up);
        let number = within(async {
            loop {
                call.say("b").await;
                if let Some(number) = number_of_next(&mut call.events).await {
                    return number;
                }
            }
        });
        assert_eq!(number.await, 1, "what left without one is not in the log");
    });
}

/// What a call says that asks its client nothing, and what asks.
const NOTICE: &str = r#"{"method":"notice"}"#;
const QUESTION: &str = r#"{"id":1,"method":"ask"}"#;

#[test]
fn a_trusted_call_whose_node_is_gone_is_made_again_once_however_many_read_it() {
    System::new().block_on(async {
        let (members, session) = cluster(3).await;
        let call = Running::trusted(&session, NOTICE).await;
        members[0].reaches(Reach::Paused);
        let name = call.open.name();
        let readers = join_all(members[1..].iter().map(|m| m.follow(&session, name, 0))).await;

        let again = within(async {
            tokio::select! {
                again = members[1].runs_again() => again,
                again = members[2].runs_again() => again,
            }
        })
        .await;
        assert_eq!(again.request.id, CALL);
        again.stream.send("again".into()).await;
        again.stream.last(vec!["result".into()]);
        again.stream.pump().await;

        for told in join_all(readers.into_iter().map(rest)).await {
            assert_eq!(told, numbered(1, [NOTICE, "again", "result"]));
        }
        for member in &members {
            assert!(member.stand_in.0.lock().unwrap().is_empty());
        }
    });
}

#[test]
fn a_call_that_was_made_again_and_lost_its_node_again_ends_unknown() {
    System::new().block_on(async {
        let (members, session) = cluster(3).await;
        let call = Running::trusted(&session, NOTICE).await;
        members[0].reaches(Reach::Paused);
        let name = call.open.name();
        let _reader = members[1].follow(&session, name, 1).await;
        let again = members[1].runs_again().await;
        members[1].reaches(Reach::Paused);

        let there = members[2].follow(&session, name, 1).await;

        assert_eq!(rest(there).await, numbered(2, ["unknown"]));
        drop(again);
    });
}

#[test]
fn a_call_that_is_made_again_and_dropped_ends_unknown() {
    System::new().block_on(async {
        let (members, session) = cluster(2).await;
        let call = Running::trusted(&session, NOTICE).await;
        members[0].reaches(Reach::Paused);
        let there = members[1].follow(&session, call.open.name(), 1).await;

        drop(members[1].runs_again().await);

        assert_eq!(rest(there).await, numbered(2, ["unknown"]));
    });
}

#[test]
fn a_call_that_asked_its_client_something_is_not_made_again() {
    System::new().block_on(async {
        let (members, session) = cluster(2).await;
        let call = Running::trusted(&session, QUESTION).await;
        members[0].reaches(Reach::Paused);
        let there = members[1].follow(&session, call.open.name(), 1).await;
        assert_eq!(rest(there).await, numbered(2, ["unknown"]));
        assert!(members[1].stand_in.0.lock().unwrap().is_empty());
    });
}
