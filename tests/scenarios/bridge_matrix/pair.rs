//! A client of one revision, and an upstream of one revision behind the gateway.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use switchboard::client::{Client, ClientError, Notice, Question, Refusal, Request, Speak};
use switchboard::protocol::logging::LogLevel;
use switchboard::protocol::raw::RawJson;
use switchboard::protocol::version::{Era, ProtocolVersion};
use switchboard::runtime::tasks::Tasks;

use crate::world::{eventually, within};

/// How one side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    HttpSse,
    Http(ProtocolVersion),
    Stdio(ProtocolVersion),
}

/// A pair with its two clients: one says everything it can be asked, the other nothing.
#[derive(Debug)]
pub struct Pair {
    pub client: Way,
    pub upstream: Way,
    /// Declares nothing.
    pub plain: Downstream,
    /// Declares all three things it can be asked.
    pub asked: Downstream,
}

/// One connected client, with what it heard.
pub struct Downstream {
    client: Client,
    prefix: String,
    heard: Heard,
}

/// What a client heard without asking, and was asked.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(String, Value)>>>);

impl Way {
    pub const fn version(self) -> ProtocolVersion {
        match self {
            Self::HttpSse => ProtocolVersion::V2024_11_05,
            Self::Http(version) | Self::Stdio(version) => version,
        }
    }

    /// The name of an upstream that is spoken to like this, and the prefix of what it offers.
    pub fn name(self) -> String {
        let by = match self {
            Self::HttpSse => "sse",
            Self::Http(_) => "http",
            Self::Stdio(_) => "stdio",
        };
        format!("{by}-{}", self.version())
    }

    /// The path of a server that is spoken to like this.
    pub const fn path(self) -> &'static str {
        match self {
            Self::HttpSse => "/sse",
            Self::Http(_) | Self::Stdio(_) => "/mcp",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version();
        match self {
            Self::HttpSse => write!(f, "{version} HTTP+SSE"),
            Self::Http(_) => write!(f, "{version}"),
            Self::Stdio(_) => write!(f, "{version} stdio"),
        }
    }
}

impl Pair {
    /// Connects both clients to the gateway at `origin`.
    pub async fn connect(client: Way, upstream: Way, origin: &str, prefix: &str) -> Self {
        let url = format!("{origin}{}", client.path());
        Self {
            client,
            upstream,
            plain: Downstream::connect(client, &url, prefix, false).await,
            asked: Downstream::connect(client, &url, prefix, true).await,
        }
    }

    /// The older of the two revisions.
    pub fn older(&self) -> ProtocolVersion {
        self.client.version().min(self.upstream.version())
    }

    pub fn is_stateless(&self) -> bool {
        self.client.version().era() == Era::Stateless
    }

    pub async fn close(self) {
        self.plain.client.close().await;
        self.asked.client.close().await;
    }
}

impl Downstream {
    async fn connect(way: Way, url: &str, prefix: &str, can_be_asked: bool) -> Self {
        let heard = Heard::default();
        let mut builder = Client::builder(Tasks::on(tokio::runtime::Handle::current()))
            .speak(Speak::Version(way.version()))
            .log_level(LogLevel::Info)
            .on_notice({
                let heard = heard.clone();
                move |Notice { method, params, .. }| heard.note(&method, params.raw())
            });
        if can_be_asked {
            builder = builder
                .on_elicitation(heard.answering("elicitation/create", form))
                .on_sampling(heard.answering("sampling/createMessage", turn))
                .on_roots(heard.answering("roots/list", roots));
        }
        let client = within("a client connects", builder.http(url)).await;
        Self {
            client: client.unwrap(),
            prefix: prefix.to_owned(),
            heard,
        }
    }

    /// What the upstream's tool or prompt is called here.
    pub fn named(&self, own: &str) -> String {
        self.shown('.', own)
    }

    /// What the upstream's resource is called here.
    pub fn located(&self, own: &str) -> String {
        self.shown('+', own)
    }

    fn shown(&self, between: char, own: &str) -> String {
        if self.prefix.is_empty() {
            own.to_owned()
        } else {
            format!("{}{between}{own}", self.prefix)
        }
    }

    pub async fn request(&self, method: &str, params: Value) -> Result<Value, ClientError> {
        let asked = self.client.request(Request::new(method, &params));
        let answered = within(method, asked).await;
        println!("{method} {params} -> {answered:?}");
        answered.map(|result| result.to_value())
    }

    /// Begins a request that goes on until this is aborted, and with it cancelled.
    pub fn begin(&self, method: &str, params: Value) -> tokio::task::JoinHandle<()> {
        let (client, request) = (self.client.clone(), Request::new(method, &params));
        tokio::spawn(async move {
            let ended = client.request(request).await;
            panic!("it was not to end by itself: {ended:?}");
        })
    }

    /// What calls the upstream's tool, under a name for the call that nobody else has.
    pub fn call(&self, tool: &str) -> (String, Value) {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let call = format!("{tool} {}", CALLS.fetch_add(1, Ordering::Relaxed));
        let params = json!({"name": self.named(tool), "arguments": {"call": call}});
        (call, params)
    }

    /// Calls the upstream's tool, which is executed once for it.
    pub async fn tool(&self, tool: &str) -> Value {
        let (call, params) = self.call(tool);
        let result = self.request("tools/call", params).await.unwrap();
        assert_eq!(self.executions(&call).await, 1, "{call}");
        result
    }

    /// How often the upstream executed a call.
    pub async fn executions(&self, call: &str) -> u64 {
        let executions = self.told("bridged://executions").await;
        executions[call].as_u64().unwrap_or(0)
    }

    /// What a resource of the upstream tells, as JSON.
    pub async fn told(&self, own: &str) -> Value {
        let read = self.request("resources/read", json!({"uri": self.located(own)}));
        let read = read.await.unwrap();
        serde_json::from_str(read["contents"][0]["text"].as_str().unwrap()).unwrap()
    }

    /// The names of all tools.
    pub async fn tools(&self) -> Vec<String> {
        let tools = within("tools are listed", self.client.tools())
            .await
            .unwrap();
        let names = tools.iter().map(|tool| tool.to_value()["name"].clone());
        names
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }

    /// Forgets what was heard.
    pub fn forget(&self) {
        self.heard.0.lock().unwrap().clear();
    }

    /// What was heard of this method since.
    pub fn heard(&self, method: &str) -> Vec<Value> {
        let heard = self.heard.0.lock().unwrap();
        let heard = heard.iter().filter(|(heard, _)| heard == method);
        heard.map(|(_, params)| params.clone()).collect()
    }

    /// Waits until something of this method is heard that fits.
    pub async fn hears(&self, method: &str, fits: impl Fn(&Value) -> bool) {
        eventually(method, || async {
            self.heard(method).iter().any(&fits).then_some(())
        })
        .await;
    }
}

impl fmt::Debug for Downstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Downstream").field(&self.client).finish()
    }
}

type Answered = Result<RawJson, Refusal>;

impl Heard {
    fn note(&self, method: &str, params: Option<&RawJson>) {
        let params = params.map(RawJson::to_value).unwrap_or_default();
        let mut heard = self.0.lock().unwrap();
        heard.push((method.to_owned(), params));
    }

    /// Notes a question and answers it.
    fn answering(
        &self,
        method: &'static str,
        answer: fn(&Value) -> Value,
    ) -> impl Fn(Question) -> std::future::Ready<Answered> + Send + Sync + 'static {
        let heard = self.clone();
        move |question| {
            heard.note(method, Some(&question.params));
            let answer = answer(&question.params.to_value());
            std::future::ready(Ok(RawJson::of(&answer)))
        }
    }
}

/// The form, filled in as it was shown: a list is a text where the revision knows none.
fn form(asked: &Value) -> Value {
    let tags = match asked["requestedSchema"]["properties"]["tags"]["type"].as_str() {
        Some("array") => json!(["red", "blue"]),
        _text => json!("red, blue"),
    };
    json!({"action": "accept", "content": {"name": "grace", "size": "l", "tags": tags}})
}

/// A model that repeats what was said to it.
fn turn(asked: &Value) -> Value {
    let said = asked["messages"][0]["content"]["text"].as_str();
    let text = format!("You said: {}", said.unwrap_or("nothing"));
    json!({"role": "assistant", "model": "echo", "stopReason": "endTurn",
           "content": {"type": "text", "text": text}})
}

fn roots(_: &Value) -> Value {
    json!({"roots": [{"uri": "file:///work", "name": "work"}, {"uri": "file:///play"}]})
}
