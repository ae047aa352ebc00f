//! Scans of live databases between processes: by the name of their catalog, never with a secret.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use datafusion::common::internal_err;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::PhysicalExprNode;
use prost::Message;

use crate::connector::Connectors;
use crate::postgres::{RemoteSqlExec, RemoteWriteExec};

/// A scan as it travels.
#[derive(Clone, PartialEq, Message)]
struct ScanMessage {
    /// Who resolves it.
    #[prost(string, tag = "1")]
    catalog: String,
    /// What the connector makes of it.
    #[prost(bytes = "vec", tag = "2")]
    scan: Vec<u8>,
    /// Filters that a join of the same stage fills.
    #[prost(message, repeated, tag = "3")]
    filters: Vec<PhysicalExprNode>,
    /// Which database the sender means by that name.
    #[prost(string, tag = "4")]
    identity: String,
}

/// A database that a plan reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RemoteDatabase {
    /// The catalog under which it is mounted.
    pub catalog: String,
    /// [`crate::connector::Connector::identity`].
    pub identity: String,
}

impl RemoteDatabase {
    /// What processes tell each other of a database that they have mounted: the same where catalog
    /// and identity are.
    pub fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.catalog.to_lowercase(), &self.identity).hash(&mut hasher);
        hasher.finish()
    }
}

/// The database that `node` reads, if it is one that [`encode`] takes.
pub fn database_of(node: &dyn ExecutionPlan) -> Option<RemoteDatabase> {
    let scan = node.downcast_ref::<RemoteSqlExec>()?;
    Some(RemoteDatabase { catalog: scan.catalog().to_owned(), identity: scan.identity() })
}

/// Whether `node` writes the rows of its only input into a live database, in one transaction. It
/// stays where it is.
pub fn is_write(node: &dyn ExecutionPlan) -> bool {
    node.downcast_ref::<RemoteWriteExec>().is_some()
}

/// Writes a scan of a live database.
///
/// # Errors
/// For any other node.
pub fn encode(
    node: &Arc<dyn ExecutionPlan>,
    buffer: &mut Vec<u8>,
    codec: &dyn PhysicalExtensionCodec,
    converter: &dyn PhysicalProtoConverterExtension,
) -> DfResult<()> {
    let Some(scan) = node.downcast_ref::<RemoteSqlExec>() else {
        return internal_err!("{} is no scan of a live database", node.name());
    };
    let message = ScanMessage {
        catalog: scan.catalog().to_owned(),
        scan: scan.encode()?,
        filters: scan
            .filters()
            .iter()
            .map(|filter| converter.physical_expr_to_proto(filter, codec))
            .collect::<DfResult<_>>()?,
        identity: scan.identity(),
    };
    message.encode(buffer).map_err(|e| DataFusionError::External(Box::new(e)))
}

/// Reads what [`encode`] wrote; the catalog is the one that this process has mounted under the name.
///
/// # Errors
/// For other bytes, and where no such catalog is mounted, or another database under its name.
pub fn decode(
    bytes: &[u8],
    connectors: &dyn Connectors,
    context: &TaskContext,
    codec: &dyn PhysicalExtensionCodec,
    converter: &dyn PhysicalProtoConverterExtension,
) -> DfResult<Arc<dyn ExecutionPlan>> {
    let message = ScanMessage::decode(bytes).map_err(|e| DataFusionError::External(Box::new(e)))?;
    let connector = connectors.connector(&message.catalog, &message.identity, context)?;
    let node = connector.decode_scan(&message.scan)?;
    if message.filters.is_empty() {
        return Ok(node);
    }
    let Some(scan) = node.downcast_ref::<RemoteSqlExec>() else { return Ok(node) };
    let decoding = PhysicalPlanDecodeContext::new(context, codec);
    let schema = node.schema();
    let filters = message
        .filters
        .iter()
        .map(|filter| converter.proto_to_physical_expr(filter, &schema, &decoding))
        .collect::<DfResult<Vec<_>>>()?;
    Ok(Arc::new(scan.with_filters(filters)))
}

/// The codec for these scans alone.
#[derive(Debug)]
pub struct RemoteCodec {
    connectors: Arc<dyn Connectors>,
}

impl RemoteCodec {
    /// Resolves catalogs in `connectors`.
    pub fn new(connectors: Arc<dyn Connectors>) -> Self {
        Self { connectors }
    }
}

impl PhysicalExtensionCodec for RemoteCodec {
    fn try_decode(
        &self,
        buffer: &[u8],
        _inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        decode(buffer, self.connectors.as_ref(), context, self, converter)
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buffer: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> DfResult<()> {
        encode(&node, buffer, self, converter)
    }
}
