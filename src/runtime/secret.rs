//! A text that is never printed, and is wiped from memory when nobody has it any more.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// See the module docs. Cloning shares it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Keeps a text secret from here on.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Arc::new(Zeroizing::new(text)))
    }

    /// The text, for whoever it is meant for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new("sesame".to_owned());
        assert!(!format!("{secret:?} {:?}", Some(&secret)).contains("sesame"));
        assert_eq!(secret.expose(), "sesame");
    }
}
