//! An entry of a list as each revision reads it, written once when it is registered.

use crate::protocol::raw::RawJson;
use crate::protocol::version::ProtocolVersion;

/// One text per group of revisions that read alike; equal ones share their memory.
pub(super) struct Entries {
    v2026_07_28: RawJson,
    v2025_11_25: RawJson,
    v2025_06_18: RawJson,
    older: RawJson,
}

impl Entries {
    pub(super) fn of(write: impl Fn(ProtocolVersion) -> RawJson) -> Self {
        let v2026_07_28 = write(ProtocolVersion::V2026_07_28);
        let unless = |newer: &RawJson, version| {
            let text = write(version);
            if text.as_str() == newer.as_str() {
                newer.clone()
            } else {
                text
            }
        };
        let v2025_11_25 = unless(&v2026_07_28, ProtocolVersion::V2025_11_25);
        let v2025_06_18 = unless(&v2025_11_25, ProtocolVersion::V2025_06_18);
        let older = unless(&v2025_06_18, ProtocolVersion::V2025_03_26);
        Self {
            v2026_07_28,
            v2025_11_25,
            v2025_06_18,
            older,
        }
    }

    pub(super) const fn get(&self, version: ProtocolVersion) -> &RawJson {
        match version {
            ProtocolVersion::V2026_07_28 => &self.v2026_07_28,
            ProtocolVersion::V2025_11_25 => &self.v2025_11_25,
            ProtocolVersion::V2025_06_18 => &self.v2025_06_18,
            ProtocolVersion::V2025_03_26 | ProtocolVersion::V2024_11_05 => &self.older,
        }
    }
}
