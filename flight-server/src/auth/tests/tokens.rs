//! Handshakes, and the tokens that they give.

use tonic::Code;
use tonic::metadata::MetadataMap;

use super::{basic, header, open, peer, refused};
use crate::auth::authenticator::{Authenticator, Granted};
use crate::tls::Peer;

fn with(granted: &Granted) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    metadata.insert("authorization", granted.authorization.clone());
    metadata
}

fn fixture() -> (tempfile::TempDir, Authenticator) {
    let directory = tempfile::tempdir().unwrap();
    let line = format!("ada:{}", bcrypt::hash("x", 8).unwrap());
    std::fs::write(directory.path().join("users"), line).unwrap();
    let text = "[auth]\npasswords = \"$/users\"\ndefault_role = \"reader\"";
    let auth = open(directory.path(), text);
    (directory, auth)
}

#[tokio::test]
async fn adbc_01_every_handshake_gives_a_token_of_its_own_that_every_call_may_bring() {
    let (_directory, auth) = fixture();
    let one = auth.handshake(&basic("ada", "x"), &peer(1)).await.unwrap();
    let two = auth.handshake(&basic("ada", "x"), &peer(1)).await.unwrap();
    assert_ne!(one.authorization, two.authorization);
    assert_ne!(one.identity.token, two.identity.token);
    assert!(one.authorization.is_sensitive());
    // From another address too: tokens belong to users.
    let found = auth.authenticate(&with(&one), &peer(2)).await.unwrap();
    assert_eq!((found.token, &*found.user), (one.identity.token, "ada"));
    assert!(!format!("{one:?} {auth:?}").contains(&one.authorization.to_str().unwrap()[13..]));
}

#[tokio::test]
async fn jdbc_02_a_handshake_takes_a_bearer_token_as_well() {
    let (_directory, auth) = fixture();
    let one = auth.handshake(&basic("ada", "x"), &peer(1)).await.unwrap();
    let two = auth.handshake(&with(&one), &peer(1)).await.unwrap();
    assert_ne!(one.authorization, two.authorization);
    auth.forget(one.identity.token.unwrap());
    let text = refused(auth.authenticate(&with(&one), &peer(1)).await, Code::Unauthenticated);
    assert_eq!(text, "the session has ended: log in again");
    auth.authenticate(&with(&two), &peer(1)).await.unwrap();
    for forged in ["fjord_", "fjord_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "a.b.c", "x"] {
        let outcome = auth.authenticate(&header(&format!("Bearer {forged}")), &peer(1)).await;
        refused(outcome, Code::Unauthenticated);
    }
    refused(auth.handshake(&basic("ada", "y"), &peer(1)).await, Code::Unauthenticated);
}

#[tokio::test]
async fn h5_a_token_ends_with_the_password_that_it_was_given_for() {
    let (directory, auth) = fixture();
    let granted = auth.handshake(&basic("ada", "x"), &peer(1)).await.unwrap();
    auth.authenticate(&with(&granted), &peer(1)).await.unwrap();
    std::fs::write(directory.path().join("users"), "# nobody").unwrap();
    auth.login().reload_now();
    refused(auth.authenticate(&with(&granted), &peer(1)).await, Code::Unauthenticated);
}

#[tokio::test]
async fn adbc_03_where_nobody_has_to_say_who_they_are_sessions_are_still_told_apart() {
    let auth = open(std::path::Path::new("/"), "");
    assert!(!auth.is_on());
    for metadata in [
        MetadataMap::new(),
        basic("who", "ever"),
        basic("who", ""),
        header("Bearer fjord_of_a_server_before"),
        header("nonsense"),
    ] {
        let identity = auth.authenticate(&metadata, &Peer::default()).await.unwrap();
        assert!(&*identity.user == "anonymous" && identity.is_admin && identity.token.is_none());
    }
    let one = auth.handshake(&basic("who", "ever"), &peer(1)).await.unwrap();
    let two = auth.handshake(&MetadataMap::new(), &peer(1)).await.unwrap();
    assert_ne!(one.identity.token, two.identity.token);
    let found = auth.authenticate(&with(&one), &peer(1)).await.unwrap();
    assert_eq!(found.token, one.identity.token);
}
