//! nginx in front of servers, with a configuration of its own, as somebody would write it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::eventually;

/// How nginx is to be started.
#[derive(Debug)]
pub struct Setup {
    upstreams: Vec<String>,
    keepalive: Option<u32>,
}

/// A running nginx. Killed when dropped.
#[derive(Debug)]
pub struct Nginx {
    directory: TempDir,
    address: String,
    _process: Child,
}

impl Nginx {
    /// An nginx that passes what it gets to these addresses in turn, with no other setting.
    pub fn before(upstreams: &[&str]) -> Setup {
        Setup {
            upstreams: upstreams.iter().map(ToString::to_string).collect(),
            keepalive: None,
        }
    }

    /// An nginx with this configuration, which listens on `address`.
    pub async fn configured(config: &str, address: &str) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, confined(config, directory.path()))
            .expect("the configuration can be written");
        let process = Command::new("nginx")
            .arg("-p")
            .arg(directory.path())
            .arg("-c")
            .arg(&file)
            .arg("-e")
            .arg(directory.path().join("error.log"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("nginx is installed");
        eventually("nginx listens", async || {
            tokio::net::TcpStream::connect(address).await.ok()
        })
        .await;
        Self {
            directory,
            address: address.to_owned(),
            _process: process,
        }
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.address.parse().expect("it listens on an address")
    }

    /// What it complained of so far.
    pub fn complaints(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("error.log")).unwrap_or_default()
    }
}

impl Setup {
    /// Keeps so many connections to the servers open when they are not in use.
    pub fn keepalive(mut self, connections: u32) -> Self {
        self.keepalive = Some(connections);
        self
    }

    /// Starts it and waits until it listens.
    pub async fn start(self) -> Nginx {
        let address = lasting_address();
        Nginx::configured(&self.config(&address), &address).await
    }

    fn config(&self, address: &str) -> String {
        let mut servers = String::new();
        for upstream in &self.upstreams {
            writeln!(servers, "server {upstream};").expect("memory can be written");
        }
        let (pool, reuse) = match self.keepalive {
            None => (String::new(), ""),
            Some(connections) => (
                format!("keepalive {connections};"),
                "proxy_http_version 1.1; proxy_set_header Connection \"\";",
            ),
        };
        format!(
            "events {{ worker_connections 8192; }}
http {{
    upstream nodes {{
        {servers}
        {pool}
    }}
    server {{
        listen {address};
        location / {{
            proxy_pass http://nodes;
            {reuse}
            proxy_buffering off;
            proxy_read_timeout 1h;
        }}
    }}
}}
"
        )
    }
}

/// What keeps a configuration to one directory and one process, so that killing it leaves nothing.
fn confined(config: &str, directory: &Path) -> String {
    let directory = directory.display();
    let http = format!(
        "http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;"
    );
    let config = config.replacen("http {", &http, 1);
    format!("daemon off;\nmaster_process off;\npid {directory}/pid;\n{config}")
}

/// A loopback address that nobody listens on, below those the system hands out by itself: whoever
/// listened there can come back, however many connections are made meanwhile.
pub fn lasting_address() -> String {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let lowest = range
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse::<u32>().ok())
        .unwrap_or(32_768);
    // Each scenario is a process of its own and begins elsewhere.
    let span = lowest - FIRST;
    let start = std::process::id().wrapping_mul(97) % span;
    for step in 0..span {
        let port = FIRST + (start + step + TAKEN.fetch_add(1, Ordering::Relaxed)) % span;
        let address = format!("127.0.0.1:{port}");
        if std::net::TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
    panic!("no port is free below {lowest}");
}

/// The lowest port taken; those below belong to services.
const FIRST: u32 = 10_000;
/// How many were tried in this process: none is given twice.
static TAKEN: AtomicU32 = AtomicU32::new(0);
