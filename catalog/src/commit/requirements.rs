//! What must still hold when a change of metadata is applied: it follows from the updates.

use crate::spec::{MAIN_BRANCH, TableMetadata, TableRequirement, TableUpdate};

/// The requirements of `updates` that were derived from `base`, without repetition.
pub(crate) fn requirements(base: &TableMetadata, updates: &[TableUpdate]) -> Vec<TableRequirement> {
    let mut out = vec![TableRequirement::UuidMatch { uuid: base.uuid() }];
    let mut push = |requirement: TableRequirement| {
        if !out.contains(&requirement) {
            out.push(requirement);
        }
    };
    let schema =
        TableRequirement::CurrentSchemaIdMatch { current_schema_id: base.current_schema_id() };
    let spec =
        TableRequirement::DefaultSpecIdMatch { default_spec_id: base.default_partition_spec_id() };
    let order = TableRequirement::DefaultSortOrderIdMatch {
        default_sort_order_id: base.default_sort_order_id(),
    };
    for update in updates {
        match update {
            // Partition fields and orders refer to columns by id, and their names share a space: what
            // was derived from one holds while the others are as they were.
            TableUpdate::AddSchema { .. }
            | TableUpdate::SetCurrentSchema { .. }
            | TableUpdate::RemoveSchemas { .. }
            | TableUpdate::AddSpec { .. }
            | TableUpdate::SetDefaultSpec { .. }
            | TableUpdate::RemovePartitionSpecs { .. }
            | TableUpdate::AddSortOrder { .. }
            | TableUpdate::SetDefaultSortOrder { .. } => {
                push(schema.clone());
                push(spec.clone());
                push(order.clone());
                push(TableRequirement::LastAssignedFieldIdMatch {
                    last_assigned_field_id: base.last_column_id(),
                });
                push(TableRequirement::LastAssignedPartitionIdMatch {
                    last_assigned_partition_id: base.last_partition_id(),
                });
            }
            TableUpdate::SetSnapshotRef { ref_name, .. }
            | TableUpdate::RemoveSnapshotRef { ref_name } => push(reference(base, ref_name)),
            TableUpdate::RemoveSnapshots { .. } => push(reference(base, MAIN_BRANCH)),
            _ => {}
        }
    }
    out
}

/// The reference must point where it points in `base`.
pub(crate) fn reference(base: &TableMetadata, name: &str) -> TableRequirement {
    TableRequirement::RefSnapshotIdMatch {
        r#ref: name.to_owned(),
        snapshot_id: base.snapshot_for_ref(name).map(|snapshot| snapshot.snapshot_id()),
    }
}

#[cfg(test)]
mod tests {
    use iceberg::spec::TableMetadataBuilder;

    use super::*;
    use crate::commit::staged::apply;
    use crate::spec::{
        FormatVersion, NestedField, PrimitiveType, Schema, SortOrder, Transform, Type,
        UnboundPartitionSpec,
    };

    fn schema(names: &[(i32, &str)]) -> Schema {
        let fields = names.iter().map(|(id, name)| {
            NestedField::optional(*id, *name, Type::Primitive(PrimitiveType::Long)).into()
        });
        Schema::builder().with_fields(fields).build().unwrap()
    }

    /// Hazard: a column is dropped while another commit partitions by it, and nobody reads the table
    /// again.
    #[test]
    fn a_change_of_columns_and_one_of_partitioning_do_not_meet() {
        let base = TableMetadataBuilder::new(
            schema(&[(1, "a"), (2, "b")]),
            UnboundPartitionSpec::default(),
            SortOrder::unsorted_order(),
            "s3://lake/t".to_owned(),
            FormatVersion::V2,
            Default::default(),
        );
        let base = base.unwrap().build().unwrap().metadata;
        let spec = UnboundPartitionSpec::builder().add_partition_field(2, "b", Transform::Identity);
        let partitioned = vec![
            TableUpdate::AddSpec { spec: spec.unwrap().build() },
            TableUpdate::SetDefaultSpec { spec_id: -1 },
        ];
        let dropped = vec![
            TableUpdate::AddSchema { schema: schema(&[(1, "a")]) },
            TableUpdate::SetCurrentSchema { schema_id: -1 },
        ];
        for (first, second) in [(&partitioned, &dropped), (&dropped, &partitioned)] {
            let after = apply(base.clone(), first.clone()).unwrap();
            let holds = requirements(&base, second)
                .iter()
                .all(|requirement| requirement.check(Some(&after)).is_ok());
            assert!(!holds, "{second:?} on top of {first:?}");
        }
        let holds = requirements(&base, &dropped)
            .iter()
            .all(|requirement| requirement.check(Some(&base)).is_ok());
        assert!(holds);
    }
}
