//! Log lines: to standard error, as text for people or JSON for collectors.
//!
//! Never to standard output, which belongs to the protocol under stdio. [`Filter`] is a filter
//! expression known to be readable, so that a bad one is a complaint about the configuration and
//! not a silent process.

use std::fmt;
use std::io::{self, IsTerminal};
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Which log lines are written: `info`, or per module `info,switchboard::session=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(String);

/// Why a text is not a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(String);

/// Another subscriber was installed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("log lines already go somewhere else")]
pub struct AlreadyInstalled;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        for directive in text.split(',').map(str::trim) {
            let (level, is_target) = match directive.rsplit_once('=') {
                Some((_, level)) => (level, false),
                // A lone word is a level, or a module of ours or of a dependency at every level.
                None => (
                    directive,
                    directive.contains("::") || directive == env!("CARGO_PKG_NAME"),
                ),
            };
            if !is_target && !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
                return Err(FilterError(format!(
                    "{level:?} is not a level: use off, error, warn, info, debug or trace, \
                     alone or as MODULE=LEVEL, separated by commas"
                )));
            }
        }
        match EnvFilter::builder().parse(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(FilterError(error.to_string())),
        }
    }
}

impl Filter {
    /// What is believed of the text: whoever watches files must not tell of each write, which may be
    /// that of a log line, unless it is asked for by name.
    fn whole(&self) -> EnvFilter {
        EnvFilter::new(format!("notify=info,{}", self.0))
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Sends log lines of the whole process to standard error from now on.
///
/// # Errors
/// When they already go somewhere else.
pub fn install(format: LogFormat, filter: &Filter) -> Result<(), AlreadyInstalled> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter.whole())
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|_| AlreadyInstalled)
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn who_watches_files_tells_of_them_only_when_asked_by_name() {
        for (filter, is_told) in [
            ("trace", false),
            ("debug,switchboard=trace", false),
            ("notify=trace", true),
            ("warn,notify=trace", true),
            ("notify::inotify=trace", true),
        ] {
            let filter: Filter = filter.parse().unwrap();
            let subscriber = tracing_subscriber::registry().with(filter.whole());
            tracing::subscriber::with_default(subscriber, || {
                let is_on = tracing::enabled!(target: "notify::inotify", tracing::Level::TRACE);
                assert_eq!(is_on, is_told, "{filter}");
            });
        }
    }

    #[test]
    fn a_filter_is_levels_and_modules() {
        for good in [
            "info",
            "INFO",
            "warn,switchboard::session=debug",
            "off",
            "switchboard",
        ] {
            assert!(good.parse::<Filter>().is_ok(), "{good}");
        }
        for bad in ["infoo", "", "switchboard=loud", "info,,debug", "verbose"] {
            assert!(bad.parse::<Filter>().is_err(), "{bad}");
        }
    }
}
