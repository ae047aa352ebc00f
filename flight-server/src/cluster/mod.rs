//! Nodes that belong together: the secret that they share, and the desk at which workers register.
//!
//! ```text
//! fjord worker ── hear (every second, signed) ──▶ desk of fjord serve ─▶ engine's cluster
//!      ▲                                                                        │
//!      └───────────────── stages of plans (signed) ────────────────────────────┘
//! ```

mod address;
mod secret;
mod message;
mod auth;
mod desk;

pub use address::http_url;
pub(crate) use auth::{Membership, listening};
pub(crate) use desk::Desk;
pub(crate) use message::{Answer, HEAR, Heard, is_challenge};
pub use secret::ClusterSecret;
