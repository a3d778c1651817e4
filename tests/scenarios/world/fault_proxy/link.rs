//! One connection through the proxy: two directions, each a reader, a short queue, and a writer.
//!
//! The queue is what makes a delay a delay and not a throttle: bytes are read while those before
//! them still wait for their time.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::{Towards, Weather};

/// Bytes read at once.
const PIECE: usize = 16 * 1024;
/// Pieces under way in one direction, 1 MiB: a second of delay at 1 MiB a second.
const PIECES_MAX: usize = 64;

/// What may still pass before everything is reset.
#[derive(Debug)]
pub(super) struct Budget {
    towards: Towards,
    left: Mutex<usize>,
}

impl Budget {
    pub(super) fn new(towards: Towards, bytes: usize) -> Self {
        let left = Mutex::new(bytes);
        Self { towards, left }
    }

    /// How many of `wanted` may pass.
    fn take(&self, wanted: usize) -> usize {
        let mut left = self.left.lock().unwrap();
        let taken = wanted.min(*left);
        *left -= taken;
        taken
    }

    fn is_spent(&self) -> bool {
        *self.left.lock().unwrap() == 0
    }
}

impl Weather {
    fn reset_once(&mut self) {
        self.resets += 1;
        self.budget = None;
    }
}

/// Bytes on their way.
struct Piece {
    due: Instant,
    bytes: Vec<u8>,
}

/// Carries a connection until both directions have ended, or it is reset.
pub(super) async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    weather: &watch::Sender<Weather>,
) {
    let _best_effort = (client.set_nodelay(true), server.set_nodelay(true));
    let cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let mut obeying = weather.subscribe();
        let before = obeying.borrow_and_update().resets;
        // Reset comes first: what waits in a queue must not pass any more.
        tokio::select! {
            biased;
            _ = obeying.wait_for(|now| now.resets != before) => true,
            ended = async {
                tokio::try_join!(
                    one_way(Towards::Server, from_client, to_server, weather),
                    one_way(Towards::Client, from_server, to_client, weather),
                )
            } => ended.is_err(),
        }
    };
    if cut {
        for stream in [&client, &server] {
            // Closing without lingering is how RST is sent.
            let _closed = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

async fn one_way(
    towards: Towards,
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    weather: &watch::Sender<Weather>,
) -> io::Result<()> {
    let (queue, pieces) = mpsc::channel(PIECES_MAX);
    tokio::try_join!(
        read(towards, from, queue, weather.subscribe()),
        write(towards, to, pieces, weather)
    )
    .map(|_| ())
}

async fn read(
    towards: Towards,
    mut from: ReadHalf<'_>,
    queue: mpsc::Sender<Piece>,
    mut weather: watch::Receiver<Weather>,
) -> io::Result<()> {
    loop {
        unstalled(towards, &mut weather).await;
        let mut bytes = Vec::with_capacity(PIECE);
        // What came while a stall began waits with the writer.
        if from.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
        let due = Instant::now() + weather.borrow().delay;
        // A direction that was half closed goes on reading, and what it reads is lost.
        let _lost = queue.send(Piece { due, bytes }).await;
    }
}

async fn write(
    towards: Towards,
    mut to: WriteHalf<'_>,
    mut pieces: mpsc::Receiver<Piece>,
    orders: &watch::Sender<Weather>,
) -> io::Result<()> {
    let way = towards as usize;
    let before = orders.borrow().half_closes[way];
    let (mut weather, mut closing) = (orders.subscribe(), orders.subscribe());
    let carrying = async {
        while let Some(Piece { due, bytes }) = pieces.recv().await {
            sleep_until(due).await;
            unstalled(towards, &mut weather).await;
            let budget = weather.borrow().budget.clone();
            let budget = budget.filter(|budget| budget.towards == towards);
            match budget {
                None => to.write_all(&bytes).await?,
                Some(budget) => {
                    let passing = budget.take(bytes.len());
                    to.write_all(&bytes[..passing]).await?;
                    if budget.is_spent() {
                        orders.send_modify(Weather::reset_once);
                        return Err(io::ErrorKind::ConnectionReset.into());
                    }
                }
            }
        }
        Ok(())
    };
    let carried = tokio::select! {
        biased;
        _ = closing.wait_for(|now| now.half_closes[way] != before) => Ok(()),
        carried = carrying => carried,
    };
    if carried.is_ok() {
        // The other side may have gone already.
        let _closed = to.shutdown().await;
    }
    carried
}

async fn unstalled(towards: Towards, weather: &mut watch::Receiver<Weather>) {
    // The proxy gone, its connections are reset anyway.
    let _gone = weather.wait_for(|now| !now.stalled[towards as usize]).await;
}
