//! Views of strings and bytes as plain arrays. Every string of an Iceberg table is a view in the
//! engine, so this is what most of a result's columns go through.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, ByteView, GenericByteViewArray, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{BinaryViewType, ByteViewType, StringViewType};
use arrow::error::ArrowError;

/// Bytes that a view holds itself.
const INLINE_BYTES: usize = 12;

/// Views of strings as strings.
pub(super) fn strings(
    array: &GenericByteViewArray<StringViewType>,
) -> Result<ArrayRef, ArrowError> {
    let (offsets, values) = gather(array)?;
    Ok(Arc::new(StringArray::try_new(offsets, values, array.nulls().cloned())?))
}

/// Views of bytes as bytes.
pub(super) fn bytes(array: &GenericByteViewArray<BinaryViewType>) -> Result<ArrayRef, ArrowError> {
    let (offsets, values) = gather(array)?;
    Ok(Arc::new(BinaryArray::try_new(offsets, values, array.nulls().cloned())?))
}

fn gather<T: ByteViewType>(
    array: &GenericByteViewArray<T>,
) -> Result<(OffsetBuffer<i32>, Buffer), ArrowError> {
    let length_of = |view: u128| ByteView::from(view).length as usize;
    let total = array.views().iter().map(|view| length_of(*view)).sum::<usize>();
    if i32::try_from(total).is_err() {
        return Err(ArrowError::OffsetOverflowError(total));
    }
    let mut values = Vec::with_capacity(total + INLINE_BYTES);
    let mut ends = Vec::with_capacity(array.len() + 1);
    ends.push(0_i32);
    for (row, view) in array.views().iter().enumerate() {
        // What the view of a null holds is nobody's business.
        if array.is_valid(row) {
            append(&mut values, *view, array.data_buffers());
        }
        // No more than the total, which fits.
        ends.push(i32::try_from(values.len()).unwrap_or(i32::MAX));
    }
    Ok((OffsetBuffer::new(ends.into()), values.into()))
}

fn append(values: &mut Vec<u8>, view: u128, buffers: &[Buffer]) {
    let ByteView { length, buffer_index, offset, .. } = ByteView::from(view);
    let length = length as usize;
    if length <= INLINE_BYTES {
        // To copy all twelve and forget some is faster than to copy a number of them.
        let start = values.len();
        let [_, _, _, _, inline @ ..] = view.to_le_bytes();
        values.extend_from_slice(&inline);
        values.truncate(start + length);
    } else {
        let start = offset as usize;
        values.extend_from_slice(&buffers[buffer_index as usize][start..start + length]);
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, BinaryViewArray, StringViewArray};

    use super::*;

    #[test]
    fn views_of_every_length_with_nulls_and_sliced_are_the_same_text() {
        let texts = (0..40).map(|i| (i % 5 > 0).then(|| "é".repeat(i))).collect::<Vec<_>>();
        let views = StringViewArray::from_iter(texts.clone()).slice(3, 30);
        let plain = strings(&views).expect("text");
        assert!(plain.as_string::<i32>().iter().eq(views.iter()));
        let bytes_of = texts.iter().map(|t| t.as_ref().map(|t| t.as_bytes()));
        let views = BinaryViewArray::from_iter(bytes_of).slice(3, 30);
        let plain = bytes(&views).expect("bytes");
        assert!(plain.as_binary::<i32>().iter().eq(views.iter()));
    }
}
