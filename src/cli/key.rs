//! `switchboard key`: makes, lists and revokes API keys.
//!
//! Through the node that runs here, or in the store itself if none does.

use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::IpNet;

use super::node::{self, Node};
use super::{Chain, FAILED, OK, USAGE, answer, complain};
use crate::app::{self, Host};
use crate::config::Settings;
use crate::config::values::Period;
use crate::identity::Caller;
use crate::keyring::order::{Answer, Order};
use crate::keyring::{KeyRecord, NewKey};
use crate::runtime::clock::Timestamp;

#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a key: it is printed alone on a line, and never again
    Create(Create),
    /// List the keys, and for a month those that were
    List(List),
    /// End a key: it is refused at once here, and within 5 s at other nodes
    Revoke(Revoke),
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Create {
    /// Whose it is: all keys of one owner share sessions and limits
    #[arg(long, value_name = "NAME")]
    owner: String,
    /// The tenant it acts for
    #[arg(long, value_name = "NAME", default_value = Caller::DEFAULT_TENANT)]
    tenant: String,
    /// What its holder is; `admin` may do everything. May be given again
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// What it may be used for. May be given again
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// How long it is good, at most 366d [default: auth.api_keys.life, which is 90d]
    #[arg(long, value_name = "TIME", value_parser = period)]
    life: Option<Duration>,
    /// In how long it begins to be good
    #[arg(long, value_name = "TIME", value_parser = period)]
    begins_in: Option<Duration>,
    /// A network it may be used from, as in 10.0.0.0/8. May be given again [default: anywhere]
    #[arg(long = "from", value_name = "NETWORK")]
    networks: Vec<IpNet>,
    #[command(flatten)]
    node: Node,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct List {
    /// One JSON object per key
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    node: Node,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Revoke {
    /// The id of the key: what follows `mcpk_`, up to the next `_`
    id: String,
    #[command(flatten)]
    node: Node,
}

fn period(text: &str) -> Result<Duration, String> {
    let period: Result<Period, _> = text.parse();
    period.map(Period::get).map_err(|error| error.to_string())
}

pub(super) fn run(host: Host, command: &Command) -> u8 {
    let node = match command {
        Command::Create(create) => &create.node,
        Command::List(list) => &list.node,
        Command::Revoke(revoke) => &revoke.node,
    };
    let settings = match node.settings(host) {
        Ok(settings) => settings,
        Err(complaints) => {
            complain(&complaints);
            return USAGE;
        }
    };
    let order = match command {
        Command::Create(create) => {
            let unknown = create
                .roles
                .iter()
                .find(|role| settings.policy.access.lacks(role));
            if let Some(role) = unknown {
                complain(&format_args!(
                    "there is no role {role:?} in the configuration"
                ));
                return USAGE;
            }
            Order::Create(create.order(&settings))
        }
        Command::List(_) => Order::List,
        Command::Revoke(revoke) => Order::Revoke(revoke.id.clone()),
    };
    match node::block_on(obeyed(&settings, order)) {
        Ok(Answer::Refused(why)) => {
            complain(&why);
            FAILED
        }
        Ok(told) => tell(told, command),
        Err(error) => {
            complain(&Chain(&*error));
            FAILED
        }
    }
}

/// By the node that runs, or else here.
async fn obeyed(settings: &Settings, order: Order) -> Result<Answer, Box<dyn std::error::Error>> {
    match node::post(settings, "/keys", &order).await {
        Ok(answer) => Ok(answer),
        Err(node::PostError::Nobody { .. }) => Ok(app::keys::obey(settings, order).await?),
        Err(error) => Err(error.into()),
    }
}

impl Create {
    fn order(&self, settings: &Settings) -> NewKey {
        let keys = settings.auth.api_keys.as_ref();
        NewKey {
            tenant: self.tenant.clone(),
            owner: self.owner.clone(),
            roles: self.roles.iter().cloned().collect(),
            scopes: self.scopes.iter().cloned().collect(),
            life: self.life.or(keys.map(|keys| keys.life)),
            begins_in: self.begins_in,
            networks: self.networks.clone(),
        }
    }
}

fn tell(told: Answer, command: &Command) -> u8 {
    match told {
        Answer::Created { key, record } => {
            complain(&format_args!(
                "key {} of {}, good for {}; keep it, it is not shown again:",
                record.id,
                record.owner,
                as_time(record.expires.since(record.not_before))
            ));
            answer(&key)
        }
        Answer::Listed { now, records } => {
            let json = matches!(command, Command::List(list) if list.json);
            for record in &records {
                let line = if json {
                    as_json(record, now)
                } else {
                    as_line(record, now)
                };
                if answer(&line) != OK {
                    return FAILED;
                }
            }
            OK
        }
        Answer::Revoked(record) => answer(&format_args!(
            "{} of {} is revoked",
            record.id, record.owner
        )),
        Answer::Forgotten { keys, .. } => answer(&format_args!("forgotten: {}", keys.join(" "))),
        Answer::Refused(why) => {
            complain(&why);
            FAILED
        }
    }
}

/// In the greatest unit of which there is more than one.
fn as_time(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "days"), (3_600, "hours"), (60, "minutes")];
    let fits = units.into_iter().find(|(unit, _)| seconds >= 2 * unit);
    let (unit, name) = fits.unwrap_or((1, if seconds == 1 { "second" } else { "seconds" }));
    format!("{} {name}", seconds / unit)
}

fn as_line(record: &KeyRecord, now: Timestamp) -> String {
    let joined = |names: &BTreeSet<String>| match names.len() {
        0 => "-".to_owned(),
        _ => names
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(","),
    };
    format!(
        "{}  {:<8}  {}  {}/{}  roles {}  scopes {}",
        record.id,
        record.state(now).to_string(),
        as_time(record.expires.since(now)),
        record.tenant,
        record.owner,
        joined(&record.roles),
        joined(&record.scopes),
    )
}

fn as_json(record: &KeyRecord, now: Timestamp) -> String {
    serde_json::json!({
        "id": record.id,
        "state": record.state(now).to_string(),
        "tenant": record.tenant,
        "owner": record.owner,
        "roles": record.roles,
        "scopes": record.scopes,
        "networks": record.networks,
        "created_ms": record.created,
        "not_before_ms": record.not_before,
        "expires_ms": record.expires,
        "revoked_ms": record.revoked,
        "pepper": record.pepper,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_a_unit_that_fits() {
        for (seconds, told) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7_199, "119 minutes"),
            (86_400, "24 hours"),
            (90 * 86_400, "90 days"),
        ] {
            assert_eq!(as_time(Duration::from_secs(seconds)), told);
        }
    }
}
