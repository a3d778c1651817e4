//! Records to be given out: all about one person, or all about some controls.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Archive, Query};
use crate::runtime::calendar;
use crate::runtime::clock::Timestamp;

/// What is given out.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// As one JSON document.
    pub document: Value,
    /// How many records are in it.
    pub records: u64,
    /// What records call the person, if it is about one and there is a key of theirs.
    pub reference: Option<Arc<str>>,
}

/// A group of controls of SOC 2, and the kinds of records that show how it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// The criteria, as the report names them.
    pub criteria: &'static str,
    /// What they ask for.
    pub about: &'static str,
    /// The kinds of records.
    pub kinds: &'static [&'static str],
}

impl Control {
    /// All that records can show.
    pub const ALL: [Self; 5] = [
        Self {
            criteria: "CC6.1, CC6.2, CC6.3",
            about: "logical access: authentication, authorization, keys",
            kinds: &[
                "authentication_failed",
                "authentication_succeeded",
                "step_up",
                "permission_decided",
                "key_created",
                "key_revoked",
                "session_opened",
                "session_closed",
                "session_taken_over",
                "foreign_id_refused",
            ],
        },
        Self {
            criteria: "CC6.8",
            about: "unauthorized changes of tools",
            kinds: &["pin_changed"],
        },
        Self {
            criteria: "CC7.1, CC7.2, CC7.3",
            about: "detection: alarms and damage to the records themselves",
            kinds: &["alarm", "tail_cut"],
        },
        Self {
            criteria: "CC8.1",
            about: "changes of policy",
            kinds: &["policy_changed"],
        },
        Self {
            criteria: "C1.1, C1.2, P4, P5, P6",
            about: "retention, erasure, access by subjects",
            kinds: &["retention_run", "erased", "exported"],
        },
    ];
}

impl Archive {
    /// Everything that is known of a user, for them to have.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn export_subject(&self, tenant: &str, user: &str, now: Timestamp) -> io::Result<Export> {
        let subject = self.vault.find(tenant, user)?;
        let query = Query {
            tenant: Some(tenant.to_owned()),
            user: Some(user.to_owned()),
            ..Query::default()
        };
        let records = self.collect(&query)?;
        Ok(Export {
            records: records.len() as u64,
            reference: subject.map(|subject| subject.reference),
            document: json!({
                "format": "switchboard audit export 1",
                "exported_at": calendar::rfc3339(now),
                "tenant": tenant,
                "subject": user,
                "records": records,
            }),
        })
    }

    /// Everything that shows how controls are kept, and whether the records are whole.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn export_controls(&self, query: &Query, now: Timestamp) -> io::Result<Export> {
        let verified = self.verify(query.from_ms.unwrap_or(0), query.to_ms.unwrap_or(u64::MAX))?;
        let problems: Vec<_> = verified.problems.iter().map(ToString::to_string).collect();
        let mut count = 0;
        let mut controls = Vec::with_capacity(Control::ALL.len());
        for control in Control::ALL {
            let query = Query {
                kinds: control
                    .kinds
                    .iter()
                    .map(|kind| (*kind).to_owned())
                    .collect(),
                ..query.clone()
            };
            let records = self.collect(&query)?;
            count += records.len() as u64;
            controls.push(json!({
                "criteria": control.criteria,
                "about": control.about,
                "records": records,
            }));
        }
        Ok(Export {
            records: count,
            reference: None,
            document: json!({
                "format": "switchboard audit controls 1",
                "exported_at": calendar::rfc3339(now),
                "verified": {
                    "segments": verified.segments,
                    "records": verified.records,
                    "problems": problems,
                },
                "controls": controls,
            }),
        })
    }

    fn collect(&self, query: &Query) -> io::Result<Vec<Map<String, Value>>> {
        let mut records = Vec::new();
        self.query(query, |record| {
            records.push(record);
            ControlFlow::Continue(())
        })?;
        Ok(records)
    }
}
