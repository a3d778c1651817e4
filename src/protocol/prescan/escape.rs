//! What ends a plain stretch of a string, and what an escape in it stands for.

/// Marks, in the high bit of each byte, the quotes, backslashes and control characters of `word`.
/// Bytes above the lowest marked one may be marked wrongly, by a borrow.
pub(super) const fn stops(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xFF;
    const HIGHS: u64 = ONES << 7;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let zeros = (quote.wrapping_sub(ONES) & !quote) | (backslash.wrapping_sub(ONES) & !backslash);
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (zeros | controls) & HIGHS
}

/// Whether `text` stands in a JSON string as it is.
pub(in crate::protocol) fn is_plain(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        if stops(u64::from_le_bytes(*chunk)) != 0 {
            return false;
        }
        rest = after;
    }
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    stops(u64::from_le_bytes(last)) == 0
}

/// What a backslash before `byte` stands for, if that is all of the escape.
pub(super) const fn short_escape(byte: u8) -> Option<char> {
    match byte {
        b'"' => Some('"'),
        b'\\' => Some('\\'),
        b'/' => Some('/'),
        b'b' => Some('\u{8}'),
        b'f' => Some('\u{c}'),
        b'n' => Some('\n'),
        b'r' => Some('\r'),
        b't' => Some('\t'),
        _ => None,
    }
}

/// What the escape at the start of `text` stands for, and its length.
pub(super) fn escape(text: &[u8]) -> Result<(char, usize), &'static str> {
    const LONE_SURROGATE: &str = "a surrogate without its other half";
    if let Some(char) = text.get(1).copied().and_then(short_escape) {
        return Ok((char, 2));
    }
    let unit = code_unit(text).ok_or("not an escape that JSON has")?;
    if let Some(char) = char::from_u32(unit) {
        return Ok((char, 6));
    }
    // Not a character, so half of a surrogate pair; only a high half may come first.
    let low = code_unit(&text[6..]).filter(|low| (0xDC00..0xE000).contains(low));
    let (0xD800..0xDC00, Some(low)) = (unit, low) else {
        return Err(LONE_SURROGATE);
    };
    let scalar = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
    Ok((char::from_u32(scalar).ok_or(LONE_SURROGATE)?, 12))
}

/// The code unit of the `\uXXXX` at the start of `text`, if that is what is there.
fn code_unit(text: &[u8]) -> Option<u32> {
    let digits = text.get(..6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit * 16 + char::from(*digit).to_digit(16)?)
    })
}
