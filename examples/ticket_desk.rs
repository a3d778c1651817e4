//! A ticket desk over SQLite (`./tickets.db`): a small real server that uses most of the library.
//!
//! `cargo run --example ticket_desk` takes the command line of `switchboard`: HTTP, `stdio`, all.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, Result as SqlResult, ToSql};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use switchboard::prelude::*;

#[derive(Serialize, JsonSchema)]
struct Ticket {
    id: i64,
    title: String,
    severity: String,
    closed: Option<String>,
}

#[derive(Clone)]
struct Database(Arc<Mutex<Connection>>);

impl Database {
    /// Opens it; the other half is who may do everything.
    fn open(path: &str) -> SqlResult<(Self, Vec<String>)> {
        let db = Connection::open(path)?;
        db.execute_batch(
            "CREATE TABLE IF NOT EXISTS tickets (id INTEGER PRIMARY KEY, title TEXT NOT NULL,
                 severity TEXT NOT NULL, closed TEXT);
             CREATE TABLE IF NOT EXISTS admins (principal TEXT PRIMARY KEY);",
        )?;
        let admins = db
            .prepare("SELECT principal FROM admins")?
            .query_map([], |row| row.get(0))?
            .collect::<SqlResult<_>>()?;
        Ok((Self(Arc::new(Mutex::new(db))), admins))
    }

    /// The tickets that `sql` returns. Works on a thread that may wait, never on one that serves.
    async fn tickets<const N: usize>(
        &self,
        sql: &'static str,
        with: [Box<dyn ToSql + Send>; N],
    ) -> Result<Vec<Ticket>, ServiceError> {
        let db = self.0.clone();
        let work = move || -> SqlResult<Vec<Ticket>> {
            let db = db.lock().unwrap_or_else(PoisonError::into_inner);
            let mut statement = db.prepare(sql)?;
            let rows = statement.query_map(rusqlite::params_from_iter(with), |row| {
                Ok(Ticket {
                    id: row.get("id")?,
                    title: row.get("title")?,
                    severity: row.get("severity")?,
                    closed: row.get("closed")?,
                })
            })?;
            rows.collect()
        };
        let done = tokio::task::spawn_blocking(work).await.ok();
        done.and_then(SqlResult::ok).ok_or(ServiceError::Internal)
    }

    async fn all(&self) -> Result<Vec<Ticket>, ServiceError> {
        self.tickets("SELECT * FROM tickets ORDER BY id", []).await
    }

    async fn find(&self, id: i64) -> Result<Ticket, ServiceError> {
        let found = self.tickets("SELECT * FROM tickets WHERE id = ?", [Box::new(id)]);
        let uri = format!("ticket://{id}");
        (found.await?.pop()).ok_or(ServiceError::ResourceNotFound { uri })
    }
}

#[derive(Deserialize, JsonSchema)]
struct Open {
    /// What is wrong, in one line.
    #[schemars(length(min = 1, max = 200))]
    title: String,
    severity: String,
}

#[derive(Deserialize, JsonSchema)]
struct Search {
    #[serde(default)]
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct Which {
    id: i64,
}

#[derive(Serialize, JsonSchema)]
struct Found {
    tickets: Vec<Ticket>,
}

async fn open(db: Database, ctx: Context, new: Open) -> Result<Structured<Found>, ToolError> {
    let sql = "INSERT INTO tickets (title, severity) VALUES (?, ?) RETURNING *";
    let adding = db.tickets(sql, [Box::new(new.title), Box::new(new.severity)]);
    let tickets = adding.await?;
    ctx.log(LogLevel::Info, Some("desk"), "opened").await;
    Ok(Structured(Found { tickets }))
}

async fn search(db: Database, _: Context, by: Search) -> Result<Structured<Found>, ToolError> {
    let sql = "SELECT * FROM tickets WHERE instr(title, ?1) OR ?1 = '' ORDER BY id";
    let tickets = db.tickets(sql, [Box::new(by.text)]).await?;
    Ok(Structured(Found { tickets }))
}

/// Asks why before it changes anything: in the stateless era a question ends this run.
async fn close(db: Database, ctx: Context, Which { id }: Which) -> Result<String, ToolError> {
    let ticket = db.find(id).await?;
    let reasons = Field::choice(["solved", "duplicate", "not a problem"]);
    let form = Form::new(format!("Why close {:?}?", ticket.title)).field("reason", reasons);
    let answer = ctx.elicit("reason", form).await?;
    let Some(reason) = answer.text("reason").map(str::to_owned) else {
        return Ok(format!("#{id} stays open"));
    };
    let closed = format!("#{id} is closed: {reason}");
    let sql = "UPDATE tickets SET closed = ? WHERE id = ? RETURNING *";
    db.tickets(sql, [Box::new(reason), Box::new(id)]).await?;
    ctx.server().resource_updated(&format!("ticket://{id}"));
    Ok(closed)
}

async fn summarize(db: Database, ctx: Context, _: NoArguments) -> Result<String, ToolError> {
    let titles: Vec<_> = db.all().await?.into_iter().map(|it| it.title).collect();
    let request = SampleRequest::new(format!("Sum up in a sentence:\n{}", titles.join("\n")));
    Ok(ctx.sample("summary", request).await?.text())
}

/// Tells how far it is, and ends early when nobody wants it any more.
async fn export(db: Database, ctx: Context, _: NoArguments) -> Result<String, ToolError> {
    let mut lines = vec!["id,severity,title".to_owned()];
    for (done, ticket) in (1_u32..).zip(db.all().await?) {
        if ctx.is_cancelled() {
            return Err("the export was given up".into());
        }
        let title = ticket.title.replace('"', "\"\"");
        lines.push(format!("{},{},\"{title}\"", ticket.id, ticket.severity));
        ctx.progress(done.into(), None, Some(&title)).await;
    }
    Ok(lines.join("\n"))
}

async fn purge(db: Database, _: Context, _: NoArguments) -> Result<String, ToolError> {
    let sql = "DELETE FROM tickets WHERE closed IS NOT NULL RETURNING *";
    let gone = db.tickets(sql, []).await?.len();
    Ok(format!("{gone} tickets are gone"))
}

async fn read(db: Database, _: Context, Which { id }: Which) -> Result<String, ServiceError> {
    let ticket = db.find(id).await?;
    serde_json::to_string(&ticket).map_err(|_| ServiceError::Internal)
}

async fn numbers(db: Database) -> Vec<String> {
    let tickets = db.all().await.unwrap_or_default();
    tickets.iter().map(|ticket| ticket.id.to_string()).collect()
}

/// Writes a line for every call.
async fn logged(call: Call, next: Next) -> Result<Reply, ServiceError> {
    let (method, subject) = (call.method.clone(), call.subject());
    let reply = next.run(call).await;
    tracing::info!(%method, subject, ok = reply.is_ok(), "answered");
    reply
}

fn desk(db: &Database, admins: Vec<String>) -> ServerBuilder {
    let (of_desk, export) = (db.clone(), Tool::new("export_tickets", with(db, export)));
    let is_admin = move |caller: &Caller| admins.iter().any(|it| it == caller.principal.key());
    let purge = Tool::new("purge_tickets", with(db, purge));
    let summarize = Tool::new("summarize_tickets", with(db, summarize));
    let by_id = ResourceTemplate::new("ticket://{id}", "ticket", with(db, read));
    let triage = Prompt::new("triage", |_, given| async move {
        let area = given.get("area");
        Ok(format!(
            "Search the tickets about {area}; say which are urgent."
        ))
    });
    Server::builder("ticket-desk", "1.0.0")
        .tool(Tool::new("open_ticket", with(db, open)))
        .tool(Tool::new("search_tickets", with(db, search)).read_only())
        .tool(Tool::new("close_ticket", with(db, close)).description("Closes it; asks why."))
        .tool(summarize.needs(ClientCapability::Sampling))
        .tool(export.task(TaskUse::after(std::time::Duration::from_secs(5))))
        .tool(purge.visible_to(is_admin))
        .resource_template(by_id.complete("id", Completer::new(move |_| numbers(of_desk.clone()))))
        .prompt(triage.required("area", "What the tickets are about."))
        .middleware(logged)
}

fn main() -> Result<std::process::ExitCode, Box<dyn std::error::Error>> {
    let (db, admins) = Database::open("tickets.db")?;
    Ok(switchboard::cli::run(Host::new(desk(&db, admins))))
}
