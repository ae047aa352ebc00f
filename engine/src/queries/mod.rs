//! The life cycle of queries: admitted through a fair queue, watched while they run, remembered
//! when they have ended.
//!
//! ```text
//! admit ─ fair queue ─ QueryHandle ─ during(plan) ─ track(rows) ─ history ─ journal
//!                          └ kill, deadline, limits
//! ```
//!
//! Nothing here knows SQL; what a text is, its caller says.

mod redact;
pub mod wanted;
pub mod info;
pub mod viewer;
pub mod limits;
pub mod options;
mod fair;
mod admission;
mod memory;
mod record;
mod line;
mod ring;
mod journal;
mod history;
mod shared;
mod running;
mod tracked;
pub mod handle;
pub mod registry;
#[cfg(test)]
mod registry_tests;

pub use handle::QueryHandle;
pub use info::{Lane, QueryInfo, QueryKind, QueryRequest, QueryState};
pub use limits::{QueryLimits, SessionLimits};
pub(crate) use memory::runtime_within;
pub use options::{QueriesOptions, QueryObserver};
pub use registry::{Drained, Queries, QueueStatistics};
pub use viewer::Viewer;
pub use wanted::{Kept, Wanted};
