//! How many bytes rows take in a message: measured on the slice itself, never on the buffers that
//! it shares with its neighbours.

use arrow::array::{
    Array, ArrayRef, AsArray, ByteView, GenericListViewArray, OffsetSizeTrait, RecordBatch,
    UnionArray,
};
use arrow::datatypes::{DataType, Int16Type, Int32Type, Int64Type, RunEndIndexType};

/// A column's entry in a message's header.
const NODE_BYTES: usize = 16;
/// A buffer's entry in a message's header, and its padding in the body.
const BUFFER_BYTES: usize = 16 + super::ipc::ALIGNMENT_BYTES;
/// The fixed part of a message's header, and the frame around it.
const MESSAGE_BYTES: usize = 256;

/// Bytes of `batch` as one message with dictionaries, runs and views spelt out. An upper estimate:
/// what is sent weighs no more, up to the few bytes that nested validity bitmaps share.
pub(super) fn weigh(batch: &RecordBatch) -> usize {
    MESSAGE_BYTES + batch.columns().iter().map(weigh_array).sum::<usize>()
}

fn weigh_array(array: &ArrayRef) -> usize {
    let length = array.len();
    let validity = if array.null_count() > 0 { length.div_ceil(8) } else { 0 };
    NODE_BYTES + BUFFER_BYTES + validity + weigh_values(array, length)
}

fn weigh_values(array: &ArrayRef, length: usize) -> usize {
    let buffer = |bytes: usize| BUFFER_BYTES + bytes;
    match array.data_type() {
        DataType::Null => 0,
        DataType::Boolean => buffer(length.div_ceil(8)),
        DataType::Utf8 => {
            buffer(4 * (length + 1)) + buffer(span(array.as_string::<i32>().value_offsets()))
        }
        DataType::LargeUtf8 => {
            buffer(8 * (length + 1)) + buffer(span(array.as_string::<i64>().value_offsets()))
        }
        DataType::Binary => {
            buffer(4 * (length + 1)) + buffer(span(array.as_binary::<i32>().value_offsets()))
        }
        DataType::LargeBinary => {
            buffer(8 * (length + 1)) + buffer(span(array.as_binary::<i64>().value_offsets()))
        }
        DataType::Utf8View => weigh_views(array.as_string_view().views(), length),
        DataType::BinaryView => weigh_views(array.as_binary_view().views(), length),
        DataType::FixedSizeBinary(_) => buffer(array.as_fixed_size_binary().value_size() * length),
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            match dictionary.values().len() {
                0 => buffer(4 * (length + 1)),
                _ => weigh_picked(dictionary.values(), &dictionary.normalized_keys()),
            }
        }
        DataType::RunEndEncoded(ends, _) => match ends.data_type() {
            DataType::Int16 => weigh_runs::<Int16Type>(array),
            DataType::Int32 => weigh_runs::<Int32Type>(array),
            _ => weigh_runs::<Int64Type>(array),
        },
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            buffer(4 * (length + 1)) + weigh_span(list.values(), list.value_offsets())
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            buffer(8 * (length + 1)) + weigh_span(list.values(), list.value_offsets())
        }
        DataType::ListView(_) => weigh_list_view(array.as_list_view::<i32>()),
        DataType::LargeListView(_) => weigh_list_view(array.as_list_view::<i64>()),
        DataType::FixedSizeList(_, _) => weigh_array(array.as_fixed_size_list().values()),
        DataType::Map(_, _) => {
            let map = array.as_map();
            let entries: ArrayRef = std::sync::Arc::new(map.entries().clone());
            buffer(4 * (length + 1)) + weigh_span(&entries, map.value_offsets())
        }
        DataType::Struct(_) => array.as_struct().columns().iter().map(weigh_array).sum(),
        DataType::Union(_, _) => weigh_union(array.as_union()),
        primitive => buffer(primitive.primitive_width().unwrap_or(16) * length),
    }
}

/// The distance between the first offset and the last.
fn span<O: OffsetSizeTrait>(offsets: &[O]) -> usize {
    match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => last.as_usize().saturating_sub(first.as_usize()),
        _ => 0,
    }
}

fn weigh_span<O: OffsetSizeTrait>(values: &ArrayRef, offsets: &[O]) -> usize {
    let first = offsets.first().map_or(0, |o| o.as_usize());
    weigh_array(&values.slice(first, span(offsets)))
}

fn weigh_views(views: &[u128], length: usize) -> usize {
    // Sixteen bytes a view where views are sent, four an offset where they are not.
    let bytes = views.iter().map(|view| ByteView::from(*view).length as usize).sum::<usize>();
    2 * BUFFER_BYTES + 16 * length + bytes
}

/// The values at `positions`, each as often as it is named.
fn weigh_picked(values: &ArrayRef, positions: &[usize]) -> usize {
    let length = positions.len();
    let of_bytes = |width: usize, length_of: &dyn Fn(usize) -> usize| {
        let bytes = positions.iter().map(|position| length_of(*position)).sum::<usize>();
        2 * BUFFER_BYTES + width * (length + 1) + bytes
    };
    match values.data_type() {
        DataType::Utf8 => {
            let values = values.as_string::<i32>();
            of_bytes(4, &|at| values.value_length(at).unsigned_abs() as usize)
        }
        DataType::LargeUtf8 => {
            let values = values.as_string::<i64>();
            of_bytes(8, &|at| usize::try_from(values.value_length(at)).unwrap_or(0))
        }
        DataType::Utf8View => {
            let views = values.as_string_view().views();
            of_bytes(4, &|at| ByteView::from(views[at]).length as usize)
        }
        DataType::Binary => {
            let values = values.as_binary::<i32>();
            of_bytes(4, &|at| values.value_length(at).unsigned_abs() as usize)
        }
        DataType::BinaryView => {
            let views = values.as_binary_view().views();
            of_bytes(4, &|at| ByteView::from(views[at]).length as usize)
        }
        _ => proportion(weigh_values(values, values.len()), length, values.len()),
    }
}

fn weigh_runs<R: RunEndIndexType>(array: &ArrayRef) -> usize {
    let Some(runs) = array.as_run_opt::<R>() else { return 0 };
    let rows = (0..u32::try_from(array.len()).unwrap_or(u32::MAX)).collect::<Vec<_>>();
    match runs.get_physical_indices(&rows) {
        Ok(positions) => weigh_picked(runs.values(), &positions),
        Err(_) => proportion(weigh_array(runs.values()), array.len(), runs.values().len()),
    }
}

fn weigh_list_view<O: OffsetSizeTrait>(list: &GenericListViewArray<O>) -> usize {
    let items = list.sizes().iter().map(|size| size.as_usize()).sum::<usize>();
    let values = list.values();
    2 * BUFFER_BYTES + 16 * (list.len() + 1) + proportion(weigh_array(values), items, values.len())
}

fn weigh_union(union: &UnionArray) -> usize {
    let DataType::Union(fields, _) = union.data_type() else { return 0 };
    let children = fields.iter().map(|(id, _)| union.child(id)).collect::<Vec<_>>();
    let items = children.iter().map(|child| child.len()).sum::<usize>();
    let bytes = children.into_iter().map(weigh_array).sum::<usize>();
    // A slice of a dense union keeps all children; what is sent has those of its rows.
    let share = match union.offsets() {
        None => bytes,
        Some(_) => proportion(bytes, union.len(), items).min(bytes),
    };
    2 * BUFFER_BYTES + 5 * union.len() + share
}

/// `bytes` of `all` items for `some` of them.
fn proportion(bytes: usize, some: usize, all: usize) -> usize {
    match all {
        0 => 0,
        all => bytes.div_ceil(all).saturating_mul(some),
    }
}
