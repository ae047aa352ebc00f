//! The desk of a coordinator, at which workers register.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow_flight::Action;
use bytes::Bytes;
use fjord_engine::cluster::{Cluster, NODE_HEADER, NodeAuth, Registration};
use fjord_engine::engine::Engine;
use tonic::{Request, Status};

use super::address::http_url;
use super::message::{Answer, Heard, is_challenge};
use super::secret::random_hex;
use crate::report::note;

/// The most that a worker says: mostly which databases it has.
const HEARD_BYTES_MAX: usize = 64 << 10;

/// Takes workers into a cluster. On drop it removes the file that it made.
#[derive(Debug)]
pub(crate) struct Desk {
    cluster: Arc<Cluster>,
    auth: Arc<dyn NodeAuth>,
    engine: Engine,
    /// What is in the file that proves a shared data directory.
    proof: String,
    file: PathBuf,
}

impl Desk {
    /// A desk in a data directory.
    ///
    /// # Errors
    /// When the file by which workers prove that they see the directory cannot be made.
    pub(crate) fn open(
        engine: Engine,
        cluster: Arc<Cluster>,
        auth: Arc<dyn NodeAuth>,
        data_dir: &Path,
    ) -> Result<Self> {
        let proof = random_hex();
        let file = data_dir.join(format!("cluster-{}", uuid::Uuid::new_v4()));
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file)
            .and_then(|mut open| open.write_all(proof.as_bytes()));
        written.with_context(|| format!("file {:?} cannot be made", file.display()))?;
        Ok(Self { cluster, auth, engine, proof, file })
    }

    /// Takes what a worker says; the body of the answer.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for a peer without the secret, `FAILED_PRECONDITION` for a worker that cannot
    /// reach the tables or is another version.
    pub(crate) fn hear(&self, request: &Request<Action>) -> Result<Bytes, Status> {
        let signature = request.metadata().get(NODE_HEADER).and_then(|v| v.to_str().ok());
        self.auth.check(signature).map_err(Status::unauthenticated)?;
        let body = &request.get_ref().body;
        if body.len() > HEARD_BYTES_MAX {
            return Err(Status::invalid_argument("a worker that says too much"));
        }
        let heard: Heard = serde_json::from_slice(body)
            .map_err(|e| Status::invalid_argument(format!("a worker of another version: {e}")))?;
        if let Some(catalog) = self.local_catalog() {
            match &heard.proof {
                Some(proof) if *proof == self.proof => {}
                None => return answer(&Answer { is_accepted: false, challenge: self.challenge() }),
                Some(_) => {
                    return Err(Status::failed_precondition(format!(
                        "the tables of catalog \"{catalog}\" are on a local disk, and the worker does not see the coordinator's data directory: start it with the same --data-dir, or move the warehouse to an object store"
                    )));
                }
            }
        }
        let url = http_url(&heard.address)
            .map_err(|e| Status::invalid_argument(format!("a worker without address: {e}")))?;
        if url.scheme() != self.scheme()? {
            return Err(Status::failed_precondition(format!(
                "{} and the coordinator differ in encryption: cluster.ca is set on all nodes or on none",
                heard.address
            )));
        }
        let registration = Registration {
            id: heard.id,
            url,
            fingerprint: heard.fingerprint,
            is_draining: heard.is_draining,
            tasks: heard.tasks,
            memory_bytes: heard.memory_bytes,
            databases: heard.databases,
        };
        let is_new = self
            .cluster
            .hear(registration)
            .map_err(|e| Status::failed_precondition(e.to_string()))?;
        if is_new {
            note(&format!("worker: {}", heard.address));
        }
        answer(&Answer { is_accepted: true, challenge: None })
    }

    /// What the addresses of this cluster begin with, as HTTP/2 has it.
    fn scheme(&self) -> Result<&'static str, Status> {
        let tls = self.auth.tls().map_err(Status::internal)?;
        Ok(if tls.is_some() { "https" } else { "http" })
    }

    fn challenge(&self) -> Option<String> {
        let name = self.file.file_name().and_then(|name| name.to_str());
        name.filter(|name| is_challenge(name)).map(str::to_owned)
    }

    /// A catalog with tables on a local disk.
    fn local_catalog(&self) -> Option<String> {
        let catalogs = self.engine.catalogs();
        let local = catalogs.iter().find(|catalog| catalog.warehouse().starts_with("file:"));
        local.map(|catalog| catalog.name().to_owned())
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_file(&self.file) {
            tracing::debug!(error = %e, "the file of a desk is left");
        }
    }
}

fn answer(answer: &Answer) -> Result<Bytes, Status> {
    let json = serde_json::to_vec(answer).map_err(|e| Status::internal(e.to_string()))?;
    Ok(json.into())
}
