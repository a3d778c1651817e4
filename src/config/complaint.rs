//! What is wrong with a configuration: where, with which key, and what to write instead.

use std::fmt;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of the configuration file, counted from 1.
    Line(usize),
    /// The file of `--mcp-json`, by its name.
    McpJson(String),
    /// An environment variable.
    Variable(String),
    /// An option of the command line.
    Flag(&'static str),
    /// Nowhere: the value is the default, or is missing.
    Default,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Complaint {
    /// Where the value came from.
    pub place: Place,
    /// The key's path; empty if the file cannot be read as TOML there.
    pub key: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// Everything that is wrong, in the order of the file. Displayed one per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaints {
    /// The configuration file's name, as it was given.
    pub file: Option<String>,
    /// What is wrong; never empty.
    pub list: Vec<Complaint>,
}

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_deref().unwrap_or("configuration");
        for (
            at,
            Complaint {
                place,
                key,
                problem,
            },
        ) in self.list.iter().enumerate()
        {
            if at > 0 {
                writeln!(f)?;
            }
            match place {
                Place::Line(line) => write!(f, "{file}:{line}: ")?,
                Place::McpJson(name) | Place::Variable(name) => write!(f, "{name}: ")?,
                Place::Flag(name) => write!(f, "{name}: ")?,
                Place::Default => write!(f, "{file}: ")?,
            }
            if !key.is_empty() {
                write!(f, "{key}: ")?;
            }
            f.write_str(problem)?;
        }
        Ok(())
    }
}

impl std::error::Error for Complaints {}
