//! Who sends a request, once that is known.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use fjord_engine::access::AccessPolicy;

use super::access::Access;
use super::users::Fingerprint;

/// Names a token without giving it away: the key of the session that it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TokenId(pub(super) [u8; 16]);

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How somebody proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nobody asked.
    None,
    /// By the password with this fingerprint.
    Password(Fingerprint),
    /// By a token of the identity provider.
    Jwt,
    /// By a certificate.
    Certificate,
}

/// Somebody who was let in.
#[derive(Clone, Debug)]
pub(super) struct Principal {
    pub(super) user: Arc<str>,
    pub(super) access: Arc<Access>,
    pub(super) proof: Proof,
    /// When what they proved it with ends.
    pub(super) expires: Option<Instant>,
}

impl Principal {
    pub(super) fn identity(&self, token: Option<TokenId>) -> Identity {
        Identity {
            user: Arc::clone(&self.user),
            token,
            is_admin: self.access.is_admin(),
            access: Arc::clone(&self.access) as Arc<dyn AccessPolicy>,
        }
    }
}

/// Who sends a request, and what they may do.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The name, as logs and listings show it.
    pub(crate) user: Arc<str>,
    /// The token that the request came with; `None` for a password, a certificate, or nothing.
    pub(crate) token: Option<TokenId>,
    /// What the user may do.
    pub(crate) access: Arc<dyn AccessPolicy>,
    /// Whether that is everything, other users' queries included.
    pub(crate) is_admin: bool,
}
