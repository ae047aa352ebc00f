//! The partitions that a dynamic overwrite replaces.

use std::collections::{BTreeMap, HashSet};

use iceberg::spec::ByteBuf;

use super::target::bind;
use crate::error::Result;
use crate::partition::{partition_key, widened};
use crate::spec::{
    DataFile, Datum, Literal, ManifestFile, PartitionSpec, PrimitiveLiteral, Struct, StructType,
    TableMetadata, Type,
};

/// How a file lies to the replaced partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overlap {
    /// No row of it can be in one.
    Outside,
    /// All of its rows are in one.
    Inside,
    /// It was written by another partition spec, and may hold rows of one beside others.
    Unclear,
}

/// Partitions by the spec that the new files were written by.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartitionSet {
    by_spec: BTreeMap<i32, HashSet<Struct>>,
}

impl PartitionSet {
    /// Adds the partition that `file` lies in.
    pub(crate) fn insert(&mut self, spec_id: i32, file: &DataFile) {
        self.by_spec.entry(spec_id).or_default().insert(partition_key(file.partition()));
    }

    /// How `file` lies to the set.
    pub(crate) fn overlap(
        &self,
        metadata: &TableMetadata,
        spec_id: i32,
        file: &DataFile,
    ) -> Result<Overlap> {
        let key = partition_key(file.partition());
        let mut found = Overlap::Outside;
        for (own_id, partitions) in &self.by_spec {
            let overlap = if *own_id == spec_id {
                if partitions.contains(&key) { Overlap::Inside } else { Overlap::Outside }
            } else {
                match (
                    metadata.partition_spec_by_id(*own_id),
                    metadata.partition_spec_by_id(spec_id),
                ) {
                    (Some(own), Some(other)) => across_specs(own, partitions, other, &key),
                    _ => Overlap::Unclear,
                }
            };
            match overlap {
                Overlap::Inside => return Ok(Overlap::Inside),
                Overlap::Unclear => found = Overlap::Unclear,
                Overlap::Outside => {}
            }
        }
        Ok(found)
    }

    /// Whether `manifest` may hold a file that is not outside, by its partition summary.
    pub(crate) fn may_overlap(
        &self,
        metadata: &TableMetadata,
        manifest: &ManifestFile,
    ) -> Result<bool> {
        let id = manifest.partition_spec_id;
        if self.by_spec.keys().any(|own| *own != id) {
            return Ok(true);
        }
        let (Some(partitions), Some(spec)) =
            (self.by_spec.get(&id), metadata.partition_spec_by_id(id))
        else {
            return Ok(false);
        };
        let (_, ty) = bind(metadata, spec)?;
        Ok(partitions.iter().any(|partition| summary_admits(manifest, &ty, partition)))
    }
}

/// Compares by the fields (source column and transform) that both specs have.
fn across_specs(
    own: &PartitionSpec,
    partitions: &HashSet<Struct>,
    other: &PartitionSpec,
    key: &Struct,
) -> Overlap {
    let shared: Vec<Option<usize>> = own
        .fields()
        .iter()
        .map(|field| {
            other
                .fields()
                .iter()
                .position(|o| o.source_id == field.source_id && o.transform == field.transform)
        })
        .collect();
    let all_shared = shared.iter().all(Option::is_some);
    let meets = partitions.iter().any(|partition| {
        shared.iter().enumerate().all(|(own_at, other_at)| {
            other_at.is_none_or(|at| partition.fields().get(own_at) == key.fields().get(at))
        })
    });
    match (meets, all_shared) {
        (false, _) => Overlap::Outside,
        (true, true) => Overlap::Inside,
        (true, false) => Overlap::Unclear,
    }
}

fn summary_admits(manifest: &ManifestFile, ty: &StructType, partition: &Struct) -> bool {
    let Some(summaries) = &manifest.partitions else { return true };
    partition.iter().zip(ty.fields()).zip(summaries).all(|((value, field), summary)| {
        let Some(Literal::Primitive(literal)) = value else { return summary.contains_null };
        let Type::Primitive(primitive) = field.field_type.as_ref() else { return true };
        if is_nan(literal) {
            return true;
        }
        // Bounds in the form of the key, whose narrow types were widened.
        let bound = |bytes: &Option<ByteBuf>| {
            let datum = Datum::try_from_bytes(bytes.as_ref()?, primitive.clone()).ok()?;
            widened(&Literal::Primitive(datum.literal().clone())).as_primitive_literal()
        };
        let below = bound(&summary.lower_bound).is_some_and(|low| *literal < low);
        let above = bound(&summary.upper_bound).is_some_and(|high| *literal > high);
        !below && !above
    })
}

fn is_nan(literal: &PrimitiveLiteral) -> bool {
    match literal {
        PrimitiveLiteral::Float(v) => v.0.is_nan(),
        PrimitiveLiteral::Double(v) => v.0.is_nan(),
        _ => false,
    }
}
