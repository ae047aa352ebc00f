//! The client against a server of a few answers: what arrives, and what is said when it does not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::TryStreamExt;

use super::address::Address;
use super::arguments::{RemoteOptions, TlsOptions};
use super::credentials::{Credentials, Secret};
use super::fake::{Fake, batch};
use super::{Received, RemoteSession, Reply};
use crate::progress::Figures;

/// `Basic ann:hunter2`.
const ANN: &str = "Basic YW5uOmh1bnRlcjI=";

fn options(address: SocketAddr) -> RemoteOptions {
    RemoteOptions {
        address: Address::parse(&format!("grpc://{address}")).unwrap(),
        credentials: Credentials::Anonymous,
        tls: TlsOptions::default(),
    }
}

fn as_user(address: SocketAddr, password: &str) -> RemoteOptions {
    let (user, password) = ("ann".to_owned(), Secret::new(password));
    RemoteOptions { credentials: Credentials::Password { user, password }, ..options(address) }
}

async fn read(session: &RemoteSession, sql: &str) -> Result<(usize, Arc<Received>), String> {
    let received = Arc::new(Received::default());
    let reply = session.run(sql, &received).await.map_err(|e| e.to_string())?;
    let Reply::Rows { rows, .. } = reply else { return Err("no rows".to_owned()) };
    let rows: Vec<_> = rows.try_collect().await.map_err(|e| e.to_string())?;
    Ok((rows.iter().map(arrow::array::RecordBatch::num_rows).sum(), received))
}

#[tokio::test]
async fn every_kind_of_statement_gets_its_answer() {
    let fake = Fake::start(None, None).await;
    let session = RemoteSession::open(&options(fake.address)).await.unwrap();
    let (rows, received) = read(&session, "rows").await.unwrap();
    assert_eq!((rows, received.rows()), (50_000, 50_000));
    assert!(received.bytes() > 400_000, "{received:?}");
    assert_eq!(received.server(), Figures { rows_read: 7, bytes_read: 8 });
    let reply = session.run("empty", &Arc::default()).await.unwrap();
    assert!(matches!(reply, Reply::Rows { schema, .. } if schema == batch(0).schema()));
    assert_eq!(read(&session, "empty").await.unwrap().0, 0);
    let reply = session.run("insert", &Arc::default()).await.unwrap();
    assert!(matches!(reply, Reply::Affected(3)));
    let reply = session.run("create", &Arc::default()).await.unwrap();
    assert!(matches!(reply, Reply::Done(text) if text == "created table a.b.c"));
    session.close().await;
    assert_eq!(*fake.seen.actions.lock().unwrap(), ["GetSessionOptions", "CloseSession"]);
    let cookies = fake.seen.cookies.lock().unwrap().clone();
    assert_eq!(cookies.first(), Some(&None));
    assert!(cookies.iter().skip(2).all(|c| c.as_deref() == Some("s=1")), "{cookies:?}");
}

#[tokio::test]
async fn a_statement_that_fails_names_its_query() {
    let fake = Fake::start(None, None).await;
    let session = RemoteSession::open(&options(fake.address)).await.unwrap();
    let error = read(&session, "refused").await.unwrap_err();
    assert_eq!(error, "column \"nope\" does not exist (query q7)");
    let error = read(&session, "fails").await.unwrap_err();
    assert_eq!(error, "division by zero (query q2)");
    let error = read(&session, "silent").await.unwrap_err();
    assert!(error.contains("does not say what the statement came to"), "{error}");
    let error = read(&session, "other").await.unwrap_err();
    assert!(error.contains("other columns than it had announced"), "{error}");
}

#[tokio::test]
async fn a_result_that_breaks_off_is_an_error_wherever_it_does() {
    let mut fake = Fake::start(None, None).await;
    let whole = 500_000;
    for bytes in [20_000, 200_000, 390_000] {
        assert!(bytes < whole);
        let way = fake.broken_after(bytes).await;
        let session = RemoteSession::open(&options(way)).await.unwrap();
        let error = read(&session, "rows").await.unwrap_err();
        assert!(error.contains("the connection to grpc://127.0.0.1:"), "{bytes}: {error}");
        assert!(error.contains("broke: ") && error.ends_with("(query q2)"), "{bytes}: {error}");
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled_on_the_server() {
    let fake = Fake::start(None, None).await;
    let session = RemoteSession::open(&options(fake.address)).await.unwrap();
    let received = Arc::default();
    let call = session.run("slow", &received);
    assert!(tokio::time::timeout(Duration::from_millis(200), call).await.is_err());
    for _ in 0..200 {
        if fake.seen.cancelled.load(Ordering::SeqCst) == 1 {
            // The session is good for the next statement.
            assert_eq!(read(&session, "rows").await.unwrap().0, 50_000);
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the server still works on it");
}

#[tokio::test]
async fn a_login_is_accepted_or_refused_in_words() {
    let fake = Fake::start(Some(ANN), None).await;
    let session = RemoteSession::open(&as_user(fake.address, "hunter2")).await.unwrap();
    assert_eq!(read(&session, "rows").await.unwrap().0, 50_000);
    assert!(!format!("{session:?}").contains("t1"), "{session:?}");

    let error = RemoteSession::open(&as_user(fake.address, "wrong")).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("does not accept the login of user \"ann\": user or"), "{text}");
    assert!(!format!("{error:?}").contains("wrong,"), "{error:?}");

    let text = RemoteSession::open(&options(fake.address)).await.unwrap_err().to_string();
    assert!(text.contains("log in with --user NAME"), "{text}");
}

#[tokio::test]
async fn nobody_listening_is_said() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let text = RemoteSession::open(&options(address)).await.unwrap_err().to_string();
    assert!(text.starts_with(&format!("nobody listens at grpc://{address} (")), "{text}");
}

struct Certificate {
    certificate: String,
    key: String,
}

fn certificate(name: &str) -> Certificate {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    Certificate { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

fn over_tls(address: SocketAddr, authority: &Certificate) -> RemoteOptions {
    let mut options = options(address);
    options.address.is_tls = true;
    options.tls.authorities = Some(authority.certificate.clone().into_bytes());
    options
}

#[tokio::test]
async fn tls_connects_where_the_certificate_is_trusted_and_names_the_server() {
    let own = certificate("127.0.0.1");
    let fake = Fake::start(None, Some((&own.certificate, &own.key))).await;
    let session = RemoteSession::open(&over_tls(fake.address, &own)).await.unwrap();
    assert_eq!(read(&session, "rows").await.unwrap().0, 50_000);

    let stranger = over_tls(fake.address, &certificate("127.0.0.1"));
    let text = RemoteSession::open(&stranger).await.unwrap_err().to_string();
    assert!(text.contains("--tls-ca FILE"), "{text}");

    let mut other_name = over_tls(fake.address, &own);
    other_name.tls.server_name = Some("lake.example".to_owned());
    let text = RemoteSession::open(&other_name).await.unwrap_err().to_string();
    assert!(text.contains("is for another name") && text.contains("--tls-server-name"), "{text}");
}

#[tokio::test]
async fn a_server_name_stands_in_for_the_host() {
    let own = certificate("lake.example");
    let fake = Fake::start(None, Some((&own.certificate, &own.key))).await;
    let mut named = over_tls(fake.address, &own);
    named.tls.server_name = Some("lake.example".to_owned());
    RemoteSession::open(&named).await.unwrap();
}

#[tokio::test]
async fn a_plain_client_of_a_tls_server_and_the_reverse_are_told_so() {
    let own = certificate("127.0.0.1");
    let secure = Fake::start(None, Some((&own.certificate, &own.key))).await;
    let text = RemoteSession::open(&options(secure.address)).await.unwrap_err().to_string();
    let expected = format!("speaks TLS only: use grpc+tls://{}", secure.address);
    assert!(text.contains(&expected), "{text}");

    let plain = Fake::start(None, None).await;
    let text = RemoteSession::open(&over_tls(plain.address, &own)).await.unwrap_err().to_string();
    let expected = format!("its plain address is grpc://{}", plain.address);
    assert!(text.contains("does not speak TLS") && text.contains(&expected), "{text}");
}
