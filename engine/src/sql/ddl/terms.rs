//! A table's partitioning and sort order as the terms that would make them again.

use fjord_catalog::spec::{NullOrder, Schema, SortDirection, TableMetadata, Transform};

use crate::error::{Error, ErrorKind, Result};
use crate::sql::ddl::ast::{PartitionDef, SortDef};
use crate::sql::ddl::columns::partition_name;
use crate::sql::quote::{quote_name, quote_path};

/// Partition and sort terms of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) partitioning: Vec<PartitionDef>,
    pub(crate) sorted_by: Vec<SortDef>,
}

/// The terms of the table's default partition spec and sort order.
///
/// # Errors
/// `Corrupt` when one names a column that the schema lacks.
pub(crate) fn terms_of(metadata: &TableMetadata) -> Result<Terms> {
    let schema = metadata.current_schema();
    let mut terms = Terms::default();
    for field in metadata.default_partition_spec().fields() {
        let column = path_of(schema, field.source_id)?;
        let usual = partition_name(&column.join("."), field.transform);
        let name = (field.name != usual).then(|| field.name.clone());
        terms.partitioning.push(PartitionDef { column, transform: field.transform, name });
    }
    for field in &metadata.default_sort_order().fields {
        let column = path_of(schema, field.source_id)?;
        terms.sorted_by.push(SortDef {
            term: PartitionDef { column, transform: field.transform, name: None },
            descending: field.direction == SortDirection::Descending,
            nulls_first: field.null_order == NullOrder::First,
        });
    }
    Ok(terms)
}

/// The names from the outermost field down to `id`; a name may itself contain dots.
fn path_of(schema: &Schema, id: i32) -> Result<Vec<String>> {
    fn below(fields: &[fjord_catalog::spec::NestedFieldRef], id: i32) -> Option<Vec<String>> {
        for field in fields {
            if field.id == id {
                return Some(vec![field.name.clone()]);
            }
            if let fjord_catalog::spec::Type::Struct(nested) = field.field_type.as_ref()
                && let Some(mut path) = below(nested.fields(), id)
            {
                path.insert(0, field.name.clone());
                return Some(path);
            }
        }
        None
    }
    below(schema.as_struct().fields(), id).ok_or_else(|| {
        Error::new(
            ErrorKind::Corrupt,
            format!("the partitioning or sort order names column {id}, which the schema lacks"),
        )
    })
}

/// The term in SQL, as our parser reads it back.
pub(crate) fn partition_to_sql(def: &PartitionDef) -> String {
    let term = term_to_sql(def);
    match &def.name {
        Some(name) => format!("{term} AS {}", quote_name(name)),
        None => term,
    }
}

/// The sort term in SQL.
pub(crate) fn sort_to_sql(def: &SortDef) -> String {
    let direction = if def.descending { "DESC" } else { "ASC" };
    let nulls = if def.nulls_first { "FIRST" } else { "LAST" };
    format!("{} {direction} NULLS {nulls}", term_to_sql(&def.term))
}

fn term_to_sql(def: &PartitionDef) -> String {
    let column = quote_path(def.column.iter().map(String::as_str));
    match def.transform {
        Transform::Identity => column,
        Transform::Bucket(n) => format!("bucket({column}, {n})"),
        Transform::Truncate(n) => format!("truncate({column}, {n})"),
        other => format!("{other}({column})"),
    }
}
