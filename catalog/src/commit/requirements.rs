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
    for update in updates {
        match update {
            TableUpdate::AddSchema { .. } => {
                push(schema.clone());
                push(TableRequirement::LastAssignedFieldIdMatch {
                    last_assigned_field_id: base.last_column_id(),
                });
            }
            TableUpdate::SetCurrentSchema { .. } | TableUpdate::RemoveSchemas { .. } => {
                push(schema.clone());
            }
            TableUpdate::AddSpec { .. } => {
                push(spec.clone());
                push(TableRequirement::LastAssignedPartitionIdMatch {
                    last_assigned_partition_id: base.last_partition_id(),
                });
            }
            TableUpdate::SetDefaultSpec { .. } | TableUpdate::RemovePartitionSpecs { .. } => {
                push(spec.clone());
            }
            TableUpdate::AddSortOrder { .. } | TableUpdate::SetDefaultSortOrder { .. } => {
                push(TableRequirement::DefaultSortOrderIdMatch {
                    default_sort_order_id: base.default_sort_order_id(),
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
