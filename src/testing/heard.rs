//! What a server said to a test: notices, questions and results, kept for assertions.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Notify;

use crate::client::{Notice, Question};

/// Most notices and questions that are kept. A test that provokes more looks at them in between.
const KEPT_MAX: usize = 100_000;

/// What a tool said.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult(pub Value);

/// A step of progress.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Progress {
    /// How far.
    #[serde(rename = "progress")]
    pub done: f64,
    /// Out of how much, if that was said.
    pub total: Option<f64>,
    /// What is being done.
    pub message: Option<String>,
}

/// A log line.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LogLine {
    /// How severe.
    pub level: String,
    /// Who says it.
    pub logger: Option<String>,
    /// What it says.
    pub data: Value,
}

/// A question, and what was answered.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The question.
    pub question: Question,
    /// The answer; nothing when the test had none.
    pub answer: Option<Value>,
}

impl ToolResult {
    /// The words of all text blocks, a line break between them.
    #[must_use]
    pub fn text(&self) -> String {
        let blocks = self.0["content"].as_array().into_iter().flatten();
        let words = blocks.filter_map(|block| block["text"].as_str());
        words.collect::<Vec<_>>().join("\n")
    }

    /// Whether the tool failed.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.0["isError"] == true
    }

    /// The structured content; `null` when there is none.
    #[must_use]
    pub fn structured(&self) -> &Value {
        &self.0["structuredContent"]
    }
}

/// Everything heard so far.
#[derive(Debug, Default)]
pub(super) struct Heard {
    kept: Mutex<Kept>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    notices: Vec<(Notice, Taken)>,
    asked: Vec<Asked>,
}

/// Whether a notice was waited for already.
type Taken = bool;

impl Heard {
    pub(super) fn notice(&self, notice: Notice) {
        let mut kept = self.lock();
        if kept.notices.len() < KEPT_MAX {
            kept.notices.push((notice, false));
        }
        drop(kept);
        self.more.notify_waiters();
    }

    pub(super) fn asked(&self, question: Question, answer: Option<&Value>) {
        let mut kept = self.lock();
        if kept.asked.len() < KEPT_MAX {
            let answer = answer.cloned();
            kept.asked.push(Asked { question, answer });
        }
    }

    pub(super) fn all_asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    pub(super) fn progress(&self) -> Vec<Progress> {
        self.all("notifications/progress")
    }

    pub(super) fn logs(&self) -> Vec<LogLine> {
        self.all("notifications/message")
    }

    /// Waits for the next notice of this method.
    pub(super) async fn next(&self, method: &str) -> Notice {
        loop {
            let more = self.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            if let Some(notice) = self.take(method) {
                return notice;
            }
            more.await;
        }
    }

    fn take(&self, method: &str) -> Option<Notice> {
        let mut kept = self.lock();
        let mut notices = kept.notices.iter_mut();
        let (notice, taken) = notices.find(|(notice, taken)| !taken && notice.method == method)?;
        *taken = true;
        Some(notice.clone())
    }

    fn all<T: for<'a> Deserialize<'a>>(&self, method: &str) -> Vec<T> {
        let kept = self.lock();
        let notices = kept.notices.iter().map(|(notice, _)| notice);
        notices
            .filter(|notice| notice.method == method)
            .filter_map(|notice| notice.params.decode().ok())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
