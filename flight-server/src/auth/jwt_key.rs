//! An issuer's public keys, each for one algorithm.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};

/// Keys of one issuer.
pub(super) const KEYS_MAX: usize = 64;
/// The largest PEM file.
const PEM_BYTES_MAX: u64 = 64 << 10;

/// A public key and the only algorithm that it verifies.
#[derive(Clone)]
pub(super) struct JwtKey {
    /// The `kid` by which tokens name it; `None`: it is tried for every token.
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl JwtKey {
    /// Reads a public key in PEM. Blocks.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let named = || format!("public key {:?}", path.display());
        let bytes = std::fs::metadata(path).with_context(named)?.len();
        ensure!(
            bytes <= PEM_BYTES_MAX,
            "{} has {bytes} bytes; at most {PEM_BYTES_MAX} are read",
            named()
        );
        let pem = std::fs::read(path).with_context(named)?;
        let known = [
            (Algorithm::RS256, DecodingKey::from_rsa_pem(&pem)),
            (Algorithm::ES256, DecodingKey::from_ec_pem(&pem)),
            (Algorithm::EdDSA, DecodingKey::from_ed_pem(&pem)),
        ];
        for (algorithm, key) in known {
            if let Ok(key) = key {
                return Ok(Self { id: None, algorithm, key });
            }
        }
        bail!("{} is not a public key in PEM of RSA, P-256 or Ed25519", named())
    }

    /// A key of a key set; `None` for what is not meant for signatures that are accepted.
    pub(super) fn of(jwk: &Jwk) -> Option<Self> {
        let (algorithm, declared) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(curve) if curve.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            // A symmetric key verifies what anybody who sees it can forge.
            _ => return None,
        };
        let is_for_signing =
            matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
        let is_declared = jwk.common.key_algorithm.is_none_or(|found| found == declared);
        if !is_for_signing || !is_declared {
            return None;
        }
        let key = DecodingKey::from_jwk(jwk).ok()?;
        Some(Self { id: jwk.common.key_id.clone(), algorithm, key })
    }
}

/// The usable keys of a key set as its issuer publishes it; others in it are left out.
pub(super) fn parse_set(bytes: &[u8]) -> Result<Vec<JwtKey>> {
    let set: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|_| anyhow::anyhow!("it is not JSON"))?;
    let Some(keys) = set.get("keys").and_then(serde_json::Value::as_array) else {
        bail!("it has no list \"keys\"")
    };
    let keys: Vec<JwtKey> = keys
        .iter()
        .take(KEYS_MAX)
        .filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok())
        .filter_map(|key| JwtKey::of(&key))
        .collect();
    ensure!(!keys.is_empty(), "it has no key for RS256, ES256 or EdDSA");
    Ok(keys)
}
