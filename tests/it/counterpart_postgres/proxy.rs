//! Something between a client and PostgreSQL that loses messages at the worst moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What happens to COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It never arrives, and the connection ends.
    RequestLost,
    /// The same, and nobody can connect any more.
    RequestLostAndGone,
    /// It is carried out; the connection ends instead of the answer.
    AnswerLost,
    /// The same, and nobody can connect any more.
    AnswerLostAndGone,
}

/// Listens on a port of its own until dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) port: u16,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct State {
    /// The fault of the next COMMIT.
    fault: std::sync::Mutex<Option<Fault>>,
    /// COMMITs that have met one.
    met: AtomicU32,
    /// Whether connections end and are turned away.
    is_gone: AtomicBool,
    /// Whether a connection that loads a table is never heard of again.
    is_muting: AtomicBool,
    /// Whether messages get through in neither direction.
    is_silent: AtomicBool,
}

impl Proxy {
    pub(super) async fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (port, state) = (listener.local_addr().unwrap().port(), Arc::new(State::default()));
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&state);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if shared.is_gone.load(Ordering::SeqCst) {
                    continue;
                }
                let server = TcpStream::connect(("127.0.0.1", upstream)).await.unwrap();
                connections.spawn(carry(client, server, Arc::clone(&shared)));
            }
        });
        Self { port, state, _tasks: tasks }
    }

    pub(super) fn set(&self, fault: Fault) {
        *self.state.fault.lock().unwrap() = Some(fault);
    }

    pub(super) fn met(&self) -> u32 {
        self.state.met.load(Ordering::SeqCst)
    }

    /// Ends all connections and turns new ones away, or lets them in again.
    pub(super) fn set_gone(&self, is_gone: bool) {
        self.state.is_gone.store(is_gone, Ordering::SeqCst);
    }

    /// Makes every connection that loads a table for its first time a silent one, or no other.
    pub(super) fn set_muting(&self, is_muting: bool) {
        self.state.is_muting.store(is_muting, Ordering::SeqCst);
    }

    /// Lets nothing through, as a host behind a cut cable.
    pub(super) fn fall_silent(&self) {
        self.state.is_silent.store(true, Ordering::SeqCst);
    }
}

/// Carries bytes both ways until either side ends or a fault does it.
async fn carry(mut client: TcpStream, mut server: TcpStream, state: Arc<State>) {
    let (mut up, mut down) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(n @ 1..) = read else { return };
                let message = &up[..n];
                quiet(&state).await;
                if state.is_muting.load(Ordering::SeqCst) && has(message, b"SELECT metadata_location") {
                    return std::future::pending().await;
                }
                let fault = has(message, b"COMMIT\0")
                    .then(|| state.fault.lock().unwrap().take()).flatten();
                let Some(fault) = fault else {
                    if server.write_all(message).await.is_err() { return }
                    continue;
                };
                state.met.fetch_add(1, Ordering::SeqCst);
                if matches!(fault, Fault::AnswerLost | Fault::AnswerLostAndGone) {
                    server.write_all(message).await.unwrap();
                    // Its answer: from here on it is certain.
                    let _answer = server.read(&mut down).await.unwrap();
                }
                let goes = matches!(fault, Fault::RequestLostAndGone | Fault::AnswerLostAndGone);
                state.is_gone.fetch_or(goes, Ordering::SeqCst);
                return;
            }
            () = gone(&state) => return,
            read = server.read(&mut down) => {
                let Ok(n @ 1..) = read else { return };
                quiet(&state).await;
                if client.write_all(&down[..n]).await.is_err() { return }
            }
        }
    }
}

async fn quiet(state: &State) {
    while state.is_silent.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn has(message: &[u8], part: &[u8]) -> bool {
    message.windows(part.len()).any(|window| window == part)
}

/// Returns when connections are to end.
async fn gone(state: &State) {
    while !state.is_gone.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
