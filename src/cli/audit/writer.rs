//! What a command has recorded: by the node that runs here, or by itself if none does.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::super::answer;
use super::Failure;
use super::places::Places;
use crate::admin::audit::{Erase, Exported};
use crate::admin::socket;
use crate::audit::archive::Export;
use crate::audit::{Audit, Event, OpenError, Sink, What};
use crate::runtime::clock::Clock;
use crate::telemetry::metrics::Metrics;

/// Who writes.
enum Writer {
    /// The node that runs here, through its socket.
    Node(reqwest::Client),
    /// We do.
    Ours(Audit),
}

/// Makes everything personal about somebody unreadable.
pub(super) fn erase(places: &Places, tenant: &str, subject: &str) -> Result<u8, Failure> {
    if places.settings.audit.is_none() {
        let problem = "erasing needs the configuration of the node, which says whether there is a \
                       legal hold: name it with --config";
        return Err(Failure::Usage(problem.to_owned()));
    }
    let reference = block_on(async {
        match Writer::open(places)? {
            Writer::Node(node) => {
                let whom = Erase {
                    tenant: tenant.to_owned(),
                    subject: subject.to_owned(),
                };
                let answer = ask(&node, "erase", &whom).await?;
                Ok(answer["reference"].as_str().map(str::to_owned))
            }
            Writer::Ours(audit) => {
                let erased = audit.erase(tenant, subject).await;
                audit.close().await;
                let reference = erased.map_err(|error| Failure::of(&error))?;
                Ok(reference.map(|reference| reference.to_string()))
            }
        }
    })?;
    Ok(match reference {
        Some(reference) => answer(&format_args!("erased: {reference} in all records")),
        None => answer(&"there is nothing about them"),
    })
}

/// Records that something was given out.
pub(super) fn exported(places: &Places, tenant: &str, export: &Export) -> Result<(), Failure> {
    let reference = export.reference.as_deref().unwrap_or_default().to_owned();
    let records = export.records;
    block_on(async {
        match Writer::open(places)? {
            Writer::Node(node) => {
                let what = Exported {
                    tenant: tenant.to_owned(),
                    reference,
                    records,
                };
                ask(&node, "exported", &what).await.map(drop)
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

impl Writer {
    fn open(places: &Places) -> Result<Self, Failure> {
        let clock = Clock::system();
        let opened = Audit::open(
            &places.config,
            &places.keys,
            &clock,
            &Metrics::new(),
            "command line",
        );
        match opened {
            // Its lines would be taken for what the command answers.
            Ok(_) if places.config.sink == Sink::Stdout => Err(Failure::Failed(
                "no node runs here, to whose standard output the records go".to_owned(),
            )),
            Ok(audit) => Ok(Self::Ours(audit)),
            Err(error @ OpenError::Locked { .. }) => {
                let client = reqwest::Client::builder()
                    .unix_socket(socket_of(places))
                    .tls_certs_only([])
                    .build();
                client.map(Self::Node).map_err(|_| Failure::of(&error))
            }
            Err(
                error @ (OpenError::Disk { .. }
                | OpenError::StdoutTaken
                | OpenError::Keyless
                | OpenError::Rules(_)),
            ) => Err(Failure::of(&error)),
        }
    }
}

fn socket_of(places: &Places) -> PathBuf {
    let settings = &places.settings;
    socket::path(
        settings.store.data_directory(),
        settings.server.listen.port(),
    )
}

async fn ask<T: Serialize>(node: &reqwest::Client, what: &str, body: &T) -> Result<Value, Failure> {
    let body = serde_json::to_string(body).expect("invariant: our values serialize");
    let asked = node
        .post(format!("http://localhost/audit/{what}"))
        .header("content-type", "application/json")
        .body(body);
    let unreachable = |error: reqwest::Error| {
        let why = super::super::Chain(&error).to_string();
        Failure::Failed(format!(
            "a process writes these records, and cannot be reached (name it by --listen): {why}"
        ))
    };
    let answered = asked.send().await.map_err(unreachable)?;
    let is_done = answered.status().is_success();
    let text = answered.text().await.map_err(unreachable)?;
    let said: Value = serde_json::from_str(&text).unwrap_or_default();
    if is_done {
        return Ok(said);
    }
    let error = said["error"].as_str().unwrap_or("the node refused");
    Err(Failure::Failed(error.to_owned()))
}

fn block_on<T>(what: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failure::of(&error))?;
    runtime.block_on(what)
}
