//! How much of a body is read: refused by its declared length, cut at the limit otherwise.
//!
//! It does not keep time; the transport's read timeouts do.

/// A body, or what has come of it, is over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is larger than {limit} bytes")]
pub struct TooLarge {
    /// The limit.
    pub limit: usize,
}

/// Counts one body against the limit as it comes in.
#[derive(Clone, Copy, Debug)]
pub struct BodyMeter {
    limit: usize,
    seen: usize,
}

impl BodyMeter {
    /// Begins a body. `declared` is its `Content-Length`, if it has one.
    ///
    /// # Errors
    /// When the declared length is over the limit already, so that nothing needs to be read.
    pub fn begin(limit: usize, declared: Option<u64>) -> Result<Self, TooLarge> {
        if declared.is_some_and(|length| length > limit as u64) {
            return Err(TooLarge { limit });
        }
        Ok(Self { limit, seen: 0 })
    }

    /// Admits the next `length` bytes.
    ///
    /// # Errors
    /// When they pass the limit. The chunk is not to be kept, and no other is to be read.
    pub fn admit(&mut self, length: usize) -> Result<(), TooLarge> {
        self.seen = self.seen.saturating_add(length);
        if self.seen > self.limit {
            return Err(TooLarge { limit: self.limit });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_itself_passes_and_one_more_byte_does_not() {
        let over = TooLarge { limit: 10 };
        for (declared, chunks, expected) in [
            (Some(10), &[4, 6][..], Ok(())),
            (None, &[10][..], Ok(())),
            (None, &[10, 1][..], Err(over)),
            (None, &[11][..], Err(over)),
            (Some(11), &[][..], Err(over)),
            // A body may be longer than it was declared; the count decides.
            (Some(1), &[6, 6][..], Err(over)),
            (Some(u64::MAX), &[][..], Err(over)),
            (None, &[9, usize::MAX][..], Err(over)),
        ] {
            let outcome = BodyMeter::begin(10, declared)
                .and_then(|mut meter| chunks.iter().try_for_each(|length| meter.admit(*length)));
            assert_eq!(outcome, expected, "{declared:?} {chunks:?}");
        }
    }
}
