//! The blob of a deletion vector: checked, then read.

use roaring::{RoaringBitmap, RoaringTreemap};

use super::DeletedRows;
use crate::error::{Error, ErrorKind, Result};

/// A deletion vector is read whole; a larger one is refused.
pub const VECTOR_BYTES_MAX: u64 = 256 << 20;

/// What stands before the bitmap, in the order of its bytes.
const MAGIC: [u8; 4] = [0xD1, 0xD3, 0x39, 0x64];

/// Length and checksum.
const WORD_BYTES: usize = 4;

/// Low halves of positions that one container of a bitmap covers.
const CONTAINER_ROWS: u64 = 1 << 16;

/// First words of the two kinds of 32-bit bitmaps: without runs, and with.
const COOKIE_PLAIN: u32 = 12_346;
const COOKIE_RUNS: u32 = 12_347;

/// Reads a blob `deletion-vector-v1`: its length, a magic number, a 64-bit bitmap of positions, a
/// checksum. `rows` is how many rows the data file has; no position may be beyond them.
///
/// The bitmap's own counts are compared with `rows` before anything is allocated for them: runs
/// expand, so that a few bytes could ask for gigabytes.
///
/// # Errors
/// `Corrupt` with what is wrong; the caller knows the file.
pub fn read_vector(blob: &[u8], rows: u64) -> Result<DeletedRows> {
    let (length, rest) = split_word(blob).ok_or_else(|| corrupt("it is too short"))?;
    let length = u32::from_be_bytes(length) as usize;
    if rest.len() != length.saturating_add(WORD_BYTES) {
        return Err(corrupt("its length is not what it says"));
    }
    let (body, checksum) = rest.split_at(length);
    let stored = <[u8; WORD_BYTES]>::try_from(checksum).ok().map(u32::from_be_bytes);
    if stored != Some(crc32fast::hash(body)) {
        return Err(corrupt("its checksum does not match"));
    }
    let bitmap = body.strip_prefix(&MAGIC).ok_or_else(|| corrupt("it has another magic number"))?;
    let deleted = read_bitmaps(bitmap, rows)?;
    match deleted.max() {
        Some(last) if last >= rows => {
            Err(corrupt(&format!("it deletes row {last} of a data file of {rows} rows")))
        }
        _ => Ok(DeletedRows::new(deleted)),
    }
}

/// The inverse of [`read_vector`].
///
/// # Errors
/// `LimitExceeded` for more than a blob can hold.
pub fn write_vector(deleted: &DeletedRows) -> Result<Vec<u8>> {
    let rows = deleted.rows();
    let mut body = Vec::with_capacity(MAGIC.len() + rows.serialized_size());
    body.extend_from_slice(&MAGIC);
    let written = rows.serialize_into(&mut body);
    let length = u32::try_from(body.len());
    let (Ok(()), Ok(length)) = (written, length) else {
        let rows = rows.len();
        let message = format!("a deletion vector of {rows} rows is larger than a blob can be");
        return Err(Error::new(ErrorKind::LimitExceeded, message));
    };
    let mut blob = Vec::with_capacity(body.len() + 2 * WORD_BYTES);
    blob.extend_from_slice(&length.to_be_bytes());
    blob.extend_from_slice(&body);
    blob.extend_from_slice(&crc32fast::hash(&body).to_be_bytes());
    Ok(blob)
}

fn read_bitmaps(bytes: &[u8], rows: u64) -> Result<RoaringTreemap> {
    let damaged = || corrupt("its bitmap is damaged");
    let (count, mut rest) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
    let count = u64::from_le_bytes(*count);
    if count > (rows >> 32) + 1 {
        return Err(corrupt("its bitmap has more parts than the data file has rows for"));
    }
    let mut deleted = Vec::new();
    let mut previous = None;
    for _ in 0..count {
        let (key, bitmap) = split_word(rest).ok_or_else(damaged)?;
        let key = u32::from_le_bytes(key);
        if previous.is_some_and(|previous| previous >= key) {
            return Err(damaged());
        }
        previous = Some(key);
        let first = u64::from(key) << 32;
        let covered = rows.checked_sub(first).ok_or_else(damaged)?;
        if containers(bitmap).ok_or_else(damaged)? > covered / CONTAINER_ROWS + 1 {
            return Err(corrupt("its bitmap has more parts than the data file has rows for"));
        }
        rest = bitmap;
        let part =
            RoaringBitmap::deserialize_from(&mut rest).map_err(|e| damaged().with_source(e))?;
        deleted.push((key, part));
    }
    if rest.is_empty() { Ok(RoaringTreemap::from_bitmaps(deleted)) } else { Err(damaged()) }
}

/// How many containers a 32-bit bitmap says it has.
fn containers(bitmap: &[u8]) -> Option<u64> {
    let (cookie, rest) = split_word(bitmap)?;
    let cookie = u32::from_le_bytes(cookie);
    if cookie == COOKIE_PLAIN {
        return Some(u64::from(u32::from_le_bytes(split_word(rest)?.0)));
    }
    (cookie & 0xFFFF == COOKIE_RUNS).then(|| u64::from(cookie >> 16) + 1)
}

fn split_word(bytes: &[u8]) -> Option<([u8; WORD_BYTES], &[u8])> {
    bytes.split_first_chunk::<WORD_BYTES>().map(|(word, rest)| (*word, rest))
}

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("deletion vector: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(bitmap: &[u8]) -> Vec<u8> {
        let mut body = MAGIC.to_vec();
        body.extend_from_slice(bitmap);
        let mut blob = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        blob.extend_from_slice(&body);
        blob.extend_from_slice(&crc32fast::hash(&body).to_be_bytes());
        blob
    }

    fn bitmap(positions: impl IntoIterator<Item = u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        RoaringTreemap::from_iter(positions).serialize_into(&mut bytes).unwrap();
        bytes
    }

    fn error(blob: &[u8], rows: u64) -> String {
        let error = read_vector(blob, rows).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        error.to_string()
    }

    #[test]
    fn positions_of_every_size_are_read() {
        let positions = [0, 1, 2, 70_000, 5 << 32, (5 << 32) + 9];
        let deleted = read_vector(&blob(&bitmap(positions)), 6 << 32).unwrap();
        assert_eq!(deleted.within(0..=u64::MAX).collect::<Vec<_>>(), positions);
        assert!(read_vector(&blob(&bitmap([])), 0).unwrap().is_empty());
        assert_eq!(write_vector(&deleted).unwrap(), blob(&bitmap(positions)));
    }

    #[test]
    fn a_damaged_blob_is_refused_whatever_byte_it_is() {
        let good = blob(&bitmap([1, 2, 3, 100_000]));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            error(&bad, 200_000);
            error(&good[..at], 200_000);
        }
    }

    #[test]
    fn a_position_beyond_the_file_is_refused() {
        let good = blob(&bitmap([9]));
        assert!(read_vector(&good, 10).is_ok());
        assert!(error(&good, 9).contains("row 9"));
    }

    /// Hazard: a vector of a few hundred kilobytes that unfolds to gigabytes.
    #[test]
    fn counts_beyond_the_file_are_refused_before_they_are_believed() {
        let mut many = 1_u64.to_le_bytes().to_vec();
        many.extend_from_slice(&0_u32.to_le_bytes());
        many.extend_from_slice(&(COOKIE_RUNS | 0xFFFF_0000).to_le_bytes());
        assert!(error(&blob(&many), 1000).contains("more parts"));
        let parts = u64::MAX.to_le_bytes();
        assert!(error(&blob(&parts), 1000).contains("more parts"));
    }
}
