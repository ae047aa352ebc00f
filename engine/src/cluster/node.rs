//! Who belongs to a cluster: the port that knows its secret, and what nodes compare before they work
//! together.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use datafusion::execution::context::SessionState;
use tonic::codegen::http::HeaderMap;
use tonic::transport::ClientTlsConfig;
use url::Url;

use super::settings;

/// Changes whenever the messages of [`super::codec`] do.
const CODEC_VERSION: u32 = 2;

/// The header of a call from node to node that [`NodeAuth`] writes and checks.
pub const NODE_HEADER: &str = "x-fjord-node";

/// The header that says the version of the node that calls.
pub(super) const VERSION_HEADER: &str = "x-fjord-version";

/// The port for the secret of a cluster.
pub trait NodeAuth: fmt::Debug + Send + Sync {
    /// The value of [`NODE_HEADER`] for a call that is made now.
    fn sign(&self) -> String;

    /// Whether a call with that value comes from a node of this cluster.
    ///
    /// # Errors
    /// What is wrong with it, in words for whoever runs the other node.
    fn check(&self, signature: Option<&str>) -> Result<(), String>;

    /// How connections to other nodes are encrypted, and what this node shows there; `None`: they are
    /// not. Asked for each connection; reads files.
    ///
    /// # Errors
    /// For certificates that cannot be read, in words.
    fn tls(&self) -> Result<Option<ClientTlsConfig>, String> {
        Ok(None)
    }
}

/// The address of a node as people write it: `grpc://HOST:PORT`, `grpc+tls://` where connections to it
/// are encrypted.
pub fn spelt(url: &Url) -> String {
    let scheme = if is_encrypted(url) { "grpc+tls" } else { "grpc" };
    format!("{scheme}://{}", url.authority())
}

/// Whether connections to a node are encrypted.
pub(super) fn is_encrypted(url: &Url) -> bool {
    url.scheme() == "https"
}

/// Whether a call with `headers` comes from a node of the same version.
///
/// # Errors
/// What differs, in words for whoever runs the other node.
pub(super) fn check_version(headers: &HeaderMap, fingerprint: &str) -> Result<(), String> {
    let said = headers.get(VERSION_HEADER).and_then(|value| value.to_str().ok());
    match said {
        Some(said) if said == fingerprint => Ok(()),
        said => Err(format!(
            "the call comes from another version: it is \"{}\", this is \"{fingerprint}\"",
            said.unwrap_or("unknown")
        )),
    }
}

/// Version, codec, functions and settings of a node. Nodes work together when theirs are the same:
/// functions travel by name, settings where they are not the defaults, and both must mean the same
/// there.
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
    let settings = settings::default_settings();
    format!(
        "fjord {}, codec {CODEC_VERSION}, functions {functions:016x}, settings {settings:016x}",
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_another_version_and_of_none_are_refused() {
        let mut headers = HeaderMap::new();
        assert!(check_version(&headers, "fjord 2").unwrap_err().contains("unknown"));
        headers.insert(VERSION_HEADER, "fjord 1".parse().unwrap());
        let e = check_version(&headers, "fjord 2").unwrap_err();
        assert!(e.contains("\"fjord 1\"") && e.contains("another version"), "{e}");
        assert_eq!(check_version(&headers, "fjord 1"), Ok(()));
    }
}
