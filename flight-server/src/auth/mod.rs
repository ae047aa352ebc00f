//! Who somebody is, and what they may do.
//!
//! ```text
//! header or certificate ─ Authenticator ┬ passwords: file ─ failures ─ hashing ─ verified
//!                                       ├ jwt: keys ─ signature ─ claims
//!                                       └ tokens ─ Identity (user, session key, Access)
//! ```
//!
//! Modules are listed bottom-up.

mod keyed;
mod access;
mod credentials;
mod stored;
mod users;
mod password_file;
mod failures;
mod hashing;
mod login;
mod jwt_key;
mod jwks;
mod jwt;
mod identity;
mod tokens;
mod authenticator;
mod exposure;
mod make_hash;
#[cfg(test)]
mod tests;

pub(crate) use authenticator::Authenticator;
pub(crate) use exposure::check_exposure;
pub(crate) use identity::{Identity, TokenId};
pub(crate) use make_hash::run as run_passwd;
