//! What a worker and the desk tell each other: JSON in a Flight action.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The action by which a worker registers, and says every second that it lives.
pub(crate) const HEAR: &str = "fjord.cluster.hear";

/// What a worker says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Heard {
    pub(crate) id: Uuid,
    /// Where it takes plans: `grpc://HOST:PORT`.
    pub(crate) address: String,
    pub(crate) fingerprint: String,
    pub(crate) is_draining: bool,
    pub(crate) tasks: u64,
    /// What its operators may hold together.
    pub(crate) memory_bytes: u64,
    /// The databases that it has mounted, each by what nodes know it by.
    pub(crate) databases: Vec<u64>,
    /// What is in the file that the desk named.
    pub(crate) proof: Option<String>,
}

/// What the desk answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// Whether the worker gets tasks.
    pub(crate) is_accepted: bool,
    /// The name of a file in the data directory: what is in it proves that the directory is the same.
    pub(crate) challenge: Option<String>,
}

/// Whether a challenge names a file of the desk's, and nothing else.
pub(crate) fn is_challenge(name: &str) -> bool {
    name.strip_prefix("cluster-").is_some_and(|id| Uuid::parse_str(id).is_ok())
}
