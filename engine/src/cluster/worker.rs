//! A worker: takes the stages of other nodes' plans, after they have shown who they are.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use datafusion::common::runtime::SpawnedTask;
use datafusion::error::Result as DfResult;
use datafusion::execution::context::SessionState;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion_distributed::{
    DistributedExt, ExecuteTaskRequest, ProducerHead, TaskKey, Worker, WorkerPlanRewriteEvent,
    WorkerPlanRewriteEventResponse, WorkerQueryContext,
};
use fjord_connectors::connector::Connectors;
use futures::FutureExt;
use tokio::runtime::Handle;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use uuid::Uuid;

use super::channel::Channels;
use super::codec::FjordCodec;
use super::errands::Errands;
use super::join_filters::{Desk, Exchange, JoinFilterService};
use super::node::{NODE_HEADER, NodeAuth, check_version};
use super::settings::Carried;
use crate::engine::Engine;
use crate::error::{Result, tag_kinds};
use crate::halting::halting;
use crate::iceberg::write::iceberg_transform;
use crate::services::Services;
use crate::session_settings::SessionSettings;

/// How often the cache of tasks is asked for something until it tidies up at once: its log of reads
/// (moka 0.12) is applied when it has 64 entries, and otherwise every 300 ms.
const TIDY_READS: usize = 66;
/// When tidying follows the end of an errand, whose task lets go of its plan a little later.
const TIDY_AFTER: [Duration; 3] =
    [Duration::from_millis(5), Duration::from_millis(45), Duration::from_millis(300)];
/// The method that brings a plan; its call lasts as long as the query.
const PLAN_METHOD: &str = "/CoordinatorChannel";
/// The method that tells the version: open to other ones.
const INFO_METHOD: &str = "/GetWorkerInfo";

/// How a worker works.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// The cluster's secret.
    pub auth: Arc<dyn NodeAuth>,
    /// Bytes that the operators of one query may hold here together; `None`: what the process has,
    /// unless the query's session says less.
    pub query_memory_bytes: Option<usize>,
}

/// An engine that works for others.
#[derive(Clone)]
pub struct WorkerNode {
    auth: Arc<dyn NodeAuth>,
    fingerprint: Arc<str>,
    tasks: Arc<AtomicU64>,
    services: Arc<Services>,
    errands: Errands,
    desk: Desk,
    worker: Worker,
}

impl fmt::Debug for WorkerNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerNode").field("tasks", &self.tasks).finish_non_exhaustive()
    }
}

impl WorkerNode {
    /// A worker on `engine`'s memory, spill directory and stores. From now on the errors of this
    /// process are made to travel.
    ///
    /// # Errors
    /// When its functions cannot be set up.
    pub fn try_new(engine: &Engine, options: WorkerOptions) -> Result<Self> {
        tag_kinds();
        let services = engine.services();
        let fingerprint = services.fingerprint()?;
        let channels = Channels::new(Arc::clone(&options.auth), Arc::clone(&fingerprint));
        let tasks: Arc<AtomicU64> = Arc::default();
        let runtime = services.runtime_env();
        let counted = Arc::clone(&tasks);
        let lent = Arc::clone(&services);
        let errands = Errands::default();
        let desk = Desk::default();
        let office = Office {
            services: lent,
            channels,
            errands: errands.clone(),
            desk: desk.clone(),
            tasks: counted,
            query_memory_bytes: options.query_memory_bytes,
        };
        let sessions = move |asked: WorkerQueryContext| std::future::ready(session(asked, &office));
        let worker = Worker::from_session_builder(sessions)
            .with_runtime_env(runtime)
            .with_version(fingerprint.to_string());
        Ok(Self { auth: options.auth, fingerprint, tasks, services, errands, desk, worker })
    }

    /// Version, codec and functions, which nodes compare.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The databases that it has mounted, by [`fjord_connectors::codec::RemoteDatabase::key`]; looks
    /// for those that statements have made elsewhere. Reads a file.
    pub fn databases(&self) -> Vec<u64> {
        self.services.database_keys()
    }

    /// Tasks that it holds now.
    pub fn tasks(&self) -> u64 {
        self.tasks.load(Ordering::Relaxed)
    }

    /// What the operators of its tasks may hold together, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        u64::try_from(self.services.memory().limit_bytes).unwrap_or(u64::MAX)
    }

    /// Lets go of tasks that have ended: the library keeps them, with what their joins hold, in a
    /// cache that tidies up when it is asked for something. So it is asked for a task that nobody
    /// will ever send.
    pub fn tidy(&self) {
        let nobodys = TaskKey { query_id: Uuid::nil(), stage_id: 0, task_number: 0 };
        for _ in 0..TIDY_READS {
            let asked = self.worker.execute_task(ExecuteTaskRequest {
                task_key: nobodys,
                target_partition_start: 0,
                target_partition_end: 0,
                producer_head: ProducerHead::None,
            });
            // The task does not come: what the question is for is done before it waits.
            drop(asked.now_or_never());
        }
    }

    /// Tidies up whenever work has ended, until it is dropped: the next query needs the memory.
    pub async fn keep_tidy(self) {
        loop {
            self.errands.ended().await;
            for pause in TIDY_AFTER {
                tokio::time::sleep(pause).await;
                self.tidy();
            }
        }
    }

    /// The service that takes the filters of joins from other workers.
    pub fn join_filters(
        &self,
    ) -> impl Service<
        http::Request<Body>,
        Response = http::Response<Body>,
        Error = Infallible,
        Future: Send + 'static,
    > + NamedService
    + Clone
    + Send
    + Sync
    + 'static {
        let (auth, fingerprint) = (Arc::clone(&self.auth), Arc::clone(&self.fingerprint));
        JoinFilterService::new(auth, fingerprint, self.desk.clone())
    }

    /// The gRPC service that takes plans. Its work is done on the runtime of `handle`, whichever one
    /// serves the connections.
    pub fn service(
        &self,
        handle: Handle,
    ) -> impl Service<
        http::Request<Body>,
        Response = http::Response<Body>,
        Error = Infallible,
        Future: Send + 'static,
    > + NamedService
    + Clone
    + Send
    + Sync
    + 'static {
        let inner = self.worker.clone().into_worker_server();
        Guarded {
            inner,
            auth: Arc::clone(&self.auth),
            fingerprint: Arc::clone(&self.fingerprint),
            errands: self.errands.clone(),
            handle,
        }
    }
}

/// What the sessions of tasks are made of.
struct Office {
    services: Arc<Services>,
    channels: Channels,
    errands: Errands,
    desk: Desk,
    tasks: Arc<AtomicU64>,
    query_memory_bytes: Option<usize>,
}

/// The session of one task: as the coordinator's, by the settings that came along; within the memory
/// that its query may have here, and no longer than it is waited for.
fn session(asked: WorkerQueryContext, office: &Office) -> DfResult<SessionState> {
    let WorkerQueryContext { mut builder, headers } = asked;
    let services = &office.services;
    let mut config = builder.config().take().unwrap_or_default();
    config.set_distributed_option_extension_from_headers::<Carried>(&headers)?;
    let carried = config.options().extensions.get::<Carried>().cloned().unwrap_or_default();
    carried.apply(config.options_mut())?;
    let codec = FjordCodec::new(services.storage.clone());
    let databases: Arc<dyn Connectors> = Arc::<Services>::clone(services);
    config.set_distributed_user_codec(codec.with_databases(databases));
    config.set_distributed_channel_resolver(office.channels.clone());
    config.set_extension(Arc::new(Held::one_of(&office.tasks)));
    let presence = office.desk.enter(&carried.attempt);
    config.set_extension(Arc::new(Exchange::new(presence, office.channels.clone())));
    if let Some(errand) = office.errands.find(&headers) {
        let switch = errand.switch();
        config.set_distributed_worker_plan_rewrite_handler(
            move |event: WorkerPlanRewriteEvent<'_>| -> DfResult<WorkerPlanRewriteEventResponse> {
                Ok(WorkerPlanRewriteEventResponse::new(halting(event.plan, &switch)?))
            },
        );
    }
    let said = config.options().extensions.get::<SessionSettings>();
    let said = said.and_then(|settings| settings.limits().memory_bytes);
    let limit = said.into_iter().chain(office.query_memory_bytes).min();
    let partitions = config.target_partitions();
    let state = services.node_state(config)?;
    let Some(limit) = limit else { return Ok(state) };
    let process = services.runtime_env();
    let runtime = office.errands.runtime(&carried.attempt, &process, limit, partitions);
    Ok(SessionStateBuilder::new_from_existing(state).with_runtime_env(runtime).build())
}

/// Counts a task while its session is there.
#[derive(Debug)]
struct Held {
    tasks: Arc<AtomicU64>,
}

impl Held {
    fn one_of(tasks: &Arc<AtomicU64>) -> Self {
        tasks.fetch_add(1, Ordering::Relaxed);
        Self { tasks: Arc::clone(tasks) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tasks.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Services {
    /// The session of a node's tasks: with functions that only plans use.
    pub(super) fn node_state(
        &self,
        config: datafusion::prelude::SessionConfig,
    ) -> Result<SessionState> {
        let mut state = self.session_state(config, None)?;
        state.register_udf(iceberg_transform())?;
        Ok(state)
    }

    /// What nodes compare.
    pub(crate) fn fingerprint(&self) -> Result<Arc<str>> {
        let state = self.node_state(self.base_config.clone())?;
        Ok(super::node::fingerprint(&state).into())
    }
}

/// Lets calls of the cluster's nodes through, and does their work on another runtime.
#[derive(Clone, Debug)]
struct Guarded<S> {
    inner: S,
    auth: Arc<dyn NodeAuth>,
    fingerprint: Arc<str>,
    errands: Errands,
    handle: Handle,
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Guarded<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let signature = request.headers().get(NODE_HEADER).and_then(|value| value.to_str().ok());
        if let Err(problem) = self.auth.check(signature) {
            tracing::warn!(%problem, "a call was refused");
            let refused = Status::unauthenticated(problem).into_http();
            return Box::pin(std::future::ready(Ok(refused)));
        }
        let is_question = request.uri().path().ends_with(INFO_METHOD);
        if !is_question && let Err(problem) = check_version(request.headers(), &self.fingerprint) {
            tracing::warn!(%problem, "a call was refused");
            let refused = Status::failed_precondition(problem).into_http();
            return Box::pin(std::future::ready(Ok(refused)));
        }
        Errands::clear(request.headers_mut());
        let is_plan = request.uri().path().ends_with(PLAN_METHOD);
        let errand = is_plan.then(|| self.errands.begin(request.headers_mut()));
        let mut inner = self.inner.clone();
        let entered = self.handle.enter();
        let work = SpawnedTask::spawn(async move { inner.call(request).await });
        drop(entered);
        Box::pin(async move {
            let gone = |_| Ok(Status::internal("the work of a call ended early").into_http());
            let answer = work.join().await.unwrap_or_else(gone)?;
            Ok(match errand {
                Some(errand) => answer.map(|body| errand.until_end_of(body)),
                None => answer,
            })
        })
    }
}
