//! Proof of who asks: a token, one that is fetched and renewed, or a signature.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::HttpRequest;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::failure::{Effect, Refusal};
use super::options::{OAuth2, RestAuth, SigV4};
use super::wire::{Wire, header};
use crate::address;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// A token is renewed so long before it expires.
const RENEW_BEFORE: Duration = Duration::from_secs(60);
/// How long a token lasts whose issuer does not say.
const TOKEN_TIME: Duration = Duration::from_secs(600);
const SCOPE: &str = "catalog";
/// What is asked for, in errors.
const TOKEN: &str = "a token for the catalog";
/// Characters of an issuer's words that are repeated.
const SAID_CHARS_MAX: usize = 500;

/// Who asks. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) enum Auth {
    Nobody,
    Bearer(Secret),
    OAuth2(Arc<Tokens>),
    SigV4(Arc<SigV4>),
}

/// Tokens of one client, one at a time.
#[derive(Debug)]
pub(super) struct Tokens {
    wire: Wire,
    url: Url,
    client: OAuth2,
    current: Mutex<Option<(Secret, Instant)>>,
}

impl Auth {
    pub(super) fn new(options: &RestAuth, wire: &Wire, uri: &Url) -> Result<Self> {
        Ok(match options {
            RestAuth::Nobody => Self::Nobody,
            RestAuth::Bearer(token) => Self::Bearer(token.clone()),
            RestAuth::SigV4(keys) => Self::SigV4(Arc::new(keys.clone())),
            RestAuth::OAuth2(client) => {
                let url = match &client.token_uri {
                    Some(text) => address::of_server("the address of tokens", text)?,
                    None => {
                        let root = uri.as_str().trim_end_matches('/');
                        address::of_server("uri", &format!("{root}/v1/oauth/tokens"))?
                    }
                };
                let current = Mutex::new(None);
                let wire = wire.clone();
                Self::OAuth2(Arc::new(Tokens { wire, url, client: client.clone(), current }))
            }
        })
    }

    /// Adds the proof to a request's headers.
    pub(super) async fn sign(
        &self,
        method: &Method,
        url: &Url,
        headers: &mut HeaderMap,
        body: Option<&Bytes>,
    ) -> Result<()> {
        match self {
            Self::Nobody => {}
            Self::Bearer(token) => bear(headers, token)?,
            Self::OAuth2(tokens) => bear(headers, &tokens.token().await?)?,
            Self::SigV4(keys) => sign(keys, method, url, headers, body)?,
        }
        Ok(())
    }

    /// After a 401: whether asking again makes sense, since the token is a new one now.
    pub(super) async fn renew(&self) -> bool {
        match self {
            Self::OAuth2(tokens) => {
                *tokens.current.lock().await = None;
                true
            }
            _ => false,
        }
    }
}

impl Tokens {
    /// A token that is good for a while. Callers wait for one exchange together.
    async fn token(&self) -> Result<Secret> {
        let mut current = self.current.lock().await;
        if let Some((token, expires)) = current.as_ref()
            && *expires > Instant::now() + RENEW_BEFORE
        {
            return Ok(token.clone());
        }
        let (token, lasts) = self.fetch().await?;
        let expires = Instant::now() + lasts.max(RENEW_BEFORE * 2);
        *current = Some((token.clone(), expires));
        Ok(token)
    }

    async fn fetch(&self) -> Result<(Secret, Duration)> {
        let scope = self.client.scope.as_deref().unwrap_or(SCOPE);
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.client.client_id)
            .append_pair("client_secret", self.client.client_secret.expose())
            .append_pair("scope", scope)
            .finish();
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, kind);
        let answer = self.wire.send(Method::POST, self.url.clone(), headers, Some(form.into()));
        let answer = answer.await.map_err(|e| e.into_error(Effect::Read, TOKEN))?;
        if answer.status != 200 {
            return Err(refused(&self.url, answer.status, &answer.body));
        }
        let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let token = json.get("access_token").and_then(Value::as_str).ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, format!("{TOKEN}: the answer holds no access_token"))
        })?;
        let lasts = json.get("expires_in").and_then(Value::as_u64);
        Ok((Secret::new(token), lasts.map_or(TOKEN_TIME, Duration::from_secs)))
    }
}

/// Why no token was given. Source: RFC 6749 §5.2, whose model is not that of the catalog: a wrong secret
/// is 400 or 401 with `invalid_client`.
fn refused(issuer: &Url, status: u16, body: &[u8]) -> Error {
    let by_catalog = Refusal::read(status, body).error(Effect::Read, TOKEN, ErrorKind::Conflict);
    if !matches!(status, 400 | 401 | 403) {
        return by_catalog;
    }
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| json.get(key).and_then(Value::as_str);
    let why = match (text("error"), text("error_description")) {
        (Some(code), why) => {
            let said: String = [code, why.unwrap_or_default()].join(" ");
            let said: String = said.trim_end().chars().take(SAID_CHARS_MAX).collect();
            let issuer = issuer.origin().ascii_serialization();
            format!("{TOKEN}: {issuer} answers with status {status}: {said}")
        }
        (None, _) => by_catalog.message().to_owned(),
    };
    let hint = "check client_id, client_secret, scope and token_uri of the catalog's configuration";
    Error::new(ErrorKind::PermissionDenied, format!("{why}; {hint}"))
}

fn bear(headers: &mut HeaderMap, token: &Secret) -> Result<()> {
    let (_, value) = header("authorization", &format!("Bearer {}", token.expose()))?;
    headers.insert(AUTHORIZATION, value);
    Ok(())
}

/// Signs as `object_store` signs for S3.
fn sign(
    keys: &SigV4,
    method: &Method,
    url: &Url,
    headers: &mut HeaderMap,
    body: Option<&Bytes>,
) -> Result<()> {
    let credential = AwsCredential {
        key_id: keys.access_key_id.clone(),
        secret_key: keys.secret_access_key.expose().to_owned(),
        token: keys.session_token.as_ref().map(|token| token.expose().to_owned()),
    };
    let body = body.cloned().unwrap_or_default();
    let mut request = HttpRequest::new(body.into());
    *request.method_mut() = method.clone();
    *request.uri_mut() = url.as_str().parse().map_err(|e| {
        Error::new(ErrorKind::InvalidArgument, "the catalog's address cannot be signed")
            .with_source(e)
    })?;
    std::mem::swap(request.headers_mut(), headers);
    AwsAuthorizer::new(&credential, &keys.service, &keys.region).authorize(&mut request, None);
    std::mem::swap(request.headers_mut(), headers);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_client_is_told_what_the_issuer_says_and_what_to_check() {
        let issuer = Url::parse("https://catalog.example/v1/oauth/tokens").unwrap();
        let told = |status, body: &str| refused(&issuer, status, body.as_bytes());
        let body = r#"{"error": "invalid_client", "error_description": "unknown client"}"#;
        let e = told(401, body);
        assert_eq!(e.kind(), ErrorKind::PermissionDenied);
        assert_eq!(
            e.message(),
            "a token for the catalog: https://catalog.example answers with status 401: \
             invalid_client unknown client; check client_id, client_secret, scope and token_uri of the \
             catalog's configuration"
        );
        assert!(
            told(400, r#"{"error": "invalid_scope"}"#).message().contains("invalid_scope; check")
        );
        let of_catalog =
            r#"{"error": {"message": "no", "type": "NotAuthorizedException", "code": 401}}"#;
        assert!(told(401, of_catalog).message().contains("status 401: no; check client_id"));
        assert_eq!(told(503, "").kind(), ErrorKind::Unavailable);
    }
}
