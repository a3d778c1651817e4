//! The fault proxy does what it says, to a server that sends back every byte.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::world::fault_proxy::Towards;
use crate::world::{FaultProxy, eventually, within};

/// A server that sends back what it gets until its client has said everything.
struct Echo {
    address: SocketAddr,
    /// Bytes that arrived.
    heard: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Echo {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::<AtomicUsize>::default();
        let hearing = heard.clone();
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let heard = hearing.clone();
                tokio::spawn(async move {
                    let mut bytes = vec![0; 16 * 1024];
                    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                        heard.fetch_add(read, Ordering::Relaxed);
                        if stream.write_all(&bytes[..read]).await.is_err() {
                            return;
                        }
                    }
                    let _ended = stream.shutdown().await;
                });
            }
        });
        Self {
            address,
            heard,
            serving,
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A client behind a proxy.
struct Link {
    proxy: FaultProxy,
    client: TcpStream,
    server: Echo,
}

impl Link {
    async fn open() -> Self {
        let echo = Echo::start().await;
        let proxy = FaultProxy::before(echo.address).await;
        let client = TcpStream::connect(proxy.address()).await.unwrap();
        let mut link = Self {
            proxy,
            client,
            server: echo,
        };
        assert_eq!(link.echo(b"hello").await.unwrap(), b"hello");
        link
    }

    /// How many bytes have arrived at the server.
    fn heard(&self) -> usize {
        self.server.heard.load(Ordering::Relaxed)
    }

    async fn echo(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        self.client.write_all(bytes).await?;
        let mut back = vec![0; bytes.len()];
        within("an echo, or the end", self.client.read_exact(&mut back)).await?;
        Ok(back)
    }

    /// Everything that still comes, and how it ended.
    async fn rest(&mut self) -> (Vec<u8>, Result<(), ErrorKind>) {
        let mut rest = Vec::new();
        let read = within("the end", self.client.read_to_end(&mut rest)).await;
        (rest, read.map(|_| ()).map_err(|error| error.kind()))
    }
}

/// Ours: without orders it is as if it were not there, also for more than its queues hold.
#[tokio::test]
async fn a_good_link_carries_everything_and_ends_with_its_ends() {
    let mut link = Link::open().await;
    let sent: Vec<u8> = (0..=255).cycle().take(4_000_000).collect();
    let (mut from, mut to) = link.client.split();
    let mut back = Vec::new();
    let sending = async {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    };

    let (read, ()) = within("all of it", async {
        tokio::join!(from.read_to_end(&mut back), sending)
    })
    .await;

    read.unwrap();
    assert!(back == sent, "every byte, in order");
    assert_eq!(link.proxy.accepted(), 1);
}

/// Ours: a delay is added both ways and does not add up over what is under way.
#[tokio::test]
async fn a_slow_link_delays_each_way_and_keeps_its_rate() {
    let mut link = Link::open().await;
    let delay = Duration::from_millis(50);
    link.proxy.delay(delay);
    let began = Instant::now();

    for _ in 0..20 {
        link.client.write_all(b"12345678").await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut back = [0; 160];
    link.client.read_exact(&mut back).await.unwrap();

    println!(
        "20 pieces through {delay:?} each way: {:?}",
        began.elapsed()
    );
    assert!(began.elapsed() >= 2 * delay, "no byte came early");
    link.proxy.heal().await;
    assert_eq!(link.echo(b"soon").await.unwrap(), b"soon");
}

/// Ours: a stall loses nothing, and nothing passes while it lasts.
#[tokio::test]
async fn a_stalled_link_is_silent_and_loses_nothing() {
    let mut link = Link::open().await;

    link.proxy.stall();
    link.client.write_all(b"wait").await.unwrap();
    let mut back = [0; 4];
    let silent = Duration::from_millis(100);
    let early = tokio::time::timeout(silent, link.client.read_exact(&mut back)).await;
    assert!(early.is_err(), "nothing passes a stalled link");

    link.proxy.resume();
    within("the echo", link.client.read_exact(&mut back))
        .await
        .unwrap();
    assert_eq!(&back, b"wait");
}

/// Ours: one direction is silent, the other goes on.
#[tokio::test]
async fn a_link_that_is_stalled_one_way_carries_the_other() {
    let mut link = Link::open().await;
    for way in [Towards::Server, Towards::Client] {
        let before = link.heard();
        link.proxy.stall_towards(way);
        link.client.write_all(b"wait").await.unwrap();
        let mut back = [0; 4];
        let silent = Duration::from_millis(100);
        let early = tokio::time::timeout(silent, link.client.read_exact(&mut back)).await;
        assert!(early.is_err(), "there is no way back");
        match way {
            Towards::Server => assert_eq!(link.heard(), before),
            Towards::Client => {
                eventually("there is one to the server", || async {
                    (link.heard() == before + 4).then_some(())
                })
                .await;
            }
        }

        link.proxy.resume();
        let echo = link.client.read_exact(&mut back);
        within("the echo", echo).await.unwrap();
    }
}

/// Ours: RST, at once, on every connection that is open, and on no later one.
#[tokio::test]
async fn a_reset_breaks_every_open_connection() {
    let mut link = Link::open().await;
    let mut other = TcpStream::connect(link.proxy.address()).await.unwrap();
    other.write_all(b"x").await.unwrap();
    other.read_exact(&mut [0; 1]).await.unwrap();

    link.proxy.reset();

    assert_eq!(link.rest().await.1, Err(ErrorKind::ConnectionReset));
    let broken = within("the end", other.read(&mut [0; 1])).await;
    assert_eq!(broken.unwrap_err().kind(), ErrorKind::ConnectionReset);
    link.client = TcpStream::connect(link.proxy.address()).await.unwrap();
    assert_eq!(link.echo(b"again").await.unwrap(), b"again");
}

/// Ours: one direction ends in order, the other goes on.
#[tokio::test]
async fn a_half_closed_link_carries_one_way_only() {
    let mut link = Link::open().await;

    link.proxy.half_close(Towards::Client);

    let (rest, end) = link.rest().await;
    assert_eq!((rest.as_slice(), end), (&b""[..], Ok(())), "FIN, not RST");
    let written = link.client.write_all(b"into the void").await;
    assert!(written.is_ok(), "the other way is open");
}

/// Ours: exactly so many bytes, wherever that cuts a message.
#[tokio::test]
async fn a_link_breaks_after_exactly_so_many_bytes() {
    let mut link = Link::open().await;
    link.proxy.drop_after(Towards::Client, 7);

    link.client.write_all(b"0123456789").await.unwrap();

    let (rest, end) = link.rest().await;
    assert_eq!(rest, b"0123456");
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    link.client = TcpStream::connect(link.proxy.address()).await.unwrap();
    assert_eq!(link.echo(b"whole again").await.unwrap(), b"whole again");
}

/// Ours: nobody listens; what is open goes on; healed, it listens where it did.
#[tokio::test]
async fn a_refusing_link_refuses_new_connections_only() {
    let mut link = Link::open().await;
    let address = link.proxy.address();

    link.proxy.refuse().await;

    let refused = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(link.echo(b"still").await.unwrap(), b"still");
    link.proxy.heal().await;
    link.client = TcpStream::connect(address).await.unwrap();
    assert_eq!(link.echo(b"back").await.unwrap(), b"back");
}

/// Ours: a server that is down is no fault of the link.
#[tokio::test]
async fn a_link_to_nobody_ends_its_connections_and_can_be_led_elsewhere() {
    let mut link = Link::open().await;
    let echo = Echo::start().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = nobody.local_addr().unwrap();
    drop(nobody);

    link.proxy.lead_to(nowhere);
    link.client = TcpStream::connect(link.proxy.address()).await.unwrap();
    assert_eq!(link.rest().await.0, b"");

    link.proxy.lead_to(echo.address);
    link.client = TcpStream::connect(link.proxy.address()).await.unwrap();
    assert_eq!(link.echo(b"there").await.unwrap(), b"there");
}
