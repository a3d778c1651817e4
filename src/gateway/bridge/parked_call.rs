//! Parked calls: a client without a session is asked by an upstream with one.
//!
//! The upstream's request stays open while the client makes up its mind. The client is answered with
//! the questions and a sealed `requestState` that names the node, the call and the round; its next request brings
//! the answers and the call goes on. A state is good once, for the same principal, endpoint, method,
//! name and arguments, and for a limited time.
//!
//! ```text
//! served ── asks ──▶ parked ── its round is taken ──▶ served ── …
//!                      └── its time is over ──▶ given up: the questions are answered as if the user
//!                                               had gone away, and the request is cancelled
//! ```
//!
//! A state that is not known (any more) is refused, and the call is never made again: the first one
//! may have had effects. A request that lands on another node is served by the node that holds the
//! call, with letters in between ([`elsewhere`](crate::gateway::elsewhere)).
//!
//! Spec: 2026-07-28 basic/patterns/mrtr; client/elicitation, sampling, roots (session era).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::gateway::talk::Talk;
use crate::identity::Principal;
use crate::protocol::canonical;
use crate::protocol::client_request::ClientRequest;
use crate::protocol::jsonrpc::Params;
use crate::protocol::method::Method;
use crate::protocol::params::{ParamsHead, subject};
use crate::runtime::clock::Clock;
use crate::runtime::seal::{self, Seal};
use crate::runtime::tasks::{TaskKind, Tasks};
use crate::service::{CallContext, Reply, ServiceError};
use crate::store::Incarnation;

/// Most parked calls of one principal, and of a node. Each holds a request of an upstream open.
const PER_PRINCIPAL_MAX: usize = 256;
const PER_NODE_MAX: usize = 10_000;
/// How long a client has to send its user to a URL.
const VISIT: Duration = Duration::from_secs(10 * 60);
/// Most rounds of one call; where the official clients stop too.
const ROUNDS_MAX: u32 = 10;

/// Names a parked call; nobody guesses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(in crate::gateway) struct ParkedId([u8; 16]);

/// What a state says, under its seal.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(in crate::gateway) enum State {
    /// The call waits.
    Parked(Ticket),
    /// Nothing waits: the user was to be sent to so many URLs before the call is made.
    Visit {
        /// How many.
        count: usize,
        /// Until when it is good.
        expires_ms: u64,
    },
}

/// Names a round of a parked call.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(in crate::gateway) struct Ticket {
    /// Which call.
    pub(in crate::gateway) id: ParkedId,
    /// Who holds it.
    pub(in crate::gateway) node: Incarnation,
    /// Which of its rounds.
    pub(in crate::gateway) round: u32,
    /// Until when it is good.
    expires_ms: u64,
}

/// See the module docs. Cloning shares it.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct ParkedCalls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    seal: Seal,
    clock: Clock,
    tasks: Tasks,
    node: Incarnation,
    table: Mutex<HashMap<ParkedId, Parked>>,
}

#[derive(Debug)]
struct Parked {
    principal: Principal,
    round: u32,
    /// Asks for the talk back.
    take: oneshot::Sender<oneshot::Sender<Talk>>,
}

impl ParkedCalls {
    /// None yet.
    pub(in crate::gateway) fn new(
        seal: Seal,
        clock: Clock,
        tasks: Tasks,
        node: Incarnation,
    ) -> Self {
        Self(Arc::new(Inner {
            seal,
            clock,
            tasks,
            node,
            table: Mutex::default(),
        }))
    }

    /// How many there are.
    pub(in crate::gateway) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Parks a call whose client is to be asked, and gives what the client is told. `before` names the
    /// round that has just ended, if there was one.
    ///
    /// # Errors
    /// When there is no room, or it was asked too often; the call is given up then.
    pub(in crate::gateway) fn park(
        &self,
        talk: Talk,
        questions: &[(String, ClientRequest)],
        binding: &Binding,
        before: Option<Ticket>,
    ) -> Result<Reply, ServiceError> {
        let (id, round) = match before {
            Some(before) => (before.id, before.round + 1),
            None => (ParkedId(seal::random()), 1),
        };
        if round > ROUNDS_MAX {
            talk.give_up();
            let what = format!("it asked more than {ROUNDS_MAX} rounds of questions");
            return Err(ServiceError::InvalidParams(what));
        }
        let patience = talk.about.upstream.config.timeouts.parked;
        let (take, taken) = oneshot::channel();
        let no_room = {
            let mut table = self.lock();
            let of_principal = table
                .values()
                .filter(|it| it.principal == binding.principal);
            if table.len() >= PER_NODE_MAX {
                Some("this node holds as many calls that wait for their clients as it may")
            } else if of_principal.count() >= PER_PRINCIPAL_MAX {
                Some("as many of your calls wait for your answers as may")
            } else {
                table.insert(
                    id,
                    Parked {
                        principal: binding.principal.clone(),
                        round,
                        take,
                    },
                );
                None
            }
        };
        if let Some(what) = no_room {
            talk.give_up();
            return Err(ServiceError::Overloaded {
                what,
                retry_after: Duration::from_secs(1),
            });
        }
        let keeping = keep(self.clone(), id, round, talk, taken, patience);
        self.0.tasks.spawn(TaskKind::Upkeep, keeping);
        let ticket = Ticket {
            id,
            node: self.0.node,
            round,
            expires_ms: self.0.clock.now().after(patience).0,
        };
        Ok(Reply::input_required(
            questions,
            Some(self.seal(&State::Parked(ticket), binding)),
        ))
    }

    /// A state for a client that is first sent to `count` URLs.
    pub(in crate::gateway) fn seal_visit(&self, count: usize, binding: &Binding) -> String {
        let expires_ms = self.0.clock.now().after(VISIT).0;
        self.seal(&State::Visit { count, expires_ms }, binding)
    }

    fn seal(&self, state: &State, binding: &Binding) -> String {
        let state = serde_json::to_vec(state).expect("invariant: states serialize");
        self.0.seal.seal(&binding.digest, &state)
    }

    /// What a state says; `None` when it is none of ours.
    ///
    /// # Errors
    /// [`ServiceError::InvalidRequestState`] when its time is over.
    pub(in crate::gateway) fn open(
        &self,
        state: &str,
        binding: &Binding,
    ) -> Option<Result<State, ServiceError>> {
        let opened = self.0.seal.open(&binding.digest, state).ok()?;
        let state = serde_json::from_slice::<State>(&opened).ok()?;
        let (State::Parked(Ticket { expires_ms, .. }) | State::Visit { expires_ms, .. }) = state;
        let is_over = self.0.clock.now().0 >= expires_ms;
        Some(if is_over {
            Err(ServiceError::InvalidRequestState)
        } else {
            Ok(state)
        })
    }

    /// Takes a call back to serve it: once per round.
    pub(in crate::gateway) async fn take(&self, ticket: &Ticket) -> Result<Talk, ServiceError> {
        let parked = {
            let mut table = self.lock();
            let is_this_round = table
                .get(&ticket.id)
                .is_some_and(|parked| parked.round == ticket.round);
            is_this_round.then(|| table.remove(&ticket.id)).flatten()
        };
        let parked = parked.ok_or(ServiceError::InvalidRequestState)?;
        let (give, given) = oneshot::channel();
        let unknown = |_| ServiceError::InvalidRequestState;
        parked
            .take
            .send(give)
            .map_err(|_| ServiceError::InvalidRequestState)?;
        given.await.map_err(unknown)
    }

    fn forget(&self, id: ParkedId, round: u32) {
        let mut table = self.lock();
        if table.get(&id).is_some_and(|parked| parked.round == round) {
            table.remove(&id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ParkedId, Parked>> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds a talk until it is taken back, or its time is over.
async fn keep(
    calls: ParkedCalls,
    id: ParkedId,
    round: u32,
    mut talk: Talk,
    taken: oneshot::Receiver<oneshot::Sender<Talk>>,
    patience: Duration,
) {
    tokio::pin!(taken);
    let time_is_over = tokio::time::sleep(patience);
    tokio::pin!(time_is_over);
    let mut has_ended = false;
    loop {
        tokio::select! {
            biased;
            taken = &mut taken => {
                match taken {
                    Ok(give) => {
                        if let Err(talk) = give.send(talk) {
                            talk.give_up();
                        }
                    }
                    Err(_) => talk.give_up(),
                }
                return;
            }
            () = talk.wait(), if !has_ended => has_ended = true,
            () = &mut time_is_over => {
                calls.forget(id, round);
                talk.give_up();
                return;
            }
        }
    }
}

/// What a state is bound to.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Binding {
    principal: Principal,
    digest: [u8; 32],
}

impl Binding {
    /// Of a call: whose it is, where it came in, and what exactly is asked.
    pub(in crate::gateway) fn of(context: &CallContext, method: &Method, params: &Params) -> Self {
        let head = ParamsHead::of(params);
        Self {
            principal: context.principal().clone(),
            digest: seal::digest(&[
                context.principal().key().as_bytes(),
                context.endpoint.as_bytes(),
                method.as_str().as_bytes(),
                subject(params).as_bytes(),
                canonical::arguments(head.arguments).as_bytes(),
            ]),
        }
    }
}
