//! The columns by which equality deletes compare: found by field id in the table as it is or was.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, make_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DfResult;
use fjord_catalog::plan_files::PlannedFile;
use fjord_catalog::spec::{
    NestedField, NestedFieldRef, Schema as IcebergSchema, StructType, TableMetadata, Transform,
    Type,
};

use super::super::types::{FIELD_ID, literal_to_scalar, to_arrow_fields};
use crate::error::{Error, ErrorKind, Result};

/// A column by which equality deletes compare.
#[derive(Clone, Debug)]
pub(super) struct KeyColumn {
    /// The column of the scan's table that it is, or is in; hidden ones come after the others.
    pub(super) column: usize,
    /// The way down from there through structs.
    path: Vec<usize>,
    /// The column as a delete file has it: structs with nothing but the key in them.
    pub(super) stored: FieldRef,
}

/// The columns of a scan that equality deletes may name, the hidden ones included: columns which
/// the scan's schema does not have (any more).
#[derive(Debug)]
pub(super) struct KeyColumns<'a> {
    metadata: &'a TableMetadata,
    schema: &'a IcebergSchema,
    visible: usize,
    hidden: Vec<Hidden>,
}

/// A column that the scan's schema lacks.
#[derive(Debug)]
struct Hidden {
    former: NestedFieldRef,
    field: FieldRef,
}

impl<'a> KeyColumns<'a> {
    /// For a scan with `schema` of the table of `metadata`.
    pub(super) fn new(metadata: &'a TableMetadata, schema: &'a IcebergSchema) -> Self {
        let visible = schema.as_struct().fields().len();
        Self { metadata, schema, visible, hidden: Vec::new() }
    }

    /// The column with the field id `id`.
    ///
    /// # Errors
    /// `Corrupt` for an id that no schema has, `Unsupported` for what is in a list, a map or
    /// a struct that is gone.
    pub(super) fn find(&mut self, id: i32) -> Result<KeyColumn> {
        if let Some(found) = find(self.schema.as_struct(), id)? {
            let (column, path) = found.split()?;
            let stored = stored(self.schema.as_struct(), column, &path)?;
            return Ok(KeyColumn { column, path, stored });
        }
        if let Some(at) = self.hidden.iter().position(|hidden| hidden.former.id == id) {
            let stored = Arc::clone(&self.hidden[at].field);
            return Ok(KeyColumn { column: self.visible + at, path: Vec::new(), stored });
        }
        let former = self.former(id)?;
        let stored = hidden_field(&former)?;
        self.hidden.push(Hidden { former, field: Arc::clone(&stored) });
        let column = self.visible + self.hidden.len() - 1;
        Ok(KeyColumn { column, path: Vec::new(), stored })
    }

    /// The hidden columns that were asked for, in order.
    pub(super) fn into_hidden(self) -> Vec<FieldRef> {
        self.hidden.into_iter().map(|hidden| hidden.field).collect()
    }

    /// The hidden columns that the partition of `planned` fixes, each with its place and value:
    /// files may omit them.
    ///
    /// # Errors
    /// `Corrupt` for a partition that does not fit its spec.
    pub(super) fn fixed(&self, planned: &PlannedFile) -> Result<Vec<(usize, ScalarValue)>> {
        let spec = self.metadata.partition_spec_by_id(planned.spec_id);
        let fields = spec.map_or(&[][..], |spec| spec.fields());
        let mut fixed = Vec::new();
        for (at, hidden) in self.hidden.iter().enumerate() {
            let place = fields.iter().position(|field| {
                field.source_id == hidden.former.id && field.transform == Transform::Identity
            });
            let Some(place) = place else { continue };
            let value = planned.file.partition().fields().get(place).ok_or_else(|| {
                let path = planned.file.file_path();
                Error::new(
                    ErrorKind::Corrupt,
                    format!("data file {path:?}: its partition does not fit its spec"),
                )
            })?;
            let value = literal_to_scalar(&hidden.former.field_type, value.as_ref())?;
            fixed.push((self.visible + at, value.cast_to(hidden.field.data_type())?));
        }
        Ok(fixed)
    }

    /// The column as the latest schema that had it knew it.
    fn former(&self, id: i32) -> Result<NestedFieldRef> {
        let mut schemas: Vec<_> = self.metadata.schemas_iter().collect();
        schemas.sort_by_key(|schema| std::cmp::Reverse(schema.schema_id()));
        for schema in schemas {
            let fields = schema.as_struct().fields();
            if let Some(field) = fields.iter().find(|field| field.id == id) {
                return Ok(Arc::clone(field));
            }
            if schema.field_by_id(id).is_some() {
                return Err(Error::unsupported(format!(
                    "equality deletes by field {id}, which is within a column and was dropped, \
                     cannot be applied; compact the table with the engine that wrote them"
                )));
            }
        }
        Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "equality deletes name field {id}, which is in no schema that the table's metadata \
                 still has"
            ),
        ))
    }
}

impl KeyColumn {
    pub(super) fn new(column: usize, path: Vec<usize>, stored: FieldRef) -> Self {
        Self { column, path, stored }
    }

    /// From the column down to the value.
    pub(super) fn path(&self) -> &[usize] {
        &self.path
    }

    /// The type that values are compared as.
    pub(super) fn data_type(&self) -> &DataType {
        let mut ty = self.stored.data_type();
        while let DataType::Struct(fields) = ty {
            ty = fields[0].data_type();
        }
        ty
    }

    /// The key's values in a column of the scan.
    pub(super) fn of_scan(&self, column: &ArrayRef) -> DfResult<ArrayRef> {
        descend(column, self.path.iter().copied())
    }

    /// The key's values in a column of a delete file.
    pub(super) fn of_delete_file(&self, column: &ArrayRef) -> DfResult<ArrayRef> {
        descend(column, self.path.iter().map(|_| 0))
    }
}

/// What is in a struct is NULL where the struct is.
fn descend(column: &ArrayRef, path: impl Iterator<Item = usize>) -> DfResult<ArrayRef> {
    let mut array = Arc::clone(column);
    for at in path {
        let parent = array.as_struct();
        let child = parent.column(at);
        let nulls = NullBuffer::union(parent.nulls(), child.logical_nulls().as_ref());
        let data = child.to_data().into_builder().nulls(nulls).build()?;
        array = make_array(data);
    }
    Ok(array)
}

/// Where a field is: places from the top down.
struct Found(Vec<usize>);

impl Found {
    fn split(self) -> Result<(usize, Vec<usize>)> {
        let mut places = self.0.into_iter();
        let first = places.next().ok_or_else(|| Error::new(ErrorKind::Bug, "an empty path"))?;
        Ok((first, places.collect()))
    }
}

fn find(fields: &StructType, id: i32) -> Result<Option<Found>> {
    for (place, field) in fields.fields().iter().enumerate() {
        if field.id == id {
            return match field.field_type.as_ref() {
                Type::Primitive(_) => Ok(Some(Found(vec![place]))),
                _ => Err(Error::new(
                    ErrorKind::Corrupt,
                    format!("equality deletes by column {:?}, which is not a value", field.name),
                )),
            };
        }
        if let Type::Struct(inner) = field.field_type.as_ref()
            && let Some(Found(mut places)) = find(inner, id)?
        {
            places.insert(0, place);
            return Ok(Some(Found(places)));
        }
    }
    Ok(None)
}

/// The field at `path` below a column, as a delete file may store it: optional, alone.
fn stored(fields: &StructType, column: usize, path: &[usize]) -> Result<FieldRef> {
    let field = &fields.fields()[column];
    let alone = alone(field, path);
    let fields = to_arrow_fields(&StructType::new(vec![Arc::new(alone)]))?;
    Ok(Arc::clone(&fields[0]))
}

fn alone(field: &NestedField, path: &[usize]) -> NestedField {
    let ty = match (field.field_type.as_ref(), path) {
        (Type::Struct(inner), [next, rest @ ..]) => {
            Type::Struct(StructType::new(vec![Arc::new(alone(&inner.fields()[*next], rest))]))
        }
        (ty, _) => ty.clone(),
    };
    NestedField::optional(field.id, &field.name, ty)
}

/// A column that the scan reads beside its own, under a name that none of them has.
fn hidden_field(field: &NestedField) -> Result<FieldRef> {
    let fields = to_arrow_fields(&StructType::new(vec![Arc::new(alone(field, &[]))]))?;
    let metadata = [(FIELD_ID.to_owned(), field.id.to_string())].into();
    let name = format!("__fjord_key_{}", field.id);
    Ok(Arc::new(Field::new(name, fields[0].data_type().clone(), true).with_metadata(metadata)))
}

/// The fields of `schema`, and `hidden` ones after them.
pub(in crate::iceberg) fn extended(schema: &SchemaRef, hidden: &[FieldRef]) -> SchemaRef {
    let fields: Vec<FieldRef> = schema.fields().iter().chain(hidden).cloned().collect();
    Arc::new(arrow::datatypes::Schema::new_with_metadata(fields, schema.metadata().clone()))
}
