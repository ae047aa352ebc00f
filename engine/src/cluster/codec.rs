//! Operators of ours as messages. What has none is not sent: the plan stays where it is.

use std::fmt;
use std::sync::Arc;

use datafusion::common::{internal_datafusion_err, internal_err, not_impl_err};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf;
use fjord_catalog::name::{Namespace, TableName};
use fjord_catalog::spec::TableMetadata;
use fjord_catalog::storage::Storage;
use fjord_catalog::table::Table;
use fjord_connectors::codec;
use fjord_connectors::connector::Connectors;
use prost::Message;
use url::Url;

use super::join_filters::{AwaitJoinFilterExec, KeepJoinKeysExec, SendJoinFilterExec};
use crate::hand::{HandExec, Handing, ListLengths};
use crate::iceberg::wire::{ScanMessage, decode_scan, decode_schema, encode_scan, scan_of};
use crate::iceberg::write::{ConformExec, Fit, IcebergWriteExec, write_planned};

/// Metadata that a write does not look at, and that grows with every commit.
const NOT_FOR_WRITERS: [&str; 7] = [
    "snapshots",
    "snapshot-log",
    "metadata-log",
    "refs",
    "current-snapshot-id",
    "statistics",
    "partition-statistics",
];

/// An operator.
#[derive(Clone, PartialEq, prost::Message)]
struct NodeMessage {
    #[prost(oneof = "Node", tags = "1, 2, 3, 4, 5, 6, 7, 8")]
    node: Option<Node>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Node {
    #[prost(message, tag = "1")]
    Scan(Box<ScanMessage>),
    #[prost(enumeration = "HandMessage", tag = "2")]
    Hand(i32),
    #[prost(message, tag = "3")]
    Conform(ConformMessage),
    #[prost(message, tag = "4")]
    Write(WriteMessage),
    /// What the connectors' own codec makes of a scan.
    #[prost(bytes = "vec", tag = "5")]
    Remote(Vec<u8>),
    #[prost(message, tag = "6")]
    SendJoinFilter(Box<SendJoinFilterMessage>),
    #[prost(message, tag = "7")]
    AwaitJoinFilter(AwaitJoinFilterMessage),
    #[prost(message, tag = "8")]
    KeepJoinKeys(KeepJoinKeysMessage),
}

/// Who keeps a join's keys.
#[derive(Clone, PartialEq, prost::Message)]
struct KeepJoinKeysMessage {
    #[prost(uint64, tag = "1")]
    filter: u64,
    #[prost(message, repeated, tag = "2")]
    keys: Vec<protobuf::PhysicalExprNode>,
}

/// Who sends a join's filter.
#[derive(Clone, PartialEq, prost::Message)]
struct SendJoinFilterMessage {
    #[prost(message, optional, tag = "1")]
    filter: Option<protobuf::PhysicalExprNode>,
    #[prost(bool, tag = "2")]
    is_whole: bool,
    /// Where it goes.
    #[prost(string, repeated, tag = "3")]
    workers: Vec<String>,
}

/// Who waits for the filters of joins.
#[derive(Clone, PartialEq, prost::Message)]
struct AwaitJoinFilterMessage {
    #[prost(message, repeated, tag = "1")]
    filters: Vec<protobuf::PhysicalExprNode>,
}

/// How batches are handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum HandMessage {
    Rows = 0,
    Parts = 1,
    Turns = 2,
}

/// Rows brought into a table's shape.
#[derive(Clone, PartialEq, prost::Message)]
struct ConformMessage {
    #[prost(message, optional, tag = "1")]
    schema: Option<protobuf::Schema>,
    /// Whether too fine an instant is cut.
    #[prost(bool, tag = "2")]
    floor: bool,
}

/// Rows into files of a table.
#[derive(Clone, PartialEq, prost::Message)]
struct WriteMessage {
    #[prost(string, repeated, tag = "1")]
    namespace: Vec<String>,
    #[prost(string, tag = "2")]
    name: String,
    /// The table's metadata as JSON, without its history.
    #[prost(string, tag = "3")]
    metadata: String,
}

/// Encodes and decodes the operators of this crate.
pub(super) struct FjordCodec {
    storage: Storage,
    databases: Option<Arc<dyn Connectors>>,
}

impl fmt::Debug for FjordCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjordCodec").finish_non_exhaustive()
    }
}

impl FjordCodec {
    /// Decoded operators read and write on `storage`, and know no database.
    pub(super) fn new(storage: Storage) -> Self {
        Self { storage, databases: None }
    }

    /// Decoded scans of databases read from `databases`.
    #[must_use]
    pub(super) fn with_databases(mut self, databases: Arc<dyn Connectors>) -> Self {
        self.databases = Some(databases);
        self
    }
}

impl PhysicalExtensionCodec for FjordCodec {
    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let message = if let Some((config, source)) = scan_of(node.as_ref()) {
            Node::Scan(Box::new(encode_scan(config, source, self, converter)?))
        } else if let Some(hand) = node.downcast_ref::<HandExec>() {
            Node::Hand(i32::from(match hand.handing() {
                Handing::Rows(_) => HandMessage::Rows,
                Handing::Parts(_) => HandMessage::Parts,
                Handing::Turns => HandMessage::Turns,
            }))
        } else if let Some(conform) = node.downcast_ref::<ConformExec>() {
            let (schema, fit) = conform.shape();
            let floor = fit == Fit::Floor;
            Node::Conform(ConformMessage { schema: Some(schema.as_ref().try_into()?), floor })
        } else if let Some(write) = node.downcast_ref::<IcebergWriteExec>() {
            Node::Write(encode_write(write.table())?)
        } else if let Some(send) = node.downcast_ref::<SendJoinFilterExec>() {
            Node::SendJoinFilter(Box::new(SendJoinFilterMessage {
                filter: Some(converter.physical_expr_to_proto(send.filter(), self)?),
                is_whole: send.is_whole(),
                workers: send.workers().iter().map(Url::to_string).collect(),
            }))
        } else if let Some(waiting) = node.downcast_ref::<AwaitJoinFilterExec>() {
            let filters = waiting.filters().iter();
            let filters = filters.map(|filter| converter.physical_expr_to_proto(filter, self));
            Node::AwaitJoinFilter(AwaitJoinFilterMessage {
                filters: filters.collect::<Result<_>>()?,
            })
        } else if let Some(keep) = node.downcast_ref::<KeepJoinKeysExec>() {
            let keys = keep.keys().iter();
            let keys = keys.map(|key| converter.physical_expr_to_proto(key, self));
            let (filter, keys) = (keep.filter(), keys.collect::<Result<_>>()?);
            Node::KeepJoinKeys(KeepJoinKeysMessage { filter, keys })
        } else if codec::database_of(node.as_ref()).is_some() {
            let mut scan = Vec::new();
            codec::encode(&node, &mut scan, self, converter)?;
            Node::Remote(scan)
        } else {
            return not_impl_err!("{} does not run on workers", node.name());
        };
        let message = NodeMessage { node: Some(message) };
        message.encode(buf).map_err(|e| internal_datafusion_err!("a plan too large to send: {e}"))
    }

    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let message = NodeMessage::decode(buf)
            .map_err(|e| internal_datafusion_err!("an operator that cannot be read: {e}"))?;
        match message.node {
            Some(Node::Scan(scan)) => decode_scan(&scan, &self.storage, context, self, converter),
            Some(Node::Hand(handing)) => {
                let input = only(inputs)?;
                let handing = match HandMessage::try_from(handing) {
                    Ok(HandMessage::Rows) => Handing::Rows(ListLengths::default()),
                    Ok(HandMessage::Parts) => Handing::Parts(lengths_below(&input)),
                    Ok(HandMessage::Turns) => Handing::Turns,
                    Err(e) => return internal_err!("an unknown way to hand on batches: {e}"),
                };
                Ok(Arc::new(HandExec::new(input, handing)))
            }
            Some(Node::Conform(conform)) => {
                let schema = decode_schema(conform.schema.as_ref())?;
                let fit = if conform.floor { Fit::Floor } else { Fit::Exact };
                Ok(Arc::new(ConformExec::new(only(inputs)?, schema, fit)))
            }
            Some(Node::Write(write)) => {
                Ok(write_planned(only(inputs)?, &decode_table(write)?, &self.storage)?)
            }
            Some(Node::SendJoinFilter(send)) => {
                let input = only(inputs)?;
                let decoding = PhysicalPlanDecodeContext::new(context, self);
                let Some(filter) = &send.filter else {
                    return internal_err!("a join's filter that is not there");
                };
                let filter =
                    converter.proto_to_physical_expr(filter, &input.schema(), &decoding)?;
                let workers = send.workers.iter().map(|url| url.parse());
                let workers = workers.collect::<Result<Vec<Url>, _>>();
                let workers =
                    workers.map_err(|e| internal_datafusion_err!("a worker's address: {e}"))?;
                let send = SendJoinFilterExec::new(input, filter, send.is_whole, workers.into());
                Ok(Arc::new(send))
            }
            Some(Node::AwaitJoinFilter(waiting)) => {
                let input = only(inputs)?;
                let decoding = PhysicalPlanDecodeContext::new(context, self);
                let schema = input.schema();
                let filters = waiting.filters.iter().map(|filter| {
                    // It names columns of its join's, which the scan's schema is not asked for.
                    converter.proto_to_physical_expr(filter, &schema, &decoding)
                });
                let filters = filters.collect::<Result<_>>()?;
                Ok(Arc::new(AwaitJoinFilterExec::new(input, filters)))
            }
            Some(Node::KeepJoinKeys(keep)) => {
                let input = only(inputs)?;
                let decoding = PhysicalPlanDecodeContext::new(context, self);
                let schema = input.schema();
                let keys = keep
                    .keys
                    .iter()
                    .map(|key| converter.proto_to_physical_expr(key, &schema, &decoding));
                let keys = keys.collect::<Result<_>>()?;
                Ok(Arc::new(KeepJoinKeysExec::new(input, keep.filter, keys)))
            }
            Some(Node::Remote(scan)) => match &self.databases {
                Some(known) => codec::decode(&scan, known.as_ref(), context, self, converter),
                None => internal_err!("a scan of a database was sent to where none is known"),
            },
            None => internal_err!("an operator of another version"),
        }
    }
}

fn only(inputs: &[Arc<dyn ExecutionPlan>]) -> Result<Arc<dyn ExecutionPlan>> {
    match inputs {
        [input] => Ok(Arc::clone(input)),
        _ => internal_err!("an operator with {} inputs instead of one", inputs.len()),
    }
}

/// What an operator that hands on parts shares with the one that made the slices below it.
fn lengths_below(plan: &Arc<dyn ExecutionPlan>) -> ListLengths {
    fn found(plan: &Arc<dyn ExecutionPlan>) -> Option<ListLengths> {
        if let Some(hand) = plan.downcast_ref::<HandExec>()
            && let Handing::Rows(lengths) = hand.handing()
        {
            return Some(lengths.clone());
        }
        plan.children().into_iter().find_map(found)
    }
    found(plan).unwrap_or_default()
}

fn encode_write(table: &Table) -> Result<WriteMessage> {
    let failed = |e| internal_datafusion_err!("a table's metadata is no JSON: {e}");
    let mut metadata = serde_json::to_value(table.metadata().as_ref()).map_err(failed)?;
    if let Some(fields) = metadata.as_object_mut() {
        fields.retain(|key, _| !NOT_FOR_WRITERS.contains(&key.as_str()));
    }
    Ok(WriteMessage {
        namespace: table.name().namespace.levels().to_vec(),
        name: table.name().name.clone(),
        metadata: metadata.to_string(),
    })
}

fn decode_table(message: WriteMessage) -> Result<Table> {
    let metadata: TableMetadata = serde_json::from_str(&message.metadata)
        .map_err(|e| internal_datafusion_err!("a table's metadata cannot be read: {e}"))?;
    let failed = |e: fjord_catalog::Error| crate::error::Error::from(e);
    let namespace = Namespace::new(message.namespace).map_err(failed)?;
    let name = TableName::new(namespace, &message.name).map_err(failed)?;
    Ok(Table::staged(name, metadata))
}

/// The plan as another process would have it: encoded, and decoded in `context`.
#[cfg(test)]
pub(crate) fn sent(
    plan: &Arc<dyn ExecutionPlan>,
    context: &TaskContext,
    storage: &Storage,
) -> Result<Arc<dyn ExecutionPlan>> {
    use datafusion_proto::bytes::{
        physical_plan_from_bytes_with_proto_converter, physical_plan_to_bytes_with_proto_converter,
    };
    use datafusion_proto::physical_plan::DeduplicatingProtoConverter;

    let codec = FjordCodec::new(storage.clone());
    let encoding = DeduplicatingProtoConverter::default();
    let bytes = physical_plan_to_bytes_with_proto_converter(Arc::clone(plan), &codec, &encoding)?;
    let decoding = DeduplicatingProtoConverter::default();
    physical_plan_from_bytes_with_proto_converter(&bytes, context, &codec, &decoding)
}
