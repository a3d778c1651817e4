//! An upstream for the scenarios of the gateway: one tool for each thing that has to cross from one
//! revision to another, and resources that tell afterwards what really happened here.
//!
//! It has the command line of `switchboard`, and speaks whatever revision it is spoken to in. Each
//! tool takes the client's own name for the call; `bridged://executions` says how often each was
//! executed. The rounds of one call in the stateless era are one execution.
//!
//! Files in `grown`, in the directory it runs in, are tools. So all its processes there hear when one
//! of them grows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use switchboard::prelude::*;

const EXECUTIONS_URI: &str = "bridged://executions";
const CANCELLED_URI: &str = "bridged://cancelled";
const TOUCHED_URI: &str = "bridged://touched";
/// Each file here is a tool.
const GROWN: &str = "grown";
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How often `progress` and `log` say something.
const STEPS: u32 = 3;
/// What can be completed.
const NAMES: [&str; 3] = ["ada", "alan", "grace"];

#[derive(Deserialize, JsonSchema)]
struct Call {
    /// The client's own name for this call.
    #[serde(default)]
    call: String,
}

#[derive(Deserialize)]
struct Greeting {
    name: String,
}

/// What happened here. It grows with the calls of one scenario.
#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Happened>>);

#[derive(Default)]
struct Happened {
    executions: BTreeMap<String, u32>,
    cancelled: Vec<String>,
    touched: u32,
}

impl Witness {
    fn note<T>(&self, what: impl FnOnce(&mut Happened) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts an execution, once however many rounds it takes.
    async fn execution(&self, ctx: &Context, call: &str) -> Result<(), ToolError> {
        let counting = async {
            self.note(|seen| *seen.executions.entry(call.to_owned()).or_default() += 1);
            Ok::<_, ServiceError>(())
        };
        Ok(ctx.once("execution", counting).await?)
    }

    /// A tool that says something, and whose executions are counted.
    fn tool<F, Fut>(&self, name: &str, work: F) -> Tool
    where
        F: Fn(Context, Self, String) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<String, ToolError>> + Send + 'static,
    {
        let witness = self.clone();
        Tool::new(name, move |ctx: Context, Call { call }| {
            let (witness, work) = (witness.clone(), work.clone());
            async move {
                witness.execution(&ctx, &call).await?;
                work(ctx, witness, call).await
            }
        })
    }

    /// A resource that tells what happened, as JSON.
    fn resource(&self, uri: &str, tells: fn(&Happened) -> serde_json::Value) -> Resource {
        let witness = self.clone();
        let name = uri.rsplit('/').next().unwrap_or(uri).to_owned();
        Resource::dynamic(uri, name, move |_| {
            let told = witness.note(|seen| tells(seen)).to_string();
            async move { Ok(told) }
        })
        .mime_type("application/json")
    }
}

/// A field of every kind that an older revision has to be shown in another way.
fn form() -> Form {
    Form::new("Who are you?")
        .field("name", Field::string().default_value("ada"))
        .field(
            "size",
            Field::titled_choice([("s", "Small"), ("l", "Large")]),
        )
        .optional("tags", Field::choices(["red", "green", "blue"]))
}

/// What became of a form, as JSON.
fn told(answer: Elicited) -> String {
    let action = answer.action();
    json!({"action": action, "content": answer.accepted()}).to_string()
}

fn one_field(message: &str) -> Form {
    Form::new(message).field("answer", Field::string())
}

fn speaking(witness: &Witness) -> [Tool; 2] {
    [
        witness.tool("progress", |ctx, _, _| async move {
            for step in 1..=STEPS {
                let message = format!("step {step}");
                ctx.progress(step.into(), Some(STEPS.into()), Some(&message))
                    .await;
            }
            Ok("done".into())
        }),
        witness.tool("log", |ctx, _, call| async move {
            for step in 1..=STEPS {
                let line = json!({"call": call, "step": step});
                ctx.log(LogLevel::Info, Some("bridged"), line).await;
            }
            Ok("done".into())
        }),
    ]
}

fn asking(witness: &Witness) -> [Tool; 6] {
    [
        witness.tool("elicit", |ctx, _, _| async move {
            Ok(told(ctx.elicit("form", form()).await?))
        }),
        witness.tool("elicit_url", |ctx, _, _| async move {
            let url = "https://example.com/connect";
            let consent = ctx.elicit_url("url", "Connect", url).await?;
            Ok(format!("{consent:?}"))
        }),
        witness.tool("sample", |ctx, _, call| async move {
            let request = SampleRequest::new(format!("What of {call}?")).max_tokens(20);
            Ok(ctx.sample("sample", request).await?.text())
        }),
        witness.tool("roots", |ctx, _, _| async move {
            let roots = ctx.roots("roots").await?;
            let uris = roots.into_iter().map(|root| root.uri);
            Ok(uris.collect::<Vec<_>>().join(" "))
        }),
        witness.tool("ask_twice", |ctx, _, _| async move {
            let first = ctx.elicit("first", one_field("First?")).await?;
            let first = first.text("answer").unwrap_or("nothing").to_owned();
            let again = one_field(&format!("After {first}?"));
            let second = ctx.elicit("second", again).await?;
            Ok(format!(
                "{first}, then {}",
                second.text("answer").unwrap_or("nothing")
            ))
        }),
        witness.tool("ask_together", |ctx, _, _| async move {
            let (form, said, roots) = tokio::join!(
                ctx.elicit("form", one_field("Which?")),
                ctx.sample("sample", SampleRequest::new("What?")),
                ctx.roots("roots"),
            );
            Ok(format!(
                "{}, {}, {} roots",
                form?.text("answer").unwrap_or("nothing"),
                said?.text(),
                roots?.len()
            ))
        }),
    ]
}

fn changing(witness: &Witness) -> [Tool; 3] {
    [
        witness.tool("slow", |ctx, witness, call| async move {
            ctx.cancelled().await;
            witness.note(|seen| seen.cancelled.push(call));
            Ok("cancelled".into())
        }),
        witness.tool("touch", |ctx, witness, _| async move {
            let touched = witness.note(|seen| {
                seen.touched += 1;
                seen.touched
            });
            ctx.server().resource_updated(TOUCHED_URI);
            Ok(touched.to_string())
        }),
        witness.tool("grow", |_, _, _| async {
            grow().map_err(|error| ToolError::internal(&error))
        }),
    ]
}

/// Makes one more tool, and gives its name.
fn grow() -> io::Result<String> {
    fs::create_dir_all(GROWN)?;
    let mut at = 1;
    loop {
        let name = format!("grown_{at}");
        match fs::File::create_new(format!("{GROWN}/{name}")) {
            Ok(_) => return Ok(name),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => at += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Offers whatever has grown.
async fn offer_what_grows(server: Handle) {
    let mut offered = BTreeSet::new();
    loop {
        // Before anything has grown there is no directory.
        let files = fs::read_dir(GROWN).into_iter().flatten().flatten();
        let names = files.filter_map(|file| file.file_name().into_string().ok());
        for name in names {
            if offered.insert(name.clone()) {
                let tool = Tool::new(name, |_, NoArguments {}| async { Ok("grown") });
                server.add_tool(tool).expect("its name is one of a tool");
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Gives a list, which session-era clients can only be given wrapped.
fn structured_list(witness: &Witness) -> Tool {
    let witness = witness.clone();
    Tool::new("structured_list", move |ctx: Context, Call { call }| {
        let witness = witness.clone();
        async move {
            witness.execution(&ctx, &call).await?;
            Ok(Structured(vec![1_u32, 2, 3]))
        }
    })
}

fn greeting() -> ResourceTemplate {
    ResourceTemplate::new(
        "bridged://greeting/{name}",
        "greeting",
        |_, Greeting { name }| async move { Ok(format!("Hello, {name}!")) },
    )
    .mime_type("text/plain")
    .complete("name", Completer::among(NAMES))
}

fn introduce() -> Prompt {
    Prompt::new("introduce", |_, arguments| async move {
        Ok(format!("Introduce {}.", arguments.get("name")))
    })
    .required("name", "Whom to introduce")
    .complete("name", Completer::among(NAMES))
}

fn main() -> std::process::ExitCode {
    let witness = Witness::default();
    let tools = speaking(&witness).into_iter();
    let tools = tools.chain(asking(&witness)).chain(changing(&witness));
    let server = tools.fold(Server::builder("bridged", "1.0.0"), ServerBuilder::tool);
    let server = server
        .tool(structured_list(&witness))
        .resource(witness.resource(EXECUTIONS_URI, |seen| json!(seen.executions)))
        .resource(witness.resource(CANCELLED_URI, |seen| json!(seen.cancelled)))
        .resource(witness.resource(TOUCHED_URI, |seen| json!(seen.touched)))
        .resource_template(greeting())
        .prompt(introduce())
        .background(offer_what_grows);
    switchboard::cli::run(Host::new(server))
}
