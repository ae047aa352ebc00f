//! Health, readiness and metrics over HTTP, on a listener of their own.

mod health;
mod connection;
mod listener;
mod router;

pub(crate) use health::{Health, Phase};
pub(crate) use listener::HttpLimits;
pub(crate) use router::{HttpState, serve};
