//! Nested columns by field id: structs, lists and maps of a file in the shape the table has now.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, MapArray, RecordBatch, StructArray,
};
use arrow::compute::{CastOptions, cast_with_options, nullif};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;

use super::{Columns, absent, check_promotion, position_of};
use crate::error::{Error, ErrorKind, Result};

/// How an array of a file becomes an array of the table's type.
#[derive(Debug, PartialEq)]
pub(super) enum Nested {
    /// It already is.
    Same,
    /// A primitive to be widened or spelt otherwise.
    Cast(DataType),
    /// A struct: each of the table's fields, from the file or constant.
    Struct(Fields, Vec<Child>),
    /// A list, by its elements.
    List(FieldRef, Box<Nested>),
    /// A map, by its keys and values.
    Map(FieldRef, Box<[Nested; 2]>),
}

/// Where a field of a struct comes from.
#[derive(Debug, PartialEq)]
pub(super) enum Child {
    /// The file's field at this position.
    Field(usize, Nested),
    /// The file lacks it.
    Constant(ScalarValue),
}

impl Nested {
    /// Finds out what it takes to read `physical` as `logical`; `path` is for errors.
    pub(super) fn plan(
        columns: &Columns,
        logical: &Field,
        physical: &Field,
        path: &str,
    ) -> Result<Self> {
        use DataType as T;
        if logical.data_type() == physical.data_type() {
            return Ok(Self::Same);
        }
        match (logical.data_type(), physical.data_type()) {
            (T::Struct(to), T::Struct(from)) => Self::plan_struct(columns, to, from, path),
            (T::List(to), T::List(from) | T::LargeList(from)) => {
                let inner = Self::plan(columns, to, from, &format!("{path}.element"))?;
                Ok(Self::List(Arc::clone(to), Box::new(inner)))
            }
            (T::Map(to, _), T::Map(from, _)) => {
                let (Some([to_key, to_value]), Some([from_key, from_value])) =
                    (pair(to), pair(from))
                else {
                    return Err(mismatch(logical, physical, path));
                };
                let key = Self::plan(columns, to_key, from_key, &format!("{path}.key"))?;
                let value = Self::plan(columns, to_value, from_value, &format!("{path}.value"))?;
                Ok(Self::Map(Arc::clone(to), Box::new([key, value])))
            }
            (to, from) if !to.is_nested() && !from.is_nested() => {
                check_promotion(from, to, path)?;
                Ok(Self::Cast(to.clone()))
            }
            _ => Err(mismatch(logical, physical, path)),
        }
    }

    fn plan_struct(columns: &Columns, to: &Fields, from: &Fields, path: &str) -> Result<Self> {
        let children = to
            .iter()
            .map(|field| {
                let path = format!("{path}.{}", field.name());
                match position_of(from, field) {
                    Some(index) => {
                        Ok(Child::Field(index, Self::plan(columns, field, &from[index], &path)?))
                    }
                    None => Ok(Child::Constant(absent(columns, field, &path)?)),
                }
            })
            .collect::<Result<_>>()?;
        Ok(Self::Struct(to.clone(), children))
    }

    fn apply(&self, array: &ArrayRef) -> datafusion::error::Result<ArrayRef> {
        match self {
            Self::Same => Ok(Arc::clone(array)),
            Self::Cast(to) => Ok(cast(array, to)?),
            Self::Struct(fields, children) => apply_struct(fields, children, array),
            Self::List(element, inner) => {
                let array = small_offsets(array)?;
                let list = array.as_list::<i32>();
                let values = inner.apply(list.values())?;
                Ok(Arc::new(ListArray::try_new(
                    Arc::clone(element),
                    list.offsets().clone(),
                    values,
                    list.nulls().cloned(),
                )?))
            }
            Self::Map(entries, inner) => apply_map(entries, inner, array),
        }
    }
}

fn apply_struct(
    fields: &Fields,
    children: &[Child],
    array: &ArrayRef,
) -> datafusion::error::Result<ArrayRef> {
    let source = array.as_struct();
    let columns = children
        .iter()
        .map(|child| match child {
            Child::Field(index, inner) => inner.apply(source.column(*index)),
            Child::Constant(value) => constant(value, source),
        })
        .collect::<datafusion::error::Result<Vec<_>>>()?;
    if columns.is_empty() {
        return Ok(Arc::new(StructArray::new_empty_fields(source.len(), source.nulls().cloned())));
    }
    Ok(Arc::new(StructArray::try_new(fields.clone(), columns, source.nulls().cloned())?))
}

/// A field that the file lacks: NULL where its struct is, since whoever takes the field out of the
/// struct looks at the field alone.
fn constant(value: &ScalarValue, parent: &StructArray) -> datafusion::error::Result<ArrayRef> {
    let array = value.to_array_of_size(parent.len())?;
    match parent.nulls() {
        Some(nulls) if !value.is_null() => {
            let absent = BooleanArray::new(!nulls.inner(), None);
            Ok(nullif(&array, &absent)?)
        }
        _ => Ok(array),
    }
}

fn apply_map(
    entries: &FieldRef,
    inner: &[Nested; 2],
    array: &ArrayRef,
) -> datafusion::error::Result<ArrayRef> {
    let map = array.as_map();
    let columns = vec![inner[0].apply(map.keys())?, inner[1].apply(map.values())?];
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(Error::new(ErrorKind::Bug, "a map without entries").into());
    };
    let pairs = StructArray::try_new(fields.clone(), columns, map.entries().nulls().cloned())?;
    Ok(Arc::new(MapArray::try_new(
        Arc::clone(entries),
        map.offsets().clone(),
        pairs,
        map.nulls().cloned(),
        false,
    )?))
}

/// Files that embed an Arrow schema may come with 64-bit offsets.
fn small_offsets(array: &ArrayRef) -> datafusion::error::Result<ArrayRef> {
    match array.data_type() {
        DataType::LargeList(element) => Ok(cast(array, &DataType::List(Arc::clone(element)))?),
        _ => Ok(Arc::clone(array)),
    }
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, DataFusionError> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(array, to, &strict)?)
}

fn pair(entries: &Field) -> Option<[&FieldRef; 2]> {
    match entries.data_type() {
        DataType::Struct(fields) => match fields.as_ref() {
            [key, value] => Some([key, value]),
            _ => None,
        },
        _ => None,
    }
}

fn mismatch(logical: &Field, physical: &Field, path: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "column {path:?}: a data file stores {}, which cannot be read as {}",
            physical.data_type(),
            logical.data_type()
        ),
    )
}

/// A nested column of a file as the table has it. Made when a file is opened, never shipped.
#[derive(Debug)]
pub(super) struct NestedExpr {
    source: Arc<dyn PhysicalExpr>,
    target: FieldRef,
    plan: Arc<Nested>,
}

impl NestedExpr {
    pub(super) fn new(source: Arc<dyn PhysicalExpr>, target: FieldRef, plan: Nested) -> Self {
        Self { source, target, plan: Arc::new(plan) }
    }
}

impl PartialEq for NestedExpr {
    fn eq(&self, other: &Self) -> bool {
        self.source.eq(&other.source) && self.target == other.target && self.plan == other.plan
    }
}

impl Eq for NestedExpr {}

impl Hash for NestedExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.hash(state);
        self.target.hash(state);
    }
}

impl fmt::Display for NestedExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by_field_id({})", self.source)
    }
}

impl PhysicalExpr for NestedExpr {
    fn data_type(&self, _schema: &Schema) -> datafusion::error::Result<DataType> {
        Ok(self.target.data_type().clone())
    }

    fn nullable(&self, _schema: &Schema) -> datafusion::error::Result<bool> {
        Ok(self.target.is_nullable())
    }

    fn return_field(&self, _schema: &Schema) -> datafusion::error::Result<FieldRef> {
        Ok(Arc::clone(&self.target))
    }

    fn evaluate(&self, batch: &RecordBatch) -> datafusion::error::Result<ColumnarValue> {
        let array = self.source.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(ColumnarValue::Array(self.plan.apply(&array)?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.source]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> datafusion::error::Result<Arc<dyn PhysicalExpr>> {
        let [source] = <[_; 1]>::try_from(children)
            .map_err(|_| Error::new(ErrorKind::Bug, "a nested column has one source"))?;
        Ok(Arc::new(Self {
            source,
            target: Arc::clone(&self.target),
            plan: Arc::clone(&self.plan),
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt_sql(f)
    }
}
