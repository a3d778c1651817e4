//! The process around the parts: its runtimes, its signals, its standard input, its limits.

use std::io;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use futures_util::future::Either;
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

use super::STEP;
use super::error::StartError;
use super::store::OpenedStore;
use crate::config::Settings;
use crate::runtime::tasks::Tasks;
use crate::telemetry::events::{Cautioned, Event as _};
use crate::telemetry::metrics::Metrics;

/// Runs `main` inside an actix system, with the main runtime beside it.
pub(super) fn run<T, F>(main: impl FnOnce(Tasks, Opened) -> F) -> Result<T, StartError>
where
    F: Future<Output = Result<T, StartError>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("main")
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    let tasks = Tasks::on(runtime.handle().clone());
    let opened = Opened::default();
    let system = actix_web::rt::System::new();
    let result = system.block_on(main(tasks, opened.clone()));
    // The arbiters belong to the system and end with it: a process may start many servers.
    actix_web::rt::System::current().stop();
    system.run().map_err(StartError::Runtime)?;
    // What was not waited for by now is cut.
    runtime.shutdown_timeout(STEP);
    opened.closed();
    result
}

/// The store that was opened, to be seen closed: actors let go of it when their threads end, and
/// nobody is told when that is.
#[derive(Clone, Default)]
pub(super) struct Opened(Arc<OnceLock<Weak<()>>>);

impl Opened {
    pub(super) fn is(&self, store: &OpenedStore) {
        self.0.get_or_init(|| store.held());
    }

    /// Waits until the store is closed, so that another process or server may open it.
    fn closed(&self) {
        let deadline = Instant::now() + STEP;
        let held = || self.0.get().is_some_and(|held| held.strong_count() > 0);
        while held() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Who tells a server to stop.
pub(super) enum Orders {
    /// Whoever signals the process. A second signal skips the waiting.
    Signals,
    /// Whoever holds the other end; the process's signals are none of our business.
    Token(CancellationToken),
}

impl Orders {
    pub(super) async fn to_stop(&self) {
        match self {
            Self::Signals => told_to_stop().await,
            Self::Token(token) => token.cancelled().await,
        }
    }

    /// Listens from now on, so that a second signal is not missed however soon it comes.
    pub(super) fn to_hurry(&self) -> impl Future<Output = ()> + use<> {
        match self {
            Self::Signals => Either::Left(told_to_stop()),
            Self::Token(_) => Either::Right(std::future::pending()),
        }
    }
}

/// Listens for SIGTERM and SIGINT (Ctrl-C) from now on, and resolves at the first.
fn told_to_stop() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = signal(SignalKind::terminate());
    let interrupt = signal(SignalKind::interrupt());
    async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
            // Without handlers the signals still end the process, only not in order.
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

/// Standard input, read on a thread of its own: a read that nobody ends must not hold up stopping.
pub(super) fn standard_input() -> impl tokio::io::AsyncRead {
    use std::io::Read as _;
    /// What one read takes; more waits in the pipe.
    const READ: usize = 64 * 1024;
    let (input, mut sink) = tokio::io::simplex(READ);
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        let mut buffer = vec![0; READ];
        while let Ok(count @ 1..) = io::stdin().lock().read(&mut buffer) {
            let written = runtime.block_on(sink.write_all(&buffer[..count]));
            if written.is_err() {
                break;
            }
        }
        // The end of the input, and an input that cannot be read, end the pipe alike. Nobody left
        // to read it is no reason to say anything.
        let _unread = runtime.block_on(sink.shutdown());
    });
    input
}

/// Says so if this process may not open as many files as it may hold sessions with a stream each.
/// It serves all the same: most deployments never get there.
pub(super) fn caution_about_descriptors(settings: &Settings, metrics: &Metrics) {
    /// What the process itself needs: store, listeners, event queues, logs.
    const OWN_FILES: usize = 1_000;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let allowed = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    let wanted = settings.sessions.max + OWN_FILES;
    if let Some(allowed) = allowed.filter(|allowed| *allowed < wanted) {
        let caution = format!(
            "this process may open {allowed} files; {wanted} are advised for {} sessions with a \
             stream each (ulimit -n)",
            settings.sessions.max
        );
        Cautioned { caution: &caution }.emit(metrics);
    }
}
