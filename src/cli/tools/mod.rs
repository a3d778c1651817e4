//! `switchboard tools`: what a server's tools are, and calling them, from the shell.
//!
//! Any server will do: one with a URL, or a program that is started for it. Results go to standard
//! output and nothing else does; what is told and asked meanwhile goes to standard error.
//!
//! It speaks through [`crate::client`]; here is only what a person sees.

mod arguments;
mod ask;
mod connect;
mod form;
mod notices;
mod show;

use std::io::IsTerminal as _;

use clap::Subcommand;
use serde_json::value::RawValue;

use super::{FAILED, OK, USAGE, answer, complain};
use crate::client::{Client, ClientError, Request};
use crate::protocol::encode;
use crate::protocol::raw::RawJson;
use crate::runtime::tasks::Tasks;
use crate::telemetry::tracing as log;
use arguments::Arguments;
use connect::Target;
use notices::Notices;

/// What `tools` takes.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// List a server's tools
    Ls {
        #[command(flatten)]
        target: Target,
    },
    /// Call a tool
    Call {
        /// The tool's name
        name: String,
        #[command(flatten)]
        arguments: Arguments,
        #[command(flatten)]
        target: Target,
    },
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people
    Text,
    /// The result as the server sent it, on one line
    Json,
}

/// Why it did not work.
enum Failure {
    /// It was asked for in a way that cannot be done.
    Usage(String),
    /// It failed.
    Failed(String),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Address(_) => Self::Usage(error.to_string()),
            error => Self::Failed(super::Chain(&error).to_string()),
        }
    }
}

pub(super) fn run(command: &Command) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&error);
            return FAILED;
        }
    };
    // What a server does wrong and can be lived with is said there. Nobody else logs before this.
    let filter = "warn".parse().unwrap_or_default();
    let _installed = log::install(log::LogFormat::Text, &filter);
    let tasks = Tasks::on(runtime.handle().clone());
    match runtime.block_on(command.run(tasks)) {
        Ok(code) => code,
        Err(Failure::Usage(problem)) => {
            complain(&show::plain(&problem));
            USAGE
        }
        Err(Failure::Failed(problem)) => {
            complain(&show::plain(&problem));
            FAILED
        }
    }
}

impl Command {
    async fn run(&self, tasks: Tasks) -> Result<u8, Failure> {
        let (Self::Ls { target } | Self::Call { target, .. }) = self;
        let whole = match self {
            Self::Ls { .. } => None,
            Self::Call { arguments, .. } => arguments.whole().map_err(Failure::Usage)?,
        };
        let notices = Notices::new(std::io::stderr().is_terminal());
        let builder = target.builder(tasks, notices.clone())?;
        let client =
            unless_interrupted(async { Ok(Box::pin(target.connect(builder)).await?) }).await?;
        let done = unless_interrupted(async {
            match self {
                Self::Ls { .. } => list(&client, target.output).await,
                Self::Call {
                    name, arguments, ..
                } => {
                    let arguments = match &whole {
                        Some(whole) => whole.clone(),
                        None => one_by_one(&client, name, arguments).await?,
                    };
                    Box::pin(call(&client, name, &arguments, target.output, &notices)).await
                }
            }
        })
        .await;
        notices.clear();
        // Also when it was interrupted: the call is cancelled, the session or the program ends.
        client.close().await;
        done
    }
}

async fn list(client: &Client, output: Output) -> Result<u8, Failure> {
    let tools = client.tools().await?;
    let text = match output {
        Output::Json => {
            let tools = tools
                .iter()
                .map(|tool| encode::one_line(tool.as_str()).into_owned());
            format!(r#"{{"tools":[{}]}}"#, tools.collect::<Vec<_>>().join(","))
        }
        Output::Text => show::tools(&tools),
    };
    Ok(if text.is_empty() { OK } else { answer(&text) })
}

async fn call(
    client: &Client,
    name: &str,
    arguments: &RawJson,
    output: Output,
    notices: &Notices,
) -> Result<u8, Failure> {
    let request = Request::call(name, Some(arguments));
    let result = Box::pin(client.request(request)).await?;
    notices.clear();
    let is_error = result.to_value()["isError"] == true;
    let code = match output {
        Output::Json => answer(&encode::one_line(result.as_str())),
        Output::Text => {
            let text = show::result(&result, std::io::stdout().is_terminal());
            if is_error {
                complain(&text);
                OK
            } else if text.is_empty() {
                OK
            } else {
                answer(&text)
            }
        }
    };
    Ok(if is_error { FAILED } else { code })
}

/// Arguments given one by one, read as the tool's schema has them.
async fn one_by_one(
    client: &Client,
    name: &str,
    arguments: &Arguments,
) -> Result<RawJson, Failure> {
    let schema = if arguments.need_a_schema() {
        schema_of(client, name).await?
    } else {
        None
    };
    let object = arguments.pairs(schema.as_ref()).map_err(Failure::Usage)?;
    Ok(RawJson::of(&object))
}

/// The input schema of a tool, if it is listed. Unlisted tools may exist all the same.
async fn schema_of(client: &Client, name: &str) -> Result<Option<serde_json::Value>, ClientError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Tool<'a> {
        name: String,
        #[serde(borrow)]
        input_schema: Option<&'a RawValue>,
    }
    let tools = client.tools().await?;
    Ok(tools.iter().find_map(|tool| {
        let tool: Tool<'_> = tool.decode().ok()?;
        let schema = tool.input_schema.filter(|_| tool.name == name)?;
        Some(RawJson::from_valid(schema.get().to_owned()).to_value())
    }))
}

/// Runs until done, or until Ctrl-C.
async fn unless_interrupted<T>(
    wanted: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        done = wanted => done,
        Ok(()) = tokio::signal::ctrl_c() => Err(Failure::Failed("interrupted".to_owned())),
    }
}
