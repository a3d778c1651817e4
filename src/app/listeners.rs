//! The listening sockets, and what is served on each.

use std::io;
use std::net::SocketAddr;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use tokio::sync::mpsc;

use super::STEP;
use super::error::StartError;
use crate::admin::{self, Admin};
use crate::config::Settings;
use crate::runtime::tasks::{TaskKind, Tasks};
use crate::transport::http::Doorkeeper;
use crate::transport::http_sse::Pipes;
use crate::transport::{Context, Endpoint, http, middleware};

/// Connections that may wait to be accepted: a whole node's clients coming back at once.
const BACKLOG: u32 = 4_096;

/// The listeners of a server that takes traffic.
pub(super) struct Listeners {
    /// Of the endpoints.
    pub(super) address: SocketAddr,
    /// Of `/health`, `/ready` and `/metrics`, if they have one of their own.
    pub(super) admin_address: Option<SocketAddr>,
    handles: Vec<ServerHandle>,
    failed: mpsc::Receiver<io::Error>,
}

/// What listeners serve.
pub(super) struct Serving<'a> {
    pub(super) settings: &'a Settings,
    pub(super) context: &'a Context,
    pub(super) endpoints: &'a [Endpoint],
    pub(super) pipes: Option<&'a Pipes>,
    pub(super) admin: &'a Admin,
    pub(super) tasks: &'a Tasks,
}

impl Listeners {
    /// Binds every address and serves on it.
    pub(super) fn open(serving: &Serving<'_>) -> Result<Self, StartError> {
        let (failures, failed) = mpsc::channel(2);
        let mut handles = Vec::new();
        let mut listen = |address, with_endpoints, with_admin| {
            let (bound, handle) =
                serving.listen(address, with_endpoints, with_admin, failures.clone())?;
            handles.push(handle);
            Ok::<_, StartError>(bound)
        };
        let admin_listen = serving.settings.admin_listen;
        let address = listen(serving.settings.server.listen, true, admin_listen.is_none())?;
        let admin_address = match admin_listen {
            Some(address) => Some(listen(address, false, true)?),
            None => None,
        };
        Ok(Self {
            address,
            admin_address,
            handles,
            failed,
        })
    }

    /// Waits until one of them fails.
    pub(super) async fn failed(&mut self) -> StartError {
        match self.failed.recv().await {
            Some(error) => StartError::Serve(error),
            // All of them ended without a failure, which only stopping them does.
            None => std::future::pending().await,
        }
    }

    /// Closes them: gracefully, or cutting what still runs on their connections.
    pub(super) async fn close(&self, gracefully: bool) {
        let closing = self.handles.iter().map(|handle| handle.stop(gracefully));
        futures_util::future::join_all(closing).await;
    }

    pub(super) const fn count(&self) -> usize {
        self.handles.len()
    }
}

impl Serving<'_> {
    fn listen(
        &self,
        address: SocketAddr,
        with_endpoints: bool,
        with_admin: bool,
        failures: mpsc::Sender<io::Error>,
    ) -> Result<(SocketAddr, ServerHandle), StartError> {
        let pipes = self.pipes.cloned();
        let endpoints = self.endpoints.to_vec();
        let (context, admin) = (self.context.clone(), self.admin.clone());
        let doorkeeper = Doorkeeper::new(context.config.clone(), context.metrics.clone());
        let config = context.config.clone();
        let server = HttpServer::new(move || {
            App::new()
                .wrap(from_fn(middleware::guard))
                .app_data(web::Data::new(context.clone()))
                .configure(|app| {
                    if with_endpoints {
                        http::routes(app, &context, &endpoints, pipes.as_ref());
                    }
                    if with_admin {
                        admin::routes(app, &admin);
                    }
                })
                .default_service(web::to(http::nothing_here))
        });
        let server = server
            .workers(self.settings.server.workers)
            .backlog(BACKLOG)
            .client_request_timeout(config.header_read)
            .keep_alive(config.keep_alive)
            .on_connect(move |connection, extensions| {
                doorkeeper.connected(connection, extensions);
            })
            .disable_signals()
            .shutdown_timeout(STEP.as_secs())
            .bind(address)
            .map_err(|source| StartError::Listen { address, source })?;
        let bound = server.addrs().first().copied().unwrap_or(address);
        let server = server.run();
        let handle = server.handle();
        self.tasks.spawn(TaskKind::Upkeep, async move {
            if let Err(error) = server.await {
                let _told = failures.send(error).await;
            }
        });
        Ok((bound, handle))
    }
}
