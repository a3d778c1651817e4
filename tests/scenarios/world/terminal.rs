//! A command at a terminal, with somebody who types.

use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::within;

/// See the module docs. Killed when dropped.
#[derive(Debug)]
pub struct Terminal {
    process: Child,
    keyboard: ChildStdin,
    screen: ChildStdout,
    /// What was shown and not yet looked at.
    shown: String,
}

impl Terminal {
    /// Runs a command at a terminal of its own. The shell between gives way to it: one that waited
    /// would get a Ctrl-C as well, and some shells then end with their own code and not the command's.
    pub fn run(command: &str) -> Self {
        let mut process = Command::new("script")
            .args(["-qefc", &format!("exec {command}"), "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .expect("a terminal can be had");
        Self {
            keyboard: process.stdin.take().expect("its input is piped"),
            screen: process.stdout.take().expect("its output is piped"),
            process,
            shown: String::new(),
        }
    }

    /// Waits until this is shown, after what was waited for before. Returns what came up to it.
    pub async fn shows(&mut self, text: &str) -> String {
        let what = format!("the terminal shows {text:?}");
        within(&what, async {
            loop {
                if let Some(at) = self.shown.find(text) {
                    let rest = self.shown.split_off(at + text.len());
                    return std::mem::replace(&mut self.shown, rest);
                }
                let mut bytes = [0; 4096];
                let count = self.screen.read(&mut bytes).await.unwrap();
                assert!(
                    count > 0,
                    "it ended after {:?} without {text:?}",
                    self.shown
                );
                let piece = String::from_utf8_lossy(&bytes[..count]).into_owned();
                print!("{piece}");
                self.shown.push_str(&piece);
            }
        })
        .await
    }

    /// Types.
    pub async fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).await.unwrap();
        self.keyboard.flush().await.unwrap();
    }

    /// Waits for the end of the command. Returns its exit code.
    pub async fn ends(mut self) -> i32 {
        let status = within("the command ends", self.process.wait()).await;
        status.unwrap().code().unwrap()
    }
}
