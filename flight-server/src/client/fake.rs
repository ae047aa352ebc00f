//! A Flight SQL server of a few answers, for the tests of the client.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{Int64Array, RecordBatch};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::sql::{Any, Command, CommandStatementQuery};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, Result as ActionResult, SchemaResult,
    Ticket,
};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

use super::failure::QUERY_ID_KEY;
use crate::progress::PROGRESS_KEY;

/// What the server saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) statements: Mutex<Vec<String>>,
    pub(super) cookies: Mutex<Vec<Option<String>>>,
    pub(super) actions: Mutex<Vec<String>>,
    pub(super) cancelled: AtomicUsize,
}

/// A server on a port of its own, gone when dropped.
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    pub(super) seen: Arc<Seen>,
    tasks: JoinSet<()>,
}

impl Fake {
    /// `password`: `Basic …` that the handshake wants; `tls`: certificate and key.
    pub(super) async fn start(password: Option<&'static str>, tls: Option<(&str, &str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let service = FlightServiceServer::new(Answers { password, seen: Arc::clone(&seen) });
        let mut server = Server::builder();
        if let Some((certificate, key)) = tls {
            let identity = Identity::from_pem(certificate, key);
            server = server.tls_config(ServerTlsConfig::new().identity(identity)).unwrap();
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            server.add_service(service).serve_with_incoming(incoming).await.unwrap();
        });
        Self { address, seen, tasks }
    }

    /// A way to this server that breaks after so many bytes of its answers.
    pub(super) async fn broken_after(&mut self, bytes: u64) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, server) = (listener.local_addr().unwrap(), self.address);
        self.tasks.spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(server).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (from_server, mut to_server) = server.into_split();
                let mut answers = from_server.take(bytes);
                tokio::select! {
                    _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                    _ = tokio::io::copy(&mut answers, &mut to_client) => {}
                }
                drop(to_client.shutdown().await);
            }
        });
        address
    }
}

struct Answers {
    password: Option<&'static str>,
    seen: Arc<Seen>,
}

/// Counts a call that was dropped before it was answered.
struct Dropped(Arc<Seen>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.cancelled.fetch_add(1, Ordering::SeqCst);
    }
}

const TOKEN: &str = "Bearer t1";

pub(super) fn batch(from: i64) -> RecordBatch {
    let numbers = Int64Array::from_iter_values(from..from + 10_000);
    RecordBatch::try_from_iter([("n", Arc::new(numbers) as _)]).unwrap()
}

impl Answers {
    fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let header = |name| request.metadata().get(name).map(|v| v.to_str().unwrap().to_owned());
        self.seen.cookies.lock().unwrap().push(header("cookie"));
        if self.password.is_some() && header("authorization").as_deref() != Some(TOKEN) {
            return Err(Status::unauthenticated("no valid token"));
        }
        Ok(())
    }

    async fn statement(&self, sql: &str) -> Result<FlightInfo, Status> {
        self.seen.statements.lock().unwrap().push(sql.to_owned());
        let info = |text: &str| FlightInfo::new().with_app_metadata(text.as_bytes().to_vec());
        match sql.trim() {
            "insert" => Ok(info(r#"{"kind":"affected","query_id":"q1"}"#).with_total_records(3)),
            "create" => Ok(info(r#"{"kind":"done","message":"created table a.b.c"}"#)),
            "refused" => {
                let mut status = Status::invalid_argument("column \"nope\" does not exist");
                status.metadata_mut().insert(QUERY_ID_KEY, "q7".parse().unwrap());
                Err(status)
            }
            "slow" => {
                let _dropped = Dropped(Arc::clone(&self.seen));
                std::future::pending().await
            }
            "silent" => Ok(FlightInfo::new()),
            rows => {
                let schema = match rows {
                    "other" => RecordBatch::try_from_iter([(
                        "m",
                        Arc::new(Int64Array::from(vec![1])) as _,
                    )])
                    .unwrap()
                    .schema(),
                    _ => batch(0).schema(),
                };
                let ticket = FlightEndpoint::new().with_ticket(Ticket::new(rows.to_owned()));
                let info = info(r#"{"kind":"rows","query_id":"q2"}"#).with_endpoint(ticket);
                Ok(info.try_with_schema(&schema).unwrap())
            }
        }
    }
}

#[tonic::async_trait]
impl FlightService for Answers {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoExchangeStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoActionStream = BoxStream<'static, Result<ActionResult, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let given = request.metadata().get("authorization").map(|v| v.to_str().unwrap());
        if given != self.password {
            return Err(Status::unauthenticated("user or password is wrong"));
        }
        let mut response = Response::new(stream::empty().boxed());
        response.metadata_mut().insert("authorization", TOKEN.parse().unwrap());
        Ok(response)
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.check(&request)?;
        let any = Any::decode(request.into_inner().cmd).unwrap();
        let Command::CommandStatementQuery(CommandStatementQuery { query, .. }) =
            Command::try_from(any).unwrap()
        else {
            return Err(Status::unimplemented("no such command"));
        };
        let mut response = Response::new(self.statement(&query).await?);
        response.metadata_mut().insert("set-cookie", "s=1; Path=/".parse().unwrap());
        Ok(response)
    }

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        self.check(&request)?;
        let is_curious = request.metadata().contains_key(PROGRESS_KEY);
        let ticket = String::from_utf8(request.into_inner().ticket.to_vec()).unwrap();
        let (count, end) = match ticket.as_str() {
            "empty" => (0, None),
            "fails" => (2, Some(Status::aborted("division by zero"))),
            _ => (5, None),
        };
        let batches = stream::iter((0..count).map(|i| Ok(batch(i * 10_000))))
            .chain(stream::iter(end.map(|status| Err(FlightError::from(status)))));
        let messages = FlightDataEncoderBuilder::new().with_schema(batch(0).schema());
        let messages = messages.build(batches).map_err(Status::from);
        let told = FlightData::new().with_app_metadata(r#"{"rows_read":7,"bytes_read":8}"#);
        let told = stream::iter(is_curious.then_some(Ok(told)));
        Ok(Response::new(told.clone().chain(messages).chain(told).boxed()))
    }

    async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        self.check(&request)?;
        self.seen.actions.lock().unwrap().push(request.into_inner().r#type);
        let result = ActionResult { body: bytes::Bytes::new() };
        Ok(Response::new(stream::iter([Ok(result)]).boxed()))
    }

    async fn list_flights(
        &self,
        _request: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn poll_flight_info(
        &self,
        _request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_schema(
        &self,
        _request: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn do_put(
        &self,
        _request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn do_exchange(
        &self,
        _request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_actions(
        &self,
        _request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        Err(Status::unimplemented(""))
    }
}
