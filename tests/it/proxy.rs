//! A reverse proxy before a real server that loses, breaks and delays chosen answers.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Answered with this status and body; the server never sees it.
    Answer(u16, &'static str),
    /// The server does it; the connection ends without an answer.
    ApplyThenHangUp,
    /// The server does it; this status comes back.
    ApplyThenAnswer(u16),
    /// No answer, and the connection stays open.
    Stall,
    /// That many bytes of the body come back, then the connection ends.
    CutBodyAfter(usize),
}

/// Which requests are met by what.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) method: &'static str,
    /// In the path and query as they are sent.
    pub(crate) contains: &'static str,
    /// Of ten requests that match, the first so many …
    pub(crate) of_ten: u64,
    /// … until that many were met.
    pub(crate) count: u64,
    pub(crate) effect: Effect,
}

impl Fault {
    /// Meets the first `count` requests.
    pub(crate) fn first(
        count: u64,
        method: &'static str,
        contains: &'static str,
        effect: Effect,
    ) -> Self {
        Self { method, contains, of_ten: 10, count, effect }
    }
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<(Fault, u64)>,
    met: usize,
    log: Vec<String>,
}

/// A running proxy; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    url: String,
    state: Arc<Mutex<State>>,
    _server: JoinSet<()>,
}

impl Proxy {
    /// Before the server at `upstream` (`http://host:port`).
    pub(crate) async fn before(upstream: &str) -> Self {
        let upstream = upstream.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, state) = (upstream.clone(), Arc::clone(&shared));
                connections.spawn(async move {
                    // A connection that breaks is what this is for.
                    let _broken = serve(client, &upstream, &state).await;
                });
            }
        });
        Self { url, state, _server: server }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Adds a fault; the first that matches decides.
    pub(crate) fn fail(&self, fault: Fault) {
        self.state().faults.push((fault, 0));
    }

    /// Removes all faults and forgets the requests.
    pub(crate) fn heal(&self) {
        *self.state() = State::default();
    }

    /// `METHOD target` and, if it had one, the range of every request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// How many requests were met by a fault.
    pub(crate) fn met(&self) -> usize {
        self.state().met
    }

    /// How many requests contain all of `parts`.
    pub(crate) fn count(&self, parts: &[&str]) -> usize {
        self.requests().iter().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }
}

/// One request and its answer; then the connection ends.
async fn serve(client: TcpStream, upstream: &str, state: &Mutex<State>) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let (mut head, mut length, mut range) = (Vec::new(), 0_usize, String::new());
    let mut request_line = String::new();
    client.read_line(&mut request_line).await?;
    loop {
        let mut line = String::new();
        if client.read_line(&mut line).await? == 0 || line == "\r\n" {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if lower.starts_with("range:") {
            range = format!(" {}", line.trim());
        }
        if !lower.starts_with("connection:") {
            head.extend_from_slice(line.as_bytes());
        }
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body).await?;
    let mut parts = request_line.split(' ');
    let (method, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let effect = meet(state, method, target, &range);

    let request = [request_line.as_bytes(), &head, b"Connection: close\r\n\r\n", &body].concat();
    let forward = || async {
        let mut server = TcpStream::connect(upstream).await?;
        server.write_all(&request).await?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = match effect {
        None => forward().await?,
        Some(Effect::Answer(status, body)) => plain(status, body),
        Some(Effect::ApplyThenHangUp) => {
            forward().await?;
            return Ok(());
        }
        Some(Effect::ApplyThenAnswer(status)) => {
            forward().await?;
            plain(status, "")
        }
        Some(Effect::Stall) => {
            // Until the client gives up.
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).await?;
            return Ok(());
        }
        Some(Effect::CutBodyAfter(bytes)) => {
            let mut answer = forward().await?;
            let body = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
            answer.truncate((body + bytes).min(answer.len()));
            answer
        }
    };
    client.get_mut().write_all(&answer).await?;
    client.get_mut().shutdown().await
}

fn meet(state: &Mutex<State>, method: &str, target: &str, range: &str) -> Option<Effect> {
    let mut state = state.lock().unwrap();
    state.log.push(format!("{method} {target}{range}"));
    let (fault, seen) = state
        .faults
        .iter_mut()
        .find(|(f, _)| f.count > 0 && f.method == method && target.contains(f.contains))?;
    *seen += 1;
    if (*seen - 1) % 10 >= fault.of_ten {
        return None;
    }
    fault.count -= 1;
    let effect = fault.effect;
    state.met += 1;
    Some(effect)
}

fn plain(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}
