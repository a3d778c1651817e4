//! A link that can be made slow, silent, cut or dead: our own TCP proxy, in the test's process.
//!
//! One for each link. What it does wrong is told to it and happens to all its connections, open
//! ones and those to come, until [`FaultProxy::heal`]. It chooses nothing by chance: what is random
//! in a story is random in the story, from a seed that it prints. How one connection is carried is
//! in [`link`].

mod link;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::eventually;
use link::{Budget, carry};

/// Open connections; more wait to be accepted. Twice what a node opens to its store and a client
/// of ten thousand streams to a node, and within the files a process may have here.
const CONNECTIONS_MAX: usize = 10_000;

/// One of the two ways that bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towards {
    /// From who connected to the proxy.
    Server,
    /// From whom the proxy connected to.
    Client,
}

/// What the link does to its connections.
#[derive(Clone, Debug, Default)]
struct Weather {
    delay: Duration,
    /// For each direction.
    stalled: [bool; 2],
    /// Counts the orders to reset; a connection obeys those given while it is open.
    resets: u64,
    /// The same for each direction that was closed.
    half_closes: [u64; 2],
    budget: Option<Arc<Budget>>,
}

/// The link. Connections break when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    server: watch::Sender<SocketAddr>,
    weather: Arc<watch::Sender<Weather>>,
    accepted: Arc<AtomicUsize>,
    open: Arc<Semaphore>,
    accepting: Option<JoinHandle<()>>,
}

impl FaultProxy {
    /// Starts one that leads to `server`.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let mut proxy = Self {
            address: listener.local_addr().expect("it has an address"),
            server: watch::Sender::new(server),
            weather: Arc::default(),
            accepted: Arc::default(),
            open: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            accepting: None,
        };
        proxy.accept(listener);
        proxy
    }

    /// Where to connect to instead of the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads connections made from now on to another server.
    pub fn lead_to(&self, server: SocketAddr) {
        self.server.send_replace(server);
    }

    /// Lets every byte arrive so much later, in order; how much passes stays as it was.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }

    /// Reads and writes nothing any more: connections stay open, and buffers fill up.
    pub fn stall(&self) {
        self.weather
            .send_modify(|weather| weather.stalled = [true; 2]);
    }

    /// The same in one direction; the other goes on, until an end of it takes silence for an end.
    pub fn stall_towards(&self, towards: Towards) {
        self.weather
            .send_modify(|weather| weather.stalled[towards as usize] = true);
    }

    /// Ends a stall; nothing was lost.
    pub fn resume(&self) {
        self.weather
            .send_modify(|weather| weather.stalled = [false; 2]);
    }

    /// Breaks every open connection with RST, to both sides.
    pub fn reset(&self) {
        self.weather.send_modify(|weather| weather.resets += 1);
    }

    /// [`FaultProxy::reset`] to be given again and again, from elsewhere.
    pub fn resetting(&self) -> impl Fn() + Send + use<> {
        let weather = self.weather.clone();
        move || weather.send_modify(|weather| weather.resets += 1)
    }

    /// Ends one direction of every open connection with FIN; the other goes on. What is still
    /// sent that way is lost.
    pub fn half_close(&self, towards: Towards) {
        self.weather
            .send_modify(|weather| weather.half_closes[towards as usize] += 1);
    }

    /// Lets `bytes` more pass one way, over all connections together, and then resets them all,
    /// once.
    pub fn drop_after(&self, towards: Towards, bytes: usize) {
        let budget = Arc::new(Budget::new(towards, bytes));
        self.weather
            .send_modify(|weather| weather.budget = Some(budget));
    }

    /// Takes no more connections: who tries is refused. Open ones go on; see
    /// [`FaultProxy::reset`].
    pub async fn refuse(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            // Its listener is closed once it has ended.
            let _aborted = accepting.await;
        }
    }

    /// Makes it a good link again. Connections that were reset or half closed stay so.
    pub async fn heal(&mut self) {
        self.weather.send_modify(|weather| {
            weather.delay = Duration::ZERO;
            weather.stalled = [false; 2];
            weather.budget = None;
        });
        if self.accepting.is_none() {
            let address = self.address;
            let listener = eventually("its port is free again", || async {
                TcpListener::bind(address).await.ok()
            })
            .await;
            self.accept(listener);
        }
    }

    /// How many connections it has taken so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        CONNECTIONS_MAX - self.open.available_permits()
    }

    fn accept(&mut self, listener: TcpListener) {
        let (server, weather) = (self.server.subscribe(), self.weather.clone());
        let (accepted, open) = (self.accepted.clone(), self.open.clone());
        self.accepting = Some(tokio::spawn(async move {
            loop {
                let room = open.clone().acquire_owned().await;
                let room = room.expect("it is never closed");
                // A connection that broke before it was accepted is nobody's any more.
                let Ok((client, _)) = listener.accept().await else {
                    continue;
                };
                accepted.fetch_add(1, Ordering::Relaxed);
                let (weather, target) = (weather.clone(), *server.borrow());
                tokio::spawn(async move {
                    // A server that is down is a connection that ends at once.
                    if let Ok(server) = TcpStream::connect(target).await {
                        carry(client, server, &weather).await;
                    }
                    drop(room);
                });
            }
        }));
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
        self.reset();
    }
}
