//! Only canonical paths are served: `/%6dcp`, `//mcp`, `/x/../mcp` and `/mcp;v=1` are not `/mcp`.
//!
//! actix-web would decode some of these before it matches, and a rule about paths in front of us
//! would not.

use actix_web::http::Uri;

use crate::transport::reply::Refused;

/// Refuses paths that could be written in another way.
pub(super) fn check(uri: &Uri) -> Result<(), Refused> {
    let path = uri.path();
    let canonical = path.starts_with('/')
        && !path.contains(['%', ';', '\\'])
        && !path.contains("//")
        && !path.split('/').any(|part| part == "." || part == "..");
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
            ("/.well-known/x", true),
            ("/%6dcp", false),
            ("//mcp", false),
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
