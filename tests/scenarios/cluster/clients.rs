//! A crowd of light clients, each with a session and a standing stream, that call, come back when
//! they are cut off, and write down everything.
//!
//! They reach the cluster at one address (that of nginx, or of a node) which the story may change.
//! What a client cannot know it does not guess: a call whose answer was cut off before its stream
//! had an event id is *unknown*, and never sent again.

mod calling;
mod dumping;
mod listening;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::task::JoinSet;

use super::history::{History, Op, Record};
use super::http::{Connection, Head};
use super::requests;
use crate::world::{eventually, within};

/// Requests at once while a crowd gathers, or shows what it has.
const AT_ONCE: usize = 64;
/// Idle connections kept for calls.
const POOL_MAX: usize = 64;
/// Between two tries to come back.
const RETRY: Duration = Duration::from_millis(100);

/// Clients with a session each.
#[derive(Debug)]
pub struct Crowd {
    shared: Arc<Shared>,
    members: Vec<Arc<Member>>,
    streams: JoinSet<()>,
}

/// One of them.
#[derive(Debug)]
pub struct Member {
    /// Its name in the history, and its mark.
    pub name: String,
    /// The id of its session.
    pub session: String,
    next: AtomicU64,
}

/// What all of them use.
#[derive(Debug)]
struct Shared {
    history: History,
    /// Where they go, in turn.
    addresses: Mutex<VecDeque<SocketAddr>>,
    pool: Mutex<Vec<Connection>>,
    listening: AtomicUsize,
    refusals: Refusals,
}

/// Requests to come back that were refused for load.
#[derive(Debug, Default)]
pub struct Refusals {
    /// With 429 or 503.
    pub all: AtomicUsize,
    /// Those of them that said when to try again.
    pub with_time: AtomicUsize,
}

impl Crowd {
    /// Opens `count` sessions at an address.
    pub async fn gather(address: SocketAddr, count: usize) -> Self {
        let shared = Arc::new(Shared {
            history: History::begin(),
            addresses: Mutex::new([address].into()),
            pool: Mutex::default(),
            listening: AtomicUsize::new(0),
            refusals: Refusals::default(),
        });
        let members = stream::iter(0..count).map(|number| shared.open(number));
        let members = members.buffer_unordered(AT_ONCE).collect().await;
        Self {
            shared,
            members,
            streams: JoinSet::new(),
        }
    }

    /// What they did and saw.
    pub fn history(&self) -> &History {
        &self.shared.history
    }

    /// The clients.
    pub fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    /// From now on they go to this address.
    pub fn lead_to(&self, address: SocketAddr) {
        self.lead_to_any(&[address]);
    }

    /// From now on they go to these addresses in turn.
    pub fn lead_to_any(&self, addresses: &[SocketAddr]) {
        *self.shared.addresses.lock().unwrap() = addresses.iter().copied().collect();
        self.shared.pool.lock().unwrap().clear();
    }

    /// How often coming back was refused for load.
    pub fn refusals(&self) -> &Refusals {
        &self.shared.refusals
    }

    /// Every session asks to hear of what changes.
    pub async fn subscribe(&self) {
        let asking = stream::iter(&self.members).for_each_concurrent(AT_ONCE, |member| async {
            let (head, text) = self
                .shared
                .exchange(&requests::subscribe(&member.session))
                .await;
            assert!(head.status == 200 && text.contains("\"result\""), "{text}");
        });
        asking.await;
    }

    /// Each opens its standing stream, and comes back whenever it breaks, until [`Crowd::leave`].
    pub async fn listen(&mut self) {
        for member in &self.members {
            let (shared, member) = (self.shared.clone(), member.clone());
            self.streams
                .spawn(async move { shared.keep_listening(&member).await });
        }
        self.all_listen().await;
    }

    /// How many have a standing stream.
    pub fn listening(&self) -> usize {
        self.shared.listening.load(Ordering::Relaxed)
    }

    /// Waits until every standing stream is open.
    pub async fn all_listen(&self) {
        eventually("every standing stream is open", || async {
            (self.listening() == self.members.len()).then_some(())
        })
        .await;
    }

    /// The same after a fault that was to break some: fewer than `open` must have been seen first.
    pub async fn all_listen_again(&self, open: usize) {
        eventually("some standing streams break", || async {
            (self.listening() < open).then_some(())
        })
        .await;
        self.all_listen().await;
    }

    /// Lets the standing streams go without a word.
    pub async fn leave(&mut self) {
        self.streams.shutdown().await;
    }
}

impl Shared {
    fn address(&self) -> SocketAddr {
        let mut addresses = self.addresses.lock().unwrap();
        addresses.rotate_left(1);
        addresses[0]
    }

    async fn open(&self, number: usize) -> Arc<Member> {
        let (head, text) = self.exchange(&requests::initialize()).await;
        let session = head.session;
        let session = session.unwrap_or_else(|| panic!("no session: {} {text}", head.status));
        let (head, text) = self.exchange(&requests::initialized(&session)).await;
        assert_eq!(head.status, 202, "{text}");
        let name = format!("s{number}");
        self.history.add(Record::of(&name, Op::Open));
        Arc::new(Member {
            name,
            session,
            next: AtomicU64::new(2),
        })
    }

    /// A request that must be answered.
    async fn exchange(&self, request: &[u8]) -> (Head, String) {
        let exchanged = async {
            let mut connection = self.connection().await?;
            let head = connection.send(request).await?;
            let text = connection.body().await?;
            self.give_back(connection);
            Ok::<_, io::Error>((head, text))
        };
        let exchanged = within("an answer", exchanged).await;
        exchanged.unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    async fn connection(&self) -> io::Result<Connection> {
        loop {
            let idle = self.pool.lock().unwrap().pop();
            match idle {
                Some(connection) if connection.is_reusable() => return Ok(connection),
                Some(_broken) => {}
                None => return Connection::open(self.address()).await,
            }
        }
    }

    fn give_back(&self, connection: Connection) {
        let mut pool = self.pool.lock().unwrap();
        if connection.is_reusable() && pool.len() < POOL_MAX {
            pool.push(connection);
        }
    }
}
