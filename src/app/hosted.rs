//! A server beside other work: threads of its own, and a handle on them.

use std::io;
use std::net::SocketAddr;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Running;
use super::error::StartError;
use super::own::Own;
use super::process::{Orders, run};
use super::sources::Sources;
use crate::server::Server;

/// A host that serves beside other work. Dropping it tells it to stop, without waiting.
#[derive(Debug)]
pub struct Hosted {
    address: SocketAddr,
    path: String,
    servers: Vec<(String, Server)>,
    stop: CancellationToken,
    ended: oneshot::Receiver<Result<(), StartError>>,
}

impl Hosted {
    pub(super) async fn start(sources: Sources, own: Own) -> Result<Self, StartError> {
        let settings = sources.settings()?;
        let path = (settings.main_endpoint()).map_or_else(String::new, |main| main.path.clone());
        let stop = CancellationToken::new();
        let (ready, started) = oneshot::channel();
        let (over, ended) = oneshot::channel();
        let orders = Orders::Token(stop.clone());
        std::thread::Builder::new()
            .name("switchboard".to_owned())
            .spawn(move || {
                let result = run(|tasks, opened| async move {
                    let mut running =
                        Running::start(settings, sources, own, tasks, &opened, orders).await?;
                    running.started();
                    let address = running.listeners.address();
                    // Whoever gave up waiting has dropped the token's other end, too.
                    let _gone = ready.send((address, running.assembled.servers.clone()));
                    let ended = running.until_told_to_stop().await;
                    let _none = running.stop().await;
                    ended
                });
                let _gone = over.send(result);
            })
            .map_err(StartError::Runtime)?;
        // Holds the token while it waits, so that giving up stops what was begun.
        let giving_up = stop.clone().drop_guard();
        let Ok((address, servers)) = started.await else {
            let result = ended.await.map_err(|_| thread_ended())?;
            return Err(result.err().unwrap_or_else(thread_ended));
        };
        giving_up.disarm();
        Ok(Self {
            address,
            path,
            servers,
            stop,
            ended,
        })
    }

    /// Where it listens, with the port the system chose if it was asked to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of its main endpoint, for a client on this machine.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }

    /// The server at an endpoint, to change what it offers or to announce changes.
    #[must_use]
    pub fn server(&self, endpoint: &str) -> Option<&Server> {
        let mut servers = self.servers.iter();
        servers.find_map(|(name, server)| (name == endpoint).then_some(server))
    }

    /// Waits until it ends by itself, because a listener failed.
    ///
    /// # Errors
    /// [`StartError`] with what failed.
    ///
    /// # Cancel safety
    /// May be dropped at any await.
    pub async fn ended(&mut self) -> Result<(), StartError> {
        (&mut self.ended)
            .await
            .unwrap_or_else(|_| Err(thread_ended()))
    }

    /// Stops in order: clients are told, calls finish within their time, sessions are written.
    ///
    /// # Errors
    /// [`StartError`] when a listener had failed before.
    pub async fn stop(mut self) -> Result<(), StartError> {
        self.stop.cancel();
        self.ended().await
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn thread_ended() -> StartError {
    StartError::Runtime(io::Error::other("the thread that serves has ended"))
}
