//! Commits: the queue, the loop that retries, and the operations that it carries out.
//!
//! Modules are listed bottom-up.

pub(crate) mod bound;
pub(crate) mod limits;
pub(crate) mod queue;
pub(crate) mod requirements;
pub(crate) mod rebase;
pub(crate) mod operation;
pub(crate) mod reconcile;
pub(crate) mod run;
pub(crate) mod validate;
pub(crate) mod cleanup;
pub(crate) mod rows;
pub(crate) mod cherry_pick;
pub(crate) mod replace;
pub(crate) mod stage;
pub(crate) mod staged;
pub(crate) mod metadata;

pub use limits::CommitLimits;
