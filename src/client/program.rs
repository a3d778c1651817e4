//! A program that serves MCP on its standard input and output, and what it is given.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::environment::Environment;
use crate::runtime::guard;

/// A program, its arguments, and what it is given.
#[derive(Clone, Debug)]
pub struct Program {
    /// What to run.
    pub program: OsString,
    /// With what.
    pub arguments: Vec<OsString>,
    /// The variables it sees.
    pub environment: Environment,
    /// Where it runs; otherwise where we do.
    pub directory: Option<PathBuf>,
    /// Where its standard error goes.
    pub standard_error: StandardError,
    /// Most memory it may map, in bytes. Needs a guard.
    pub memory_max: Option<u64>,
    /// Most files it may have open. Needs a guard.
    pub files_max: Option<u64>,
    /// The program to run as a guard: one that has the command line of [`crate::cli::run`].
    ///
    /// Guarded, the program ends with everything it started, also if we are killed. Unguarded, its
    /// process group is killed when we let go of it: what left the group stays, and all of it does
    /// if we are killed.
    pub guard: Option<PathBuf>,
}

/// Where the standard error of a program goes.
#[derive(Clone, Debug)]
pub enum StandardError {
    /// Where ours goes.
    Inherited,
    /// To our log, under this name.
    Logged(String),
}

impl Program {
    /// A program that sees the few variables every program needs, may use what it likes, and logs to
    /// our standard error. It is guarded if this program has the command line of `switchboard`.
    #[must_use]
    pub fn new(program: impl Into<OsString>, arguments: Vec<OsString>) -> Self {
        Self {
            program: program.into(),
            arguments,
            environment: Environment::default(),
            directory: None,
            standard_error: StandardError::Inherited,
            memory_max: None,
            files_max: None,
            guard: guard::offered(),
        }
    }

    /// The command that starts it.
    ///
    /// # Errors
    /// What a guard could not tell: it cannot be found, or cannot be limited.
    pub(super) fn command(&self) -> io::Result<Command> {
        if let Some(directory) = self.directory.as_deref().filter(|it| !it.is_dir()) {
            // The system would say of the program that it is not there.
            let problem = format!("there is no directory {}", directory.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, problem));
        }
        let variables = self.environment.variables();
        let mut command = match &self.guard {
            Some(guard) => {
                self.find(variables.get(OsStr::new("PATH")))?;
                self.guarded_by(guard)
            }
            None if self.memory_max.is_some() || self.files_max.is_some() => {
                let problem = "limits need a guard";
                return Err(io::Error::new(io::ErrorKind::Unsupported, problem));
            }
            None => Command::new(&self.program),
        };
        command
            .args(&self.arguments)
            .env_clear()
            .envs(variables)
            // Ctrl-C at a terminal is for us, and we say what it means for the program.
            .process_group(0);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        Ok(command)
    }

    /// `guard -- limited … -- PROGRAM`.
    fn guarded_by(&self, guard: &Path) -> Command {
        let mut command = Command::new(guard);
        command.arg0("switchboard").args(["guard", "--"]);
        let limits = [
            ("--memory-max", self.memory_max),
            ("--files-max", self.files_max),
        ];
        if limits.iter().any(|(_, max)| max.is_some()) {
            command.arg(guard).arg("limited");
            for (option, max) in limits {
                if let Some(max) = max {
                    command.arg(option).arg(max.to_string());
                }
            }
            command.arg("--");
        }
        command.arg(&self.program);
        command
    }

    /// Looks where the system will look.
    fn find(&self, path: Option<&OsString>) -> io::Result<()> {
        let from = self.directory.as_deref().unwrap_or(Path::new(""));
        let program = Path::new(&self.program);
        let is_path = program.components().count() > 1 || program.is_absolute();
        let mut places: Vec<PathBuf> = if is_path {
            vec![from.join(program)]
        } else {
            std::env::split_paths(path.map_or(OsStr::new(""), |path| path))
                .map(|folder| from.join(folder).join(program))
                .collect()
        };
        places.retain(|place| place.is_file());
        let is_executable = |place: &PathBuf| {
            let found = place.metadata();
            found.is_ok_and(|found| found.permissions().mode() & 0o111 != 0)
        };
        if places.iter().any(is_executable) {
            return Ok(());
        }
        Err(if places.is_empty() {
            io::ErrorKind::NotFound.into()
        } else {
            io::ErrorKind::PermissionDenied.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(program: &str, directory: Option<&str>) -> Result<(), io::ErrorKind> {
        let mut program = Program::new(program, Vec::new());
        program.directory = directory.map(PathBuf::from);
        let path = OsString::from("/no/such/folder:/etc:/bin");
        program.find(Some(&path)).map_err(|error| error.kind())
    }

    #[test]
    fn a_program_is_looked_for_where_the_system_will_look() {
        assert_eq!(found("sh", None), Ok(()));
        assert_eq!(found("/bin/sh", None), Ok(()));
        assert_eq!(found("./sh", Some("/bin")), Ok(()));
        assert_eq!(found("bin/sh", Some("/")), Ok(()));
        assert_eq!(found("./sh", Some("/etc")), Err(io::ErrorKind::NotFound));
        assert_eq!(found("/bin", None), Err(io::ErrorKind::NotFound));
        assert_eq!(found("no-such", None), Err(io::ErrorKind::NotFound));
        let refused = Err(io::ErrorKind::PermissionDenied);
        assert_eq!(found("/etc/passwd", None), refused);
    }

    #[test]
    fn limits_are_refused_where_nothing_can_set_them() {
        let mut program = Program::new("sh", Vec::new());
        program.guard = None;
        assert!(program.command().is_ok());
        program.files_max = Some(64);
        let refused = program.command().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
    }
}
