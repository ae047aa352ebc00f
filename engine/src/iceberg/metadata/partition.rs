//! The `partition` column: one struct that holds the tuples of every partition spec.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StructArray, new_empty_array};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use fjord_catalog::spec::{Literal, PartitionSpec, Struct, StructType, TableMetadata, Type};

use crate::error::{Error, ErrorKind, Result};
use crate::iceberg::types::{literal_to_scalar, to_arrow_type};

/// The union of a table's partition specs.
#[derive(Debug)]
pub(super) struct PartitionColumn {
    fields: Vec<(i32, Type)>,
    arrow: Fields,
    /// By spec id: the field id at each place of its tuples.
    places: HashMap<i32, Vec<i32>>,
    types: HashMap<i32, StructType>,
}

impl PartitionColumn {
    /// Of all specs that the table ever had.
    pub(super) fn try_new(metadata: &TableMetadata) -> Result<Self> {
        let mut fields: Vec<(i32, Type)> = Vec::new();
        let mut arrow: Vec<Field> = Vec::new();
        let (mut places, mut types) = (HashMap::new(), HashMap::new());
        // The library keeps them in no order.
        let mut specs: Vec<_> = metadata.partition_specs_iter().collect();
        specs.sort_by_key(|spec| spec.spec_id());
        for spec in specs {
            let ty = partition_type(metadata, spec)?;
            for field in ty.fields() {
                if fields.iter().any(|(id, _)| *id == field.id) {
                    continue;
                }
                // A name may come back with another meaning; the later one is told apart.
                let taken = arrow.iter().any(|other| *other.name() == field.name);
                let name =
                    if taken { format!("{}_{}", field.name, field.id) } else { field.name.clone() };
                arrow.push(Field::new(name, to_arrow_type(&field.field_type)?, true));
                fields.push((field.id, field.field_type.as_ref().clone()));
            }
            places.insert(spec.spec_id(), ty.fields().iter().map(|field| field.id).collect());
            types.insert(spec.spec_id(), ty);
        }
        Ok(Self { fields, arrow: arrow.into(), places, types })
    }

    /// The type of a spec's tuples.
    pub(super) fn type_of(&self, spec_id: i32) -> Option<&StructType> {
        self.types.get(&spec_id)
    }

    /// The column, or `None` for a table that was never partitioned.
    pub(super) fn build(&self, tuples: &[(i32, &Struct)]) -> Result<Option<ArrayRef>> {
        if self.fields.is_empty() {
            return Ok(None);
        }
        let columns = self
            .fields
            .iter()
            .map(|(id, ty)| {
                if tuples.is_empty() {
                    return Ok(new_empty_array(&to_arrow_type(ty)?));
                }
                let values = tuples
                    .iter()
                    .map(|(spec, tuple)| literal_to_scalar(ty, self.value(*id, *spec, tuple)))
                    .collect::<Result<Vec<_>>>()?;
                Ok(ScalarValue::iter_to_array(values)?)
            })
            .collect::<Result<Vec<_>>>()?;
        let array = StructArray::try_new(self.arrow.clone(), columns, None)
            .map_err(DataFusionError::from)?;
        debug_assert!(matches!(arrow::array::Array::data_type(&array), DataType::Struct(_)));
        Ok(Some(Arc::new(array)))
    }

    fn value<'a>(&self, id: i32, spec: i32, tuple: &'a Struct) -> Option<&'a Literal> {
        let place = self.places.get(&spec)?.iter().position(|field| *field == id)?;
        tuple.fields().get(place)?.as_ref()
    }
}

/// A spec's tuple type, by the newest schema that has its source columns: types only ever widen.
fn partition_type(metadata: &TableMetadata, spec: &PartitionSpec) -> Result<StructType> {
    if let Ok(ty) = spec.partition_type(metadata.current_schema()) {
        return Ok(ty);
    }
    let mut schemas: Vec<_> = metadata.schemas_iter().collect();
    schemas.sort_by_key(|schema| Reverse(schema.schema_id()));
    schemas.into_iter().find_map(|schema| spec.partition_type(schema).ok()).ok_or_else(|| {
        Error::new(
            ErrorKind::Corrupt,
            format!("partition spec {}: no schema has all its columns", spec.spec_id()),
        )
    })
}
