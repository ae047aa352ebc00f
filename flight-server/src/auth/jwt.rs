//! Tokens of an identity provider: signature, claims, and the roles that they bring.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::Value;
use tonic::Status;

use super::jwks::Jwks;
use super::jwt_key::JwtKey;
use crate::config::{Grant, JwtConfig, JwtKeys};

/// The longest token.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// The longest name of a user.
const USER_BYTES_MAX: usize = 256;
/// Roles of one token that are looked at.
const ROLES_MAX: usize = 10_000;

/// Verifies tokens of one issuer.
#[derive(Debug)]
pub(super) struct Jwt {
    config: JwtConfig,
    algorithms: Vec<Algorithm>,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    Fixed(Arc<Vec<JwtKey>>),
    Published(Jwks),
}

/// What a token says, once it is believed.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    pub(super) user: String,
    pub(super) grants: Vec<Grant>,
    /// When it ends.
    pub(super) expires: Instant,
}

impl Jwt {
    /// Reads public keys from files; those behind a URL are fetched at the first token. Blocks.
    pub(super) fn new(config: JwtConfig) -> Result<Self> {
        let algorithms = config.algorithms.iter().filter_map(|name| match name.as_str() {
            "RS256" => Some(Algorithm::RS256),
            "ES256" => Some(Algorithm::ES256),
            "EdDSA" => Some(Algorithm::EdDSA),
            _ => None,
        });
        let algorithms = algorithms.collect();
        let keys = match &config.keys {
            JwtKeys::Url(url) => Keys::Published(Jwks::new(url.clone())?),
            JwtKeys::Files(files) => Keys::Fixed(Arc::new(read_all(files)?)),
        };
        Ok(Self { config, algorithms, keys })
    }

    /// Believes a token, or says no more than that it is not valid: what is wrong with it would help
    /// whoever made it up.
    pub(super) async fn verify(&self, token: &str) -> Result<Verified, Status> {
        let invalid = || Status::unauthenticated("the bearer token is not valid, or no longer");
        if token.len() > TOKEN_BYTES_MAX || has_critical_header(token) {
            return Err(invalid());
        }
        let header = decode_header(token).map_err(|_| invalid())?;
        if !self.algorithms.contains(&header.alg) {
            return Err(invalid());
        }
        let id = header.kid.as_deref();
        let keys = match &self.keys {
            Keys::Fixed(keys) => Arc::clone(keys),
            Keys::Published(jwks) => jwks.keys(id).await.ok_or_else(|| {
                Status::unavailable("the keys of the identity provider cannot be had: try again")
            })?,
        };
        let validation = self.validation(header.alg);
        let fits = |key: &&JwtKey| {
            let is_named = match (&key.id, id) {
                (Some(of_key), Some(asked)) => of_key == asked,
                _ => true,
            };
            key.algorithm == header.alg && is_named
        };
        let claims = keys.iter().filter(fits).find_map(|key| {
            decode::<Value>(token, &key.key, &validation).ok().map(|decoded| decoded.claims)
        });
        claims.and_then(|claims| self.read(&claims)).ok_or_else(invalid)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.config.leeway.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_audience(&self.config.audience);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation
    }

    fn read(&self, claims: &Value) -> Option<Verified> {
        let user = claim(claims, &self.config.principal_claim)?.as_str()?;
        let is_good =
            !user.is_empty() && user.len() <= USER_BYTES_MAX && !user.contains(char::is_control);
        if !is_good {
            return None;
        }
        let left = claims.get("exp")?.as_f64()? - chrono::Utc::now().timestamp() as f64
            + self.config.leeway.as_secs_f64();
        // Beyond a year it does not matter when.
        let left = Duration::try_from_secs_f64(left.clamp(0.0, 31_536_000.0)).ok()?;
        let expires = Instant::now() + left;
        Some(Verified { user: user.to_owned(), grants: self.grants(claims), expires })
    }

    fn grants(&self, claims: &Value) -> Vec<Grant> {
        let Some(found) = self.config.roles_claim.as_ref().and_then(|name| claim(claims, name))
        else {
            return Vec::new();
        };
        let names: Vec<&str> = match found {
            Value::Array(values) => {
                values.iter().take(ROLES_MAX).filter_map(Value::as_str).collect()
            }
            // As OAuth writes scopes.
            Value::String(text) => text.split_whitespace().take(ROLES_MAX).collect(),
            _ => Vec::new(),
        };
        let mut grants: Vec<Grant> = Vec::new();
        for grant in names.into_iter().filter_map(|name| self.config.roles.get(name)) {
            if !grants.contains(grant) {
                grants.push(grant.clone());
            }
        }
        grants
    }
}

fn read_all(files: &[PathBuf]) -> Result<Vec<JwtKey>> {
    files.iter().map(|path| JwtKey::read(path)).collect()
}

/// A claim by its name, or, where dots lead into objects, by its path.
fn claim<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| name.split('.').try_fold(claims, |value, part| value.get(part)))
}

/// Whether the header demands to be understood in ways that nobody here understands (RFC 7515).
fn has_critical_header(token: &str) -> bool {
    let header = token.split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    serde_json::from_slice::<Value>(&header).is_ok_and(|header| header.get("crit").is_some())
}

#[cfg(test)]
impl Jwt {
    /// Lets the key set be asked for again.
    pub(super) fn let_time_pass(&self) {
        if let Keys::Published(jwks) = &self.keys {
            jwks.let_time_pass();
        }
    }
}
