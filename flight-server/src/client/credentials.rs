//! Who a client says that it is; what is secret about it never shows.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// A password or a token. Neither is ever formatted, and the memory is wiped.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How a client proves who it is.
#[derive(Clone, Debug)]
pub(crate) enum Credentials {
    /// Not at all: a server without authentication, or one that reads client certificates.
    Anonymous,
    /// Exchanged for a token in a handshake.
    Password { user: String, password: Secret },
    /// Sent with every call.
    Token(Secret),
}

impl Credentials {
    /// The `authorization` header of the handshake, or of every call for a token.
    pub(super) fn authorization(&self) -> Option<Zeroizing<String>> {
        match self {
            Self::Anonymous => None,
            Self::Password { user, password } => {
                let pair = Zeroizing::new(format!("{user}:{}", *password.0));
                let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
                Some(Zeroizing::new(format!("Basic {}", *encoded)))
            }
            Self::Token(token) if token.is_empty() => None,
            Self::Token(token) => Some(Zeroizing::new(format!("Bearer {}", *token.0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show() {
        let password = Secret::new("hunter2");
        let credentials = [
            Credentials::Password { user: "ann".to_owned(), password },
            Credentials::Token(Secret::new("hunter2")),
        ];
        assert!(!format!("{credentials:?}").contains("hunter2"), "{credentials:?}");
    }

    #[test]
    fn a_password_is_padded_base64() {
        let password = Secret::new("b:c");
        let header = Credentials::Password { user: "a".to_owned(), password }.authorization();
        assert_eq!(header.unwrap().as_str(), "Basic YTpiOmM=");
    }
}
