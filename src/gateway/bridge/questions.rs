//! Questions of an upstream, for a client of another revision; and its answers, on their way back.
//!
//! [`Question::put`] takes what an upstream asks, on its own in the session era or as a value of
//! `inputRequests` ([`Round`]) in the stateless one, and gives what the client is asked.
//! [`Question::answer`] takes what the client answers and gives what the upstream understands.
//!
//! It does not wait for anybody; the gateway's calls do.
//!
//! Spec: client/elicitation, client/sampling, client/roots (all revisions); 2026-07-28
//! basic/patterns/mrtr.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::array::{self, change_elements, quoted};
use super::capability_set::CapabilitySet;
use super::results::older_block;
use super::{Broken, Crossing};
use crate::protocol::capabilities::ClientCapability;
use crate::protocol::client_request::{ClientRequest, ClientRequestKind as Kind};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::form;
use crate::protocol::input::QUESTIONS_MAX;
use crate::protocol::jsonrpc::ResponseError;
use crate::protocol::members::Members;
use crate::protocol::meta::RELATED_TASK_KEY;
use crate::protocol::raw::{self, RawJson};
use crate::protocol::version::{Era, ProtocolVersion};
use crate::runtime::seal;

/// The code of a user's no to a turn of the model (client/sampling, error handling).
const REJECTED: i64 = -1;

/// A question as the client is asked it.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// What the client is asked.
    pub request: ClientRequest,
    /// The id of a visit to a URL, under which 2025-11-25 announces that it is over: the one that
    /// the upstream gave, or that was made for the client.
    pub elicitation_id: Option<String>,
    /// Fields of a form that went out as text and are lists.
    lists: Vec<String>,
    upstream: ProtocolVersion,
}

/// Why a client cannot be asked. The upstream should have known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unaskable {
    /// There is no such question.
    #[error("a client cannot be asked `{0:.60}`")]
    Unknown(String),
    /// The client did not declare that it can be asked.
    #[error("the client did not declare {}", .0.name())]
    Undeclared(ClientCapability),
    /// The client's revision has no way to ask it.
    #[error("the client's revision knows no {0}")]
    Inexpressible(&'static str),
    /// The question itself is not as it should be.
    #[error("{0}")]
    Malformed(&'static str),
}

/// A client's answer is none to what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client's answer does not fit the question: {0}")]
pub(crate) struct Unfit(&'static str);

impl Unaskable {
    /// What the client would have to declare.
    pub(crate) const fn missing(&self) -> Option<ClientCapability> {
        match self {
            Self::Undeclared(capability) => Some(*capability),
            Self::Unknown(_) | Self::Inexpressible(_) | Self::Malformed(_) => None,
        }
    }

    /// What an upstream of the session era is answered.
    pub(crate) fn to_error(&self) -> ResponseError {
        let code = match self {
            Self::Unknown(_)
            | Self::Undeclared(
                ClientCapability::Sampling | ClientCapability::Roots | ClientCapability::Tasks,
            ) => ErrorCode::METHOD_NOT_FOUND,
            Self::Undeclared(
                ClientCapability::ElicitationForm
                | ClientCapability::ElicitationUrl
                | ClientCapability::SamplingTools,
            )
            | Self::Inexpressible(_)
            | Self::Malformed(_) => ErrorCode::INVALID_PARAMS,
        };
        ResponseError {
            code: code.0,
            message: self.to_string(),
            data: None,
        }
    }
}

impl Question {
    /// What a client with these capabilities is asked, when its upstream asks this.
    ///
    /// # Errors
    /// [`Unaskable`].
    pub(crate) fn put(
        method: &str,
        params: &RawJson,
        capabilities: CapabilitySet,
        crossing: &Crossing<'_>,
    ) -> Result<Self, Unaskable> {
        let mut asked = Members::of(params.as_str()).ok_or(NO_PARAMS)?;
        // Nobody was told that a question may be a task, so it is a plain one.
        asked.remove("task");
        without_hop_meta(&mut asked);
        let mut question = Self {
            request: ClientRequest {
                kind: kind(method, &asked)?,
                params: RawJson::empty_object(),
            },
            elicitation_id: None,
            lists: Vec::new(),
            upstream: crossing.upstream,
        };
        let needed = question.request.kind.needs();
        if !capabilities.has(needed) {
            return Err(Unaskable::Undeclared(needed));
        }
        match question.request.kind {
            Kind::ElicitForm => question.lists = form_for(&mut asked, crossing.client)?,
            Kind::ElicitUrl => {
                question.elicitation_id = url_for(&mut asked, crossing.client)?;
            }
            Kind::Sample | Kind::SampleWithTools => {
                sample_for(&mut asked, capabilities, crossing.client)?;
            }
            Kind::ListRoots => {}
        }
        let changed = asked.changed().map(RawJson::from_valid);
        question.request.params = changed.unwrap_or_else(|| params.clone());
        Ok(question)
    }

    /// What the upstream is answered, when the client answers this.
    ///
    /// # Errors
    /// [`Unfit`].
    pub(crate) fn answer(&self, answer: &RawJson) -> Result<RawJson, Unfit> {
        let mut answered = Members::of(answer.as_str()).ok_or(Unfit("it is no object"))?;
        match self.request.kind {
            Kind::ElicitForm | Kind::ElicitUrl => {
                let action = answered.string("action");
                if !matches!(action.as_deref(), Some("accept" | "decline" | "cancel")) {
                    return Err(Unfit("it has no `action`"));
                }
                self.take_lists_apart(&mut answered)?;
            }
            Kind::Sample | Kind::SampleWithTools => sampled_for(&mut answered, self.upstream)?,
            Kind::ListRoots => {
                let roots = answered.get("roots");
                if !roots.is_some_and(|roots| roots.starts_with('[')) {
                    return Err(Unfit("it has no `roots`"));
                }
            }
        }
        let changed = answered.changed().map(RawJson::from_valid);
        Ok(changed.unwrap_or_else(|| answer.clone()))
    }

    /// What the upstream is answered when nobody answers.
    ///
    /// # Errors
    /// An error is the answer to all but forms and visits, which can be left.
    pub(crate) fn unanswered(&self) -> Result<RawJson, ResponseError> {
        let code = match self.request.kind {
            Kind::ElicitForm | Kind::ElicitUrl => {
                return Ok(RawJson::from_valid(r#"{"action":"cancel"}"#));
            }
            Kind::Sample | Kind::SampleWithTools => REJECTED,
            Kind::ListRoots => ErrorCode::INTERNAL_ERROR.0,
        };
        Err(ResponseError {
            code,
            message: "the client did not answer".into(),
            data: None,
        })
    }

    fn take_lists_apart(&self, answered: &mut Members<'_>) -> Result<(), Unfit> {
        let Some(content) = answered.get("content").filter(|_| !self.lists.is_empty()) else {
            return Ok(());
        };
        let mut content = Members::of(content).ok_or(Unfit("its `content` is no object"))?;
        content.change_each(|name, value| {
            let text = raw::string(value);
            let is_list = self.lists.iter().any(|list| list == name);
            let text = text.filter(|_| is_list);
            Ok::<_, Unfit>(text.map(|text| form::list(&text).to_string()))
        })?;
        let changed = content.changed();
        answered.set_if("content", changed);
        Ok(())
    }
}

const NO_PARAMS: Unaskable = Unaskable::Malformed("`params` is no object");
const NO_FORM: Unaskable = Unaskable::Malformed("a form has `message` and flat `properties`");
const NO_MESSAGES: Unaskable = Unaskable::Malformed("`messages` are not as they should be");

fn kind(method: &str, asked: &Members<'_>) -> Result<Kind, Unaskable> {
    match method {
        "elicitation/create" => match asked.string("mode").as_deref() {
            None if asked.get("mode").is_some() => Err(Unaskable::Malformed("`mode` is no string")),
            None | Some("form") => Ok(Kind::ElicitForm),
            Some("url") => Ok(Kind::ElicitUrl),
            Some(_) => Err(Unaskable::Malformed("`mode` is neither `form` nor `url`")),
        },
        "sampling/createMessage" => Ok(
            if asked.get("tools").is_some() || asked.get("toolChoice").is_some() {
                Kind::SampleWithTools
            } else {
                Kind::Sample
            },
        ),
        "roots/list" => Ok(Kind::ListRoots),
        other => Err(Unaskable::Unknown(other.to_owned())),
    }
}

/// Takes away what speaks of the hop to the upstream: its token for progress, its tasks.
fn without_hop_meta(asked: &mut Members<'_>) {
    let Some(mut meta) = asked.get("_meta").and_then(Members::of) else {
        return;
    };
    meta.remove("progressToken");
    meta.remove(RELATED_TASK_KEY);
    if meta.is_empty() {
        asked.remove("_meta");
    } else {
        let changed = meta.changed();
        asked.set_if("_meta", changed);
    }
}

/// Makes the form one that the client can show. Returns the fields that are lists and went out as
/// text.
fn form_for(asked: &mut Members<'_>, client: ProtocolVersion) -> Result<Vec<String>, Unaskable> {
    asked.string("message").ok_or(NO_FORM)?;
    let schema = asked.get("requestedSchema").ok_or(NO_FORM)?;
    let mut schema = Members::of(schema).ok_or(NO_FORM)?;
    let fields = schema.get("properties").ok_or(NO_FORM)?;
    let mut fields = Members::of(fields).ok_or(NO_FORM)?;
    let mut lists = Vec::new();
    if client < ProtocolVersion::V2025_11_25 {
        fields.change_each(|name, field| {
            let field: Map<String, Value> = serde_json::from_str(field).map_err(|_| NO_FORM)?;
            let (older, is_list) = form::downgraded(&field);
            if is_list {
                lists.push(name.to_owned());
            }
            Ok((older != field).then(|| Value::Object(older).to_string()))
        })?;
        let changed = fields.changed();
        schema.set_if("properties", changed);
        let changed = schema.changed();
        asked.set_if("requestedSchema", changed);
        asked.remove("mode");
    }
    Ok(lists)
}

/// Gives the visit an id or takes it away, as the client's revision has it. Returns the id.
fn url_for(asked: &mut Members<'_>, client: ProtocolVersion) -> Result<Option<String>, Unaskable> {
    for needed in ["message", "url"] {
        let malformed = Unaskable::Malformed("a visit to a URL has `message` and `url`");
        asked.string(needed).ok_or(malformed)?;
    }
    let id = asked.string("elicitationId").map(Cow::into_owned);
    match (client.era(), id) {
        (Era::Stateless, id) => {
            asked.remove("elicitationId");
            Ok(id)
        }
        (Era::Session, Some(id)) => Ok(Some(id)),
        (Era::Session, None) => {
            let id = format!("{:032x}", u128::from_be_bytes(seal::random()));
            asked.set("elicitationId", quoted(&id));
            Ok(Some(id))
        }
    }
}

/// Makes the conversation one that the client's model can go on with.
fn sample_for(
    asked: &mut Members<'_>,
    capabilities: CapabilitySet,
    client: ProtocolVersion,
) -> Result<(), Unaskable> {
    let context = asked.string("includeContext");
    let wants_context = context.is_some_and(|context| context != "none");
    if wants_context && !capabilities.has_sampling_context() {
        asked.remove("includeContext");
    }
    let messages = asked.get("messages").ok_or(NO_MESSAGES)?;
    let changed = change_elements(messages, NO_MESSAGES, |message| {
        let mut message = Members::of(message).ok_or(NO_MESSAGES)?;
        let said = message.get("content").ok_or(NO_MESSAGES)?;
        let changed = if !said.starts_with('[') {
            turn_for(said, capabilities, client)?
        } else if client >= ProtocolVersion::V2025_11_25 {
            change_elements(said, NO_MESSAGES, |block| {
                turn_for(block, capabilities, client)
            })?
        } else {
            match &*array::elements(said).ok_or(NO_MESSAGES)? {
                [only] => {
                    let changed = turn_for(only, capabilities, client)?;
                    Some(changed.unwrap_or_else(|| (*only).to_owned()))
                }
                _ => return Err(Unaskable::Inexpressible("messages of several blocks")),
            }
        };
        message.set_if("content", changed);
        Ok(message.changed())
    })?;
    asked.set_if("messages", changed);
    Ok(())
}

/// A block of a conversation, if it has to change.
fn turn_for(
    block: &str,
    capabilities: CapabilitySet,
    client: ProtocolVersion,
) -> Result<Option<String>, Unaskable> {
    let parsed = Members::of(block).ok_or(NO_MESSAGES)?;
    match &*parsed.string("type").ok_or(NO_MESSAGES)? {
        "tool_use" | "tool_result" if !capabilities.has(ClientCapability::SamplingTools) => {
            Err(Unaskable::Undeclared(ClientCapability::SamplingTools))
        }
        "audio" if client < ProtocolVersion::V2025_03_26 => older_block(block, client)
            .map(Some)
            .map_err(|_| NO_MESSAGES),
        _ => Ok(None),
    }
}

/// Makes what the client's model said something that the upstream can read.
fn sampled_for(answered: &mut Members<'_>, upstream: ProtocolVersion) -> Result<(), Unfit> {
    const UNFIT: Unfit = Unfit("it has no `role`, `model` and `content`");
    const SEVERAL: Unfit = Unfit("its blocks cannot be told to a server of this revision");
    answered.string("role").ok_or(UNFIT)?;
    answered.string("model").ok_or(UNFIT)?;
    let said = answered.get("content").ok_or(UNFIT)?;
    let is_list = said.starts_with('[');
    if upstream >= ProtocolVersion::V2025_11_25 && is_list {
        return Ok(());
    }
    let blocks = if is_list {
        array::elements(said).ok_or(UNFIT)?
    } else {
        vec![said]
    };
    let mut changed = None;
    if let [only] = &*blocks {
        let block = Members::of(only).ok_or(UNFIT)?;
        let is_unknown = match &*block.string("type").ok_or(UNFIT)? {
            "tool_use" if upstream < ProtocolVersion::V2025_11_25 => return Err(SEVERAL),
            "audio" => upstream < ProtocolVersion::V2025_03_26,
            _ => false,
        };
        if is_unknown {
            changed = Some(older_block(only, upstream).map_err(|_| UNFIT)?);
        } else if is_list {
            changed = Some((*only).to_owned());
        }
    } else {
        // Only words can be one block.
        let mut words = String::new();
        for block in blocks {
            let block = Members::of(block).ok_or(UNFIT)?;
            words.push_str(&block.string("text").ok_or(SEVERAL)?);
        }
        changed = Some(json!({"type": "text", "text": words}).to_string());
    }
    answered.set_if("content", changed);
    Ok(())
}

/// What a result of the stateless era asks.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// Methods and params of the questions, by the upstream's key for each.
    asked: Vec<(String, String, RawJson)>,
    /// What the upstream wants back, byte for byte.
    pub state: Option<RawJson>,
}

impl Round {
    /// Reads the members of a result that asks.
    ///
    /// # Errors
    /// [`Broken`] when they are not questions.
    pub(crate) fn of(members: &RawJson) -> Result<Self, Broken> {
        const NO_QUESTION: Broken = Broken("one of `inputRequests` is no question");
        let members = Members::of(members.as_str()).ok_or(NO_QUESTION)?;
        let state = members.get("requestState");
        if state.is_some_and(|state| !state.starts_with('"')) {
            return Err(Broken("`requestState` is no string"));
        }
        let asked = match members.get("inputRequests") {
            None => Vec::new(),
            Some(requests) => {
                let requests = Members::of(requests).ok_or(NO_QUESTION)?;
                let asked = requests.iter().map(|(key, request)| {
                    let request = Members::of(request)?;
                    let params = request.get("params").unwrap_or("{}").to_owned();
                    let method = request.string("method")?.into_owned();
                    Some((key.to_owned(), method, RawJson::from_valid(params)))
                });
                asked.collect::<Option<Vec<_>>>().ok_or(NO_QUESTION)?
            }
        };
        if asked.len() > QUESTIONS_MAX {
            return Err(Broken("it asks more at once than may be asked"));
        }
        Ok(Self {
            asked,
            state: state.map(|state| RawJson::from_valid(state.to_owned())),
        })
    }

    /// What the client is asked, by the upstream's keys. All of it or nothing.
    ///
    /// # Errors
    /// [`Unaskable`] of the first that is.
    pub(crate) fn questions(
        &self,
        capabilities: CapabilitySet,
        crossing: &Crossing<'_>,
    ) -> Result<Vec<(String, Question)>, Unaskable> {
        let asked = self.asked.iter();
        asked
            .map(|(key, method, params)| {
                let question = Question::put(method, params, capabilities, crossing)?;
                Ok((key.clone(), question))
            })
            .collect()
    }
}

/// Answers by the upstream's keys, as `inputResponses`.
pub(crate) fn input_responses<'a>(
    answers: impl IntoIterator<Item = (&'a str, &'a RawJson)>,
) -> RawJson {
    let answers = answers.into_iter();
    let members = answers.map(|(key, answer)| format!("{}:{}", quoted(key), answer.as_str()));
    let members = members.collect::<Vec<_>>().join(",");
    RawJson::from_valid(format!("{{{members}}}"))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::gateway::naming::Naming;
    use crate::protocol::capabilities::ClientCapabilities;
    use ProtocolVersion::{V2024_11_05, V2025_03_26, V2025_06_18, V2025_11_25, V2026_07_28};

    static PLAIN: LazyLock<Naming> = LazyLock::new(|| Naming::new("", "."));

    fn crossing(upstream: ProtocolVersion, client: ProtocolVersion) -> Crossing<'static> {
        Crossing {
            upstream,
            client,
            naming: &PLAIN,
        }
    }

    fn put_to(
        declared: &Value,
        method: &str,
        params: &Value,
        crossing: &Crossing<'_>,
    ) -> Result<Question, Unaskable> {
        let declared = ClientCapabilities::parse(RawJson::of(declared)).unwrap();
        let capabilities = CapabilitySet::of(&declared, crossing.client);
        Question::put(method, &RawJson::of(params), capabilities, crossing)
    }

    /// Puts a question to a client that declared everything.
    fn put(method: &str, params: &Value, crossing: &Crossing<'_>) -> Result<Question, Unaskable> {
        let all = json!({"elicitation": {"form": {}, "url": {}},
                         "sampling": {"tools": {}}, "roots": {}});
        put_to(&all, method, params, crossing)
    }

    fn form(properties: &Value) -> Value {
        json!({"mode": "form", "message": "m", "task": {"ttl": 1},
               "requestedSchema": {"type": "object", "properties": properties}})
    }

    #[test]
    fn a_form_that_the_client_knows_passes_as_it_came() {
        let text = r#"{"message":"m","requestedSchema":{"type":"object","properties":{"z":{"type":"integer","default":18446744073709551616},"a":{"oneOf":[]}}}}"#;
        let params = RawJson::from_valid(text);
        let declared = ClientCapabilities::parse(RawJson::from_valid(r#"{"elicitation":{}}"#));
        for client in [V2025_11_25, V2026_07_28] {
            let set = CapabilitySet::of(declared.as_ref().unwrap(), client);
            let crossing = crossing(V2025_11_25, client);
            let question = Question::put("elicitation/create", &params, set, &crossing).unwrap();
            assert_eq!(question.request.params.as_str(), text);
            assert_eq!(question.request.kind, Kind::ElicitForm);
        }
    }

    #[test]
    fn an_older_client_is_shown_what_it_knows_and_lists_come_back_as_lists() {
        let fields = json!({
            "many": {"type": "array", "items": {"anyOf": [{"const": "x", "title": "X"}, {"const": "y", "title": "Y"}]}},
            "one": {"type": "string", "oneOf": [{"const": "a", "title": "A"}], "default": "a"},
            "plain": {"type": "number", "minimum": 1},
            "yes": {"type": "boolean", "default": true},
        });
        let crossing = crossing(V2026_07_28, V2025_06_18);
        let question = put("elicitation/create", &form(&fields), &crossing).unwrap();
        assert_eq!(
            question.request.params.to_value(),
            json!({"message": "m", "requestedSchema": {"type": "object", "properties": {
                "many": {"type": "string", "description": "(several of: x, y; separated by commas)"},
                "one": {"type": "string", "enum": ["a"], "enumNames": ["A"], "description": "(default: a)"},
                "plain": {"type": "number", "minimum": 1},
                "yes": {"type": "boolean", "default": true},
            }}})
        );
        for (answered, content) in [
            (
                json!({"many": "x , y", "one": "a,b"}),
                json!({"many": ["x", "y"], "one": "a,b"}),
            ),
            (json!({"many": ""}), json!({"many": []})),
            (json!({"many": ["x"]}), json!({"many": ["x"]})),
        ] {
            let answer = RawJson::of(&json!({"action": "accept", "content": answered}));
            let told = question.answer(&answer).unwrap().to_value();
            assert_eq!(told, json!({"action": "accept", "content": content}));
        }
    }

    #[test]
    fn a_visit_has_an_id_where_the_revision_has_one() {
        let url = json!({"mode": "url", "message": "m", "url": "https://x"});
        let mut with_id = url.clone();
        with_id["elicitationId"] = "e".into();
        let put = |params: &Value, upstream, client| {
            put("elicitation/create", params, &crossing(upstream, client)).unwrap()
        };
        let removed = put(&with_id, V2025_11_25, V2026_07_28);
        assert_eq!(removed.request.params.to_value(), url);
        assert_eq!(removed.elicitation_id.as_deref(), Some("e"));
        let kept = put(&with_id, V2025_11_25, V2025_11_25);
        assert_eq!(kept.request.params.to_value(), with_id);
        let minted = put(&url, V2026_07_28, V2025_11_25);
        let id = minted.elicitation_id.expect("an id for the client");
        assert_eq!(id.len(), 32);
        assert_eq!(minted.request.params.to_value()["elicitationId"], *id);
        let other = put(&url, V2026_07_28, V2025_11_25).elicitation_id;
        assert_ne!(other, Some(id));
    }

    #[test]
    fn nobody_is_asked_what_they_did_not_declare_or_cannot_know() {
        let text = json!({"type": "text", "text": "a"});
        let say = |content: &Value| json!({"messages": [{"role": "user", "content": content}]});
        let tool_use = json!({"type": "tool_use", "id": "1", "name": "t", "input": {}});
        let mut with_tools = say(&text);
        with_tools["tools"] = json!([]);
        let url = json!({"mode": "url", "message": "m", "url": "https://x"});
        let forms = json!({"elicitation": {}});
        let plain = json!({"sampling": {}});
        let tools = json!({"sampling": {"tools": {}}});
        let elicit = "elicitation/create";
        let sample = "sampling/createMessage";
        for (declared, client, method, params, code) in [
            (
                json!({}),
                V2026_07_28,
                elicit,
                form(&json!({})),
                Some(-32602),
            ),
            (
                forms.clone(),
                V2025_03_26,
                elicit,
                form(&json!({})),
                Some(-32602),
            ),
            (forms.clone(), V2025_06_18, elicit, form(&json!({})), None),
            (forms.clone(), V2025_11_25, elicit, url, Some(-32602)),
            (
                forms.clone(),
                V2025_11_25,
                elicit,
                json!({"mode": "voice"}),
                Some(-32602),
            ),
            (
                forms.clone(),
                V2025_11_25,
                elicit,
                json!({"mode": 1}),
                Some(-32602),
            ),
            (
                forms.clone(),
                V2025_11_25,
                elicit,
                json!({"message": "m"}),
                Some(-32602),
            ),
            (
                forms.clone(),
                V2025_06_18,
                elicit,
                form(&json!({"a": 1})),
                Some(-32602),
            ),
            (forms.clone(), V2025_11_25, sample, say(&text), Some(-32601)),
            (plain.clone(), V2024_11_05, sample, say(&text), None),
            (
                plain.clone(),
                V2025_11_25,
                sample,
                with_tools.clone(),
                Some(-32602),
            ),
            (tools.clone(), V2025_11_25, sample, with_tools.clone(), None),
            (tools.clone(), V2025_06_18, sample, with_tools, Some(-32602)),
            (
                plain.clone(),
                V2025_11_25,
                sample,
                say(&json!([text, text])),
                None,
            ),
            (
                plain.clone(),
                V2025_06_18,
                sample,
                say(&json!([text, text])),
                Some(-32602),
            ),
            (
                plain.clone(),
                V2025_06_18,
                sample,
                say(&json!([])),
                Some(-32602),
            ),
            (
                plain.clone(),
                V2025_11_25,
                sample,
                say(&json!([tool_use])),
                Some(-32602),
            ),
            (
                tools.clone(),
                V2025_11_25,
                sample,
                say(&json!([tool_use])),
                None,
            ),
            (plain.clone(), V2025_11_25, sample, json!({}), Some(-32602)),
            (
                plain.clone(),
                V2025_11_25,
                sample,
                say(&json!("a")),
                Some(-32602),
            ),
            (
                json!({}),
                V2025_11_25,
                "roots/list",
                json!({}),
                Some(-32601),
            ),
            (
                json!({"roots": {}}),
                V2025_11_25,
                "roots/list",
                json!({}),
                None,
            ),
            (tools, V2025_11_25, "tasks/list", json!({}), Some(-32601)),
            (forms, V2025_11_25, elicit, json!([]), Some(-32602)),
        ] {
            let asked = put_to(&declared, method, &params, &crossing(V2025_11_25, client));
            let refused = asked.err().map(|refusal| refusal.to_error().code);
            assert_eq!(refused, code, "{client} {declared} {method} {params}");
        }
    }

    #[test]
    fn a_conversation_is_one_the_clients_model_can_go_on_with() {
        let text = json!({"type": "text", "text": "a"});
        let audio = json!({"type": "audio", "data": "YWJj", "mimeType": "audio/wav"});
        let params = |content: &Value| {
            json!({"messages": [{"role": "user", "content": content}], "maxTokens": 5,
                   "includeContext": "thisServer", "x": 1,
                   "_meta": {"progressToken": 1, "io.modelcontextprotocol/related-task": {}}})
        };
        let put = |content: &Value, client| {
            let crossing = crossing(V2026_07_28, client);
            let asked = put("sampling/createMessage", &params(content), &crossing).unwrap();
            asked.request.params.to_value()
        };
        let asked = put(&json!([text]), V2025_06_18);
        let message = json!({"role": "user", "content": text});
        assert_eq!(
            asked,
            json!({"messages": [message], "maxTokens": 5, "x": 1})
        );
        assert_eq!(
            put(&json!([text]), V2025_11_25)["messages"][0]["content"],
            json!([text])
        );
        let placeholder = json!({"type": "text", "text": "[audio: audio/wav, 3 bytes]"});
        assert_eq!(
            put(&audio, V2024_11_05)["messages"][0]["content"],
            placeholder
        );
        assert_eq!(put(&audio, V2025_03_26)["messages"][0]["content"], audio);
        let context = json!({"sampling": {"context": {}}});
        let crossing = crossing(V2026_07_28, V2025_11_25);
        let asked = put_to(
            &context,
            "sampling/createMessage",
            &params(&text),
            &crossing,
        );
        let asked = asked.unwrap().request.params.to_value();
        assert_eq!(asked["includeContext"], "thisServer");
    }

    #[test]
    fn what_a_model_said_is_told_as_the_upstream_reads_it() {
        let text = |text: &str| json!({"type": "text", "text": text});
        let tool_use = json!({"type": "tool_use", "id": "1", "name": "t", "input": {}});
        let audio = json!({"type": "audio", "data": "YWJj", "mimeType": "audio/wav"});
        let several = json!([text("a"), text("b")]);
        for (said, upstream, told) in [
            (text("a"), V2024_11_05, Some(text("a"))),
            (several.clone(), V2025_11_25, Some(several.clone())),
            (several.clone(), V2025_06_18, Some(text("ab"))),
            (json!([text("a")]), V2025_06_18, Some(text("a"))),
            (json!([tool_use]), V2025_11_25, Some(json!([tool_use]))),
            (tool_use.clone(), V2026_07_28, Some(tool_use.clone())),
            (json!([tool_use]), V2025_06_18, None),
            (json!([text("a"), tool_use]), V2025_06_18, None),
            (audio.clone(), V2025_03_26, Some(audio.clone())),
            (
                audio,
                V2024_11_05,
                Some(text("[audio: audio/wav, 3 bytes]")),
            ),
            (json!("a"), V2025_11_25, None),
        ] {
            let params = json!({"messages": []});
            let crossing = crossing(upstream, V2026_07_28);
            let question = put("sampling/createMessage", &params, &crossing).unwrap();
            let answer = json!({"role": "assistant", "model": "m", "content": said});
            let answer = question.answer(&RawJson::of(&answer)).ok();
            let content = answer.map(|answer| answer.to_value()["content"].clone());
            assert_eq!(content, told, "{said} {upstream}");
        }
    }

    #[test]
    fn answers_that_answer_something_else_are_not_passed_on() {
        let crossing = crossing(V2025_11_25, V2025_11_25);
        let url = json!({"mode": "url", "message": "m", "url": "https://x"});
        let sample = json!({"messages": []});
        for (method, params, answer, fits) in [
            (
                "elicitation/create",
                &url,
                json!({"action": "decline"}),
                true,
            ),
            ("elicitation/create", &url, json!({"action": "yes"}), false),
            ("elicitation/create", &url, json!({}), false),
            ("elicitation/create", &url, json!([]), false),
            (
                "sampling/createMessage",
                &sample,
                json!({"content": {}}),
                false,
            ),
            ("roots/list", &json!({}), json!({"roots": [], "x": 1}), true),
            ("roots/list", &json!({}), json!({"roots": {}}), false),
        ] {
            let question = put(method, params, &crossing).unwrap();
            let answer = RawJson::of(&answer);
            let told = question.answer(&answer).ok();
            assert_eq!(told, fits.then_some(answer), "{method}");
        }
    }

    #[test]
    fn when_nobody_answers_the_upstream_still_hears_something() {
        let crossing = crossing(V2025_11_25, V2026_07_28);
        for (method, params, told) in [
            (
                "elicitation/create",
                form(&json!({})),
                Ok(r#"{"action":"cancel"}"#),
            ),
            ("sampling/createMessage", json!({"messages": []}), Err(-1)),
            ("roots/list", json!({}), Err(-32603)),
        ] {
            let unanswered = put(method, &params, &crossing).unwrap().unanswered();
            let unanswered = unanswered.as_ref().map(RawJson::as_str);
            assert_eq!(unanswered.map_err(|error| error.code), told);
        }
    }

    #[test]
    fn a_round_is_asked_by_the_upstreams_keys_in_its_order_or_not_at_all() {
        let members = RawJson::from_valid(
            r#"{"inputRequests":{"z\"":{"method":"roots/list"},"a":{"method":"elicitation/create","params":{"message":"m","requestedSchema":{"type":"object","properties":{}}}}},"requestState":"\u0073"}"#,
        );
        let round = Round::of(&members).unwrap();
        assert_eq!(round.state.as_ref().unwrap().as_str(), r#""\u0073""#);
        let crossing = crossing(V2026_07_28, V2025_11_25);
        let declared = |declared: Value| {
            let declared = ClientCapabilities::parse(RawJson::of(&declared)).unwrap();
            CapabilitySet::of(&declared, V2025_11_25)
        };
        let both = declared(json!({"elicitation": {}, "roots": {}}));
        let questions = round.questions(both, &crossing).unwrap();
        let kinds = questions
            .iter()
            .map(|(key, question)| (&**key, question.request.kind));
        assert_eq!(
            kinds.collect::<Vec<_>>(),
            [("z\"", Kind::ListRoots), ("a", Kind::ElicitForm)]
        );
        let one = round.questions(declared(json!({"roots": {}})), &crossing);
        let needed = ClientCapability::ElicitationForm;
        assert_eq!(one.err(), Some(Unaskable::Undeclared(needed)));
        let answer = RawJson::from_valid(r#"{"roots": []}"#);
        let responses = input_responses([("z\"", &answer), ("a", &answer)]);
        assert_eq!(
            responses.as_str(),
            r#"{"z\"":{"roots": []},"a":{"roots": []}}"#
        );
    }

    #[test]
    fn rounds_that_are_none_are_broken() {
        let many = (0..=QUESTIONS_MAX).map(|at| (at.to_string(), json!({"method": "roots/list"})));
        let many = many.collect::<Map<_, _>>();
        for members in [
            json!({"inputRequests": []}),
            json!({"inputRequests": {"a": 1}}),
            json!({"inputRequests": {"a": {}}}),
            json!({"inputRequests": {"a": {"method": 1}}}),
            json!({"requestState": 1}),
            json!({"inputRequests": many}),
        ] {
            assert!(Round::of(&RawJson::of(&members)).is_err(), "{members}");
        }
        assert!(Round::of(&RawJson::of(&json!({"requestState": "s"}))).is_ok());
    }
}
