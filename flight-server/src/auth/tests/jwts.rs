//! Tokens of an identity provider.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datafusion::common::runtime::SpawnedTask;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tonic::Code;

use super::{header, open, peer, refused};
use crate::auth::authenticator::Authenticator;
use crate::auth::jwks::Jwks;
use crate::auth::jwt_key::parse_set;

/// Made once with `openssl genrsa 2048`, whose private key is gone, and the token that it signed:
/// RS256, valid until 2100.
const RSA_PUBLIC: &str = include_str!("rsa.pub.pem");
const RSA_TOKEN: &str = include_str!("rsa.token");

const REFUSAL: &str = "the bearer token is not valid, or no longer";

struct Issuer {
    directory: tempfile::TempDir,
    ec: KeyPair,
    ed: KeyPair,
}

impl Issuer {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ec = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let ed = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        for (name, pem) in [
            ("ec.pem", ec.public_key_pem()),
            ("ed.pem", ed.public_key_pem()),
            ("rsa.pem", RSA_PUBLIC.to_owned()),
        ] {
            std::fs::write(directory.path().join(name), pem).unwrap();
        }
        Self { directory, ec, ed }
    }

    fn open(&self, more: &str) -> Authenticator {
        let keys = "public_keys = [\"$/ec.pem\", \"$/ed.pem\", \"$/rsa.pem\"]";
        self.open_with(keys, more)
    }

    fn open_with(&self, keys: &str, more: &str) -> Authenticator {
        let text = format!(
            "[auth]\ndefault_role = \"reader\"\n[auth.jwt]\nissuer = \"https://id.example\"\naudience = [\"fjord\", \"lake\"]\n{keys}\n{more}"
        );
        open(self.directory.path(), &text)
    }

    fn sign(&self, header: &Header, claims: &Value) -> String {
        let key = match header.alg {
            Algorithm::ES256 => EncodingKey::from_ec_pem(self.ec.serialize_pem().as_bytes()),
            _ => EncodingKey::from_ed_pem(self.ed.serialize_pem().as_bytes()),
        };
        encode(header, claims, &key.unwrap()).unwrap()
    }
}

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

fn claims() -> Value {
    json!({"iss": "https://id.example", "aud": "fjord", "sub": "ada", "exp": now() + 600})
}

fn changed(key: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[key] = value;
    claims
}

fn without(key: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(key);
    claims
}

async fn try_token(auth: &Authenticator, token: &str) -> Result<String, tonic::Status> {
    let identity = auth.authenticate(&header(&format!("Bearer {token}")), &peer(1)).await?;
    Ok(format!("{} admin={}", identity.user, identity.is_admin))
}

#[tokio::test]
async fn adbc_02_tokens_signed_by_the_issuer_are_believed() {
    let issuer = Issuer::new();
    let auth = issuer.open("");
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA] {
        for claims in [
            claims(),
            changed("aud", json!(["other", "lake"])),
            changed("nbf", json!(now() + 30)),
            changed("exp", json!(now() - 30)),
        ] {
            let token = issuer.sign(&Header::new(algorithm), &claims);
            assert_eq!(try_token(&auth, &token).await.unwrap(), "ada admin=false", "{claims}");
        }
    }
    assert_eq!(try_token(&auth, RSA_TOKEN.trim()).await.unwrap(), "rsa-user admin=false");
    // A handshake with it gives a token of ours.
    let bearer = format!("Bearer {}", issuer.sign(&Header::new(Algorithm::ES256), &claims()));
    let granted = auth.handshake(&header(&bearer), &peer(1)).await.unwrap();
    let ours = header(granted.authorization.to_str().unwrap());
    assert_eq!(&*auth.authenticate(&ours, &peer(1)).await.unwrap().user, "ada");
    let twice = [header(&bearer), header(&bearer)];
    let one = auth.authenticate(&twice[0], &peer(1)).await.unwrap().token;
    assert!(one.is_some() && one == auth.authenticate(&twice[1], &peer(2)).await.unwrap().token);
}

#[tokio::test]
async fn h1_every_other_token_is_refused_in_the_same_words() {
    let issuer = Issuer::new();
    let auth = issuer.open("");
    let es256 = Header::new(Algorithm::ES256);
    let mut bad: Vec<String> = [
        changed("exp", json!(now() - 120)),
        changed("exp", json!("never")),
        changed("nbf", json!(now() + 120)),
        changed("iss", json!("https://id.example.evil")),
        changed("aud", json!("else")),
        changed("aud", json!([])),
        changed("sub", json!("")),
        changed("sub", json!(7)),
        changed("sub", json!("a\nb")),
        changed("sub", json!("x".repeat(300))),
        without("exp"),
        without("iss"),
        without("aud"),
        without("sub"),
        json!([]),
    ]
    .iter()
    .map(|claims| issuer.sign(&es256, claims))
    .collect();
    let good = issuer.sign(&es256, &claims());
    let payload = good.split('.').nth(1).unwrap();
    let encoded = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    for alg in ["none", "None", "NONE", "", "HS256", "ES384", "RS256", "EdDSA"] {
        let header = encoded(json!({"alg": alg, "typ": "JWT"}));
        bad.push(format!("{header}.{payload}."));
        bad.push(format!("{header}.{payload}.{}", good.rsplit('.').next().unwrap()));
    }
    // The public key as the secret of a symmetric signature.
    for pem in ["ec.pem", "ed.pem", "rsa.pem"] {
        let pem = std::fs::read(issuer.directory.path().join(pem)).unwrap();
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let key = EncodingKey::from_secret(&pem);
            bad.push(encode(&Header::new(algorithm), &claims(), &key).unwrap());
        }
    }
    // Keys that the token itself brings, or wants to be looked for.
    let other = Issuer::new();
    let mut named = Header::new(Algorithm::ES256);
    named.jku = Some("http://127.0.0.1:1/keys".to_owned());
    named.kid = Some("../../../../dev/null".to_owned());
    bad.push(other.sign(&named, &claims()));
    let critical = encoded(json!({"alg": "ES256", "crit": ["x"], "x": 1}));
    bad.push(format!("{critical}.{payload}.{}", good.rsplit('.').next().unwrap()));
    bad.push(other.sign(&es256, &claims()));
    bad.extend(["", ".", "..", "...", "a.b.c", "x", "eyJ.eyJ.x"].map(str::to_owned));
    bad.push("x".repeat(16_000));
    for cut in (0..good.len()).step_by(7) {
        bad.push(good[..cut].to_owned());
        let mut flipped = good.clone().into_bytes();
        flipped[cut] = if flipped[cut] == b'A' { b'B' } else { b'A' };
        bad.push(String::from_utf8(flipped).unwrap());
    }
    for token in bad {
        if token.is_empty() {
            continue;
        }
        let status = try_token(&auth, &token).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unauthenticated, REFUSAL), "{token}");
    }
    assert!(try_token(&auth, &good).await.is_ok());
    let eddsa_only = issuer.open("algorithms = [\"EdDSA\"]");
    assert_eq!(refused(try_token(&eddsa_only, &good).await, Code::Unauthenticated), REFUSAL);
}

#[tokio::test]
async fn roles_come_from_the_claim_and_from_the_users_section() {
    let issuer = Issuer::new();
    let more = "principal_claim = \"email\"\nroles_claim = \"realm.roles\"\n[auth.jwt.roles]\nbosses = \"admin\"\nstaff = \"reader\"\n[user.\"root@id.example\"]\nrole = \"admin\"";
    let auth = issuer.open(more);
    for (email, roles, expected) in [
        ("a@id.example", json!({"roles": ["staff", "bosses"]}), "a@id.example admin=true"),
        ("a@id.example", json!({"roles": ["staff"]}), "a@id.example admin=false"),
        ("a@id.example", json!({"roles": "x staff bosses"}), "a@id.example admin=true"),
        ("a@id.example", json!({"roles": ["admin", 7, null]}), "a@id.example admin=false"),
        ("a@id.example", json!("bosses"), "a@id.example admin=false"),
        ("root@id.example", json!({}), "root@id.example admin=true"),
    ] {
        let mut claims = changed("realm", roles);
        claims["email"] = json!(email);
        let token = issuer.sign(&Header::new(Algorithm::EdDSA), &claims);
        assert_eq!(try_token(&auth, &token).await.unwrap(), expected, "{claims}");
    }
}

/// Serves whatever `body` gives, and counts.
async fn serve(
    body: impl Fn(usize) -> Vec<u8> + Send + 'static,
) -> (String, Arc<AtomicUsize>, SpawnedTask<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let task = SpawnedTask::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _read = stream.read(&mut [0; 4096]).await;
            let body = body(counted.fetch_add(1, Ordering::SeqCst));
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _written = stream.write_all(head.as_bytes()).await;
            let _written = stream.write_all(&body).await;
        }
    });
    (url, count, task)
}

fn ed_jwk(key: &KeyPair, id: &str) -> Value {
    let x = URL_SAFE_NO_PAD.encode(key.public_key_raw());
    json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": id, "x": x})
}

fn named(id: &str) -> Header {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(id.to_owned());
    header
}

#[tokio::test]
async fn a_key_set_is_fetched_once_and_again_for_a_new_key_but_not_for_every_token() {
    let (first, second) = (Issuer::new(), Issuer::new());
    let (one, two) = (ed_jwk(&first.ed, "one"), ed_jwk(&second.ed, "two"));
    let unknown = json!({"kty": "new-kind", "kid": "three"});
    let (url, count, _server) = serve(move |n| {
        let keys = if n == 0 { json!([unknown, one]) } else { json!([two]) };
        json!({ "keys": keys }).to_string().into_bytes()
    })
    .await;
    let auth = first.open_with(&format!("jwks_url = \"{url}\""), "");
    for _ in 0..20 {
        let token = first.sign(&named("one"), &claims());
        assert_eq!(try_token(&auth, &token).await.unwrap(), "ada admin=false");
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // A flood of unknown keys asks nobody for a while.
    for i in 0..100 {
        let token = second.sign(&named(&format!("unknown{i}")), &claims());
        assert_eq!(refused(try_token(&auth, &token).await, Code::Unauthenticated), REFUSAL);
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    auth.jwt().let_time_pass();
    let rotated = second.sign(&named("two"), &claims());
    assert_eq!(try_token(&auth, &rotated).await.unwrap(), "ada admin=false");
    assert_eq!(count.load(Ordering::SeqCst), 2);
    let old = first.sign(&named("one"), &claims());
    assert_eq!(refused(try_token(&auth, &old).await, Code::Unauthenticated), REFUSAL);
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_is_unavailable_and_keys_that_are_known_go_on() {
    let issuer = Issuer::new();
    let token = issuer.sign(&named("one"), &claims());
    let nowhere = issuer.open_with("jwks_url = \"http://127.0.0.1:1/keys\"", "");
    let text = refused(try_token(&nowhere, &token).await, Code::Unavailable);
    assert!(text.contains("identity provider"), "{text}");
    let keys = json!({ "keys": [ed_jwk(&issuer.ed, "one")] }).to_string().into_bytes();
    let (url, count, _server) =
        serve(move |n| if n == 0 { keys.clone() } else { b"broken".to_vec() }).await;
    let auth = issuer.open_with(&format!("jwks_url = \"{url}\""), "");
    try_token(&auth, &token).await.unwrap();
    auth.jwt().let_time_pass();
    refused(try_token(&auth, &issuer.sign(&named("two"), &claims())).await, Code::Unauthenticated);
    assert_eq!(count.load(Ordering::SeqCst), 2);
    try_token(&auth, &token).await.unwrap();
}

#[tokio::test]
async fn a_key_set_without_end_or_sense_is_no_key_set() {
    for body in
        [vec![b' '; 3 << 20], b"[]".to_vec(), b"{\"keys\":7}".to_vec(), b"{\"keys\":[]}".to_vec()]
    {
        let (url, _, _server) = serve(move |_| body.clone()).await;
        let jwks = Jwks::new(url.parse().unwrap()).unwrap();
        assert!(jwks.keys(None).await.is_none());
    }
}

#[test]
fn symmetric_and_foreign_keys_of_a_set_are_left_out() {
    let issuer = Issuer::new();
    let good = ed_jwk(&issuer.ed, "good");
    let mut encryption = good.clone();
    encryption["use"] = json!("enc");
    let mut other_algorithm = good.clone();
    other_algorithm["alg"] = json!("RS256");
    let symmetric = json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "s"});
    let p384 = json!({"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "kid": "p"});
    let rs512 = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "alg": "RS512", "kid": "r"});
    let all = [encryption, other_algorithm, symmetric, p384, rs512];
    let set = |keys: &[Value]| json!({ "keys": keys }).to_string().into_bytes();
    assert!(parse_set(&set(&all)).is_err());
    let mixed = parse_set(&set(&[all.to_vec(), vec![good]].concat())).unwrap();
    assert_eq!(mixed.len(), 1);
}
