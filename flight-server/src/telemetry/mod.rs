//! What a process tells of itself: figures, log lines, traces.

mod process;
mod metrics;
mod engine;
mod export;
mod logs;

pub(crate) use engine::registry;
pub(crate) use logs::start;
pub(crate) use metrics::{Metrics, Open};
