//! A listening socket that can be closed without a connection being lost.
//!
//! actix closes its listeners only together with the connections that came through them, and drops
//! those that still wait to be accepted. So the socket is bound here, and a second handle on it
//! kept: [`ListeningSocket::close`] first lets no new handshake begin, then waits until those under
//! way have come in and been accepted, and only then closes. From there on connecting is refused,
//! which is what makes a proxy go to the next node at once. Who tries in between is not answered and
//! tries again after a second: slow, but not lost. So that time is kept as short as it can be.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Connections that may wait to be accepted: a whole node's clients coming back at once.
const BACKLOG: i32 = 4_096;
/// For the last packet of handshakes under way: several times the way to a proxy and back.
const HANDSHAKE: Duration = Duration::from_millis(5);
/// For the accept loop to take one more connection, or to look away from the socket: it is told so,
/// but does not say when it has.
const ACCEPT: Duration = Duration::from_millis(1);
/// For what was accepted last to reach its worker, busy as that may be: from there on it is counted.
const HAND_OVER: Duration = Duration::from_millis(50);

/// A handle on a socket on which actix listens.
#[derive(Debug)]
pub(super) struct ListeningSocket {
    socket: Socket,
    address: SocketAddr,
}

impl ListeningSocket {
    /// Binds and listens, giving what is for actix besides.
    pub(super) fn bind(address: SocketAddr) -> io::Result<(Self, TcpListener)> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // A restart must not wait for the last connections of its predecessor to be forgotten.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket.try_clone()?);
        let address = listener.local_addr()?;
        Ok((Self { socket, address }, listener))
    }

    /// Where it listens, with the port the system chose if it was asked to.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets in what is on its way, then closes; connections that are open are not touched.
    ///
    /// # Cancel safety
    /// Dropped halfway, the socket takes no connections and may not refuse them either.
    pub(super) async fn close(&self, server: &ServerHandle) {
        if let Err(error) = self.begin_no_handshake() {
            tracing::debug!(%error, "connections made at this very moment may be lost");
        }
        tokio::time::sleep(HANDSHAKE).await;
        // Ends: no more come in than had begun.
        while self.has_waiting().await {
            tokio::time::sleep(ACCEPT).await;
        }
        server.pause().await;
        tokio::time::sleep(ACCEPT).await;
        // Not every system can: there the node goes on accepting until its end.
        if let Err(error) = self.socket.shutdown(std::net::Shutdown::Both) {
            tracing::debug!(%error, "the listener stays open until the end");
            server.resume().await;
        }
        tokio::time::sleep(HAND_OVER).await;
    }

    /// Whether a connection waits to be accepted, and still does when the accept loop had time.
    async fn has_waiting(&self) -> bool {
        // A stream by name only: of those one may ask whether there is something, without taking it.
        // A fresh one each time knows how it is now, not what happened before.
        let socket = self.socket.try_clone().map(std::net::TcpStream::from);
        let Ok(socket) = socket.and_then(TcpStream::from_std) else {
            return false;
        };
        let waiting = tokio::time::timeout(ACCEPT, socket.ready(Interest::READABLE)).await;
        matches!(waiting, Ok(Ok(_)))
    }

    /// Ignores packets that begin a handshake. Whoever sent one tries again within a second or so,
    /// and is refused then.
    #[cfg(target_os = "linux")]
    fn begin_no_handshake(&self) -> io::Result<()> {
        use socket2::SockFilter;
        /// Where the flags are in a TCP header, and two of them.
        const FLAGS: u32 = 13;
        const SYN: u32 = 0x02;
        const ACK: u32 = 0x10;
        // In the language of classic BPF: load a byte, mask it, compare, return how much to keep.
        self.socket.attach_filter(&[
            SockFilter::new(0x30, 0, 0, FLAGS),
            SockFilter::new(0x54, 0, 0, SYN | ACK),
            SockFilter::new(0x15, 0, 1, SYN),
            SockFilter::new(0x06, 0, 0, 0),
            SockFilter::new(0x06, 0, 0, u32::MAX),
        ])
    }

    #[cfg(not(target_os = "linux"))]
    fn begin_no_handshake(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
