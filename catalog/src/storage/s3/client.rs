//! From options to a store: the client of `object_store`, with our limits.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use super::budget::BudgetedConnector;
use super::options::{Instance, S3Credentials, S3Options};
use crate::address;
use crate::error::{Error, ErrorKind, Result};

/// Attempts at one request after the first.
const RETRIES_MAX: usize = 8;
/// How long after its first attempt a request is still repeated. Below the five minutes for which
/// a signature holds, as repeated requests are not signed anew.
const RETRY_TIME: Duration = Duration::from_secs(120);
/// The first and the longest pause between two attempts; in between they are drawn at random.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
const PAUSE_GROWTH: f64 = 2.0;
/// How long the connection itself may take.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// A store for one bucket. Nothing is asked of the network yet.
///
/// # Errors
/// `InvalidArgument` for an endpoint that is no URL of a server, or one that carries credentials.
pub fn store(options: &S3Options) -> Result<Arc<dyn ObjectStore>> {
    // Each process needs one; whoever was first has installed it.
    let _in_place = rustls::crypto::ring::default_provider().install_default().is_err();
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&options.bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_http_connector(BudgetedConnector::default())
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: PAUSE_FIRST,
                max_backoff: PAUSE_MAX,
                base: PAUSE_GROWTH,
            },
            max_retries: RETRIES_MAX,
            retry_timeout: RETRY_TIME,
        });
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    let endpoint = options.endpoint.as_deref().map(check_endpoint).transpose()?;
    let is_plain = endpoint.as_ref().is_some_and(|url| url.scheme() == "http");
    let by_path = options.path_style.unwrap_or(endpoint.is_some());
    if let Some(url) = endpoint {
        builder = builder.with_endpoint(bucket_endpoint(&url, &options.bucket, by_path));
    }
    builder = builder.with_virtual_hosted_style_request(!by_path).with_client_options(
        ClientOptions::new()
            .with_allow_http(is_plain)
            .with_timeout(options.attempt_time)
            .with_connect_timeout(CONNECT_TIME.min(options.attempt_time)),
    );
    let built = with_credentials(builder, &options.credentials).build().map_err(|e| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("bucket {:?} cannot be set up: {e}", options.bucket),
        )
        .with_source(e)
    })?;
    Ok(Arc::new(built))
}

/// The address of a server that speaks S3.
///
/// # Errors
/// `InvalidArgument` for anything else, and for one that carries credentials.
pub fn check_endpoint(text: &str) -> Result<Url> {
    address::of_server("the endpoint of a store", text)
}

/// The client takes a virtual host as it is, and adds the bucket to a path by itself.
fn bucket_endpoint(url: &Url, bucket: &str, by_path: bool) -> String {
    let text = url.as_str().trim_end_matches('/');
    match (by_path, text.split_once("://")) {
        (false, Some((scheme, rest))) => format!("{scheme}://{bucket}.{rest}"),
        _ => text.to_owned(),
    }
}

fn with_credentials(builder: AmazonS3Builder, credentials: &S3Credentials) -> AmazonS3Builder {
    match credentials {
        S3Credentials::Keys { access_key_id, secret_access_key, session_token } => {
            let builder = builder
                .with_access_key_id(access_key_id)
                .with_secret_access_key(secret_access_key.expose());
            match session_token {
                Some(token) => builder.with_token(token.expose()),
                None => builder,
            }
        }
        S3Credentials::Instance(instance) => with_instance(builder, instance),
        S3Credentials::Anonymous => builder.with_skip_signature(true),
        S3Credentials::Provider(provider) => builder.with_credentials(Arc::clone(provider)),
    }
}

fn with_instance(builder: AmazonS3Builder, instance: &Instance) -> AmazonS3Builder {
    use AmazonS3ConfigKey as Key;
    let settings = [
        (Key::WebIdentityTokenFile, &instance.web_identity_token_file),
        (Key::RoleArn, &instance.role_arn),
        (Key::RoleSessionName, &instance.role_session_name),
        (Key::ContainerCredentialsRelativeUri, &instance.container_credentials_relative_uri),
        (Key::ContainerCredentialsFullUri, &instance.container_credentials_full_uri),
        (Key::ContainerAuthorizationTokenFile, &instance.container_authorization_token_file),
    ];
    settings.into_iter().fold(builder, |builder, (key, value)| match value {
        Some(value) => builder.with_config(key, value),
        None => builder,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_of_a_server_and_nothing_more() {
        for text in ["http://127.0.0.1:9000", "https://s3.example", "https://s3.example/"] {
            check_endpoint(text).unwrap();
        }
        for text in [
            "127.0.0.1:9000",
            "file:///etc",
            "ftp://a",
            "https://key:canary@a",
            "https://a?x=canary",
            "https://a/#x",
            "",
        ] {
            let error = check_endpoint(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        }
    }

    #[test]
    fn buckets_are_named_by_host_or_by_path() {
        let url = check_endpoint("https://s3.example:9000/").unwrap();
        assert_eq!(bucket_endpoint(&url, "b", true), "https://s3.example:9000");
        assert_eq!(bucket_endpoint(&url, "b", false), "https://b.s3.example:9000");
    }

    #[test]
    fn a_store_shows_no_secret() {
        let credentials = S3Credentials::Keys {
            access_key_id: "AKIA".into(),
            secret_access_key: crate::secret::Secret::new("canary-secret"),
            session_token: Some(crate::secret::Secret::new("canary-token")),
        };
        let options = S3Options::new("b", credentials);
        assert!(!format!("{options:?}").contains("canary"));
        let storage = crate::storage::Storage::local()
            .with_store("s3://b/", store(&options).unwrap())
            .unwrap();
        assert!(!format!("{storage:?} {:?}", storage.resolve("s3://b/x")).contains("canary"));
    }
}
