//! The scenarios, one file each.

pub(crate) mod calls;
pub(crate) mod churn;
pub(crate) mod gateway;
pub(crate) mod mixed;
pub(crate) mod sessions;
pub(crate) mod stream;
pub(crate) mod trust;

use std::future::Future;
use std::time::Duration;

use tokio::task::LocalSet;

use crate::failure::Failure;
use crate::findings::Findings;
use crate::options::Common;

/// A scenario by itself: its findings are shown and written, and it fails if anything in it did.
pub(crate) fn alone<F>(common: &Common, scenario: F) -> Result<(), Failure>
where
    F: Future<Output = Result<Findings, Failure>>,
{
    let found = on_one_thread(scenario)??;
    found.print().map_err(Failure::own("printing"))?;
    common.conclude(&[found])
}

/// All scenarios, one after the other, on one page. What fails in one does not stop the others.
pub(crate) fn all(common: &Common) -> Result<(), Failure> {
    let findings = on_one_thread(async {
        let mut findings = Vec::new();
        for next in 0..7 {
            let found = match next {
                0 => calls::measure(common, &calls::Args::default()).await?,
                1 => sessions::measure(common, &sessions::Args::default()).await?,
                2 => stream::measure(common, &stream::Args::default()).await?,
                3 => churn::measure(common, &churn::Args::default()).await?,
                4 => gateway::measure(common, &gateway::Args::default()).await?,
                5 => trust::measure(common, &trust::Args::default()).await?,
                _ => mixed::measure(common, &mixed::Args::default()).await?,
            };
            found.print().map_err(Failure::own("printing"))?;
            findings.push(found);
        }
        Ok::<_, Failure>(findings)
    })??;
    common.conclude(&findings)
}

fn on_one_thread<F: Future>(work: F) -> Result<F::Output, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::own("building a runtime"))?;
    Ok(LocalSet::new().block_on(&runtime, work))
}

/// Seconds as they are typed.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=86_400.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("between 0.1 and 86400 seconds".to_owned())
    }
}
