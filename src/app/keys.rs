//! What a command does with API keys where no process runs that it could ask.

use super::error::StartError;
use super::store::OpenedStore;
use crate::admin::keys::put_on_record;
use crate::audit::Audit;
use crate::config::Settings;
use crate::keyring::Keyring;
use crate::keyring::order::{Answer, Order};
use crate::runtime::clock::Clock;
use crate::runtime::tasks::Tasks;
use crate::telemetry::metrics::Metrics;

/// Carries out an order on the store itself: no node of this configuration runs here.
///
/// # Errors
/// [`StartError`], as a node that starts would meet it: the store is another's, or away.
pub async fn obey(settings: &Settings, order: Order) -> Result<Answer, StartError> {
    let clock = Clock::system();
    let tasks = Tasks::on(tokio::runtime::Handle::current());
    let opened = OpenedStore::open(settings, &clock, &tasks)?;
    let keys = match &settings.cluster.keys {
        Some(keys) => keys.clone(),
        None => opened.kept_keys()?,
    };
    let store = opened.as_store();
    let audit = settings.audit.as_ref().map(|config| {
        let metrics = Metrics::new();
        let config = &config.clone().beside_an_answer();
        Audit::open(config, &keys, &clock, &metrics, "command line")
    });
    let audit = audit.transpose()?;
    let answer = Keyring::new(store.clone(), &keys, clock).obey(order).await;
    if let Some(audit) = &audit {
        put_on_record(audit, &answer);
        audit.close().await;
    }
    // What is told to be done is done.
    if let Err(error) = store.flush().await {
        return Ok(Answer::Refused(error.to_string()));
    }
    Ok(answer)
}
