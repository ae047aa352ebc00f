//! What the benchmarks reach of this crate's insides. Nothing else uses it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::FlightData;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use fjord_engine::Result;
use fjord_engine::engine::Engine;
use fjord_engine::sql::files::EveryFile;
use futures::Stream;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinSet;
use tonic::Status;

use crate::auth::Authenticator;
use crate::config::AuthConfig;
use crate::flight::egress::{EgressSchema, EncodeOptions, Profile, encode};
use crate::flight::{Core, Sealer, Service};
use crate::serve::{network, serve_flight};
use crate::telemetry::Metrics;

/// The Flight messages of these batches under the default profile, as a query sends them.
pub fn flight_messages(
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
) -> Result<impl Stream<Item = Result<FlightData, Status>> + use<>> {
    let egress = EgressSchema::try_new(schema, Profile::Default)?;
    let rows = futures::stream::iter(batches.into_iter().map(Ok));
    let rows = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), rows));
    let status = Arc::new(|e: fjord_engine::Error| Status::unknown(e.to_string()));
    Ok(encode(rows, egress, EncodeOptions { compression: None, status }))
}

/// The Flight service of `fjord serve` in this process, on an engine of the caller's: so that what
/// goes over the wire is compared with what the same engine yields in process.
#[derive(Debug)]
pub struct FlightServer {
    address: SocketAddr,
    network: Option<Runtime>,
    _wire: JoinSet<anyhow::Result<()>>,
}

impl FlightServer {
    /// Listens on loopback. Queries run on the runtime that this is called on; `data_dir` gets the
    /// key that tickets are sealed with.
    ///
    /// # Errors
    /// When no port is free or the key cannot be made.
    pub fn start(engine: Engine, data_dir: &Path) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let metrics = Metrics::shared();
        let authenticator = Authenticator::open(AuthConfig::default())?;
        let sealer = Sealer::open_or_make(data_dir)?;
        let observed = Arc::clone(&metrics);
        let core = Core::new(engine, Arc::new(EveryFile), authenticator, sealer, observed);
        let service = Service::new(Arc::new(core), Handle::current());
        let network = network()?;
        let mut wire = JoinSet::new();
        let serving = serve_flight(listener, None, service, metrics, std::future::pending());
        wire.spawn_on(serving, network.handle());
        Ok(Self { address, network: Some(network), _wire: wire })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for FlightServer {
    fn drop(&mut self) {
        // A runtime may not be waited for from within another one.
        if let Some(network) = self.network.take() {
            network.shutdown_background();
        }
    }
}
