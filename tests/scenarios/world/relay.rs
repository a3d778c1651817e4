//! A road to the server that can be cut, and led elsewhere while its own address stays.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Carries bytes both ways, as they come. Ends when dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    /// `host:port` of the server. A new value, even the same, cuts every connection.
    target: watch::Sender<String>,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// Starts one that leads to `authority`.
    pub async fn to(authority: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let (target, leading) = watch::channel(authority.to_owned());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, leading.clone()));
            }
        });
        Self {
            address,
            target,
            accepting,
        }
    }

    /// The URL of a path, by this road.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Cuts every connection. Those made afterwards reach `authority`.
    pub fn cut_and_lead_to(&self, authority: &str) {
        self.target.send_replace(authority.to_owned());
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Carries one connection until an end leaves or the road is cut.
async fn carry(mut client: TcpStream, mut leading: watch::Receiver<String>) {
    let target = leading.borrow_and_update().clone();
    // A server that is down is a connection that ends at once.
    if let Ok(mut server) = TcpStream::connect(target).await {
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
            _ = leading.changed() => {}
        }
    }
}
