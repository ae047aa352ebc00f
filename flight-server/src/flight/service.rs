//! The `FlightService`: each call finds out who calls, and hands over to the file of its family.

use std::pin::Pin;
use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{Any, Command};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, Result as ActionResult, SchemaResult,
    Ticket,
};
use fjord_engine::queries::Wanted;
use futures::{Stream, StreamExt, stream};
use prost::Message;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tonic::{Request, Response, Status, Streaming};

use super::caller::Caller;
use super::core::Core;
use super::egress::{INGEST_BYTES_MAX, Incoming, schema_bytes};
use super::rows::{self, Rows};
use super::{actions, info, poll_info, puts};
use crate::cluster::HEAR;
use crate::tls::Peer;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    core: Arc<Core>,
    engine: Handle,
}

impl Service {
    /// Calls are answered on the runtime of `engine`: whatever a query does to its threads, those of
    /// the network go on.
    pub(crate) fn new(core: Arc<Core>, engine: Handle) -> Self {
        Self { core, engine }
    }

    /// Does a call's work on the engine's threads. Dropping the future stops it.
    async fn apart<T, W>(&self, work: impl FnOnce(Arc<Core>, Wanted) -> W) -> Result<T, Status>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Status>> + Send + 'static,
    {
        let mut task = JoinSet::new();
        // Aborting the task is not enough for work that does not yield.
        let wanted = Wanted::default();
        let kept = wanted.while_kept();
        task.spawn_on(work(Arc::clone(&self.core), wanted), &self.engine);
        let joined = task.join_next().await;
        kept.release();
        match joined {
            Some(Ok(outcome)) => outcome,
            Some(Err(e)) if e.is_panic() => {
                tracing::error!("a call met a bug and was stopped");
                Err(Status::internal("the call met a bug and was stopped"))
            }
            _ => Err(Status::unavailable("the server shuts down")),
        }
    }
}

fn at_once<T: Send + 'static>(items: Vec<T>) -> Answers<T> {
    stream::iter(items.into_iter().map(Ok)).boxed()
}

#[tonic::async_trait]
impl FlightService for Service {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Rows;
    type DoPutStream = Answers<PutResult>;
    type DoActionStream = Answers<ActionResult>;
    type ListActionsStream = Answers<ActionType>;
    type DoExchangeStream = Answers<FlightData>;

    /// Credentials are in the headers; clients send no message, or an empty one.
    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let peer = Peer::of(&request);
        let granted = self.core.authenticator.handshake(request.metadata(), &peer).await;
        let granted = granted.inspect_err(|_| self.core.metrics.login_refused())?;
        self.core.metrics.login_accepted();
        tracing::info!(user = %granted.identity.user, "logged in");
        let answer = HandshakeResponse { protocol_version: 0, payload: bytes::Bytes::new() };
        let mut response = Response::new(at_once(vec![answer]));
        response.metadata_mut().insert("authorization", granted.authorization);
        Ok(response)
    }

    async fn list_flights(
        &self,
        request: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        self.apart(move |core, wanted| async move {
            let caller = Caller::of(&core, &request, wanted).await?;
            // Flight SQL lists relations by GetTables.
            Ok(caller.answer(at_once(Vec::new())))
        })
        .await
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.apart(move |core, wanted| async move {
            let caller = Caller::of(&core, &request, wanted).await?;
            let work = Box::pin(info::of(&core, &caller, request.into_inner()));
            let info = caller.within(work).await?;
            Ok(caller.answer(info))
        })
        .await
    }

    async fn poll_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        self.apart(move |core, wanted| async move {
            let caller = Caller::of(&core, &request, wanted).await?;
            let empty = caller.answer(());
            let info = Box::pin(poll_info::poll(&core, caller, request.into_inner())).await?;
            Ok(empty.map(|()| info))
        })
        .await
    }

    async fn get_schema(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        self.apart(move |core, wanted| async move {
            let caller = Caller::of(&core, &request, wanted).await?;
            let descriptor = request.into_inner();
            let work = Box::pin(info::columns(&core, &caller, &descriptor));
            let schema = caller.within(work).await?;
            Ok(caller.answer(SchemaResult { schema: schema_bytes(&schema) }))
        })
        .await
    }

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        self.apart(move |core, wanted| async move {
            let caller = Caller::of(&core, &request, wanted).await?;
            let ticket = request.into_inner();
            let command =
                Any::decode(&*ticket.ticket).ok().and_then(|any| Command::try_from(any).ok());
            let rows = match command {
                Some(Command::TicketStatementQuery(ticket)) => {
                    let sealed = ticket.statement_handle;
                    caller.within(Box::pin(rows::of_ticket(&core, &caller, &sealed))).await?
                }
                Some(Command::Unknown(_)) | None => {
                    return Err(Status::invalid_argument("the ticket is not one of this server"));
                }
                Some(command) => rows::of_metadata(&core, &caller, &command)?,
            };
            Ok(caller.answer(rows))
        })
        .await
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        self.apart(move |core, wanted| async move {
            let caller = Caller::of(&core, &request, wanted).await?;
            let metrics = Arc::clone(&core.metrics);
            let messages = request.into_inner().inspect(move |message| {
                if let Ok(message) = message {
                    metrics.received((message.data_header.len() + message.data_body.len()) as u64);
                }
            });
            let work = async {
                let incoming = Incoming::open(messages, INGEST_BYTES_MAX).await?;
                let command = puts::command(&incoming)?;
                Box::pin(puts::run(&core, &caller, command, incoming)).await
            };
            let result = caller.within(work).await?;
            Ok(caller.answer(at_once(vec![result])))
        })
        .await
    }

    async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        self.apart(move |core, wanted| async move {
            // Nodes are no users: they show that they belong to the cluster.
            if request.get_ref().r#type == HEAR
                && let Some(desk) = &core.desk
            {
                let body = desk.hear(&request)?;
                return Ok(Response::new(at_once(vec![ActionResult { body }])));
            }
            let caller = Caller::of(&core, &request, wanted).await?;
            let action = request.into_inner();
            let bodies = caller.within(Box::pin(actions::run(&core, &caller, &action))).await?;
            let results = bodies.into_iter().map(|body| ActionResult { body }).collect();
            Ok(caller.answer(at_once(results)))
        })
        .await
    }

    async fn list_actions(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        self.apart(move |core, wanted| async move {
            let caller = Caller::of(&core, &request, wanted).await?;
            Ok(caller.answer(at_once(actions::list())))
        })
        .await
    }

    async fn do_exchange(
        &self,
        _request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(Status::unimplemented("DoExchange is not part of Flight SQL; use DoGet and DoPut"))
    }
}
