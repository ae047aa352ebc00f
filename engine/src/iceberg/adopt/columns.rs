//! Which columns of a table a file's are, and whether they can be read as such.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, SchemaRef, TimeUnit};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_adapter::PhysicalExprAdapterFactory;
use fjord_catalog::spec::Schema;
use parquet::file::metadata::ParquetMetaData;

use crate::error::{Error, Result};
use crate::iceberg::adapter::FieldIdAdapterFactory;
use crate::iceberg::metrics::AdoptedLeaf;
use crate::iceberg::types::{field_id, to_arrow_schema, to_iceberg_type};

/// The columns of a table, to hold files against.
#[derive(Debug)]
pub(super) struct FileColumns {
    schema: Schema,
    arrow: SchemaRef,
    adapters: FieldIdAdapterFactory,
}

/// The columns of one file.
#[derive(Debug)]
pub(super) struct Identified {
    /// Whether the file itself has field ids.
    pub(super) has_ids: bool,
    /// Its Parquet columns, in order.
    pub(super) leaves: Vec<AdoptedLeaf>,
}

impl FileColumns {
    /// For a table with `schema` and `properties`, the name mapping among them.
    pub(super) fn try_new(schema: &Schema, properties: &HashMap<String, String>) -> Result<Self> {
        let arrow = to_arrow_schema(schema)?;
        let adapters = FieldIdAdapterFactory::try_new(schema, properties)?;
        Ok(Self { schema: schema.clone(), arrow, adapters })
    }

    /// Finds the file's columns; those of `fixed` ids are known from its path.
    ///
    /// # Errors
    /// `Invalid` for columns that the table lacks, `Corrupt` for those that it cannot read.
    pub(super) fn identify(
        &self,
        physical: &SchemaRef,
        fixed: &HashSet<i32>,
    ) -> Result<Identified> {
        let (fields, has_ids) = self.adapters.identify(physical)?;
        self.check_known(&fields, "", has_ids)?;
        let adapter = self.adapters.create(Arc::clone(&self.arrow), Arc::clone(physical))?;
        for (at, field) in self.arrow.fields().iter().enumerate() {
            if field_id(field).is_some_and(|id| fixed.contains(&id)) {
                continue;
            }
            adapter.rewrite(Arc::new(Column::new(field.name(), at)))?;
        }
        let mut leaves = Vec::new();
        for field in &fields {
            self.leaves(field, false, &mut leaves);
        }
        Ok(Identified { has_ids, leaves })
    }

    /// Refuses a NULL, or what may be one, in a column of the table's that has none.
    ///
    /// # Errors
    /// `Invalid` for a NULL; `Unsupported` where the footer does not count them.
    pub(super) fn check_nulls(
        &self,
        footer: &ParquetMetaData,
        leaves: &[AdoptedLeaf],
    ) -> Result<()> {
        let required: HashSet<i32> =
            self.schema.as_struct().fields().iter().filter(|f| f.required).map(|f| f.id).collect();
        for (at, leaf) in leaves.iter().enumerate() {
            if !leaf.id.is_some_and(|id| required.contains(&id)) {
                continue;
            }
            for group in footer.row_groups() {
                let column = group.column(at);
                if column.column_descr().max_def_level() == 0 || group.num_rows() == 0 {
                    continue;
                }
                let path = column.column_path().string();
                match column.statistics().and_then(|statistics| statistics.null_count_opt()) {
                    Some(0) => {}
                    Some(nulls) => {
                        return Err(Error::invalid(format!(
                            "its column {path:?} has {nulls} NULLs, and the table's is NOT NULL"
                        )));
                    }
                    None => {
                        return Err(Error::unsupported(format!(
                            "its column {path:?} may have NULLs, which its footer does not count, \
                             and the table's is NOT NULL; insert its rows instead"
                        )));
                    }
                }
            }
        }
        Ok(())
    }

    /// Refuses what would be there and never be seen, or be seen as something else.
    fn check_known(&self, fields: &Fields, path: &str, has_ids: bool) -> Result<()> {
        for field in fields {
            let path = match path {
                "" => field.name().clone(),
                path => format!("{path}.{}", field.name()),
            };
            let known = field_id(field).and_then(|id| self.schema.field_by_id(id));
            match known {
                None => {
                    return Err(Error::invalid(format!(
                        "it has a column {path:?}, which the table has not under this spelling; \
                         add it to the table, or rewrite the file without it"
                    )));
                }
                Some(known) if has_ids && known.name != *field.name() => {
                    return Err(Error::invalid(format!(
                        "its column {path:?} has the field id of the table's column {:?}: its \
                         field ids are another table's; insert its rows instead",
                        known.name
                    )));
                }
                Some(_) => {}
            }
            for inner in inner_structs(field.data_type()) {
                self.check_known(inner, &path, has_ids)?;
            }
        }
        Ok(())
    }

    fn leaves(&self, field: &Field, repeated: bool, leaves: &mut Vec<AdoptedLeaf>) {
        match field.data_type() {
            DataType::Struct(fields) => {
                fields.iter().for_each(|field| self.leaves(field, repeated, leaves));
            }
            DataType::List(element)
            | DataType::LargeList(element)
            | DataType::FixedSizeList(element, _) => self.leaves(element, true, leaves),
            DataType::Map(entries, _) => self.leaves(entries, true, leaves),
            _ => {
                let id = field_id(field);
                let is_same = id.and_then(|id| self.schema.field_by_id(id)).is_some_and(|known| {
                    stores_plainly(field.data_type())
                        && to_iceberg_type(field).is_ok_and(|ty| ty == *known.field_type)
                });
                leaves.push(AdoptedLeaf { id, has_bounds: is_same && !repeated });
            }
        }
    }
}

/// The fields of structs below a type, through lists and maps.
fn inner_structs(ty: &DataType) -> Vec<&Fields> {
    match ty {
        DataType::Struct(fields) => vec![fields],
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::FixedSizeList(element, _) => inner_structs(element.data_type()),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => {
                pair.iter().flat_map(|field| inner_structs(field.data_type())).collect()
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Whether statistics of the type are in its table type's own encoding: not in other units, not
/// unsigned.
fn stores_plainly(ty: &DataType) -> bool {
    match ty {
        DataType::Timestamp(unit, _) | DataType::Time64(unit) => *unit == TimeUnit::Microsecond,
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Date32
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View => true,
        _ => false,
    }
}
