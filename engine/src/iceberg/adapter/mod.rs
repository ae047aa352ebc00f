//! Columns by field id: rewrites expressions over the table's columns to the columns of one file.

mod mapping;
mod nested;
mod float;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Field, FieldRef, Fields, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column, NotExpr, lit};
use datafusion::physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};
use fjord_catalog::evolve::NAME_MAPPING;
use fjord_catalog::spec::{Schema, SchemaRef as IcebergSchemaRef};

use self::float::{Unbounded, excludes_nan, is_float};
use self::mapping::NameMapping;
use self::nested::{Nested, NestedExpr};
use super::types::{field_id, literal_to_scalar};
use crate::error::{Error, ErrorKind, Result};

/// What a scan must know of the table to read any of its files.
#[derive(Clone, Debug)]
struct Columns {
    /// Values of columns that a file lacks, where they are not NULL, by field id; those of dropped
    /// columns too.
    defaults: HashMap<i32, ScalarValue>,
    /// For files without field ids; `None`: by all the names that the columns have had.
    mapping: Option<NameMapping>,
    /// What `mapping` was read from.
    mapping_json: Option<String>,
    /// The schemas that the table has had, the one that is read among them.
    schemas: Vec<IcebergSchemaRef>,
    /// The names in `schemas`; few tables have a file that asks for them.
    history: OnceLock<NameMapping>,
    /// Columns that hold no NaN in any file of the scan, by field id.
    without_nan: HashSet<i32>,
}

/// Makes adapters that find columns by field id.
///
/// A file's field ids decide. In a file that has none at all, names decide: by the table's name
/// mapping if it has one, else by the names that the columns have or had, exactly as spelt.
#[derive(Debug, Clone)]
pub struct FieldIdAdapterFactory {
    columns: Arc<Columns>,
}

impl FieldIdAdapterFactory {
    /// For files of a table with `schema` and `properties`.
    ///
    /// # Errors
    /// `Corrupt` if the name mapping or a default value cannot be read.
    pub fn try_new(schema: &Schema, properties: &HashMap<String, String>) -> Result<Self> {
        Self::try_new_without_nan(schema, properties, HashSet::new())
    }

    /// The same, when metrics prove that no file of the scan has NaN in the columns of
    /// `without_nan`, by field id: their row groups may be pruned by bounds.
    ///
    /// # Errors
    /// As [`FieldIdAdapterFactory::try_new`].
    pub fn try_new_without_nan(
        schema: &Schema,
        properties: &HashMap<String, String>,
        without_nan: HashSet<i32>,
    ) -> Result<Self> {
        let mapping_json = properties.get(NAME_MAPPING).cloned();
        let mapping = mapping_json.as_deref().map(NameMapping::parse).transpose()?;
        let defaults = schema
            .field_id_to_fields()
            .iter()
            .filter_map(|(id, field)| {
                let default = field.initial_default.as_ref()?;
                Some(literal_to_scalar(&field.field_type, Some(default)).map(|value| (*id, value)))
            })
            .collect::<Result<_>>()?;
        let schemas = vec![Arc::new(schema.clone())];
        let history = OnceLock::new();
        let columns = Columns { defaults, mapping, mapping_json, schemas, history, without_nan };
        Ok(Self { columns: Arc::new(columns) })
    }

    /// The same, for a table that has had other schemas too: they know the names that files without
    /// field ids may still use.
    #[must_use]
    pub fn with_history<'a>(
        mut self,
        schemas: impl IntoIterator<Item = &'a IcebergSchemaRef>,
    ) -> Self {
        let columns = Arc::make_mut(&mut self.columns);
        columns.schemas.extend(schemas.into_iter().map(Arc::clone));
        columns.history = OnceLock::new();
        for schema in &columns.schemas {
            for (id, field) in schema.field_id_to_fields() {
                // A default that cannot be read matters to those alone who ask for the column.
                if let Some(default) = &field.initial_default
                    && let Ok(value) = literal_to_scalar(&field.field_type, Some(default))
                {
                    columns.defaults.entry(*id).or_insert(value);
                }
            }
        }
        self
    }

    /// The fields of a file with the table's ids, and whether the file itself has ids.
    ///
    /// # Errors
    /// `Unsupported` for a name that has meant several columns, in a file without ids.
    pub(super) fn identify(&self, physical: &SchemaRef) -> Result<(Fields, bool)> {
        if mapping::has_ids(physical.fields()) {
            return Ok((physical.fields().clone(), true));
        }
        let identified = match &self.columns.mapping {
            Some(mapping) => mapping.apply(physical.fields())?,
            None => {
                let names = || NameMapping::of_history(&self.columns.schemas);
                self.columns.history.get_or_init(names).apply(physical.fields())?
            }
        };
        Ok((identified, false))
    }

    /// What another process needs to make the same adapters.
    pub(crate) fn parts(&self) -> AdapterParts {
        AdapterParts {
            schemas: self.columns.schemas.clone(),
            mapping_json: self.columns.mapping_json.clone(),
            without_nan: self.columns.without_nan.iter().copied().collect(),
        }
    }

    /// The adapters that `parts` were taken from.
    ///
    /// # Errors
    /// As [`FieldIdAdapterFactory::try_new`]; `Bug` without any schema.
    pub(crate) fn try_from_parts(parts: AdapterParts) -> Result<Self> {
        let AdapterParts { schemas, mapping_json, without_nan } = parts;
        let Some((read, history)) = schemas.split_first() else {
            return Err(Error::new(ErrorKind::Bug, "a scan without a schema"));
        };
        let properties =
            mapping_json.map(|json| (NAME_MAPPING.to_owned(), json)).into_iter().collect();
        let without_nan = without_nan.into_iter().collect();
        Ok(Self::try_new_without_nan(read, &properties, without_nan)?.with_history(history))
    }
}

/// What [`FieldIdAdapterFactory`] is made of.
#[derive(Clone, Debug)]
pub(crate) struct AdapterParts {
    /// The schema that is read, then those that the table has had.
    pub(crate) schemas: Vec<IcebergSchemaRef>,
    /// The table's name mapping.
    pub(crate) mapping_json: Option<String>,
    /// Columns that hold no NaN, by field id.
    pub(crate) without_nan: Vec<i32>,
}

impl PhysicalExprAdapterFactory for FieldIdAdapterFactory {
    fn create(
        &self,
        logical_file_schema: SchemaRef,
        physical_file_schema: SchemaRef,
    ) -> datafusion::error::Result<Arc<dyn PhysicalExprAdapter>> {
        let (identified, has_ids) = self.identify(&physical_file_schema)?;
        Ok(Arc::new(FieldIdAdapter {
            columns: Arc::clone(&self.columns),
            logical: logical_file_schema,
            physical: identified,
            has_ids,
        }))
    }
}

/// The adapter of one file.
#[derive(Debug)]
struct FieldIdAdapter {
    columns: Arc<Columns>,
    logical: SchemaRef,
    /// The file's fields, with ids even if the file has none.
    physical: Fields,
    /// Whether the file itself has them.
    has_ids: bool,
}

impl PhysicalExprAdapter for FieldIdAdapter {
    fn rewrite(
        &self,
        expr: Arc<dyn PhysicalExpr>,
    ) -> datafusion::error::Result<Arc<dyn PhysicalExpr>> {
        if let Some(column) = expr.downcast_ref::<Column>() {
            return Ok(self.column(column)?);
        }
        self.rewrite_within(expr, true)
    }
}

impl FieldIdAdapter {
    /// Rewrites the columns of an expression over them; what stands under a `NOT` is not `certain`
    /// to exclude NaN, whatever it says.
    fn rewrite_within(
        &self,
        expr: Arc<dyn PhysicalExpr>,
        certain: bool,
    ) -> datafusion::error::Result<Arc<dyn PhysicalExpr>> {
        // What takes the place of a node is done: its columns are the file's.
        let done = |expr| Transformed::new(expr, true, TreeNodeRecursion::Jump);
        expr.transform_down(|node| {
            if let Some(column) = node.downcast_ref::<Column>() {
                let read = self.column(column)?;
                let hide = self.may_hold_nan(column);
                return Ok(done(if hide { Arc::new(Unbounded::new(read)) } else { read }));
            }
            if certain && excludes_nan(&node) {
                let columns = node.transform_down(|inner| match inner.downcast_ref::<Column>() {
                    Some(column) => Ok(done(self.column(column)?)),
                    None => Ok(Transformed::no(inner)),
                });
                return Ok(done(columns.data()?));
            }
            if certain && node.is::<NotExpr>() {
                return Ok(done(self.rewrite_within(node, false)?));
            }
            Ok(Transformed::no(node))
        })
        .data()
    }

    /// Whether the table as it is read has no column `id` (any more).
    fn is_gone(&self, id: i32) -> bool {
        self.columns.schemas.first().is_some_and(|read| read.field_by_id(id).is_none())
    }

    fn may_hold_nan(&self, column: &Column) -> bool {
        self.logical.fields().find(column.name()).is_some_and(|(_, field)| {
            is_float(field.data_type())
                && !field_id(field).is_some_and(|id| self.columns.without_nan.contains(&id))
        })
    }

    fn column(&self, column: &Column) -> Result<Arc<dyn PhysicalExpr>> {
        let name = column.name();
        let Some((_, logical)) = self.logical.fields().find(name) else {
            return Err(Error::new(ErrorKind::Bug, format!("column {name:?} is not in the scan")));
        };
        let found = match field_id(logical) {
            Some(id) => match self.physical.iter().position(|field| field_id(field) == Some(id)) {
                None if !self.has_ids && self.is_gone(id) => {
                    mapping::find_former(&self.columns.schemas, id, &self.physical)?
                }
                found => found,
            },
            // Virtual columns have no id and are found by name in both schemas.
            None => self
                .physical
                .iter()
                .position(|field| field.extension_type_name().is_some() && field.name() == name),
        };
        let Some(index) = found else {
            return Ok(lit(absent(&self.columns, logical, name)?));
        };
        let physical = &self.physical[index];
        let source: Arc<dyn PhysicalExpr> = Arc::new(Column::new(physical.name(), index));
        if physical.data_type() == logical.data_type() {
            return Ok(source);
        }
        if !logical.data_type().is_nested() {
            check_promotion(physical.data_type(), logical.data_type(), name)?;
            return Ok(Arc::new(CastExpr::new_with_target_field(
                source,
                Arc::clone(logical),
                None,
            )));
        }
        let plan = Nested::plan(&self.columns, logical, physical, name)?;
        Ok(Arc::new(NestedExpr::new(source, Arc::clone(logical), plan)))
    }
}

/// What a column is in a file that does not have it.
fn absent(columns: &Columns, logical: &FieldRef, path: &str) -> Result<ScalarValue> {
    let default = field_id(logical).and_then(|id| columns.defaults.get(&id));
    match default {
        Some(value) if value.data_type() == *logical.data_type() => Ok(value.clone()),
        Some(value) => Ok(value.cast_to(logical.data_type())?),
        None if logical.is_nullable() => Ok(ScalarValue::try_from(logical.data_type())?),
        None => Err(Error::new(
            ErrorKind::Corrupt,
            format!("column {path:?} is required and has no default, but a data file lacks it"),
        )),
    }
}

/// Refuses what the format does not call a promotion, or another spelling of the same type.
fn check_promotion(from: &DataType, to: &DataType, path: &str) -> Result<()> {
    use DataType as T;
    let fits = match (from, to) {
        (from, to) if from == to => true,
        (T::Dictionary(_, value), to) => return check_promotion(value, to, path),
        (T::Int8 | T::Int16 | T::UInt8 | T::UInt16, T::Int32 | T::Int64) => true,
        (T::Int32 | T::UInt32, T::Int64) => true,
        (T::Float16, T::Float32 | T::Float64) | (T::Float32, T::Float64) => true,
        (
            T::Decimal32(p, s) | T::Decimal64(p, s) | T::Decimal128(p, s) | T::Decimal256(p, s),
            T::Decimal128(wide, scale),
        ) => p <= wide && s == scale,
        (T::Date32, T::Timestamp(_, _)) => true,
        (T::Date64, T::Date32) => true,
        (T::Time32(_) | T::Time64(_), T::Time64(_)) => true,
        // The zone is a matter of the table: both are stored as instants or wall times in UTC.
        (T::Timestamp(unit, _), T::Timestamp(target, _)) => {
            *target == TimeUnit::Nanosecond
                || *unit != TimeUnit::Nanosecond
                || *target != TimeUnit::Second
        }
        (T::Utf8 | T::LargeUtf8 | T::Utf8View, T::Utf8View | T::BinaryView) => true,
        (T::Binary | T::LargeBinary | T::BinaryView, T::Utf8View | T::BinaryView) => true,
        (T::FixedSizeBinary(_), T::BinaryView) => true,
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Corrupt,
        format!("column {path:?}: a data file stores {from}, which cannot be read as {to}"),
    ))
}

/// The field of `fields` with the id of `logical`.
fn position_of(fields: &Fields, logical: &Field) -> Option<usize> {
    let id = field_id(logical)?;
    fields.iter().position(|field| field_id(field) == Some(id))
}

#[cfg(test)]
mod tests;
