//! A Redis server of a test's own, on a free loopback port, ended by its process id.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::world::PATIENCE;

/// A running server; killed when dropped.
pub struct Redis {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Redis {
    /// A server that keeps nothing on disk.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with further options, as on its command line.
    pub fn start_with(options: &[&str]) -> Self {
        let started = Instant::now();
        // Between the system giving a port and the server taking it somebody else may.
        loop {
            let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
            let port = listener.local_addr().expect("it listens").port();
            drop(listener);
            let dir = TempDir::new().expect("a place for files");
            let mut child = Command::new("redis-server")
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
                .args(["--save", "", "--appendonly", "no", "--dir"])
                .arg(dir.path())
                .args(options)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .expect("redis-server is installed: tests/run does it");
            while child.try_wait().expect("it is ours").is_none() {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self {
                        child,
                        port,
                        _dir: dir,
                    };
                }
                assert!(started.elapsed() < PATIENCE, "redis-server does not start");
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(started.elapsed() < PATIENCE, "redis-server does not stay");
        }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What it says to a command.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(arguments)
            .output()
            .expect("redis-cli is installed");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }
}
