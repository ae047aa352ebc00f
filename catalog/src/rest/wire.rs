//! Requests over HTTP: bounded in time, size and number.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use url::Url;

use super::failure::{Effect, unclear};
use crate::error::{Error, ErrorKind, Result};

/// How long the connection itself may take.
const CONNECT_TIME: Duration = Duration::from_secs(3);

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// Why there is none.
#[derive(Debug)]
pub(super) struct NoAnswer {
    /// Whether the request may have been read.
    pub(super) was_sent: bool,
    error: Error,
}

impl NoAnswer {
    /// As an error of a request with `effect`.
    pub(super) fn into_error(self, effect: Effect, what: &str) -> Error {
        let text = format!("{what}: {}", self.error.message());
        match self.was_sent {
            true => unclear(effect, &text).with_source(self.error),
            false => Error::new(ErrorKind::Unavailable, text).with_source(self.error),
        }
    }
}

/// The client. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    client: Client,
    body_bytes_max: u64,
}

impl Wire {
    /// A client that follows no redirect: an answer must not lead our credentials elsewhere.
    pub(super) fn try_new(attempt_time: Duration, body_bytes_max: u64) -> Result<Self> {
        // Each process needs one; whoever was first has installed it.
        let _in_place = rustls::crypto::ring::default_provider().install_default().is_err();
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIME.min(attempt_time))
            .timeout(attempt_time)
            .user_agent(concat!("fjord/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| {
                Error::new(ErrorKind::Unavailable, "no HTTP client can be made").with_source(e)
            })?;
        Ok(Self { client, body_bytes_max })
    }

    /// Sends one request and reads its answer.
    pub(super) async fn send(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Option<Bytes>,
    ) -> std::result::Result<Answer, NoAnswer> {
        let mut request = self.client.request(method, url).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        let mut response = request.send().await.map_err(|e| lost(&e))?;
        let status = response.status().as_u16();
        let mut whole = BytesMut::new();
        while let Some(part) = response.chunk().await.map_err(|e| lost(&e))? {
            if whole.len() as u64 + part.len() as u64 > self.body_bytes_max {
                let text = format!("the answer is larger than {} bytes", self.body_bytes_max);
                let error = Error::new(ErrorKind::LimitExceeded, text);
                return Err(NoAnswer { was_sent: true, error });
            }
            whole.extend_from_slice(&part);
        }
        Ok(Answer { status, body: whole.freeze() })
    }
}

/// The cause, without the URL: a query may hold what is nobody's business.
fn lost(e: &reqwest::Error) -> NoAnswer {
    let problem = if e.is_connect() {
        "the catalog cannot be reached"
    } else if e.is_timeout() {
        "the catalog did not answer in time"
    } else {
        "the catalog's answer was lost"
    };
    let mut cause: &dyn std::error::Error = e;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let error = Error::new(ErrorKind::Unavailable, format!("{problem}: {cause}"));
    NoAnswer { was_sent: !e.is_connect(), error }
}

/// A header from configuration.
///
/// # Errors
/// `InvalidArgument`, without the value.
pub(super) fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue)> {
    let wrong = |part: &str| {
        Error::new(ErrorKind::InvalidArgument, format!("header {name:?} has a malformed {part}"))
    };
    let key = HeaderName::try_from(name).map_err(|_| wrong("name"))?;
    let mut value = HeaderValue::try_from(value).map_err(|_| wrong("value"))?;
    value.set_sensitive(true);
    Ok((key, value))
}
