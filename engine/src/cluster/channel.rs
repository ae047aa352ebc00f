//! Connections to other nodes: signed, and asked all the time whether somebody is there. A worker that
//! stands still keeps its connections; without the question a query would wait for ever.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::common::exec_datafusion_err;
use datafusion::error::{DataFusionError, Result};
use datafusion_distributed::{ChannelResolver, GetWorkerInfoRequest, WorkerChannel, grpc};
use http_body_util::Full;
use tonic::body::Body;
use tonic::codegen::http::HeaderValue;
use tonic::codegen::{Service, http};
use tonic::transport::{Channel, Endpoint};
use url::Url;

use super::node::{NODE_HEADER, NodeAuth, VERSION_HEADER, is_encrypted, spelt};
use crate::error::{Error, ErrorKind};

/// A connection without traffic is asked so often whether somebody is there…
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// … and is given up after so long without an answer.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a worker may take to accept a connection, and to say who it is.
const CONNECT_TIME: Duration = Duration::from_secs(3);
/// Connections that are kept.
const CHANNELS_MAX: usize = 2_000;
/// Bytes on their way in a connection: enough for a machine next door.
const WINDOW_BYTES: u32 = 8 << 20;

/// Opens and keeps connections to the nodes of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Channels {
    auth: Arc<dyn NodeAuth>,
    fingerprint: Arc<str>,
    open: Arc<Mutex<HashMap<Url, grpc::BoxCloneSyncChannel>>>,
}

impl Channels {
    pub(super) fn new(auth: Arc<dyn NodeAuth>, fingerprint: Arc<str>) -> Self {
        Self { auth, fingerprint, open: Arc::default() }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Url, grpc::BoxCloneSyncChannel>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the connection to a node: what comes next begins with a new one.
    pub(super) fn forget(&self, url: &Url) {
        drop(self.open().remove(url));
    }

    /// Whether a node answers on a new connection, and is one of ours.
    pub(super) async fn is_there(&self, url: &Url) -> bool {
        self.forget(url);
        self.get_worker_client_for_url(url).await.is_ok()
    }

    /// The connection to a node, which is opened if there is none.
    async fn channel(&self, url: &Url) -> Result<grpc::BoxCloneSyncChannel> {
        let known = self.open().get(url).cloned();
        if let Some(channel) = known {
            return Ok(channel);
        }
        let channel = self.connect(url).await?;
        let mut open = self.open();
        if open.len() >= CHANNELS_MAX {
            open.clear();
        }
        open.insert(url.clone(), channel.clone());
        Ok(channel)
    }

    /// Sends `message` to a method of a node's that is no gRPC.
    ///
    /// # Errors
    /// When it cannot be reached, or refuses.
    pub(super) async fn post(&self, url: &Url, path: &str, message: Bytes) -> Result<()> {
        let mut channel = self.channel(url).await?;
        let failed = |e| exec_datafusion_err!("worker {url}: {e}");
        std::future::poll_fn(|cx| channel.poll_ready(cx))
            .await
            .map_err(|e| failed(e.to_string()))?;
        let request = http::Request::post(path).body(Body::new(Full::new(message)));
        let request = request.map_err(|e| failed(e.to_string()))?;
        let response = channel.call(request).await.map_err(|e| failed(e.to_string()))?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(failed(response.status().to_string())),
        }
    }

    async fn connect(&self, url: &Url) -> Result<grpc::BoxCloneSyncChannel> {
        let failed = |e: tonic::transport::Error| DataFusionError::External(Box::new(e));
        let mut endpoint = Endpoint::from_shared(url.to_string())
            .map_err(failed)?
            .connect_timeout(CONNECT_TIME)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES * 2)
            .tcp_nodelay(true);
        let tls = self.auth.tls().map_err(|problem| Error::new(ErrorKind::Invalid, problem))?;
        match (tls, is_encrypted(url)) {
            (Some(tls), true) => endpoint = endpoint.tls_config(tls).map_err(failed)?,
            (None, false) => {}
            (Some(_), false) => {
                let address = spelt(url);
                let problem = format!(
                    "worker {address} is not encrypted, and this cluster is: give it [tls] and cluster.ca"
                );
                return Err(Error::new(ErrorKind::Invalid, problem).into());
            }
            (None, true) => {
                let address = spelt(url);
                let problem = format!("worker {address} is encrypted: cluster.ca is missing here");
                return Err(Error::new(ErrorKind::Invalid, problem).into());
            }
        }
        let channel = endpoint.connect().await.map_err(failed)?;
        let version = self.fingerprint.parse().ok();
        let signed = Signed { channel, auth: Arc::clone(&self.auth), version };
        let channel = grpc::BoxCloneSyncChannel::new(signed);
        let mut client = grpc::create_worker_client(channel.clone());
        let asked = client.get_worker_info(GetWorkerInfoRequest {});
        let info = tokio::time::timeout(CONNECT_TIME, asked).await.map_err(|_| {
            exec_datafusion_err!("worker {url} does not say who it is: transport error")
        })??;
        if info.version != self.fingerprint.as_ref() {
            let problem = format!(
                "worker {url} is another version: it is \"{}\", this is \"{}\"",
                info.version, self.fingerprint
            );
            return Err(Error::new(ErrorKind::Unavailable, problem).into());
        }
        Ok(channel)
    }
}

#[async_trait]
impl ChannelResolver for Channels {
    async fn get_worker_client_for_url(&self, url: &Url) -> Result<Box<dyn WorkerChannel>> {
        let channel = self.channel(url).await?;
        Ok(grpc::create_worker_client(channel))
    }
}

/// Signs every call, and says which version makes it.
#[derive(Clone, Debug)]
struct Signed {
    channel: Channel,
    auth: Arc<dyn NodeAuth>,
    version: Option<HeaderValue>,
}

impl Service<http::Request<Body>> for Signed {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = <Channel as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        // Without a signature the other side refuses the call, and says so.
        if let Ok(signature) = self.auth.sign().parse() {
            drop(request.headers_mut().insert(NODE_HEADER, signature));
        }
        if let Some(version) = &self.version {
            drop(request.headers_mut().insert(VERSION_HEADER, version.clone()));
        }
        self.channel.call(request)
    }
}
