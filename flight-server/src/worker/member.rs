//! A worker's side of the desk: says every second that it lives, until it is told to end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use arrow_flight::Action;
use arrow_flight::flight_service_client::FlightServiceClient;
use fjord_engine::cluster::{NODE_HEADER, NodeAuth, WorkerNode, spelt};
use futures::TryStreamExt;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use url::Url;
use uuid::Uuid;

use crate::cluster::{Answer, HEAR, Heard, is_challenge};
use crate::report::note;

/// How often a worker speaks.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the desk may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(3);
/// The most of a file that proves something.
const PROOF_BYTES_MAX: usize = 1 << 10;

/// A worker on its way to a coordinator.
pub(super) struct Member {
    pub(super) node: WorkerNode,
    pub(super) auth: Arc<dyn NodeAuth>,
    /// The coordinator's Flight address.
    pub(super) coordinator: Url,
    /// Where this worker takes plans.
    pub(super) address: String,
    pub(super) data_dir: PathBuf,
    pub(super) is_draining: Arc<AtomicBool>,
}

impl Member {
    /// Speaks until it is dropped.
    ///
    /// # Errors
    /// When the coordinator refuses this worker for good: no secret, another version, tables that it
    /// does not reach. One that cannot be reached is asked again and again.
    pub(super) async fn speak(self) -> Result<()> {
        let coordinator = spelt(&self.coordinator);
        let mut endpoint = Endpoint::from_shared(self.coordinator.to_string())
            .with_context(|| format!("coordinator {coordinator:?} is no address"))?
            .connect_timeout(ANSWER_TIME)
            .timeout(ANSWER_TIME);
        if let Some(tls) = self.auth.tls().map_err(|problem| anyhow!(problem))? {
            endpoint = endpoint.tls_config(tls)?;
        }
        let mut client = FlightServiceClient::new(endpoint.connect_lazy());
        let (id, mut proof, mut is_known) = (Uuid::new_v4(), None, false);
        let mut was_reached = true;
        loop {
            self.node.tidy();
            let heard = Heard {
                id,
                address: self.address.clone(),
                fingerprint: self.node.fingerprint().to_owned(),
                is_draining: self.is_draining.load(Ordering::Relaxed),
                tasks: self.node.tasks(),
                memory_bytes: self.node.memory_bytes(),
                databases: self.node.databases(),
                proof: proof.clone(),
            };
            match self.say(&mut client, &heard).await {
                Ok(Answer { is_accepted: true, .. }) => {
                    if !is_known {
                        note(&format!("registered at {coordinator}"));
                    }
                    (is_known, was_reached) = (true, true);
                }
                Ok(Answer { challenge: Some(name), .. }) if is_challenge(&name) => {
                    // What cannot be read is answered as such: the desk says what that means.
                    proof = Some(self.read(&name).unwrap_or_else(|| "unread".to_owned()));
                    continue;
                }
                Ok(_) => return Err(anyhow!("{coordinator} refuses this worker")),
                Err(status) if is_refusal(&status) => {
                    // A coordinator that started anew has another file.
                    if proof.take().is_some() && is_known {
                        is_known = false;
                        continue;
                    }
                    return Err(anyhow!(
                        "coordinator {coordinator} refuses this worker: {}",
                        status.message()
                    ));
                }
                Err(status) => {
                    if was_reached {
                        let problem = status.message().to_owned();
                        note(&format!("{coordinator} cannot be reached: {problem}"));
                    }
                    (is_known, was_reached) = (false, false);
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn say(
        &self,
        client: &mut FlightServiceClient<Channel>,
        heard: &Heard,
    ) -> Result<Answer, Status> {
        let body = serde_json::to_vec(heard).map_err(|e| Status::internal(e.to_string()))?;
        let mut request = Request::new(Action { r#type: HEAR.to_owned(), body: body.into() });
        let signature = self.auth.sign().parse();
        let signature = signature.map_err(|_| Status::internal("a signature that is no header"))?;
        drop(request.metadata_mut().insert(NODE_HEADER, signature));
        let mut results = client.do_action(request).await?.into_inner();
        let result = results.try_next().await?;
        let result = result.ok_or_else(|| Status::unavailable("the desk says nothing"))?;
        serde_json::from_slice(&result.body)
            .map_err(|e| Status::failed_precondition(format!("it is another version: {e}")))
    }

    fn read(&self, name: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.data_dir.join(name)).ok()?;
        (text.len() <= PROOF_BYTES_MAX).then_some(text)
    }
}

/// Whether asking again would change nothing.
fn is_refusal(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unauthenticated
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::InvalidArgument
            | Code::Unimplemented
    )
}
