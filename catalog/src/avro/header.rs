//! The header of an Avro file: its schema, its codec, its sync marker and the writer's own keys.

use super::codec::Codec;
use super::cursor::{Cursor, put_long};
use super::flaw::{Flaw, Sound};
use super::schema::Record;
use crate::depth::{DEPTH_MAX, nests_deeper};

const MAGIC: &[u8] = b"Obj\x01";
/// The length of a sync marker.
const SYNC_BYTES: usize = 16;
/// Keys in a header; manifests have about eight.
const KEYS_MAX: usize = 1_000;
/// Keys whose values somebody parses as JSON.
const JSON_KEYS: [&[u8]; 3] = [b"avro.schema", b"schema", b"partition-spec"];

/// A header as it stands in the file.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) codec: Codec,
    pub(super) sync: &'a [u8],
    schema: &'a [u8],
    /// All keys but the codec, each with its value, as they are spelled.
    entries: Vec<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// Reads the header; `cursor` is left at the first block.
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Sound<Self> {
        if cursor.take(MAGIC.len()).ok() != Some(MAGIC) {
            return Err(Flaw::corrupt("it does not begin as an avro file does"));
        }
        let (mut codec, mut schema, mut entries, mut keys) = (None, None, Vec::new(), 0);
        loop {
            let count = cursor.long()?;
            if count == 0 {
                break;
            }
            if count < 0 {
                cursor.length()?;
            }
            let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
            keys = count.saturating_add(keys);
            if keys > KEYS_MAX {
                return Err(Flaw::limit(format!(
                    "it claims {keys} keys; at most {KEYS_MAX} are read"
                )));
            }
            for _ in 0..count {
                let before = *cursor;
                let (key, value) = (take_bytes(cursor)?, take_bytes(cursor)?);
                check_depth(key, value)?;
                let earlier = match key {
                    b"avro.codec" => codec.replace(Codec::named(value)?).is_some(),
                    b"avro.schema" => schema.replace(value).is_some(),
                    _ => false,
                };
                if earlier {
                    let key = String::from_utf8_lossy(key);
                    return Err(Flaw::corrupt(format!("it has key {key:?} twice")));
                }
                if key != b"avro.codec" {
                    entries.push(cursor.since(before));
                }
            }
        }
        let sync = cursor.take(SYNC_BYTES)?;
        let schema = schema.ok_or_else(|| Flaw::corrupt("it has no schema"))?;
        Ok(Self { codec: codec.unwrap_or(Codec::Null), sync, schema, entries })
    }

    /// The type of the file's entries.
    pub(super) fn entry_type(&self) -> Sound<Record> {
        Record::of_entries(self.schema)
    }

    /// This header, for blocks that are not compressed.
    pub(super) fn uncompressed(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put_long(&mut out, self.entries.len().cast_signed() as i64);
        for entry in &self.entries {
            out.extend_from_slice(entry);
        }
        put_long(&mut out, 0);
        out.extend_from_slice(self.sync);
        out
    }
}

fn take_bytes<'a>(cursor: &mut Cursor<'a>) -> Sound<&'a [u8]> {
    let length = cursor.length()?;
    cursor.take(length)
}

fn check_depth(key: &[u8], value: &[u8]) -> Sound<()> {
    if !JSON_KEYS.contains(&key) || !nests_deeper(value, DEPTH_MAX) {
        return Ok(());
    }
    let key = String::from_utf8_lossy(key);
    Err(Flaw::limit(format!("its key {key:?} nests deeper than {DEPTH_MAX} levels")))
}
