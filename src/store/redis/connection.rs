//! Connections to whatever makes up the store: one server, the primary that sentinels name, or a
//! cluster.
//!
//! [`Servers`] makes connections, at a bounded rate whoever asks; [`Connection`] is one of them,
//! cheap to clone, used by many at once. It belongs to the runtime it was made on.
//!
//! It does not decide when to make one; [`super::lanes`] and [`super::apart`] do.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::aio::{ConnectionLike, MultiplexedConnection};
use deadpool_redis::redis::cluster::{ClusterClient, ClusterClientBuilder};
use deadpool_redis::redis::cluster_async::ClusterConnection;
use deadpool_redis::redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use deadpool_redis::redis::{
    self, AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    Pipeline, RedisConnectionInfo, RedisError, RedisFuture, RedisResult, TlsCertificates, Value,
};
use deadpool_redis::{Manager, Pool, PoolError, Runtime};
use futures_util::FutureExt;
use futures_util::future::select_ok;
use tokio::time::Instant;

use super::url::{Address, Config, Topology};
use super::{caution, failure, inbox, scripts};

/// Connections made at once before they are spaced out: one for each lane, and one over.
const CONNECTS_AT_ONCE: u32 = 5;
/// Then one in such a time. Together at most ten in any second.
const CONNECT_INTERVAL: Duration = Duration::from_millis(200);

/// How long one sentinel is waited for before the next is asked as well: many times what one needs.
const SENTINEL_PATIENCE: Duration = Duration::from_millis(100);

/// How often the cluster's client follows a slot that moved before it gives up.
const CLUSTER_RETRIES: u32 = 3;

/// Where connections come from.
pub(super) struct Servers {
    kind: Kind,
    timeout: Duration,
    /// When the next connection would be due if all came evenly.
    due: Mutex<Option<Instant>>,
    /// Whether a connection was made, and what the servers keep was looked at.
    looked: AtomicBool,
}

/// One sentinel, and whom it watches for us.
type Sentinel = tokio::sync::Mutex<SentinelClient>;

enum Kind {
    One(Pool),
    Watched(Vec<Sentinel>),
    Cluster(Box<ClusterClient>),
}

/// A connection. Dropping the last clone closes it.
#[derive(Clone)]
pub(super) enum Connection {
    /// To one server.
    One(MultiplexedConnection),
    /// To all of a cluster.
    Cluster(ClusterConnection),
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Servers")
    }
}

impl Servers {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// When the configuration cannot be right, as with a certificate that is none.
    pub(super) fn new(config: &Config) -> RedisResult<Self> {
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: config.ca.clone(),
        };
        let target = &config.target;
        let kind = match &target.topology {
            Topology::Standalone { address, database } => {
                let info = info(config, address)?;
                let settings = identity(config).set_db(*database);
                let info = info.set_redis_settings(settings);
                let info = if target.tls {
                    let client = Client::build_with_tls(info, certificates)?;
                    client.get_connection_info().clone()
                } else {
                    info
                };
                let manager = Manager::new_with_config(info, connection_config(config.timeout))?;
                let pool = Pool::builder(manager)
                    .runtime(Runtime::Tokio1)
                    .create_timeout(Some(config.timeout))
                    .wait_timeout(Some(config.timeout));
                Kind::One(pool.build().map_err(|error| {
                    let kind = redis::ErrorKind::InvalidClientConfig;
                    RedisError::from((kind, "no pool", error.to_string()))
                })?)
            }
            Topology::Sentinel { sentinels, primary } => {
                let ask = |sentinel| watched(config, sentinel, primary, &certificates);
                Kind::Watched(sentinels.iter().map(ask).collect::<RedisResult<_>>()?)
            }
            Topology::Cluster { nodes } => {
                let infos = nodes
                    .iter()
                    .map(|address| info(config, address))
                    .collect::<RedisResult<Vec<_>>>()?;
                let mut client = ClusterClientBuilder::new(infos)
                    .connection_timeout(config.timeout)
                    // No shorter than the longest answer anybody waits for; who waits for another
                    // one says so when asking.
                    .response_timeout(inbox::BLOCK_MAX + config.timeout)
                    .retries(CLUSTER_RETRIES);
                if let Some(user) = &config.target.user {
                    client = client.username(user);
                }
                if let Some(password) = &config.target.password {
                    client = client.password(&password.0);
                }
                if target.tls {
                    client = client.tls(redis::TlsMode::Secure).certs(certificates);
                }
                Kind::Cluster(Box::new(client.build()?))
            }
        };
        Ok(Self {
            kind,
            timeout: config.timeout,
            due: Mutex::new(None),
            looked: AtomicBool::new(false),
        })
    }

    /// Whether a pipeline must keep to one partition.
    pub(super) const fn is_cluster(&self) -> bool {
        matches!(self.kind, Kind::Cluster(_))
    }

    /// A new connection, of the calling runtime, that knows all scripts.
    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        if let Some(turn) = self.turn(Instant::now()) {
            tokio::time::sleep_until(turn).await;
        }
        let connecting = async {
            let mut connection = match &self.kind {
                Kind::One(pool) => {
                    let pooled = pool.get().await.map_err(unpooled)?;
                    Connection::One(deadpool_redis::Connection::take(pooled))
                }
                Kind::Watched(sentinels) => {
                    let config = connection_config(self.timeout);
                    let primary = find_primary(sentinels).await?;
                    let connecting = primary.get_multiplexed_async_connection_with_config(&config);
                    Connection::One(connecting.await?)
                }
                Kind::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
            };
            connection.load_scripts().await?;
            if !self.looked.swap(true, Ordering::AcqRel) {
                caution::look(&mut connection).await;
            }
            Ok(connection)
        };
        match tokio::time::timeout(self.timeout, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(failure::timed_out()),
        }
    }

    /// When the next connection may be made, if not now.
    fn turn(&self, now: Instant) -> Option<Instant> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(CONNECT_INTERVAL * (CONNECTS_AT_ONCE - 1));
        let at = due.max(earliest).unwrap_or(now);
        *due = Some(at + CONNECT_INTERVAL);
        (at > now).then_some(at)
    }
}

impl Connection {
    /// Runs commands in one trip; each has its own answer. In a cluster they share a slot.
    pub(super) async fn run(&mut self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        self.req_packed_commands(commands, 0, commands.len()).await
    }

    /// Tells the server all scripts.
    pub(super) async fn load_scripts(&mut self) -> RedisResult<()> {
        match self {
            Self::One(connection) => {
                let mut loading = Pipeline::with_capacity(scripts::ALL.len());
                for script in scripts::ALL {
                    loading.add_command(script.load()).ignore();
                }
                loading.exec_async(connection).await
            }
            // Each goes to every primary.
            Self::Cluster(connection) => {
                for script in scripts::ALL {
                    script.load().exec_async(connection).await?;
                }
                Ok(())
            }
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection) => connection.req_packed_commands(cmd, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// A sentinel's view of the primary.
fn watched(
    config: &Config,
    sentinel: &Address,
    primary: &str,
    certificates: &TlsCertificates,
) -> RedisResult<Sentinel> {
    let kind = SentinelServerType::Master;
    let mut client = SentinelClientBuilder::new([addr(config, sentinel)], primary, kind)?;
    if let Some(user) = &config.target.user {
        client = client.set_client_to_redis_username(user);
    }
    if let Some(password) = &config.target.password {
        client = client.set_client_to_redis_password(&password.0);
    }
    if config.target.tls {
        client = client
            .set_client_to_redis_tls_mode(redis::TlsMode::Secure)
            .set_client_to_sentinel_tls_mode(redis::TlsMode::Secure)
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates.clone());
    }
    Ok(tokio::sync::Mutex::new(client.build()?))
}

/// Who the first sentinel to answer says is the primary, and says so itself. One that is silent, as it
/// is when its machine froze together with the primary, only delays this by its turn.
async fn find_primary(sentinels: &[Sentinel]) -> RedisResult<Client> {
    let asking = (0..).zip(sentinels).map(|(turn, sentinel)| {
        let ask = async move {
            tokio::time::sleep(SENTINEL_PATIENCE * turn).await;
            sentinel.lock().await.async_get_client().await
        };
        ask.boxed()
    });
    select_ok(asking).await.map(|(primary, _)| primary)
}

fn addr(config: &Config, address: &Address) -> ConnectionAddr {
    let (host, port) = (address.host.clone(), address.port);
    if config.target.tls {
        ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        }
    } else {
        ConnectionAddr::Tcp(host, port)
    }
}

fn info(config: &Config, address: &Address) -> RedisResult<ConnectionInfo> {
    addr(config, address).into_connection_info()
}

fn identity(config: &Config) -> RedisConnectionInfo {
    // Nobody needs to know the client's name, and an ACL user would need to be allowed to tell it.
    let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(user) = &config.target.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &config.target.password {
        settings = settings.set_password(&password.0);
    }
    settings
}

/// Answers may take as long as whoever waits for them says, not the half second the client would
/// give them.
fn connection_config(timeout: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timeout))
        .set_response_timeout(None)
}

fn unpooled(error: PoolError) -> RedisError {
    match error {
        PoolError::Backend(error) => error,
        PoolError::Timeout(_) => failure::timed_out(),
        other => {
            let kind = redis::ErrorKind::Client;
            RedisError::from((kind, "no connection", other.to_string()))
        }
    }
}
