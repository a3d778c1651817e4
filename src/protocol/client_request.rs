//! What a server may ask of its client: a form, a visit to a URL, a sample of its model, its roots.
//!
//! In the session era these are JSON-RPC requests from server to client. In the stateless era the
//! same shapes are values inside `inputRequests` (2026-07-28 basic/patterns/mrtr).
//!
//! Spec: client/elicitation, client/sampling, client/roots.

use serde::{Deserialize, Serialize};

use super::capabilities::ClientCapability;
use super::raw::RawJson;

/// The kind of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClientRequestKind {
    /// `elicitation/create` in form mode.
    ElicitForm,
    /// `elicitation/create` in URL mode.
    ElicitUrl,
    /// `sampling/createMessage`.
    Sample,
    /// `sampling/createMessage` that offers tools to the model.
    SampleWithTools,
    /// `roots/list`.
    ListRoots,
}

impl ClientRequestKind {
    /// The method name.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::ElicitForm | Self::ElicitUrl => "elicitation/create",
            Self::Sample | Self::SampleWithTools => "sampling/createMessage",
            Self::ListRoots => "roots/list",
        }
    }

    /// What the client must have declared to be asked.
    #[must_use]
    pub const fn needs(self) -> ClientCapability {
        match self {
            Self::ElicitForm => ClientCapability::ElicitationForm,
            Self::ElicitUrl => ClientCapability::ElicitationUrl,
            Self::Sample => ClientCapability::Sampling,
            Self::SampleWithTools => ClientCapability::SamplingTools,
            Self::ListRoots => ClientCapability::Roots,
        }
    }

    /// Whether a person answers, who may take minutes.
    #[must_use]
    pub const fn is_human_paced(self) -> bool {
        match self {
            Self::ElicitForm | Self::ElicitUrl | Self::Sample | Self::SampleWithTools => true,
            Self::ListRoots => false,
        }
    }
}

/// A question to the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRequest {
    /// What is asked.
    pub kind: ClientRequestKind,
    /// The parameters, an object.
    pub params: RawJson,
}

impl ClientRequest {
    /// The question as it stands inside `inputRequests`: its params are the text they are, since a
    /// user sees the fields of a form in their order.
    #[must_use]
    pub fn to_json(&self) -> RawJson {
        let (method, params) = (self.kind.method(), self.params.as_str());
        // Our method names need no escaping.
        RawJson::from_valid(format!(r#"{{"method":"{method}","params":{params}}}"#))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_inside_a_result_is_the_text_it_is() {
        let params = r#"{"message":"m","requestedSchema":{"properties":{"z":{"maximum":18446744073709551616},"a":{}}}}"#;
        let question = ClientRequest {
            kind: ClientRequestKind::ElicitForm,
            params: RawJson::from_valid(params),
        };
        assert_eq!(
            question.to_json().as_str(),
            format!(r#"{{"method":"elicitation/create","params":{params}}}"#)
        );
    }
}
