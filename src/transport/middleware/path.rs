//! Only canonical paths are served: `/%6dcp`, `//mcp`, `/x/../mcp` and `/mcp;v=1` are not `/mcp`.
//!
//! actix-web would decode some of these before it matches, and a rule about paths in front of us
//! would not.

use actix_web::http::Uri;

use crate::transport::reply::Refused;

/// Refuses paths that could be written in another way.
pub(super) fn check(uri: &Uri) -> Result<(), Refused> {
    let path = uri.path().as_bytes();
    let plain = |part: &[u8]| part != b"." && part != b".." && !part.is_empty();
    // What follows the last slash may be empty.
    let mut parts = path
        .strip_suffix(b"/")
        .unwrap_or(path)
        .split(|byte| *byte == b'/');
    let canonical = parts.next() == Some(b"".as_slice())
        && parts.all(plain)
        && !path.iter().any(|byte| matches!(byte, b'%' | b';' | b'\\'));
    if canonical {
        Ok(())
    } else {
        Err(Refused::Path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling() {
        for (path, served) in [
            ("/mcp", true),
            ("/", true),
            ("/mcp/", true),
            ("/.well-known/x", true),
            ("/%6dcp", false),
            ("//mcp", false),
            ("//", false),
            ("/mcp//", false),
            ("/a/..", false),
            ("/a/./", false),
            ("/a/../mcp", false),
            ("/./mcp", false),
            ("/mcp;v=1", false),
            ("*", false),
        ] {
            let uri = path.parse::<Uri>().unwrap();
            assert_eq!(check(&uri).is_ok(), served, "{path}");
        }
    }
}
