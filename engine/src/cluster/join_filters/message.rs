//! A part of a join's filter as a message.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use datafusion_proto::physical_plan::from_proto::parse_physical_expr;
use datafusion_proto::physical_plan::to_proto::serialize_physical_expr;
use datafusion_proto::protobuf;
use prost::Message;

use super::key_expr::KeySetExpr;
use super::keys::{Keys, KeysBuilder, KeysMessage};
use super::union::{all, alternatives, union};
use crate::iceberg::wire::decode_schema;

/// What one task of a join knows of the keys it has built.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FilterMessage {
    /// The attempt at a query.
    #[prost(string, tag = "1")]
    pub(super) attempt: String,
    /// The filter's id in the plan of that attempt.
    #[prost(uint64, tag = "2")]
    pub(super) filter: u64,
    /// The task of the join, counted from 0.
    #[prost(uint32, tag = "3")]
    pub(super) task: u32,
    /// How many tasks the join has.
    #[prost(uint32, tag = "4")]
    pub(super) tasks: u32,
    /// [`PartMessage`], which nobody reads before all are there.
    #[prost(bytes = "vec", tag = "5")]
    pub(super) part: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PartMessage {
    /// Of the join's probe side, which the columns are those of.
    #[prost(message, optional, tag = "1")]
    schema: Option<protobuf::Schema>,
    /// A row that passes none of them has no partner in this task.
    #[prost(message, repeated, tag = "2")]
    any_of: Vec<protobuf::PhysicalExprNode>,
    /// Of each key of the join, in their order: all that the task has.
    #[prost(message, repeated, tag = "3")]
    keys: Vec<KeptMessage>,
}

/// The keys of a column; without a set where they are not known.
#[derive(Clone, PartialEq, prost::Message)]
struct KeptMessage {
    #[prost(message, optional, tag = "1")]
    keys: Option<KeysMessage>,
}

/// What a task has built, for a message.
pub(super) fn encode_part(
    filter: &Arc<dyn PhysicalExpr>,
    kept: &[Option<KeysBuilder>],
    schema: &SchemaRef,
    codec: &dyn PhysicalExtensionCodec,
) -> Result<Vec<u8>> {
    let alternatives = alternatives(filter);
    let any_of = alternatives.iter().map(|filter| serialize_physical_expr(filter, codec));
    let part = PartMessage {
        schema: Some(schema.as_ref().try_into()?),
        any_of: any_of.collect::<Result<_>>()?,
        keys: kept
            .iter()
            .map(|kept| KeptMessage { keys: kept.as_ref().map(KeysBuilder::encode) })
            .collect(),
    };
    Ok(part.encode_to_vec())
}

/// The filter that the parts of all tasks make together; `keys` are the join's on its probe side.
pub(super) fn decode_parts(
    parts: &[Arc<[u8]>],
    keys: &[Arc<dyn PhysicalExpr>],
    context: &TaskContext,
    codec: &dyn PhysicalExtensionCodec,
) -> Result<Arc<dyn PhysicalExpr>> {
    let mut filters = Vec::new();
    let mut of_all = None;
    let mut kept: Vec<Option<KeysBuilder>> =
        keys.iter().map(|_| Some(KeysBuilder::default())).collect();
    for part in parts {
        let part = PartMessage::decode(part.as_ref())
            .map_err(|e| internal_datafusion_err!("a join's filter that cannot be read: {e}"))?;
        let schema = decode_schema(part.schema.as_ref())?;
        for filter in &part.any_of {
            filters.push(parse_physical_expr(filter, context, &schema, codec)?);
        }
        let mut more = part.keys.into_iter();
        for kept in &mut kept {
            let more = more.next().and_then(|more| KeysBuilder::decode(more.keys?));
            let both = kept.take().zip(more);
            *kept = both.and_then(|(mut kept, more)| kept.merge(more).ok().map(|()| kept));
        }
        of_all = Some(schema);
    }
    let schema = of_all.ok_or_else(|| internal_datafusion_err!("a join's filter of no part"))?;
    let sets: Vec<Option<Keys>> =
        kept.into_iter().map(|kept| kept.and_then(KeysBuilder::build)).collect();
    // Where there is a set of every key, the rest says less; the bounds are for statistics.
    let mut filters = match sets.iter().all(Option::is_some) {
        true => Vec::new(),
        false => vec![union(filters, &schema)?],
    };
    for (key, set) in keys.iter().zip(sets) {
        if let Some(set) = set {
            let bounds = set.bounds(key, &schema)?;
            filters.push(Arc::new(KeySetExpr::new(Arc::clone(key), Arc::new(set))));
            filters.push(bounds);
        }
    }
    Ok(all(&filters))
}
