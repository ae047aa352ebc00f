//! More machines for the same answers: stages of a plan run on workers, by datafusion-distributed.
//!
//! ```text
//! local plan ─ place ─┬ Local(reason) ─────────────► runs as if there were no cluster
//!                     └ Spread ─ ClusterExec ─ attempt ─┬ head stage (this process)
//!                                                       └ stages (workers, by gRPC) ─ codec
//! ```
//!
//! Nothing outside of this module knows of datafusion-distributed. A plan is planned as it always is, and
//! cut into stages when it starts; so it can be cut again, without a worker that was lost.

mod settings;
mod node;
mod channel;
mod join_filters;
mod codec;
mod registry;
mod pieces;
mod spread;
mod order;
mod place;
mod failure;
mod attempt;
mod exec;
mod members;
mod stages;
mod explain;
mod errands;
mod worker;

pub use exec::{remote_stages, stored_files};
pub use members::{Cluster, ClusterOptions};
pub use node::{NODE_HEADER, NodeAuth, spelt};
pub use registry::{Registration, WorkerInfo, WorkerState};
pub use stages::{StageInfo, StageState};
pub use worker::{WorkerNode, WorkerOptions};

#[cfg(test)]
pub(crate) use codec::sent;
pub(crate) use exec::ClusterExec;
pub(crate) use explain::{explain, figures};
pub(crate) use place::{Placement, place};
