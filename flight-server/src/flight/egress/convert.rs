//! Arrays to the types of the wire: nested ones by rebuilding them around their converted children,
//! leaves by Arrow's casts, which fail rather than make a null of what does not fit.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, ListArray, MapArray,
    OffsetSizeTrait, StructArray, UnionArray,
};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::datatypes::{DataType, FieldRef, Fields, TimeUnit, UnionFields, UnionMode};
use arrow::error::ArrowError;

use super::types::UUID_BYTES;
use super::{text, views};

type Converted = Result<ArrayRef, ArrowError>;

/// `array` as `wanted`. Free where the types are the same.
pub(super) fn convert(array: &ArrayRef, wanted: &DataType) -> Converted {
    if array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), wanted) {
        (DataType::Dictionary(_, _), DataType::Dictionary(_, _))
        | (DataType::RunEndEncoded(_, _), DataType::RunEndEncoded(_, _)) => exact(array, wanted),
        (DataType::Dictionary(_, _), _) => {
            let dictionary = array.as_any_dictionary();
            convert(&take(dictionary.values(), dictionary.keys(), None)?, wanted)
        }
        (DataType::RunEndEncoded(_, values), _) => {
            convert(&exact(array, values.data_type())?, wanted)
        }
        (DataType::ListView(item), DataType::List(_)) => {
            convert(&exact(array, &DataType::List(Arc::clone(item)))?, wanted)
        }
        (DataType::LargeListView(item), DataType::LargeList(_)) => {
            convert(&exact(array, &DataType::LargeList(Arc::clone(item)))?, wanted)
        }
        (DataType::Struct(from), DataType::Struct(to)) if from.len() == to.len() => {
            structure(array.as_struct(), to).map(|s| Arc::new(s) as ArrayRef)
        }
        (DataType::List(_), DataType::List(item)) => list(array.as_list::<i32>(), item),
        (DataType::LargeList(_), DataType::LargeList(item)) => list(array.as_list::<i64>(), item),
        (DataType::FixedSizeList(_, from), DataType::FixedSizeList(item, to)) if from == to => {
            fixed_size_list(array.as_fixed_size_list(), item, *to)
        }
        (DataType::Map(_, _), DataType::Map(entries, sorted)) => {
            map(array.as_map(), entries, *sorted)
        }
        (DataType::Map(_, _), DataType::List(item)) => list_of_entries(array.as_map(), item),
        (DataType::Union(_, _), DataType::Union(fields, mode)) => {
            union(array.as_union(), fields, *mode)
        }
        (DataType::Utf8View, DataType::Utf8) => views::strings(array.as_string_view()),
        (DataType::BinaryView, DataType::Binary) => views::bytes(array.as_binary_view()),
        (DataType::FixedSizeBinary(UUID_BYTES), DataType::Utf8) => {
            text::uuids(array.as_fixed_size_binary())
        }
        // Arrow multiplies milliseconds unchecked here, and checked between timestamps.
        (DataType::Date64, DataType::Timestamp(_, None)) => {
            convert(&exact(array, &DataType::Timestamp(TimeUnit::Millisecond, None))?, wanted)
        }
        _ => exact(array, wanted),
    }
}

fn exact(array: &ArrayRef, wanted: &DataType) -> Converted {
    cast_with_options(array, wanted, &CastOptions { safe: false, ..CastOptions::default() })
}

fn structure(array: &StructArray, fields: &Fields) -> Result<StructArray, ArrowError> {
    let columns = array.columns().iter().zip(fields);
    let columns = columns
        .map(|(column, field)| convert(column, field.data_type()))
        .collect::<Result<_, _>>()?;
    let nulls = array.nulls().cloned();
    StructArray::try_new_with_length(fields.clone(), columns, nulls, array.len())
}

fn list<O: OffsetSizeTrait>(array: &GenericListArray<O>, item: &FieldRef) -> Converted {
    let values = convert(array.values(), item.data_type())?;
    let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
    Ok(Arc::new(GenericListArray::try_new(Arc::clone(item), offsets, values, nulls)?))
}

fn fixed_size_list(array: &FixedSizeListArray, item: &FieldRef, size: i32) -> Converted {
    let values = convert(array.values(), item.data_type())?;
    let nulls = array.nulls().cloned();
    let item = Arc::clone(item);
    Ok(Arc::new(FixedSizeListArray::try_new_with_length(item, size, values, nulls, array.len())?))
}

fn map(array: &MapArray, entries: &FieldRef, sorted: bool) -> Converted {
    let DataType::Struct(pair) = entries.data_type() else {
        return Err(ArrowError::CastError("the entries of a map are not a struct".into()));
    };
    let content = structure(array.entries(), pair)?;
    let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
    Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, content, nulls, sorted)?))
}

fn list_of_entries(array: &MapArray, item: &FieldRef) -> Converted {
    let entries: ArrayRef = Arc::new(array.entries().clone());
    let values = convert(&entries, item.data_type())?;
    let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, nulls)?))
}

fn union(array: &UnionArray, fields: &UnionFields, mode: UnionMode) -> Converted {
    let children = fields.iter().map(|(id, field)| convert(array.child(id), field.data_type()));
    let children = children.collect::<Result<Vec<_>, _>>()?;
    let offsets = match (array.offsets(), mode) {
        (_, UnionMode::Sparse) => None,
        (Some(offsets), UnionMode::Dense) => Some(offsets.clone()),
        // The children of a sparse union are as long as itself.
        (None, UnionMode::Dense) => {
            let length = i32::try_from(array.len())
                .map_err(|e| ArrowError::CastError(format!("a union is too long: {e}")))?;
            Some(ScalarBuffer::from_iter(0..length))
        }
    };
    let type_ids = array.type_ids().clone();
    Ok(Arc::new(UnionArray::try_new(fields.clone(), type_ids, offsets, children)?))
}

/// `array` without what its slices drag along: a view keeps all shared buffers and a dense union
/// all children, and the wire format would send them with every slice.
pub(super) fn compact(array: &ArrayRef) -> Converted {
    /// Buffers that are at most this much larger than what is used are not copied.
    const WASTE_BYTES_MAX: usize = 64 * 1024;
    let is_wasteful = |held: usize, used: usize| held > 2 * used + WASTE_BYTES_MAX;
    match array.data_type() {
        DataType::Utf8View => {
            let views = array.as_string_view();
            let held = views.data_buffers().iter().map(|b| b.len()).sum();
            if is_wasteful(held, views.total_buffer_bytes_used()) {
                return Ok(Arc::new(views.gc()));
            }
        }
        DataType::BinaryView => {
            let views = array.as_binary_view();
            let held = views.data_buffers().iter().map(|b| b.len()).sum();
            if is_wasteful(held, views.total_buffer_bytes_used()) {
                return Ok(Arc::new(views.gc()));
            }
        }
        DataType::Union(fields, UnionMode::Dense) => {
            let union = array.as_union();
            let held = fields.iter().map(|(id, _)| union.child(id).len()).sum::<usize>();
            if held > array.len() {
                let length = u64::try_from(array.len())
                    .map_err(|e| ArrowError::CastError(format!("a union is too long: {e}")))?;
                let rows = arrow::array::UInt64Array::from_iter_values(0..length);
                return take(array, &rows, None);
            }
        }
        _ => {}
    }
    Ok(Arc::clone(array))
}

/// Whether slices of this type drag along more than they hold (see [`compact`]).
pub(super) fn drags_along(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8View | DataType::BinaryView | DataType::Union(_, UnionMode::Dense)
    )
}
