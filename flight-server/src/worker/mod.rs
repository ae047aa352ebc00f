//! `fjord worker`: an engine that works for a server.

mod exposure;
mod member;
mod run;

pub(crate) use run::run;
