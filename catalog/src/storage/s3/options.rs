//! What must be known to reach a bucket.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AwsCredentialProvider;

use crate::secret::Secret;

/// How long one attempt at a request may take, its body included.
const ATTEMPT_TIME: Duration = Duration::from_secs(30);

/// One bucket, where it is and who asks.
#[derive(Clone, Debug, PartialEq)]
pub struct S3Options {
    /// The bucket's name.
    pub bucket: String,
    /// `http(s)://host[:port]`; `None`: AWS.
    pub endpoint: Option<String>,
    /// The region that requests are signed for; `us-east-1` unless said.
    pub region: Option<String>,
    /// Whether the bucket is the first part of the path (`endpoint/bucket/key`) or of the host's
    /// name (`bucket.endpoint/key`). `None`: by path where an endpoint is given, else by host.
    pub path_style: Option<bool>,
    /// Who asks.
    pub credentials: S3Credentials,
    /// How long one attempt at a request may take, its body included; 30 s unless said. A read
    /// that is cut off goes on where it was.
    pub attempt_time: Duration,
}

impl S3Options {
    /// The bucket on AWS.
    pub fn new(bucket: impl Into<String>, credentials: S3Credentials) -> Self {
        Self {
            bucket: bucket.into(),
            endpoint: None,
            region: None,
            path_style: None,
            credentials,
            attempt_time: ATTEMPT_TIME,
        }
    }
}

/// How requests prove who asks.
#[derive(Clone)]
pub enum S3Credentials {
    /// A fixed pair of keys.
    Keys {
        /// The public half.
        access_key_id: String,
        /// The secret half.
        secret_access_key: Secret,
        /// Comes with temporary keys.
        session_token: Option<Secret>,
    },
    /// Whatever the machine is given by its cloud: a web identity, a container's role, or the
    /// instance's; fetched when needed, and again before it expires.
    Instance(Instance),
    /// Requests are not signed: public buckets.
    Anonymous,
    /// Somebody else's: keys that a catalog vends and renews.
    Provider(AwsCredentialProvider),
}

impl PartialEq for S3Credentials {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Keys { access_key_id, secret_access_key, session_token },
                Self::Keys {
                    access_key_id: other_id,
                    secret_access_key: other_secret,
                    session_token: other_token,
                },
            ) => {
                access_key_id == other_id
                    && secret_access_key == other_secret
                    && session_token == other_token
            }
            (Self::Instance(instance), Self::Instance(other)) => instance == other,
            (Self::Anonymous, Self::Anonymous) => true,
            (Self::Provider(provider), Self::Provider(other)) => Arc::ptr_eq(provider, other),
            _ => false,
        }
    }
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys { .. } => "Keys(…)",
            Self::Instance(_) => "Instance(…)",
            Self::Anonymous => "Anonymous",
            Self::Provider(_) => "Provider(…)",
        })
    }
}

/// Where the credentials of a machine come from, as its cloud's variables say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// `AWS_WEB_IDENTITY_TOKEN_FILE`.
    pub web_identity_token_file: Option<String>,
    /// `AWS_ROLE_ARN`.
    pub role_arn: Option<String>,
    /// `AWS_ROLE_SESSION_NAME`.
    pub role_session_name: Option<String>,
    /// `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`.
    pub container_credentials_relative_uri: Option<String>,
    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    pub container_credentials_full_uri: Option<String>,
    /// `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`.
    pub container_authorization_token_file: Option<String>,
}
