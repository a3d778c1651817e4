//! Tasks that run at another node: what their runner is told, and waiting for what it writes.
//!
//! A runner is told by letter and answers by writing the record: whoever told it looks at the record
//! whenever a change of the task is announced, or a node is gone. So an answer that says that a task
//! was cancelled is true at every node, and one that was lost on the way is asked for again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::record::{End, Record};
use super::{Shared, TaskService, overloaded};
use crate::node::{Heard, Incarnation, Node, Topic};
use crate::protocol::raw::RawJson;
use crate::protocol::subscription::SubscriptionFilter;
use crate::runtime::ratelimited::warn_ratelimited;
use crate::service::{Call, ServiceError};

/// How long a runner may take to do what it was told. Less than any request about tasks may take,
/// so that its client hears why there is no answer.
const RUNNER_ANSWERS: Duration = Duration::from_secs(5);

/// What the runner of a task is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Wish {
    /// End it: its client cancels it.
    Cancel,
    /// Take these answers to its questions.
    Answer(BTreeMap<String, RawJson>),
}

/// What one node tells the runner of a task.
#[derive(Debug, Serialize, Deserialize)]
struct Letter {
    endpoint: Arc<str>,
    task: Arc<str>,
    wish: Wish,
}

impl TaskService {
    /// Lets tasks that run here be reached from other nodes. Before the node starts, with the
    /// services of all its endpoints.
    pub fn listen<'a>(node: &Node, services: impl IntoIterator<Item = &'a Self>) {
        let services = services.into_iter();
        // Not held: they hold the node, and with it its listeners.
        let services = services.map(|it| Arc::downgrade(&it.0)).collect::<Vec<_>>();
        let listener = move |heard| {
            // Who waits for a record looks again when anything was missed; a wish that was lost is
            // asked for again.
            let Heard::Letter { body, .. } = heard else {
                return;
            };
            let letter = match serde_json::from_slice::<Letter>(&body) {
                Ok(letter) => letter,
                Err(error) => {
                    warn_ratelimited!("a letter about a task was not understood", %error);
                    return;
                }
            };
            let mut living = services.iter().filter_map(std::sync::Weak::upgrade);
            if let Some(shared) = living.find(|shared| shared.endpoint == letter.endpoint) {
                shared.do_as_told(&letter.task, letter.wish);
            }
        };
        node.listen(Topic::Tasks, Box::new(listener));
    }
}

impl Shared {
    /// Does what a client wishes of a task that runs here; one that has ended shows that already.
    fn do_as_told(&self, id: &str, wish: Wish) {
        let Some(live) = self.running(id) else {
            return;
        };
        match wish {
            Wish::Cancel => {
                if live.finish(End::Cancelled) {
                    live.cancel.cancel();
                }
            }
            Wish::Answer(answers) => {
                let _any = live.answer(answers);
            }
        }
    }

    /// Tells the runner of a task, and waits until its record shows that it was `done`, or that
    /// the task has ended otherwise.
    pub(super) async fn tell_runner(
        &self,
        call: &Call,
        id: &str,
        record: &Record,
        wish: Wish,
        done: impl Fn(&Record) -> bool,
    ) -> Result<Record, ServiceError> {
        let letter = Letter {
            endpoint: self.endpoint.clone(),
            task: id.into(),
            wish,
        };
        let letter = serde_json::to_vec(&letter).expect("invariant: our values serialize");
        let runner = Incarnation(record.runner);
        self.node.tell(runner, Topic::Tasks, letter.into());
        let shown = self.wait_for(call, id, |record| record.end().is_some() || done(record));
        let shown = tokio::time::timeout(RUNNER_ANSWERS, shown).await;
        shown.unwrap_or_else(|_| Err(overloaded("the node that runs this task did not answer")))
    }

    /// Waits until the record of a task that runs elsewhere is as wanted.
    pub(super) async fn wait_for(
        &self,
        call: &Call,
        id: &str,
        wanted: impl Fn(&Record) -> bool,
    ) -> Result<Record, ServiceError> {
        let context = &call.context;
        let nothing_else = SubscriptionFilter::default();
        let mut watch = self.changes.watch(&context.caller, nothing_else);
        let ids = BTreeSet::from([id.to_owned()]);
        // Marked from the start, so the first look is at once.
        self.changes.watch_tasks(&mut watch, ids, None);
        let mut left = Duration::MAX;
        loop {
            tokio::select! {
                _marked = watch.changed() => {}
                () = tokio::time::sleep(left) => {}
                () = context.cancel.cancelled() => return Err(ServiceError::Cancelled),
            }
            let era = context.version.era();
            let record = self.find(context.principal(), era, id).await?;
            if wanted(&record) {
                return Ok(record);
            }
            // When its time is over it is gone, and nobody announces that.
            left = record.expires().since(self.clock.now());
        }
    }
}
