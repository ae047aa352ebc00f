//! A proxy before PostgreSQL that ends connections where a test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What becomes of the next COMMIT; 0 stands for one that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commit {
    /// The server gets it, and its answer is lost.
    LosesAnswer = 1,
    /// The server never gets it.
    NeverArrives = 2,
}

/// It ends when dropped.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) port: u16,
    /// Bytes that each connection may bring from the server.
    pub(super) bytes_max: Arc<AtomicUsize>,
    commit: Arc<AtomicU8>,
    _server: JoinSet<()>,
}

impl Wire {
    pub(super) async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let bytes_max = Arc::new(AtomicUsize::new(usize::MAX));
        let commit = Arc::new(AtomicU8::new(0));
        let (limit, fate) = (Arc::clone(&bytes_max), Arc::clone(&commit));
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (limit, fate) = (Arc::clone(&limit), Arc::clone(&fate));
                connections.spawn(async move {
                    // A connection that breaks is what this is for.
                    let _broken = Box::pin(serve(client, port, &limit, &fate)).await;
                });
            }
        });
        Self { port: own, bytes_max, commit, _server: server }
    }

    pub(super) fn next_commit(&self, fate: Commit) {
        self.commit.store(fate as u8, Ordering::SeqCst);
    }
}

async fn serve(
    mut client: TcpStream,
    port: u16,
    limit: &AtomicUsize,
    fate: &AtomicU8,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut up, mut down) = ([0_u8; 16384], [0_u8; 16384]);
    let mut brought = 0;
    // A transaction that only reads asks for no number.
    let mut writes = false;
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let bytes = &up[..read?];
                if bytes.is_empty() {
                    return Ok(());
                }
                let holds = |text: &[u8]| bytes.windows(text.len()).any(|w| w == text);
                writes |= holds(b"pg_current_xact_id");
                let is_commit = writes && holds(b"COMMIT\0");
                let met = if is_commit { fate.swap(0, Ordering::SeqCst) } else { 0 };
                if met == Commit::NeverArrives as u8 {
                    return client.set_zero_linger();
                }
                server.write_all(bytes).await?;
                if met == Commit::LosesAnswer as u8 {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    return client.set_zero_linger();
                }
            }
            read = server.read(&mut down) => {
                let bytes = &down[..read?];
                if bytes.is_empty() {
                    return Ok(());
                }
                let left = limit.load(Ordering::SeqCst).saturating_sub(brought);
                let passed = &bytes[..bytes.len().min(left)];
                client.write_all(passed).await?;
                brought += passed.len();
                if passed.len() < bytes.len() {
                    return client.set_zero_linger();
                }
            }
        }
    }
}
