//! What a Parquet footer says, held against itself and the file's size: the reader trusts counts and
//! offsets, and a damaged one would make it panic or read for ever.

use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

/// Refuses a footer whose counts or offsets cannot be.
pub(super) fn check(metadata: &ParquetMetaData, size_bytes: u64) -> Result<(), ParquetError> {
    let mut rows = 0_i64;
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let group_rows = group.num_rows();
        rows = match rows.checked_add(group_rows) {
            Some(sum) if group_rows >= 0 => sum,
            _ => return Err(refuse(number, format!("it has {group_rows} rows"))),
        };
        for column in group.columns() {
            check_chunk(column, group_rows, size_bytes).map_err(|what| {
                refuse(number, format!("column {}: {what}", column.column_path()))
            })?;
        }
    }
    let said = metadata.file_metadata().num_rows();
    if said != rows {
        return Err(ParquetError::General(format!(
            "the footer counts {said} rows, its row groups {rows}"
        )));
    }
    Ok(())
}

fn refuse(group: usize, what: String) -> ParquetError {
    ParquetError::General(format!("row group {group}: {what}"))
}

fn check_chunk(
    column: &ColumnChunkMetaData,
    group_rows: i64,
    size_bytes: u64,
) -> Result<(), String> {
    let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let length = column.compressed_size();
    let end = u64::try_from(start)
        .ok()
        .zip(u64::try_from(length).ok())
        .and_then(|(start, length)| start.checked_add(length));
    if end.is_none_or(|end| end > size_bytes) || column.data_page_offset() < 0 {
        return Err(format!("it claims {length} bytes at {start} of a file of {size_bytes} bytes"));
    }
    let values = column.num_values();
    let is_flat = column.column_descr().max_rep_level() == 0;
    if values < 0 || (is_flat && values != group_rows) {
        return Err(format!("it has {values} values for {group_rows} rows"));
    }
    if column.uncompressed_size() < 0 {
        return Err(format!("it has {} bytes uncompressed", column.uncompressed_size()));
    }
    Ok(())
}
