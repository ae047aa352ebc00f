//! New partition specs, written as the table will have them.

use crate::spec::{PartitionSpec, TableMetadata, TableUpdate, UnboundPartitionSpec};

/// Writes the default spec of `after`, to which `updates` lead, with the ids that it has there.
///
/// The protocol lets a client leave out the ids of new partition fields (`PartitionField` of the
/// Iceberg REST specification), and the format library does. Nessie 0.99 cannot read such a field:
/// it answers 500, which leaves open whether the commit was applied.
pub(crate) fn with_field_ids(
    mut updates: Vec<TableUpdate>,
    after: &TableMetadata,
) -> Vec<TableUpdate> {
    let bound = after.default_partition_spec();
    for update in &mut updates {
        if let TableUpdate::AddSpec { spec } = update
            && is_same(spec, bound)
        {
            *spec = PartitionSpec::clone(bound).into_unbound();
        }
    }
    updates
}

fn is_same(added: &UnboundPartitionSpec, bound: &PartitionSpec) -> bool {
    added.fields().len() == bound.fields().len()
        && added.fields().iter().zip(bound.fields()).all(|(added, bound)| {
            added.field_id.is_none_or(|id| id == bound.field_id)
                && (added.source_id, &added.name, added.transform)
                    == (bound.source_id, &bound.name, bound.transform)
        })
}

#[cfg(test)]
mod tests {
    use iceberg::spec::TableMetadataBuilder;

    use super::*;
    use crate::commit::staged::apply;
    use crate::spec::{
        FormatVersion, NestedField, PrimitiveType, Schema, SortOrder, Transform, Type,
    };

    fn spec(fields: &[(i32, &str, Transform)]) -> TableUpdate {
        let mut spec = UnboundPartitionSpec::builder();
        for (source, name, transform) in fields {
            spec = spec.add_partition_field(*source, name, *transform).unwrap();
        }
        TableUpdate::AddSpec { spec: spec.build() }
    }

    fn ids(updates: &[TableUpdate]) -> Vec<Option<i32>> {
        match &updates[0] {
            TableUpdate::AddSpec { spec } => spec.fields().iter().map(|f| f.field_id).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// Hazard: Nessie answers 500 to a partition field without an id.
    #[test]
    fn every_partition_field_has_its_id() {
        let long = Type::Primitive(PrimitiveType::Long);
        let fields = [(1, "a"), (2, "b")]
            .map(|(id, name)| NestedField::optional(id, name, long.clone()).into());
        let metadata = TableMetadataBuilder::new(
            Schema::builder().with_fields(fields).build().unwrap(),
            UnboundPartitionSpec::default(),
            SortOrder::unsorted_order(),
            "s3://lake/t".to_owned(),
            FormatVersion::V2,
            Default::default(),
        );
        let metadata = metadata.unwrap().build().unwrap().metadata;
        let default = TableUpdate::SetDefaultSpec { spec_id: -1 };
        let bucket = Transform::Bucket(4);

        let asked = vec![spec(&[(1, "a_bucket", bucket)]), default.clone()];
        let after = apply(metadata, asked.clone()).unwrap();
        let sent = with_field_ids(asked, &after);
        assert_eq!(ids(&sent), [Some(1000)]);

        // The same field again keeps its id; a new one gets the next.
        let asked = vec![spec(&[(2, "b", Transform::Identity), (1, "a_bucket", bucket)]), default];
        let again = apply(after.clone(), asked.clone()).unwrap();
        let sent = with_field_ids(asked, &again);
        assert_eq!(ids(&sent), [Some(1001), Some(1000)]);
        // What is sent leads to the same table.
        let as_sent = apply(after, sent).unwrap();
        assert_eq!(as_sent.default_partition_spec(), again.default_partition_spec());
    }
}
