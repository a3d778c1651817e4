//! The listening sockets, and what is served on each.

use std::io;
use std::net::SocketAddr;

use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use rustls::ServerConfig;
use tokio::sync::mpsc;

use super::STEP;
use super::error::StartError;
use super::listening_socket::ListeningSocket;
use crate::admin::{self, Admin};
use crate::config::Settings;
use crate::runtime::tasks::{TaskKind, Tasks};
use crate::transport::http::Doorkeeper;
use crate::transport::http_sse::Pipes;
use crate::transport::tls::{Clients, Shown};
use crate::transport::{Context, Endpoint, http, middleware};

/// The listeners of a server that takes traffic.
pub(super) struct Listeners {
    /// Of the endpoints.
    main: Listener,
    /// Of `/health`, `/ready` and `/metrics`, if they have one of their own.
    admin: Option<Listener>,
    failed: mpsc::Receiver<io::Error>,
}

/// One of them.
struct Listener {
    socket: ListeningSocket,
    server: ServerHandle,
    doorkeeper: Doorkeeper,
}

/// What listeners serve.
pub(super) struct Serving<'a> {
    pub(super) settings: &'a Settings,
    pub(super) context: &'a Context,
    pub(super) endpoints: &'a [Endpoint],
    pub(super) pipes: Option<&'a Pipes>,
    pub(super) admin: &'a Admin,
    /// The certificate that is shown, where TLS is spoken.
    pub(super) shown: Option<&'a Shown>,
    pub(super) tasks: &'a Tasks,
}

impl Listeners {
    /// Binds every address and serves on it.
    pub(super) fn open(serving: &Serving<'_>) -> Result<Self, StartError> {
        let (failures, failed) = mpsc::channel(2);
        let listen = |address, serves, tls| {
            serving
                .listen(address, serves, tls, failures.clone())
                .map_err(|source| StartError::Listen { address, source })
        };
        let settings = serving.settings;
        let serves = match settings.admin_listen {
            Some(_) => Serves::Endpoints,
            None => Serves::Both,
        };
        let main = listen(settings.server.listen, serves, serving.main_tls())?;
        let admin = settings
            .admin_listen
            .map(|address| listen(address, Serves::Admin, serving.admin_tls()))
            .transpose()?;
        Ok(Self {
            main,
            admin,
            failed,
        })
    }

    /// Of the endpoints.
    pub(super) const fn address(&self) -> SocketAddr {
        self.main.socket.address()
    }

    /// Of `/health`, `/ready` and `/metrics`, if they have one of their own.
    pub(super) fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.socket.address())
    }

    /// Waits until one of them fails.
    pub(super) async fn failed(&mut self) -> StartError {
        match self.failed.recv().await {
            Some(error) => StartError::Serve(error),
            // All of them ended without a failure, which only stopping them does.
            None => std::future::pending().await,
        }
    }

    /// Takes no new connections to the endpoints. Whether it is ready can still be asked, where
    /// that has a listener of its own.
    pub(super) async fn stop_accepting(&self) {
        self.main.socket.close(&self.main.server).await;
    }

    /// Waits until every connection has ended.
    pub(super) async fn connections_ended(&self) {
        let admin = self.admin.as_ref().map(|admin| &admin.doorkeeper);
        self.main.doorkeeper.all_ended().await;
        if let Some(admin) = admin {
            admin.all_ended().await;
        }
    }

    /// Closes them: gracefully, or cutting what still runs on their connections.
    pub(super) async fn close(&self, gracefully: bool) {
        let listeners = [Some(&self.main), self.admin.as_ref()];
        let closing = listeners.into_iter().flatten().map(|listener| {
            let stopping = listener.server.stop(gracefully);
            // actix looks only once a second whether its connections have ended.
            async move {
                tokio::select! {
                    () = stopping => {}
                    () = listener.doorkeeper.all_ended() => {}
                }
            }
        });
        futures_util::future::join_all(closing).await;
    }

    /// How many connections are open.
    pub(super) fn connections(&self) -> usize {
        let admin = self.admin.as_ref();
        self.main.doorkeeper.open() + admin.map_or(0, |admin| admin.doorkeeper.open())
    }
}

/// What one listener serves.
#[derive(Clone, Copy)]
enum Serves {
    Endpoints,
    Admin,
    Both,
}

impl Serving<'_> {
    fn main_tls(&self) -> Option<ServerConfig> {
        let tls = self.settings.server.tls.as_ref()?;
        Some(tls.config.clients.listen(self.shown?.clone()))
    }

    fn admin_tls(&self) -> Option<ServerConfig> {
        let shown = self.shown.filter(|_| self.settings.admin_tls)?;
        Some(Clients::Unasked.listen(shown.clone()))
    }

    fn listen(
        &self,
        address: SocketAddr,
        serves: Serves,
        tls: Option<ServerConfig>,
        failures: mpsc::Sender<io::Error>,
    ) -> io::Result<Listener> {
        let (socket, listener) = ListeningSocket::bind(address)?;
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
                    match serves {
                        Serves::Endpoints | Serves::Both => {
                            http::routes(app, &context, &endpoints, pipes.as_ref());
                        }
                        Serves::Admin => {}
                    }
                    match serves {
                        Serves::Admin | Serves::Both => admin::routes(app, &admin),
                        Serves::Endpoints => {}
                    }
                })
                .default_service(web::to(http::nothing_here))
        });
        let at_the_door = doorkeeper.clone();
        let server = server
            .workers(self.settings.server.workers)
            .client_request_timeout(config.header_read)
            .tls_handshake_timeout(config.header_read)
            .keep_alive(config.keep_alive)
            .on_connect(move |connection, extensions| {
                at_the_door.connected(connection, extensions);
            })
            .disable_signals()
            .shutdown_timeout(STEP.as_secs());
        let server = match tls {
            None => server.listen(listener)?,
            Some(tls) => server.listen_rustls_0_23(listener, tls)?,
        };
        let server = server.run();
        Ok(Listener {
            socket,
            server: run(server, self.tasks, failures),
            doorkeeper,
        })
    }
}

/// Runs a server until it is stopped; says so if it fails.
fn run(server: Server, tasks: &Tasks, failures: mpsc::Sender<io::Error>) -> ServerHandle {
    let handle = server.handle();
    tasks.spawn(TaskKind::Upkeep, async move {
        if let Err(error) = server.await {
            let _told = failures.send(error).await;
        }
    });
    handle
}
