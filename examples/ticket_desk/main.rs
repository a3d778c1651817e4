//! A ticket desk: a small real server that uses most of what the library has.
//!
//! `cargo run --example ticket_desk` serves HTTP, `... -- stdio` serves a client that starts it;
//! all other options are those of `switchboard`. Tickets are kept in `./tickets.db`.

mod database;

use std::error::Error;
use std::process::ExitCode;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use switchboard::prelude::*;

use database::{Database, Ticket};

#[derive(Deserialize, JsonSchema)]
struct Open {
    /// What is wrong, in one line.
    #[schemars(length(min = 1, max = 200))]
    title: String,
    /// How bad it is.
    severity: Severity,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Low,
    High,
}

#[derive(Deserialize, JsonSchema)]
struct Search {
    /// A part of the title; everything if left out.
    #[serde(default)]
    text: String,
}

#[derive(Serialize, JsonSchema)]
struct Found {
    tickets: Vec<Ticket>,
}

#[derive(Deserialize, JsonSchema)]
struct Which {
    /// The ticket's number.
    id: i64,
}

async fn open(db: Database, ctx: Context, new: Open) -> Result<Structured<Ticket>, ToolError> {
    let severity = format!("{:?}", new.severity).to_lowercase();
    let ticket = db.add(new.title, severity).await?;
    let line = format!("#{} was opened", ticket.id);
    ctx.log(LogLevel::Info, Some("desk"), line).await;
    Ok(Structured(ticket))
}

async fn search(db: Database, _: Context, by: Search) -> Result<Structured<Found>, ToolError> {
    let tickets = db.search(by.text).await?;
    Ok(Structured(Found { tickets }))
}

/// Asks why before it changes anything: in the stateless era a question ends this run.
async fn close(db: Database, ctx: Context, Which { id }: Which) -> Result<String, ToolError> {
    let ticket = db.find(id).await?.ok_or("there is no such ticket")?;
    let reasons = Field::choice(["solved", "duplicate", "not a problem"]);
    let form = Form::new(format!("Why close {:?}?", ticket.title)).field("reason", reasons);
    let answer = ctx.elicit("reason", form).await?;
    let Some(reason) = answer.text("reason") else {
        return Ok(format!("#{id} stays open"));
    };
    db.close(id, reason.to_owned()).await?;
    ctx.server().resource_updated(&format!("ticket://{id}"));
    Ok(format!("#{id} is closed: {reason}"))
}

async fn summarize(db: Database, ctx: Context, _: NoArguments) -> Result<String, ToolError> {
    let tickets = db.search(String::new()).await?.into_iter();
    let titles: Vec<String> = tickets.map(|ticket| ticket.title).collect();
    let request = SampleRequest::new(format!("Sum up in a sentence:\n{}", titles.join("\n")));
    Ok(ctx.sample("summary", request).await?.text())
}

/// Long work: tells how far it is, and ends early when nobody wants it any more.
async fn export(db: Database, ctx: Context, _: NoArguments) -> Result<String, ToolError> {
    let mut lines = vec!["id,severity,title".to_owned()];
    for (done, ticket) in (1_u32..).zip(db.search(String::new()).await?) {
        if ctx.is_cancelled() {
            return Err("the export was given up".into());
        }
        let title = ticket.title.replace('"', "\"\"");
        lines.push(format!("{},{},\"{title}\"", ticket.id, ticket.severity));
        ctx.progress(done.into(), None, Some(&format!("#{}", ticket.id)))
            .await;
    }
    Ok(lines.join("\n"))
}

async fn purge(db: Database, _: Context, _: NoArguments) -> Result<String, ToolError> {
    let gone = db.delete_closed().await?;
    Ok(format!("{gone} tickets are gone"))
}

async fn read(db: Database, _: Context, Which { id }: Which) -> Result<String, ServiceError> {
    let uri = format!("ticket://{id}");
    let ticket = (db.find(id).await?).ok_or(ServiceError::ResourceNotFound { uri })?;
    serde_json::to_string(&ticket).map_err(|_| ServiceError::Internal)
}

async fn numbers(db: Database, _: Typed) -> Vec<String> {
    let tickets = db.search(String::new()).await.unwrap_or_default();
    tickets.iter().map(|ticket| ticket.id.to_string()).collect()
}

async fn triage(_: Context, given: Arguments) -> Result<String, ServiceError> {
    let area = given.get("area");
    Ok(format!(
        "Search the tickets about {area}; say which are urgent."
    ))
}

/// Writes a line for every call.
async fn logged(call: Call, next: Next) -> Result<Reply, ServiceError> {
    let (method, subject) = (call.method.clone(), call.subject());
    let reply = next.run(call).await;
    tracing::info!(%method, subject, ok = reply.is_ok(), "answered");
    reply
}

fn desk(db: &Database, admins: Vec<String>) -> ServerBuilder {
    let is_admin = move |caller: &Principal| admins.iter().any(|admin| admin == caller.key());
    let for_numbers = db.clone();
    Server::builder("ticket-desk", env!("CARGO_PKG_VERSION"))
        .instructions("Search before you open a ticket: it may be there already.")
        .tool(Tool::new("open_ticket", with(db, open)).description("Opens a ticket."))
        .tool(
            Tool::new("search_tickets", with(db, search))
                .description("Finds tickets by a part of their title.")
                .read_only(),
        )
        .tool(Tool::new("close_ticket", with(db, close)).description("Closes a ticket; asks why."))
        .tool(
            Tool::new("summarize_tickets", with(db, summarize))
                .description("Sums up all tickets, with the client's own model.")
                .needs(ClientCapability::Sampling),
        )
        .tool(
            Tool::new("export_tickets", with(db, export))
                .description("All tickets as CSV.")
                .read_only(),
        )
        .tool(
            Tool::new("purge_tickets", with(db, purge))
                .description("Deletes the closed tickets.")
                .visible_to(is_admin),
        )
        .resource_template(
            ResourceTemplate::new("ticket://{id}", "ticket", with(db, read))
                .mime_type("application/json")
                .complete(
                    "id",
                    Completer::new(move |typed| numbers(for_numbers.clone(), typed)),
                ),
        )
        .prompt(Prompt::new("triage", triage).required("area", "What the tickets are about."))
        .middleware(logged)
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let db = Database::open("tickets.db")?;
    let admins = db.admins()?;
    Ok(switchboard::cli::run(Host::new(desk(&db, admins))))
}
