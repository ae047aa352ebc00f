//! Parquet files whose footers lie: lengths, offsets and counts that no writer would write.

use fastrand::Rng;
use parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter,
};

use crate::damage::{Damaged, Demand, wrong_magic};

/// Damage to the footer's length and magic, or a number in the footer made up.
pub(crate) fn footer(rng: &mut Rng, bytes: &[u8]) -> Damaged {
    let length = bytes.len();
    match rng.u8(..6) {
        0 => wrong_magic(rng, bytes, length - 4..length),
        1 => {
            let mut damaged = bytes.to_vec();
            let footer = u32::from_le_bytes(bytes[length - 8..length - 4].try_into().unwrap());
            let made_up = [0, 1, footer / 2, footer - 1, u32::MAX, 0x7fff_ffff][rng.usize(..6)];
            damaged[length - 8..length - 4].copy_from_slice(&made_up.to_le_bytes());
            Damaged {
                bytes: damaged,
                what: format!("footer length {made_up}"),
                demand: Demand::Error,
            }
        }
        2 => {
            let start = footer_start(bytes);
            let mut damaged = bytes.to_vec();
            for _ in 0..rng.usize(1..=4) {
                damaged[rng.usize(start..length - 8)] = rng.u8(..);
            }
            Damaged {
                bytes: damaged,
                what: "bytes of the footer".to_owned(),
                demand: Demand::Anything,
            }
        }
        _ => numbers(rng, bytes),
    }
}

fn numbers(rng: &mut Rng, bytes: &[u8]) -> Damaged {
    let start = footer_start(bytes);
    let metadata = ParquetMetaDataReader::decode_metadata(&bytes[start..bytes.len() - 8]).unwrap();
    let length = i64::try_from(bytes.len()).unwrap();
    let choices = [-1, i64::MIN, i64::MAX, length - 1, length * 2, 1 << 31, 1 << 40];
    let number = choices[rng.usize(..choices.len())];
    let small = i32::try_from(number).unwrap_or(i32::MAX);
    let mut row_groups = metadata.row_groups().to_vec();
    let group = rng.usize(..row_groups.len());
    let mut columns: Vec<ColumnChunkMetaData> = row_groups[group].columns().to_vec();
    let at = rng.usize(..columns.len());
    let column = columns[at].clone().into_builder();
    let (column, what) = match rng.u8(..9) {
        0 => (column.set_data_page_offset(number), "data page offset"),
        1 => (column.set_dictionary_page_offset(Some(number)), "dictionary page offset"),
        2 => (column.set_total_compressed_size(number), "compressed size"),
        3 => (column.set_total_uncompressed_size(number), "uncompressed size"),
        4 => (column.set_num_values(number), "number of values"),
        5 => (column.set_column_index_offset(Some(number)), "column index offset"),
        6 => (column.set_column_index_length(Some(small)), "column index length"),
        7 => (column.set_offset_index_offset(Some(number)), "offset index offset"),
        _ => (column.set_offset_index_length(Some(small)), "offset index length"),
    };
    columns[at] = column.build().unwrap();
    let mut new = row_groups[group].clone().into_builder().set_column_metadata(columns);
    let mut what = format!("{what} of column {at} = {number}");
    if rng.u8(..6) == 0 {
        new = row_groups[group].clone().into_builder().set_num_rows(number);
        what = format!("rows of group {group} = {number}");
    }
    row_groups[group] = new.build().unwrap();
    let damaged = metadata.into_builder().set_row_groups(row_groups).build();
    Damaged { bytes: with_footer(bytes, &damaged), what, demand: Demand::ErrorOrRight }
}

fn with_footer(bytes: &[u8], metadata: &ParquetMetaData) -> Vec<u8> {
    let mut file = bytes[..footer_start(bytes)].to_vec();
    let mut written = Vec::new();
    ParquetMetaDataWriter::new(&mut written, metadata).finish().unwrap();
    file.extend(written);
    file
}

fn footer_start(bytes: &[u8]) -> usize {
    let length = bytes.len();
    let footer = u32::from_le_bytes(bytes[length - 8..length - 4].try_into().unwrap());
    length - 8 - usize::try_from(footer).unwrap()
}
