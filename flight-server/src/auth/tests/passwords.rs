//! Logins with user and password.

use std::time::{Duration, Instant};

use futures::future::join_all;
use tonic::Code;
use tonic::metadata::MetadataMap;

use super::{basic, open, peer, refused};
use crate::auth::authenticator::Authenticator;

const USERS: &str =
    "[auth]\npasswords = \"$/users\"\n[user.ada]\nrole = \"admin\"\n[user.bob]\nrole = \"reader\"";

struct Fixture {
    directory: tempfile::TempDir,
    auth: Authenticator,
}

fn line(user: &str, password: &str) -> String {
    format!("{user}:{}\n", bcrypt::hash(password, 8).unwrap())
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let lines = [line("ada", "pass:word"), line("bob", "b"), line("nobody", "n")].concat();
    std::fs::write(directory.path().join("users"), lines).unwrap();
    let auth = open(directory.path(), USERS);
    Fixture { directory, auth }
}

#[tokio::test]
async fn adbc_01_a_password_lets_its_user_in_with_their_role() {
    let f = fixture();
    let ada = f.auth.authenticate(&basic("ada", "pass:word"), &peer(1)).await.unwrap();
    assert!(&*ada.user == "ada" && ada.is_admin && ada.token.is_none());
    let bob = f.auth.authenticate(&basic("bob", "b"), &peer(1)).await.unwrap();
    assert!(!bob.is_admin);
    let text =
        refused(f.auth.authenticate(&basic("nobody", "n"), &peer(1)).await, Code::PermissionDenied);
    assert!(text.contains("[user.NAME] or auth.default_role"), "{text}");
}

#[tokio::test]
async fn h2_wrong_password_and_unknown_user_are_told_apart_by_nothing() {
    let f = fixture();
    let mut texts = Vec::new();
    for (i, (user, password)) in
        [("ada", "canary"), ("ada", "pass:wor"), ("mallory", "canary"), ("bob", "pass:word")]
            .iter()
            .enumerate()
    {
        let outcome = f.auth.authenticate(&basic(user, password), &peer(i as u8)).await;
        texts.push(refused(outcome, Code::Unauthenticated));
    }
    texts.dedup();
    assert_eq!(texts, ["wrong user or password"]);
    let text =
        refused(f.auth.authenticate(&MetadataMap::new(), &peer(1)).await, Code::Unauthenticated);
    assert_eq!(text, "nothing says who you are: send user and password or a bearer token");
    let text =
        refused(f.auth.authenticate(&basic("ada", ""), &peer(1)).await, Code::Unauthenticated);
    assert!(text.contains("the password is empty"), "{text}");
}

#[tokio::test]
async fn h2_nobody_unknown_comes_in_with_the_password_of_somebody_known() {
    let f = fixture();
    for i in 0..20 {
        for password in ["pass:word", "b", "n"] {
            let outcome = f.auth.authenticate(&basic(&format!("m{i}"), password), &peer(i)).await;
            refused(outcome, Code::Unauthenticated);
        }
    }
}

#[tokio::test]
async fn h2_known_and_unknown_users_take_the_same_time() {
    let f = fixture();
    // The quickest of several, taken in turns: what the machine does besides must not count.
    let mut quickest = [Duration::MAX; 2];
    for i in 0..9 {
        for (user, quickest) in ["ada", "mallory"].into_iter().zip(&mut quickest) {
            let start = Instant::now();
            let wrong = f.auth.authenticate(&basic(user, &format!("wrong{i}")), &peer(i)).await;
            refused(wrong, Code::Unauthenticated);
            *quickest = start.elapsed().min(*quickest);
        }
    }
    let (least, most) = (quickest[0].min(quickest[1]), quickest[0].max(quickest[1]));
    // Without the decoy the one would be a hundred times the other.
    assert!(most < least * 3 && least > Duration::from_millis(2), "{quickest:?}");
}

#[tokio::test]
async fn h2_guesses_are_bounded_and_cost_no_hash_once_they_are() {
    let f = fixture();
    let guesses = (0..300).map(|i| {
        let auth = &f.auth;
        async move { auth.authenticate(&basic("ada", &format!("guess{i}")), &peer(1)).await }
    });
    let start = Instant::now();
    let outcomes = join_all(guesses).await;
    let count = |code: Code| {
        outcomes.iter().filter(|o| o.as_ref().is_err_and(|s| s.code() == code)).count()
    };
    assert_eq!(count(Code::Unauthenticated), 10);
    assert_eq!(count(Code::ResourceExhausted), 290);
    // Held up there, let in elsewhere.
    let right = basic("ada", "pass:word");
    let text = refused(f.auth.authenticate(&right, &peer(1)).await, Code::ResourceExhausted);
    assert!(text.contains("try again in"), "{text}");
    f.auth.authenticate(&right, &peer(2)).await.unwrap();
    // Nor is the password let in there that was right elsewhere a moment ago: whether it is would
    // tell a guess that is right from one that is wrong, as often as somebody asks.
    refused(f.auth.authenticate(&right, &peer(1)).await, Code::ResourceExhausted);
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_password_with_every_call_costs_one_hash_and_many_at_once_are_one() {
    let f = fixture();
    let right = basic("ada", "pass:word");
    let start = Instant::now();
    f.auth.authenticate(&right, &peer(1)).await.unwrap();
    let one = start.elapsed();
    let fresh = fixture();
    let start = Instant::now();
    let from = peer(1);
    let calls = (0..200).map(|_| fresh.auth.authenticate(&right, &from));
    let fresh_outcomes = join_all(calls).await;
    assert!(fresh_outcomes.iter().all(Result::is_ok));
    for _ in 0..200 {
        fresh.auth.authenticate(&right, &peer(1)).await.unwrap();
    }
    assert!(start.elapsed() < one * 50, "{:?} and {one:?}", start.elapsed());
}

#[tokio::test]
async fn a_changed_password_ends_the_old_one_at_once_and_what_was_remembered_of_it() {
    let f = fixture();
    let old = basic("ada", "pass:word");
    f.auth.authenticate(&old, &peer(1)).await.unwrap();
    std::fs::write(f.directory.path().join("users"), line("ada", "new")).unwrap();
    f.auth.login().reload_now();
    refused(f.auth.authenticate(&old, &peer(1)).await, Code::Unauthenticated);
    f.auth.authenticate(&basic("ada", "new"), &peer(1)).await.unwrap();
    refused(f.auth.authenticate(&basic("bob", "b"), &peer(1)).await, Code::Unauthenticated);
}

#[tokio::test]
async fn the_default_role_is_for_those_without_a_section() {
    let f = fixture();
    let text = "[auth]\npasswords = \"$/users\"\ndefault_role = \"reader\"";
    let auth = open(f.directory.path(), text);
    let nobody = auth.authenticate(&basic("nobody", "n"), &peer(1)).await.unwrap();
    assert!(!nobody.is_admin);
}

#[test]
fn j1_nothing_of_a_password_is_shown() {
    let f = fixture();
    let shown = format!("{:?}", f.auth);
    assert!(!shown.contains("pass:word") && !shown.contains("$2b$"), "{shown}");
}
