//! Calls: made at a rate or all at once, followed over as many streams as it takes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

use super::super::history::{Op, Outcome, Record};
use super::super::http::Connection;
use super::super::requests::{self, Ended, Tool};
use super::{AT_ONCE, Crowd, Member, RETRY, Shared};
use crate::world::PATIENCE;

/// How often a second calls are sent; those that are due go together.
const BEATS: u32 = 50;

/// Calls under way. Some of them may be waited for, when the story is over.
#[derive(Debug, Default)]
pub struct Calls(JoinSet<()>);

impl Calls {
    /// Waits until all have ended, one way or another.
    pub async fn all_ended(mut self) {
        while let Some(ended) = self.0.join_next().await {
            ended.expect("a client does not panic");
        }
    }
}

impl Crowd {
    /// Calls at a rate, session after session, until `time` is over. What is under way then goes on.
    pub async fn call_at_rate(&self, per_second: u32, time: Duration, tool: Tool) -> Calls {
        self.call_until(per_second, time, tool, sleep(time)).await.0
    }

    /// The same for as long as something else happens.
    pub async fn call_while<T>(
        &self,
        per_second: u32,
        tool: Tool,
        happens: impl Future<Output = T>,
    ) -> (Calls, T) {
        self.call_until(per_second, Duration::MAX, tool, happens)
            .await
    }

    async fn call_until<T>(
        &self,
        per_second: u32,
        longest: Duration,
        tool: Tool,
        happens: impl Future<Output = T>,
    ) -> (Calls, T) {
        let mut calls = Calls::default();
        let mut beat = interval(Duration::from_secs(1) / BEATS);
        let mut members = self.members.iter().cycle();
        let (began, mut made) = (Instant::now(), 0);
        let mut happens = std::pin::pin!(happens);
        loop {
            let happened = tokio::select! {
                value = &mut happens => Some(value),
                _ = beat.tick() => None,
            };
            let due = began.elapsed().min(longest).as_millis() * u128::from(per_second) / 1_000;
            while made < due {
                let member = members.next().expect("a crowd has members").clone();
                let shared = self.shared.clone();
                calls
                    .0
                    .spawn(async move { shared.call(&member, tool).await });
                made += 1;
            }
            if let Some(value) = happened {
                return (calls, value);
            }
        }
    }

    /// Every session calls once; returns when all have ended.
    pub async fn call_each(&self, tool: Tool) {
        let members: &[Arc<Member>] = &self.members;
        stream::iter(members)
            .for_each_concurrent(AT_ONCE, |member| self.shared.call(member, tool))
            .await;
    }

    /// Stateless calls at a rate, which all must be answered.
    pub async fn call_stateless(&self, per_second: u32, time: Duration) -> u64 {
        let total = u64::from(per_second) * time.as_secs();
        let mut beat = interval(Duration::from_secs(1) / per_second);
        let mut calls = JoinSet::new();
        for _ in 0..total {
            beat.tick().await;
            let shared = self.shared.clone();
            calls.spawn(async move {
                let (head, text) = shared.exchange(&requests::stateless_echo("hello")).await;
                assert!(head.status == 200 && text.contains("hello"), "{text}");
            });
        }
        Calls(calls).all_ended().await;
        total
    }
}

/// A call on its way.
struct Call<'a> {
    shared: &'a Shared,
    member: &'a Member,
    name: String,
    /// The last event of its stream that was seen.
    last: Option<String>,
    answered: bool,
}

impl Shared {
    /// Calls once and follows it to its end, as far as a client can.
    async fn call(&self, member: &Member, tool: Tool) {
        let id = member.next.fetch_add(1, Ordering::Relaxed);
        let mut call = Call {
            shared: self,
            member,
            name: format!("{}-{id}", member.name),
            last: None,
            answered: false,
        };
        self.history.add(call.record(Op::Call));
        let request = requests::call(&member.session, id, &call.name, &member.name, tool);
        // What has not ended by then never does, which is for the checker to say.
        let _cut_off = timeout(2 * PATIENCE, call.follow_through(&request)).await;
    }
}

impl Call<'_> {
    async fn follow_through(&mut self, request: &[u8]) {
        let sent = self.send(request).await;
        if let Err(error) = &sent
            && !self.answered
            && self.last.is_none()
        {
            // Nobody was there to take it; whatever else breaks may have broken after the effect.
            let refused = error.kind() == io::ErrorKind::ConnectionRefused;
            let outcome = if refused {
                Outcome::Fail
            } else {
                Outcome::Unknown
            };
            return self.ends(outcome);
        }
        while !self.answered && self.last.is_some() {
            sleep(RETRY).await;
            if matches!(self.resume().await, Ok(Resumed::Refused)) {
                return;
            }
        }
    }

    async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        let mut connection = self.shared.connection().await?;
        let head = connection.send(request).await?;
        if head.is_stream {
            return self.follow(connection).await;
        }
        let text = connection.body().await?;
        self.shared.give_back(connection);
        match head.status {
            200 => {
                let message: Value = serde_json::from_str(&text).unwrap_or_default();
                match requests::ended(&message) {
                    Some(ended) => self.ended(ended, false),
                    None => self.ends(Outcome::Unknown),
                }
            }
            // A proxy lost the server in the middle.
            502 | 504 => self.ends(Outcome::Unknown),
            status => {
                println!("-- call {} was refused: {status} {text}", self.name);
                self.ends(Outcome::Fail);
            }
        }
        Ok(())
    }

    async fn resume(&mut self) -> io::Result<Resumed> {
        let mut connection = Connection::open(self.shared.address()).await?;
        let last = self.last.clone().unwrap_or_default();
        let request = requests::listen(&self.member.session, Some(&last));
        let head = connection.send(&request).await?;
        match head.status {
            200 if head.is_stream => {
                let attached = self.record(Op::Attach).event_id(&last);
                self.shared.history.add(attached);
                self.follow(connection).await?;
                Ok(Resumed::Read)
            }
            // The store or the node may be back soon.
            429 | 502 | 503 | 504 => Ok(Resumed::Read),
            status => {
                println!("-- the stream after {last} was refused: {status}");
                Ok(Resumed::Refused)
            }
        }
    }

    /// Reads a stream to its end, past the answer: there must be no second one.
    async fn follow(&mut self, mut connection: Connection) -> io::Result<()> {
        while let Some(event) = connection.event().await? {
            let message: Value = event
                .data
                .as_deref()
                .and_then(|data| serde_json::from_str(data).ok())
                .unwrap_or_default();
            let stored = event.id.is_some();
            if let Some(id) = event.id {
                let mut record = self.record(Op::Event).event_id(&id);
                record.mark = requests::mark(&message).map(str::to_owned);
                if self.last.is_none() {
                    let stream = record.stream.clone().unwrap_or_default();
                    self.shared
                        .history
                        .add(self.record(Op::Attach).stream(&stream));
                }
                self.shared.history.add(record);
                self.last = Some(id);
            } else if let Some((stream, _)) =
                self.last.as_deref().and_then(|it| it.rsplit_once('_'))
            {
                let record = self.record(Op::Event).stream(stream);
                self.shared.history.add(record);
            }
            if let Some(ended) = requests::ended(&message) {
                self.ended(ended, stored);
            }
        }
        self.shared.give_back(connection);
        Ok(())
    }

    fn ends(&mut self, outcome: Outcome) {
        let ended = Ended {
            outcome,
            node: None,
            mark: None,
        };
        self.ended(ended, false);
    }

    /// `stored`: it came as the last event that was seen.
    fn ended(&mut self, ended: Ended, stored: bool) {
        let mut record = self.record(Op::Answer).outcome(ended.outcome);
        if let Some(id) = self.last.as_deref().filter(|_| stored) {
            record = record.event_id(id);
        }
        record.node = ended.node;
        record.mark = ended.mark;
        self.shared.history.add(record);
        self.answered = true;
    }

    fn record(&self, op: Op) -> Record {
        Record::of(&self.member.name, op).call(&self.name)
    }
}

/// How coming back to a stream ended.
enum Resumed {
    /// With what there was.
    Read,
    /// There is no such stream, or nothing more of it, and the call has not ended.
    Refused,
}
