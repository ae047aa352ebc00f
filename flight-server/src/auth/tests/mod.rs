//! The whole way from a header to an identity.

mod passwords;
mod tokens;
mod jwts;

use std::net::SocketAddr;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::config::parse;
use crate::tls::Peer;

use super::authenticator::Authenticator;

fn peer(last: u8) -> Peer {
    let address: SocketAddr = ([10, 0, 0, last], 1234).into();
    Peer { address: Some(address), certificate: None }
}

fn header(value: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    metadata.insert("authorization", value.parse().unwrap());
    metadata
}

fn basic(user: &str, password: &str) -> MetadataMap {
    header(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

/// An authenticator as `fjord.toml` describes it; `$` is the directory.
fn open(directory: &Path, text: &str) -> Authenticator {
    let text = text.replace('$', directory.to_str().unwrap());
    Authenticator::open(parse(text.as_bytes(), "fjord.toml").unwrap().auth).unwrap()
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, Status>, code: Code) -> String {
    let status = outcome.unwrap_err();
    assert_eq!(status.code(), code, "{status:?}");
    status.message().to_owned()
}
