//! A Flight server of Arrow's own parts: DoGet encodes batches that are there, and does nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, Result as ActionResult, SchemaResult,
    Ticket,
};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// Bytes that a client may have on their way, as many as Fjord allows.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// The server, on a runtime of its own with a thread a core.
#[derive(Debug)]
pub struct BareFlight {
    address: SocketAddr,
    runtime: Option<Runtime>,
    _wire: JoinSet<Result<()>>,
}

impl BareFlight {
    /// Listens on loopback; any ticket stands for all of `batches`.
    pub fn start(batches: Vec<RecordBatch>) -> Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        let mut wire = JoinSet::new();
        wire.spawn_on(serve(listener, Bare { batches: batches.into() }), runtime.handle());
        Ok(Self { address, runtime: Some(runtime), _wire: wire })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for BareFlight {
    fn drop(&mut self) {
        // A runtime may not be waited for from within another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(listener: std::net::TcpListener, service: Bare) -> Result<()> {
    let incoming = TcpIncoming::from(TcpListener::from_std(listener)?).with_nodelay(Some(true));
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .add_service(FlightServiceServer::new(service))
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

#[derive(Debug)]
struct Bare {
    batches: Arc<[RecordBatch]>,
}

type Answers<T> = BoxStream<'static, Result<T, Status>>;

fn nothing_else<T>() -> Result<T, Status> {
    Err(Status::unimplemented("there is nothing but DoGet"))
}

#[tonic::async_trait]
impl FlightService for Bare {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoActionStream = Answers<ActionResult>;
    type ListActionsStream = Answers<ActionType>;
    type DoExchangeStream = Answers<FlightData>;

    async fn do_get(
        &self,
        _request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        let batches = Arc::clone(&self.batches);
        let rows = stream::iter(0..batches.len()).map(move |at| Ok(batches[at].clone()));
        let messages = FlightDataEncoderBuilder::new().build(rows).map_err(Status::from);
        Ok(Response::new(messages.boxed()))
    }

    async fn handshake(
        &self,
        _request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        nothing_else()
    }

    async fn list_flights(
        &self,
        _request: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        nothing_else()
    }

    async fn get_flight_info(
        &self,
        _request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        nothing_else()
    }

    async fn poll_flight_info(
        &self,
        _request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        nothing_else()
    }

    async fn get_schema(
        &self,
        _request: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        nothing_else()
    }

    async fn do_put(
        &self,
        _request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        nothing_else()
    }

    async fn do_action(
        &self,
        _request: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        nothing_else()
    }

    async fn list_actions(
        &self,
        _request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        nothing_else()
    }

    async fn do_exchange(
        &self,
        _request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        nothing_else()
    }
}
