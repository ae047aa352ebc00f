//! Who belongs to a cluster: the port that knows its secret, and what nodes compare before they work
//! together.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use datafusion::execution::context::SessionState;
use tonic::transport::ClientTlsConfig;

/// Changes whenever the messages of [`super::codec`] do.
const CODEC_VERSION: u32 = 2;

/// The header of a call from node to node that [`NodeAuth`] writes and checks.
pub const NODE_HEADER: &str = "x-fjord-node";

/// The port for the secret of a cluster.
pub trait NodeAuth: fmt::Debug + Send + Sync {
    /// The value of [`NODE_HEADER`] for a call that is made now.
    fn sign(&self) -> String;

    /// Whether a call with that value comes from a node of this cluster.
    ///
    /// # Errors
    /// What is wrong with it, in words for whoever runs the other node.
    fn check(&self, signature: Option<&str>) -> Result<(), String>;

    /// How connections to other nodes are encrypted; `None`: not at all.
    fn tls(&self) -> Option<ClientTlsConfig> {
        None
    }
}

/// Version, codec and functions of a node. Nodes work together when theirs are the same: functions
/// travel by name, and must mean the same there.
pub(super) fn fingerprint(state: &SessionState) -> String {
    let mut names: Vec<String> = state
        .scalar_functions()
        .keys()
        .map(|name| format!("scalar {name}"))
        .chain(state.aggregate_functions().keys().map(|name| format!("aggregate {name}")))
        .chain(state.window_functions().keys().map(|name| format!("window {name}")))
        .collect();
    names.sort_unstable();
    let mut hasher = DefaultHasher::new();
    names.hash(&mut hasher);
    let functions = hasher.finish();
    format!(
        "fjord {}, codec {CODEC_VERSION}, functions {functions:016x}",
        env!("CARGO_PKG_VERSION")
    )
}
