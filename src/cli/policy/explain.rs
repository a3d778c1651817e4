//! `switchboard policy explain`: the decision on one call, the rule behind it, its limits, and how
//! much of them is used where a node runs.

use std::fmt::Write as _;

use serde_json::Value;

use super::KindChoice;
use super::who::Who;
use crate::cli::FAILED;
use crate::cli::node::{self, Node, PostError};
use crate::config::Settings;
use crate::policy::access::{Kind, Target};
use crate::policy::limits::Demands;
use crate::policy::limits::usage::{Question, Usage};
use crate::protocol::raw::RawJson;

/// What `policy explain` takes.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    pub(super) node: Node,
    /// The canonical name of the tool, or what --kind says
    #[arg(value_name = "TOOL")]
    name: String,
    /// What the name is of
    #[arg(
        long,
        value_enum,
        default_value_t,
        hide_possible_values = true,
        value_name = "KIND"
    )]
    kind: KindChoice,
    /// The arguments of the call, as a JSON object [default: none]
    #[arg(long = "args", value_name = "JSON", value_parser = arguments)]
    arguments: Option<RawJson>,
    /// The caller's tenant [default: default]
    #[arg(long)]
    tenant: Option<String>,
    /// The caller's name
    #[arg(long)]
    user: Option<String>,
    /// The owner of the caller's API key
    #[arg(long)]
    owner: Option<String>,
    /// The subject of the caller's certificate
    #[arg(long, value_name = "SUBJECT")]
    certificate: Option<String>,
    /// A role that the caller's credential gives; may be repeated
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,
    /// A scope that was granted; may be repeated
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// Something claimed of the caller: a text, or any JSON; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = claim)]
    claim: Vec<(String, Value)>,
}

pub(super) fn run(settings: &Settings, args: &Args) -> u8 {
    let policy = &settings.policy;
    let who = Who {
        tenant: args.tenant.clone(),
        user: args.user.clone(),
        owner: args.owner.clone(),
        certificate: args.certificate.clone(),
        roles: args.role.clone(),
        scopes: args.scope.clone(),
        claims: args.claim.iter().cloned().collect(),
    };
    let caller = who.caller();
    let kind = Kind::from(args.kind);
    let target = Target::called(kind, &args.name, args.arguments.as_ref());
    let explanation = policy.access.explain(&caller, &target);
    // A name begins with its server's.
    let (server, _) = args.name.split_once('.').unwrap_or_default();
    let roles = policy.access.all_roles_of(&caller);
    let demands = policy
        .limits
        .demands(&caller, &roles, server, &args.name, true);
    let used = match usage(settings, &demands) {
        Ok(used) => used,
        Err(error) => {
            crate::cli::complain(&crate::cli::Chain(&*error));
            return FAILED;
        }
    };
    let limits = limits(&demands, used.as_ref());
    crate::cli::answer(&format_args!("{explanation}\nlimits: {limits}"))
}

/// What the node that runs here has counted; nothing if there is none.
fn usage(
    settings: &Settings,
    demands: &Demands,
) -> Result<Option<Usage>, Box<dyn std::error::Error>> {
    if demands.rates.is_empty() && demands.running.is_empty() {
        return Ok(None);
    }
    let question = Question::from(demands);
    node::block_on(async {
        match node::post(settings, "/limits", &question).await {
            Ok(used) => Ok(Some(used)),
            Err(PostError::Nobody { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    })
}

fn limits(demands: &Demands, used: Option<&Usage>) -> String {
    let mut said = String::new();
    let mut say = |what: std::fmt::Arguments<'_>| {
        let comma = if said.is_empty() { "" } else { "; " };
        let _infallible = write!(said, "{comma}{what}");
    };
    let left = used.and_then(|used| used.left.as_ref());
    for (at, demand) in demands.rates.iter().enumerate() {
        match left.and_then(|left| left.get(at)) {
            Some(left) => say(format_args!(
                "{} {} ({left} left)",
                demand.rule, demand.rate
            )),
            None => say(format_args!("{} {}", demand.rule, demand.rate)),
        }
    }
    for (at, demand) in demands.running.iter().enumerate() {
        let (rule, most) = (&demand.rule, demand.most);
        match used.and_then(|used| used.running.get(at)) {
            Some(running) => say(format_args!("{rule} {most} at a time ({running} running)")),
            None => say(format_args!("{rule} {most} at a time")),
        }
    }
    if said.is_empty() {
        "none".clone_into(&mut said);
    }
    said
}

fn arguments(text: &str) -> Result<RawJson, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if value.is_object() {
        Ok(RawJson::of(&value))
    } else {
        Err("expected a JSON object".to_owned())
    }
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err("expected NAME=VALUE".to_owned());
    };
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}
