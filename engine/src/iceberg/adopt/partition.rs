//! The partition of a file that somebody else wrote: from `key=value` in its path, or from its bounds.

use std::collections::{BTreeMap, HashMap, HashSet};

use datafusion::common::ScalarValue;
use fjord_catalog::spec::{
    Datum, Literal, NestedFieldRef, PartitionField, Struct, TableMetadata, Transform, Type,
};
use fjord_catalog::transform::transform_literal;

use crate::error::{Error, Result};
use crate::iceberg::types::to_arrow_type;
use crate::iceberg::write::literal_at;

/// Exact bounds of columns without NULLs, by field id.
pub(crate) type ExactBounds = HashMap<i32, (Datum, Datum)>;

/// What the path of a file says of its partition.
#[derive(Debug)]
pub(super) struct Partition {
    /// Values of identity fields, by the ids of their source columns.
    values: BTreeMap<i32, Option<Literal>>,
    columns: HashSet<i32>,
}

impl Partition {
    /// From the `key=value` pairs of a path; `None` is NULL.
    ///
    /// # Errors
    /// `Invalid` for a key that no identity field of the table's partition spec has: its value would
    /// be lost.
    pub(super) fn of_path(
        metadata: &TableMetadata,
        pairs: &[(String, Option<String>)],
    ) -> Result<Self> {
        let schema = metadata.current_schema();
        let mut values = BTreeMap::new();
        for (key, text) in pairs {
            let column = schema
                .field_by_name(key)
                .or_else(|| schema.field_by_name_case_insensitive(key))
                .filter(|column| is_identity(metadata, column.id));
            let Some(column) = column else {
                return Err(Error::invalid(format!(
                    "its path has {key}=…, which is no identity field of the table's partitioning; \
                     partition the table by {key:?}, or name the files in another way"
                )));
            };
            let value = text.as_ref().map(|text| parsed(column, text)).transpose()?.flatten();
            if value.is_none() && column.required {
                return Err(Error::invalid(format!(
                    "its path says that {key:?} is NULL, and the column is NOT NULL"
                )));
            }
            values.insert(column.id, value);
        }
        let columns = values.keys().copied().collect();
        Ok(Self { values, columns })
    }

    /// The ids of the columns that the path fixes.
    pub(super) fn columns(&self) -> &HashSet<i32> {
        &self.columns
    }

    /// The tuple under the table's default partition spec.
    ///
    /// # Errors
    /// `Invalid` where neither path nor bounds say in which partition the file is, or contradict
    /// each other.
    pub(super) fn tuple(&self, metadata: &TableMetadata, bounds: &ExactBounds) -> Result<Struct> {
        for (id, value) in &self.values {
            self.check_bounds(metadata, *id, value.as_ref(), bounds)?;
        }
        metadata
            .default_partition_spec()
            .fields()
            .iter()
            .map(|field| self.value(field, bounds))
            .collect::<Result<Vec<_>>>()
            .map(|values| values.into_iter().collect())
    }

    fn value(&self, field: &PartitionField, bounds: &ExactBounds) -> Result<Option<Literal>> {
        if field.transform == Transform::Void {
            return Ok(None);
        }
        if field.transform == Transform::Identity
            && let Some(value) = self.values.get(&field.source_id)
        {
            return Ok(value.clone());
        }
        let Some((low, high)) = bounds.get(&field.source_id) else {
            return Err(Error::invalid(format!(
                "its partition by {:?} is not known: its path has no {}=…, and its footer no exact \
                 bounds of a column without NULLs",
                field.name, field.name
            )));
        };
        let of = |bound: &Datum| transform_literal(&field.transform, bound);
        let (first, last) = (of(low)?, of(high)?);
        // Between equal ends of a transform that keeps the order all values are equal.
        let keeps_order = !matches!(field.transform, Transform::Bucket(_));
        if first != last || !(keeps_order || low == high) {
            return Err(Error::invalid(format!(
                "its rows are of several partitions by {:?}: from {low} to {high}",
                field.name
            )));
        }
        Ok(first.map(|datum| Literal::Primitive(datum.literal().clone())))
    }

    /// What a file stores must be what its path says: queries go by the path.
    fn check_bounds(
        &self,
        metadata: &TableMetadata,
        id: i32,
        value: Option<&Literal>,
        bounds: &ExactBounds,
    ) -> Result<()> {
        let Some((low, high)) = bounds.get(&id) else { return Ok(()) };
        let is = |bound: &Datum| matches!(value, Some(Literal::Primitive(value)) if value == bound.literal());
        if is(low) && is(high) {
            return Ok(());
        }
        let name = metadata.current_schema().name_by_field_id(id).unwrap_or_default();
        Err(Error::invalid(format!(
            "its path contradicts its rows: column {name:?} goes from {low} to {high} in it"
        )))
    }
}

fn is_identity(metadata: &TableMetadata, id: i32) -> bool {
    let fields = metadata.default_partition_spec().fields();
    fields.iter().any(|f| f.source_id == id && f.transform == Transform::Identity)
}

/// The value that `text` spells.
fn parsed(column: &NestedFieldRef, text: &str) -> Result<Option<Literal>> {
    let Type::Primitive(ty) = column.field_type.as_ref() else {
        return Err(Error::invalid(format!("column {:?} is nested", column.name)));
    };
    let wrong =
        || Error::invalid(format!("its path says {}={text}, which is no {ty}", column.name));
    let arrow = to_arrow_type(&column.field_type)?;
    let value = ScalarValue::try_from_string(text.to_owned(), &arrow)
        .map_err(|e| wrong().with_source(e))?;
    literal_at(&value.to_array_of_size(1)?, 0, ty)
}
