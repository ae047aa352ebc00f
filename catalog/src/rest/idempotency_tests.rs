//! Changes that are sent again: with the same key where the server knows what to do with it, else never.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Rest, RestOptions};
use crate::metastore::Metastore;
use crate::name::Namespace;
use crate::storage::Storage;

/// A request's method, path and key.
type Seen = (String, String, Option<String>);

/// Answers as a server that has no schema; of the changes the first `failing` ones with 503.
struct Server {
    uri: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _serving: JoinSet<()>,
}

impl Server {
    async fn start(config: Value, failing: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let mut serving = JoinSet::new();
        let noted = Arc::clone(&seen);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(serve(connection, Arc::clone(&noted), config.clone(), failing));
            }
        });
        Self { uri, seen, _serving: serving }
    }

    fn keys(&self) -> Vec<Option<String>> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(method, ..)| method == "POST").map(|(.., key)| key.clone()).collect()
    }
}

async fn serve(
    mut connection: TcpStream,
    seen: Arc<Mutex<Vec<Seen>>>,
    config: Value,
    failing: usize,
) {
    let mut bytes = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break String::from_utf8(bytes[..end].to_vec()).unwrap();
            }
            let mut more = [0; 4096];
            match connection.read(&mut more).await {
                Ok(0) | Err(_) => return,
                Ok(n) => bytes.extend_from_slice(&more[..n]),
            }
        };
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(':'));
            let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
            found.next().map(|(_, value)| value.trim().to_owned())
        };
        let length: usize = header("content-length").map_or(0, |n| n.parse().unwrap());
        let whole = head.len() + 4 + length;
        while bytes.len() < whole {
            let mut more = [0; 4096];
            let n = connection.read(&mut more).await.unwrap();
            bytes.extend_from_slice(&more[..n]);
        }
        bytes.drain(..whole);
        let mut words = head.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let changes = {
            let mut seen = seen.lock().unwrap();
            seen.push((method.clone(), path.clone(), header("idempotency-key")));
            seen.iter().filter(|(method, ..)| method == "POST").count()
        };
        let (status, body) = match (method.as_str(), path.contains("/config")) {
            ("GET", true) => (200, config.clone()),
            ("GET", false) => (200, json!({"namespaces": []})),
            _ if changes <= failing => {
                (503, json!({"error": {"message": "later", "type": "x", "code": 503}}))
            }
            _ => (200, json!({})),
        };
        let body = body.to_string();
        let answer = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.write_all(answer.as_bytes()).await.unwrap();
    }
}

async fn create(server: &Server, name: &str) -> crate::error::Result<()> {
    let rest = Rest::try_new(RestOptions::new(server.uri.clone(), Storage::local())).unwrap();
    rest.create_namespace(&Namespace::parse(name).unwrap(), BTreeMap::new()).await
}

#[tokio::test]
async fn a_change_is_repeated_with_its_own_key_where_the_server_takes_keys() {
    let server = Server::start(json!({"idempotency-key-lifetime": "PT30M"}), 2).await;
    create(&server, "a").await.unwrap();
    create(&server, "b").await.unwrap();
    let keys: Vec<Uuid> =
        server.keys().into_iter().map(|key| key.unwrap().parse().unwrap()).collect();
    assert_eq!(keys.len(), 4, "three attempts at the first, one at the second");
    assert!(keys[0] == keys[1] && keys[1] == keys[2] && keys[2] != keys[3], "{keys:?}");
    assert!(keys.iter().all(|key| key.get_version_num() == 7));
    let seen = server.seen.lock().unwrap();
    assert!(seen.iter().all(|(method, _, key)| (method == "POST") == key.is_some()), "{seen:?}");
}

#[tokio::test]
async fn a_change_is_sent_once_where_the_server_takes_no_keys() {
    let server = Server::start(json!({}), 2).await;
    create(&server, "a").await.unwrap_err();
    assert_eq!(server.keys(), [None]);
}
