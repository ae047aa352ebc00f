//! Filters of joins between stages.
//!
//! When a hash join has read its build side, it knows which keys the other side may have, and the
//! optimizer has put a filter with these keys into the scans below. In one process the two share the
//! filter; in a cluster they are in different stages, and different processes:
//!
//! ```text
//! stage 3, task i   HashJoinExec ┬─ KeepJoinKeysExec ──── NetworkShuffleExec    the build side
//!                                └─ SendJoinFilterExec ── NetworkShuffleExec
//!                                          │ what task i has built, to every worker of the query
//! stage 2, task j            AwaitJoinFilterExec ── scan      the union of all tasks i
//! ```
//!
//! The scan waits until it has heard of every task of the join, as it does in one process: the other
//! side is read after the build side. A filter leaves rows out that no task of the join has a partner
//! for, and nothing depends on it: when a part of it is lost, the scan reads everything, later.
//! Modules are listed bottom-up.

mod keys;
mod key_expr;
mod union;
mod desk;
mod message;
mod exchange;
mod keep;
mod send;
mod await_filter;
mod link;
mod service;

pub(super) use await_filter::AwaitJoinFilterExec;
pub(super) use desk::Desk;
pub(super) use exchange::Exchange;
pub(super) use keep::KeepJoinKeysExec;
pub(super) use link::link;
pub(super) use send::SendJoinFilterExec;
pub(super) use service::JoinFilterService;
