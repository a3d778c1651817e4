//! Where the settings come from: files, the environment, the command line. They can be asked again
//! while the process runs.

use std::path::{Path, PathBuf};

use crate::config::{self, Complaints, DEFAULT_FILE, Environment, Overrides, Settings, Source};

/// Where the settings come from.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    pub(super) file: File,
    pub(super) environment: Option<Environment>,
    pub(super) overrides: Overrides,
}

/// Where the text of the configuration comes from.
#[derive(Clone, Debug, Default)]
pub(super) enum File {
    /// `./switchboard.toml`, if it exists.
    #[default]
    Default,
    Named(PathBuf),
    Text(String),
}

impl Sources {
    /// What they come to now.
    pub(super) fn settings(&self) -> Result<Settings, Complaints> {
        let source = match &self.file {
            File::Default => Source::read(None)?,
            File::Named(path) => Source::read(Some(path))?,
            File::Text(text) => Some(Source {
                name: "configuration".to_owned(),
                text: text.clone(),
            }),
        };
        let environment = match &self.environment {
            Some(environment) => environment.clone(),
            None => Environment::of_process(),
        };
        config::load(source.as_ref(), &environment, &self.overrides)
    }

    /// The files among them, whether they exist or not.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let file = match &self.file {
            File::Default => Some(Path::new(DEFAULT_FILE)),
            File::Named(path) => Some(path.as_path()),
            File::Text(_) => None,
        };
        let mcp_json = self.overrides.mcp_json.as_deref();
        file.into_iter()
            .chain(mcp_json)
            .map(Path::to_owned)
            .collect()
    }
}
