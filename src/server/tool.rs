//! Tools: an async function, what it takes and what it gives.
//!
//! [`Tool::new`] takes a function of typed arguments and derives the schemas of both sides from
//! the types. [`Tool::untyped`] takes a schema as it is. Registering compiles a tool once into a
//! [`RegisteredTool`], the form calls and lists use.
//!
//! It does not run tools; [`super::calls`] does.
//!
//! Spec: server/tools (all revisions).

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::audience::Audience;
use super::catalog::Entry;
use super::context::Context;
use super::described::described;
use super::entries::Entries;
use super::error::RegistrationError;
use super::outcome::{IntoToolResult, ToolError};
use super::schema::{self, Schema};
use crate::protocol::capabilities::ClientCapability;
use crate::protocol::icon;
use crate::protocol::param_headers::HeaderParams;
use crate::protocol::raw::RawJson;
use crate::protocol::tool::{
    TaskSupport, ToolAnnotations, ToolDefinition, ToolResult, needs_wrapping, wrapped_output_schema,
};
use crate::protocol::version::{Era, ProtocolVersion};
use crate::service::{ServiceError, TaskUse};

/// Longest tool name every client takes (server/tools, tool names).
const NAME_BYTES_MAX: usize = 128;

type Handler =
    Arc<dyn Fn(Context, Value) -> BoxFuture<'static, Result<ToolResult, ToolError>> + Send + Sync>;

/// A tool on its way to a server.
///
/// Arguments and structured results are types; their schemas, with what the comments and the
/// `schemars` attributes say, are derived from them and checked in both directions.
///
/// ```
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
/// use switchboard::prelude::*;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Area {
///     /// In metres.
///     #[schemars(range(min = 0.0))]
///     width: f64,
///     height: f64,
/// }
///
/// #[derive(Serialize, JsonSchema)]
/// struct Measured {
///     square_metres: f64,
/// }
///
/// let area = Tool::new("area", |_, Area { width, height }| async move {
///     if !(width * height).is_finite() {
///         return Err("that is no area".into());
///     }
///     Ok(Structured(Measured { square_metres: width * height }))
/// })
/// .description("The area of a room.")
/// .read_only();
/// # let keys = switchboard::runtime::seal::ClusterKeys::generate();
/// # Server::builder("rooms", "1.0.0").tool(area).build(&keys)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct Tool {
    definition: ToolDefinition,
    needs: Vec<ClientCapability>,
    task: Option<TaskUse>,
    idempotent: bool,
    audience: Audience,
    handler: Handler,
}

/// The arguments of a tool that takes none.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
pub struct NoArguments {}

impl JsonSchema for NoArguments {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NoArguments".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "object", "additionalProperties": false})
    }
}

described!(Tool, "What it does, for the model.");

impl Tool {
    /// A tool of typed arguments: their schema is derived from `A`, an output schema from `R` if
    /// it is [`super::Structured`].
    ///
    /// The function may be run again from its start when its client is asked something; see
    /// [`super`] for what that means for effects.
    pub fn new<A, R, F, Fut>(name: impl Into<String>, function: F) -> Self
    where
        A: DeserializeOwned + JsonSchema,
        R: IntoToolResult,
        F: Fn(Context, A) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, ToolError>> + Send + 'static,
    {
        Self::of(
            name.into(),
            schema::of_arguments::<A>(),
            R::output_schema(),
            Arc::new(
                move |ctx, arguments| match serde_json::from_value(arguments) {
                    Ok(arguments) => {
                        let running = function(ctx, arguments);
                        Box::pin(async move { running.await.map(R::into_tool_result) })
                    }
                    Err(error) => {
                        let error = ToolError::Arguments(error.to_string());
                        Box::pin(std::future::ready(Err(error)))
                    }
                },
            ),
        )
    }

    /// A tool whose arguments are described by a schema and handed on as they are.
    pub fn untyped<R, F, Fut>(name: impl Into<String>, input_schema: Value, function: F) -> Self
    where
        R: IntoToolResult,
        F: Fn(Context, Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, ToolError>> + Send + 'static,
    {
        Self::of(
            name.into(),
            input_schema,
            R::output_schema(),
            Arc::new(move |ctx, arguments| {
                let running = function(ctx, arguments);
                Box::pin(async move { running.await.map(R::into_tool_result) })
            }),
        )
    }

    fn of(name: String, input: Value, output: Option<Value>, handler: Handler) -> Self {
        Self {
            definition: ToolDefinition {
                name,
                title: None,
                description: None,
                input_schema: input,
                output_schema: output,
                annotations: None,
                icons: Vec::new(),
                meta: Map::new(),
            },
            needs: Vec::new(),
            task: None,
            idempotent: false,
            audience: Audience::default(),
            handler,
        }
    }

    /// How it behaves.
    pub fn annotations(mut self, annotations: ToolAnnotations) -> Self {
        self.definition.annotations = Some(annotations);
        self
    }

    /// It changes nothing, so calling it again does no harm.
    pub fn read_only(self) -> Self {
        self.annotations(ToolAnnotations {
            read_only_hint: Some(true),
            idempotent_hint: Some(true),
            ..ToolAnnotations::default()
        })
    }

    /// Calling it again with the same arguments does no further harm, and that is relied on: when
    /// the node that runs a call is gone, the node where its client comes back makes it again, once,
    /// unless it has asked its client something. Without this such a call ends as *outcome unknown*.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        let annotations = &mut self.definition.annotations;
        annotations.get_or_insert_default().idempotent_hint = Some(true);
        self
    }

    /// The schema of its structured result, where the function's type does not say it.
    pub fn output_schema(mut self, schema: Value) -> Self {
        self.definition.output_schema = Some(schema);
        self
    }

    /// It cannot work without this: a client that did not declare it is told so before anything
    /// runs.
    pub fn needs(mut self, capability: ClientCapability) -> Self {
        self.needs.push(capability);
        self
    }

    /// How its calls may go on as tasks; unsaid, as the server has it for all its tools
    /// ([`super::ServerBuilder::tasks_after`]).
    ///
    /// The function stays as it is. Its progress becomes the task's status message, and what it
    /// asks is asked by way of the task. A finished result survives the process; work that is cut
    /// ends as *outcome unknown*.
    ///
    /// ```
    /// use std::time::Duration;
    /// use switchboard::server::{Context, NoArguments, TaskUse, Tool};
    ///
    /// // Waited for at first; after ten seconds the client gets a handle and comes back.
    /// let count = Tool::new("count", |ctx: Context, NoArguments {}| async move {
    ///     for step in 1..=100_u32 {
    ///         ctx.progress(step.into(), Some(100.0), Some("counting")).await;
    ///     }
    ///     Ok("counted")
    /// })
    /// .task(TaskUse::after(Duration::from_secs(10)));
    /// ```
    pub fn task(mut self, task: TaskUse) -> Self {
        self.task = Some(task);
        self
    }

    /// Compiles it. `tasks` is how its calls may become tasks if it does not say.
    pub(super) fn register(
        self,
        tasks: Option<TaskUse>,
    ) -> Result<RegisteredTool, RegistrationError> {
        let Self {
            definition,
            needs,
            task,
            idempotent,
            audience,
            handler,
        } = self;
        let tool = definition.name.clone();
        if !is_tool_name(&tool) {
            return Err(RegistrationError::ToolName(tool));
        }
        let refused = |which| {
            let tool = tool.clone();
            move |source| RegistrationError::Schema {
                tool,
                which,
                source,
            }
        };
        let input =
            Schema::compile_object(&definition.input_schema).map_err(refused("inputSchema"))?;
        let output = definition
            .output_schema
            .as_ref()
            .map(Schema::compile)
            .transpose()
            .map_err(refused("outputSchema"))?;
        let header_params = HeaderParams::from_schema(&definition.input_schema)
            .map_err(|source| RegistrationError::Header {
                tool: tool.clone(),
                source,
            })?
            .map(Arc::new);
        let wraps = definition
            .output_schema
            .as_ref()
            .is_some_and(needs_wrapping);
        let task = task.or(tasks).unwrap_or(TaskUse::forbidden());
        let entries = Entries::of(|version| {
            let mut definition = definition.clone();
            icon::fit(&mut definition.icons, &mut definition.meta, version);
            if version < ProtocolVersion::V2025_06_18 {
                // Results have nothing that it could be about there.
                definition.output_schema = None;
            } else if wraps && version.era() == Era::Session {
                definition.output_schema =
                    definition.output_schema.as_ref().map(wrapped_output_schema);
            }
            let entry = RawJson::of(&definition);
            match (version, task.support) {
                // What is not said is forbidden.
                (_, TaskSupport::Forbidden) => entry,
                (ProtocolVersion::V2025_11_25, TaskSupport::Optional | TaskSupport::Required) => {
                    let execution = RawJson::of(&json!({"taskSupport": task.support}));
                    entry.with_member("execution", &execution)
                }
                (_, TaskSupport::Optional | TaskSupport::Required) => entry,
            }
        });
        Ok(RegisteredTool {
            name: tool,
            entries,
            task,
            idempotent,
            input,
            output,
            wraps,
            needs,
            audience,
            header_params,
            handler,
        })
    }
}

fn is_tool_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

impl std::fmt::Debug for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tool({:?})", self.definition.name)
    }
}

/// A tool as calls and lists use it.
pub(super) struct RegisteredTool {
    name: String,
    entries: Entries,
    task: TaskUse,
    idempotent: bool,
    input: Schema,
    output: Option<Schema>,
    wraps: bool,
    needs: Vec<ClientCapability>,
    audience: Audience,
    header_params: Option<Arc<HeaderParams>>,
    handler: Handler,
}

impl Entry for RegisteredTool {
    const KIND: &'static str = "tool";

    fn key(&self) -> &str {
        &self.name
    }

    fn audience(&self) -> &Audience {
        &self.audience
    }

    fn entry(&self, version: ProtocolVersion) -> &RawJson {
        self.entries.get(version)
    }
}

impl RegisteredTool {
    pub(super) fn needs(&self) -> &[ClientCapability] {
        &self.needs
    }

    pub(super) const fn task_use(&self) -> TaskUse {
        self.task
    }

    pub(super) const fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    pub(super) const fn header_params(&self) -> Option<&Arc<HeaderParams>> {
        self.header_params.as_ref()
    }

    pub(super) fn check_arguments(&self, arguments: &Value) -> Result<(), String> {
        self.input.check(arguments)
    }

    pub(super) fn start(
        &self,
        ctx: Context,
        arguments: Value,
    ) -> BoxFuture<'static, Result<ToolResult, ToolError>> {
        (self.handler)(ctx, arguments)
    }

    /// Writes a result for `version`; what the output schema does not allow does not leave.
    pub(super) fn finish(
        &self,
        result: &ToolResult,
        version: ProtocolVersion,
    ) -> Result<RawJson, ServiceError> {
        if let Some(output) = self.output.as_ref().filter(|_| !result.is_error) {
            let checked = result.structured.as_ref().map_or_else(
                || Err("there is no structured result".to_owned()),
                |structured| output.check(structured),
            );
            if let Err(violation) = checked {
                tracing::error!(tool = self.name, violation, "tool broke its output schema");
                return Err(ServiceError::Internal);
            }
        }
        Ok(result.to_wire(version, self.wraps))
    }
}

/// The schema of a tool that takes no arguments.
#[must_use]
pub fn no_arguments() -> Value {
    json!({"type": "object", "additionalProperties": false})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Structured;

    fn tool(name: &str, schema: Value) -> Result<RegisteredTool, RegistrationError> {
        Tool::untyped(name, schema, |_, _| async { Ok("") }).register(None)
    }

    #[test]
    fn a_refused_tool_is_named() {
        let remote = json!({"type": "object", "$ref": "https://example.com/a.json"});
        let header =
            json!({"type": "object", "properties": {"a": {"type": "string", "x-mcp-header": 7}}});
        for (name, schema) in [
            ("no spaces", no_arguments()),
            ("", no_arguments()),
            ("remote", remote),
            ("list", json!({"type": "array"})),
            ("header", header),
        ] {
            let error = tool(name, schema).err().map(|error| error.to_string());
            let error = error.unwrap_or_else(|| panic!("{name} is refused"));
            assert!(error.starts_with(&format!("tool {name:?}")), "{error}");
        }
    }

    #[test]
    fn session_clients_see_an_object_around_any_other_output() {
        let tool = Tool::new("list", |_, NoArguments {}| async {
            Ok(Structured(vec![1_u8]))
        })
        .register(None)
        .unwrap();
        let modern = tool.entry(ProtocolVersion::V2026_07_28).to_value();
        let session = tool.entry(ProtocolVersion::V2025_06_18).to_value();
        assert_eq!(modern["outputSchema"]["type"], "array");
        assert_eq!(session["outputSchema"]["type"], "object");
        assert_eq!(
            session["outputSchema"]["properties"]["result"]["type"],
            "array"
        );
    }

    #[test]
    fn clients_that_get_no_structured_results_see_no_schema_of_them() {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
        let tool = Tool::untyped("t", no_arguments(), |_, _| async { Ok("") })
            .output_schema(schema)
            .register(None)
            .unwrap();
        for version in ProtocolVersion::ALL {
            let shown = tool.entry(version).to_value().get("outputSchema").is_some();
            let result = tool.finish(&ToolResult::structured(json!({"n": 1})), version);
            let result = result.unwrap().to_value();
            let given = result.get("structuredContent").is_some();
            assert_eq!(shown, given, "{version}");
            assert_eq!(shown, version >= ProtocolVersion::V2025_06_18, "{version}");
        }
    }

    #[test]
    fn no_result_leaves_that_its_schema_does_not_allow() {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
        let tool = Tool::untyped("t", no_arguments(), |_, _| async { Ok("") })
            .output_schema(schema)
            .register(None)
            .unwrap();
        let version = ProtocolVersion::V2025_11_25;
        for (result, leaves) in [
            (ToolResult::structured(json!({"n": 1})), true),
            (ToolResult::structured(json!({"n": "1"})), false),
            (ToolResult::text("no structure"), false),
            (ToolResult::error("failed"), true),
        ] {
            assert_eq!(tool.finish(&result, version).is_ok(), leaves, "{result:?}");
        }
    }
}
