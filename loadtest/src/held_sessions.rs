//! Many sessions of one server, opened over few connections, each with its standing stream.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::echo_call::{EchoCall, Subject};
use crate::event_stream::EventStream;
use crate::http_client::Connection;
use crate::mcp::{self, Wrong};
use crate::pace;
use crate::server_process::ServerProcess;
use crate::tally::Tally;

/// Streams being opened at once: as many as connections, since what a burst leaves behind in the
/// server's memory is not what an idle stream costs.
const OPENING: usize = 16;

/// Sessions by number: what they call.
#[derive(Debug, Default)]
pub(crate) struct HeldSessions {
    calls: Vec<Option<EchoCall>>,
    headers: Vec<String>,
    streams: JoinSet<()>,
}

impl HeldSessions {
    /// Opens `count` sessions over `connections`, each with one call made. On the floor, which has
    /// no sessions, only the call is made.
    pub(crate) async fn open(
        server: &ServerProcess,
        subject: Subject,
        count: u32,
        connections: usize,
        tally: &Rc<Tally>,
    ) -> Self {
        let next = Rc::new(RefCell::new(0..count));
        let made = Rc::new(RefCell::new(Self::default()));
        let mut opening = JoinSet::new();
        let address = server.address();
        for _ in 0..connections {
            let (next, made, tally) = (next.clone(), made.clone(), tally.clone());
            opening.spawn_local(async move {
                let mut connection = match Connection::open(address).await {
                    Ok(connection) => connection,
                    Err(broken) => return tally.failed(|| broken.to_string()),
                };
                loop {
                    let Some(_number) = next.borrow_mut().next() else {
                        return;
                    };
                    let begun = async {
                        let id = match subject {
                            Subject::Session => mcp::initialize(address, &mut connection).await?,
                            Subject::Floor | Subject::Stateless => "0".repeat(43),
                        };
                        let call = EchoCall::begin_in(subject, Some(&id), address, &mut connection);
                        Ok::<_, Wrong>((mcp::session_headers(&id), call.await?))
                    };
                    match begun.await {
                        Ok((headers, call)) => {
                            let mut made = made.borrow_mut();
                            made.calls.push(Some(call));
                            made.headers.push(headers);
                        }
                        Err(wrong) => return tally.failed(|| wrong.to_string()),
                    }
                }
            });
        }
        while opening.join_next().await.is_some() {}
        made.take()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.calls.len()
    }

    /// Opens each session's standing stream and goes on reading it. A stream that ends while it is
    /// held has failed.
    pub(crate) async fn open_streams(&mut self, server: &ServerProcess, tally: &Rc<Tally>) {
        let address = server.address();
        for batch in self.headers.chunks(OPENING) {
            let mut opening = JoinSet::new();
            for headers in batch {
                let request = mcp::get_events(address, "/mcp", headers);
                opening.spawn_local(async move {
                    let mut stream = EventStream::open(address, &request).await?;
                    // The first piece says that the stream is there.
                    stream.piece().await.map(|_| stream)
                });
            }
            while let Some(opened) = opening.join_next().await {
                let tally = tally.clone();
                match opened {
                    Ok(Ok(mut stream)) => {
                        self.streams.spawn_local(async move {
                            while let Ok(Some(_piece)) = stream.piece().await {}
                            tally.failed(|| "a held stream ended".to_owned());
                        });
                    }
                    Ok(Err(broken)) => tally.failed(|| format!("a stream: {broken}")),
                    Err(error) => tally.failed(|| error.to_string()),
                }
            }
        }
    }

    /// Calls at fixed times over `connections`: `total` calls, `per_second` of them, session after
    /// session. A call's time is counted from when it was due.
    pub(crate) async fn call_at_rate(
        &mut self,
        server: &ServerProcess,
        connections: usize,
        total: u32,
        per_second: f64,
        tally: &Rc<Tally>,
    ) {
        let count = self.calls.len();
        if count == 0 {
            return;
        }
        let calls = Rc::new(RefCell::new(std::mem::take(&mut self.calls)));
        let (lanes, keeper) = pace::lanes(total, per_second, connections);
        let mut calling = JoinSet::new();
        for mut lane in lanes {
            let (calls, tally, address) = (calls.clone(), tally.clone(), server.address());
            calling.spawn_local(async move {
                let mut connection = match Connection::open(address).await {
                    Ok(connection) => connection,
                    Err(broken) => return tally.failed(|| broken.to_string()),
                };
                while let Some(due) = lane.recv().await {
                    let session = due.number as usize % count;
                    let Some(mut call) = calls.borrow_mut()[session].take() else {
                        tally.failed(|| "a session's last call has not come back yet".to_owned());
                        continue;
                    };
                    let outcome = connection.exchange(call.next_request()).await;
                    match outcome {
                        Ok(answer) if call.is_right(&answer) => {
                            tally.done(Instant::now().saturating_duration_since(due.at));
                        }
                        Ok(answer) => tally.failed(|| answer.describe()),
                        Err(broken) => return tally.failed(|| broken.to_string()),
                    }
                    calls.borrow_mut()[session] = Some(call);
                }
            });
        }
        while calling.join_next().await.is_some() {}
        // It has dealt out everything, or nobody would have ended.
        drop(keeper.join());
        self.calls = calls.take();
    }

    /// Lets the streams go without a word.
    pub(crate) async fn drop_streams(&mut self) {
        self.streams.shutdown().await;
    }
}

/// Gives a server time to come to rest.
pub(crate) async fn settle(quick: bool) {
    let millis = if quick { 100 } else { 2_000 };
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
