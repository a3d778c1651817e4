//! The Unix socket through which the command line reaches this node, and nobody else.
//!
//! It lies in the data directory and is named after the port the node listens on, since several
//! nodes may share a directory. Only the owner of the process may connect ([`SocketFile`]), so
//! nothing here asks who is calling. Besides what [`super::routes`] adds there are [`super::drain`],
//! [`super::keys`], [`super::limits`] and [`super::audit`].
//!
//! It outlives the other listeners: whoever asked the node to drain is told how that ended.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::http::KeepAlive;
use actix_web::{App, HttpServer, web};
use tokio_util::task::TaskTracker;

use super::{Admin, audit, drain, keys, limits};

/// Where the socket of the node is that listens on `port`.
#[must_use]
pub fn path(directory: &Path, port: u16) -> PathBuf {
    directory.join(format!("{port}.sock"))
}

/// The served socket.
#[derive(Debug)]
pub struct AdminSocket {
    server: ServerHandle,
    open: TaskTracker,
    file: SocketFile,
}

impl AdminSocket {
    /// Makes the socket and what serves on it; that has to be run.
    ///
    /// # Errors
    /// The operating system's.
    pub fn open(path: PathBuf, admin: Admin) -> io::Result<(Self, Server)> {
        let (file, listener) = SocketFile::bind(path)?;
        let open = TaskTracker::new();
        let connections = open.clone();
        let server = HttpServer::new(move || {
            App::new().configure(|app| {
                super::routes(app, &admin);
                app.service(web::resource("/drain").post(drain::drain))
                    .service(web::resource("/keys").post(keys::keys))
                    .service(web::resource("/limits").post(limits::limits))
                    .service(web::resource("/audit/erase").post(audit::erase))
                    .service(web::resource("/audit/exported").post(audit::exported));
            })
        });
        let server = server
            .workers(1)
            .keep_alive(KeepAlive::Disabled)
            .on_connect(move |_, extensions| {
                extensions.insert(connections.token());
            })
            .disable_signals()
            .listen_uds(listener)?
            .run();
        let socket = Self {
            server: server.handle(),
            open,
            file,
        };
        Ok((socket, server))
    }

    /// Finishes its answers, for as long as they may take, and closes. The file remains for as long
    /// as what is given back: until nothing of the node is left.
    pub async fn close(self, patience: Duration) -> SocketFile {
        self.open.close();
        let _cut = tokio::time::timeout(patience, self.open.wait()).await;
        self.server.stop(false).await;
        self.file
    }
}

/// The file of a socket; removed when dropped.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// What tells it from the file of a successor in the same place.
    inode: u64,
}

impl SocketFile {
    /// Listens at `path`, for the owner of the process only. The file of a dead process gives way.
    fn bind(path: PathBuf) -> io::Result<(Self, UnixListener)> {
        if let Some(directory) = path.parent() {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700).create(directory)?;
        }
        // Made aside: nobody finds it before it is as it should be.
        let aside = path.with_extension("sock.new");
        if let Err(error) = fs::remove_file(&aside)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let listener = UnixListener::bind(&aside)?;
        fs::set_permissions(&aside, Permissions::from_mode(0o600))?;
        let inode = fs::metadata(&aside)?.ino();
        fs::rename(&aside, &path)?;
        Ok((Self { path, inode }, listener))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::metadata(&self.path).is_ok_and(|found| found.ino() == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the admin socket could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_file_gives_way_and_a_successors_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(&directory.path().join("data"), 8000);
        let (first, _listening) = SocketFile::bind(path.clone()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let (second, _listening) = SocketFile::bind(path.clone()).unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }
}
