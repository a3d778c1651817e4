//! What a command has recorded: by the node that runs here, or by itself if none does.
//!
//! Directories that were named are a copy of somebody's, so no node is asked about them: it would do to
//! its own what was meant for the copy. What lies in no directory, like API keys, is left alone then.

use super::super::node::{self, PostError};
use super::super::{Chain, answer, complain};
use super::Failure;
use super::places::{Named, Places};
use crate::admin::audit::{Answer, Erased, Order};
use crate::app;
use crate::audit::archive::Export;
use crate::audit::{Audit, EraseError, Event, OpenError, Sink, What};
use crate::keyring::order::{Answer as KeyAnswer, Order as KeyOrder};
use crate::runtime::clock::Clock;
use crate::telemetry::metrics::Metrics;

/// Who writes.
enum Writer {
    /// The node that runs here, through its socket.
    Node,
    /// We do.
    Ours(Audit),
}

/// Makes everything personal about somebody unreadable, and ends what they are let in by.
pub(super) fn erase(places: &Places, tenant: &str, subject: &str) -> Result<u8, Failure> {
    let Some(config) = &places.settings.audit else {
        let problem = "erasing needs the configuration of the node, which says whether there is a \
                       legal hold: name it with --config";
        return Err(Failure::Usage(problem.to_owned()));
    };
    // A node that runs since before it was written does not know of it yet.
    if config.retention.is_held(tenant) {
        return Err(Failure::of(&EraseError::Held));
    }
    let Erased {
        reference,
        sessions,
        keys,
    } = block_on(async {
        match Writer::open(places)? {
            Writer::Node => {
                let (tenant, subject) = (tenant.to_owned(), subject.to_owned());
                match ask(places, &Order::Erase { tenant, subject }).await? {
                    Answer::Erased(erased) => Ok(erased),
                    other => Err(misunderstood(&other)),
                }
            }
            Writer::Ours(audit) => {
                let erased = erase_here(places, audit, tenant, subject).await;
                erased.map_err(|error| Failure::of(&*error))
            }
        }
    })?;
    if reference.is_none() && sessions + keys == 0 {
        places.has_records_of(tenant)?;
    }
    if places.named == Named::None {
        remains(places);
    }
    if sessions + keys > 0 {
        answer(&format_args!("ended: {sessions} sessions, {keys} API keys"));
    }
    Ok(match reference {
        Some(reference) => answer(&format_args!("erased: {reference} in all records")),
        None => answer(&"there is nothing about them"),
    })
}

/// What no node does.
async fn erase_here(
    places: &Places,
    audit: Audit,
    tenant: &str,
    user: &str,
) -> Result<Erased, Box<dyn std::error::Error>> {
    let (audit, keys) = match places.named {
        Named::None => {
            // One process writes records: who changes keys does that, too.
            audit.close().await;
            let keys = forget_keys(places, tenant, user).await?;
            (open(places)?, keys)
        }
        Named::Some | Named::All => (audit, 0),
    };
    let erased = audit.erase(tenant, user).await;
    audit.close().await;
    Ok(Erased {
        reference: erased?.map(|reference| reference.to_string()),
        sessions: 0,
        keys,
    })
}

/// Ends the API keys of somebody, and says how many they were.
async fn forget_keys(
    places: &Places,
    tenant: &str,
    user: &str,
) -> Result<usize, Box<dyn std::error::Error>> {
    let order = KeyOrder::Forget {
        tenant: tenant.to_owned(),
        user: user.to_owned(),
    };
    match app::keys::obey(&places.settings, order).await? {
        KeyAnswer::Forgotten { keys, .. } => Ok(keys.len()),
        KeyAnswer::Refused(why) => Err(why.into()),
        KeyAnswer::Created { .. } | KeyAnswer::Listed { .. } | KeyAnswer::Revoked(_) => {
            unreachable!("invariant: something else was asked")
        }
    }
}

/// Says what is not erased, and until when it is there.
fn remains(places: &Places) {
    let (sessions, tasks) = (&places.settings.sessions, &places.settings.tasks.config);
    complain(&format_args!(
        "note: what is kept for clients under secret ids goes by itself: sessions nobody uses within \
         {} s, tasks within {} s, outcomes of idempotency keys within a day",
        sessions.idle_ttl.as_secs(),
        tasks.ttl_max.as_secs()
    ));
}

/// Records that something was given out.
pub(super) fn exported(places: &Places, tenant: &str, export: &Export) -> Result<(), Failure> {
    let reference = export.reference.as_deref().unwrap_or_default().to_owned();
    let records = export.records;
    block_on(async {
        match Writer::open(places)? {
            Writer::Node => {
                let order = Order::Exported {
                    tenant: tenant.to_owned(),
                    reference,
                    records,
                };
                match ask(places, &order).await? {
                    Answer::Recorded => Ok(()),
                    other => Err(misunderstood(&other)),
                }
            }
            Writer::Ours(audit) => {
                let event = Event::of(tenant, What::Exported { reference, records });
                let noted = audit.note(&event).await;
                audit.close().await;
                noted.map_err(|error| Failure::of(&error))
            }
        }
    })
}

fn open(places: &Places) -> Result<Audit, OpenError> {
    let (clock, metrics) = (Clock::system(), Metrics::new());
    Audit::open(
        &places.config.clone().beside_an_answer(),
        &places.keys,
        &clock,
        &metrics,
        "command line",
    )
}

impl Writer {
    fn open(places: &Places) -> Result<Self, Failure> {
        if places.named == Named::Some {
            let problem = "name all of a copy, or nothing for the records of the node: --dir, \
                           --checkpoints and --vault";
            return Err(Failure::Usage(problem.to_owned()));
        }
        places.are_there()?;
        match open(places) {
            // Its lines would be taken for what the command answers.
            Ok(_) if places.config.sink == Sink::Stdout => Err(Failure::Failed(
                "no node runs here, to whose standard output the records go".to_owned(),
            )),
            Ok(audit) => Ok(Self::Ours(audit)),
            Err(error @ OpenError::Locked { .. }) if places.named == Named::All => {
                Err(Failure::of(&error))
            }
            Err(OpenError::Locked { .. }) => Ok(Self::Node),
            Err(
                error @ (OpenError::Disk { .. }
                | OpenError::StdoutTaken
                | OpenError::Keyless
                | OpenError::Rules(_)),
            ) => Err(Failure::of(&error)),
        }
    }
}

async fn ask(places: &Places, order: &Order) -> Result<Answer, Failure> {
    match node::post(&places.settings, "/audit", order).await {
        Ok(Answer::Refused(why)) => Err(Failure::Failed(why)),
        Ok(answer) => Ok(answer),
        Err(error @ PostError::Nobody { .. }) => Err(Failure::Failed(format!(
            "a process writes these records, and cannot be reached (name it by --listen): {}",
            Chain(&error)
        ))),
        Err(error) => Err(Failure::of(&error)),
    }
}

/// A node of another release may say anything.
fn misunderstood(answer: &Answer) -> Failure {
    Failure::Failed(format!("the node answered something else: {answer:?}"))
}

fn block_on<T>(what: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let done = node::block_on(async { Ok(what.await) });
    done.unwrap_or_else(|error| Err(Failure::of(&*error)))
}
