//! A road that parts: what a client asks goes to one node, what it answers or notifies to another.
//!
//! No load balancer promises where a message lands, and one that is made to land elsewhere proves
//! what many that happen to do so only suggest. It reads whole requests, one for each connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

/// Largest body: far above what a driver says.
const BODY_MAX: usize = 1 << 20;

/// The road. Ends when dropped.
#[derive(Debug)]
pub struct Splitting {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    asked: SocketAddr,
    answered: SocketAddr,
    answers: AtomicUsize,
    /// Answers may pass.
    gate: Semaphore,
    /// An answer waits at the gate, or has passed it and was taken.
    waiting: Notify,
    taken: Notify,
}

impl Splitting {
    /// Leads requests to `asked`, and what asks nothing to `answered`.
    pub async fn between(asked: SocketAddr, answered: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let shared = Arc::new(Shared {
            asked,
            answered,
            answers: AtomicUsize::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            waiting: Notify::new(),
            taken: Notify::new(),
        });
        let carrying = shared.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = carrying.clone();
                // Who hangs up in the middle has been carried as far as it wanted.
                tokio::spawn(async move { drop(shared.carry(client).await) });
            }
        });
        Self {
            address,
            shared,
            accepting,
        }
    }

    /// The URL of a path, by this road.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many answers have passed.
    pub fn answers(&self) -> usize {
        self.shared.answers.load(Ordering::Relaxed)
    }

    /// Lets no answer pass.
    pub fn close_gate(&self) {
        self.shared.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Waits until an answer waits.
    pub async fn answer_waits(&self) {
        self.shared.waiting.notified().await;
    }

    /// Lets answers pass again, and waits until one was taken.
    pub async fn open_gate(&self) {
        self.shared.gate.add_permits(Semaphore::MAX_PERMITS);
        self.shared.taken.notified().await;
    }
}

impl Drop for Splitting {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    /// Carries one request and its answer, then closes.
    async fn carry(&self, client: TcpStream) -> std::io::Result<()> {
        let mut client = BufReader::new(client);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if client.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length is a number");
            }
            assert!(!lower.starts_with("transfer-encoding"), "bodies are whole");
            if !lower.starts_with("connection:") {
                head.push_str(&line);
            }
        }
        assert!(length <= BODY_MAX, "a driver says little");
        let mut body = vec![0; length];
        client.read_exact(&mut body).await?;
        head.push_str("Connection: close\r\n\r\n");

        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        let is_answer = message.get("result").is_some();
        let asks_nothing = is_answer || (message.is_object() && message.get("id").is_none());
        if is_answer {
            self.waiting.notify_one();
            drop(self.gate.acquire().await);
        }
        let target = if asks_nothing {
            self.answered
        } else {
            self.asked
        };
        let mut server = TcpStream::connect(target).await?;
        server.write_all(head.as_bytes()).await?;
        server.write_all(&body).await?;
        if !is_answer {
            return tokio::io::copy_bidirectional(&mut client, &mut server)
                .await
                .map(drop);
        }
        let mut taken = Vec::new();
        server.read_to_end(&mut taken).await?;
        assert!(taken.starts_with(b"HTTP/1.1 202"), "it is taken");
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.taken.notify_one();
        client.write_all(&taken).await?;
        client.shutdown().await
    }
}
