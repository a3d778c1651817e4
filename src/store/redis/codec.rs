//! How values are written: a byte for the form, a checksum, the value.
//!
//! Records, log entries and inbox messages alike. A form that is not known is refused and never
//! guessed: a later version wrote it. (The scripts keep things in a form of their own, with such a
//! byte as well.)

use bytes::Bytes;

use crate::store::{StoreError, StoreResult};

/// The one form there is.
const FORM: u8 = 1;
/// The form and the checksum. `things.lua` takes them off when it counts bytes.
const HEADER_BYTES: usize = 5;

/// A value as it is written.
pub(super) fn encode(value: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(HEADER_BYTES + value.len());
    written.push(FORM);
    written.extend(crc32fast::hash(value).to_be_bytes());
    written.extend(value);
    written
}

/// The value that was written.
///
/// # Errors
/// `Damaged` if it is not whole, or of another form.
pub(super) fn decode(written: Vec<u8>) -> StoreResult<Bytes> {
    let damaged = |problem: &str| Err(StoreError::Damaged(problem.into()));
    match written.first_chunk::<HEADER_BYTES>() {
        None => damaged("a value was cut short"),
        Some([form, ..]) if *form != FORM => damaged("a value is of an unknown form"),
        Some([_, checksum @ ..]) => {
            let checksum = u32::from_be_bytes(*checksum);
            let value = Bytes::from(written).slice(HEADER_BYTES..);
            if crc32fast::hash(&value) == checksum {
                Ok(value)
            } else {
                damaged("a value does not match its checksum")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        for value in [&b""[..], b"x", b"a longer one"] {
            let written = encode(value);
            assert_eq!(written.len(), value.len() + HEADER_BYTES);
            assert_eq!(decode(written), Ok(Bytes::copy_from_slice(value)));
        }
    }

    #[test]
    fn no_cut_no_flipped_bit_and_no_other_form_is_read() {
        let written = encode(b"value");
        for cut in 0..written.len() {
            assert!(decode(written[..cut].to_vec()).is_err(), "cut to {cut}");
        }
        for at in 0..written.len() {
            let mut flipped = written.clone();
            flipped[at] ^= 1;
            assert!(decode(flipped).is_err(), "byte {at}");
        }
        let mut later = written;
        later[0] = 2;
        let refused = decode(later).unwrap_err();
        assert!(refused.to_string().contains("unknown form"), "{refused}");
    }
}
