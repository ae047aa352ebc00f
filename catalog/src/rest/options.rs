//! What must be known to reach a REST catalog.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::secret::Secret;
use crate::storage::s3::S3Options;
use crate::storage::{Storage, VendedStores};

/// How long one attempt at a request may take.
const ATTEMPT_TIME: Duration = Duration::from_secs(30);

/// A catalog behind the Iceberg REST protocol, and who asks.
#[derive(Clone, Debug)]
pub struct RestOptions {
    /// The root of the protocol, without `/v1`.
    pub uri: String,
    /// Which of the server's warehouses; `None`: its default.
    pub warehouse: Option<String>,
    /// The part of each path that the server would tell, when it does not.
    pub prefix: Option<String>,
    /// Nessie alone: the branch or tag to work on; `None`: the server's default.
    pub reference: Option<String>,
    /// Who asks.
    pub auth: RestAuth,
    /// Headers for each request.
    pub headers: BTreeMap<String, Secret>,
    /// Where metadata files are.
    pub storage: Storage,
    /// Whether the server is asked for credentials of its tables' files, and where they are put;
    /// `None`: those of the configuration alone are used.
    pub vending: Option<Vending>,
    /// How long one attempt at a request may take; 30 s unless said.
    pub attempt_time: Duration,
}

/// What becomes of credentials that the server vends.
#[derive(Clone, Debug)]
pub struct Vending {
    /// Where stores with them are put; the catalog's storage serves from there.
    pub stores: VendedStores,
    /// Prefixes that are configured, with their endpoints: there the server gives keys alone.
    pub places: Vec<(String, S3Options)>,
}

impl RestOptions {
    /// The server's default warehouse, asked by nobody in particular.
    pub fn new(uri: impl Into<String>, storage: Storage) -> Self {
        Self {
            uri: uri.into(),
            warehouse: None,
            prefix: None,
            reference: None,
            auth: RestAuth::Nobody,
            headers: BTreeMap::new(),
            storage,
            vending: None,
            attempt_time: ATTEMPT_TIME,
        }
    }
}

/// How requests prove who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestAuth {
    /// Not at all.
    Nobody,
    /// A token that is there already.
    Bearer(Secret),
    /// `OAuth2` client credentials, exchanged for tokens that are renewed before they expire.
    OAuth2(OAuth2),
    /// AWS signatures, version 4.
    SigV4(SigV4),
}

/// Client credentials (RFC 6749 §4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth2 {
    /// Where tokens are issued; `None`: `v1/oauth/tokens` of the catalog.
    pub token_uri: Option<String>,
    /// The client's name.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// What is asked for; `catalog` unless said.
    pub scope: Option<String>,
}

/// Keys that requests are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigV4 {
    /// The public half.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: Secret,
    /// Comes with temporary keys.
    pub session_token: Option<Secret>,
    /// The region to sign for.
    pub region: String,
    /// The service to sign for: `s3tables`, `glue`, `execute-api`.
    pub service: String,
}
