//! The deletes of a scan as messages, for a scan that another process reads.
//!
//! Delete files and groups of keys that data files share are sent once, and shared again there.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion_proto::protobuf;
use datafusion_proto_common::protobuf_common;
use fjord_catalog::storage::Storage;

use super::attach::{Attached, KeyGroup, StoredDeletes};
use super::cache::DeleteKey;
use super::columns::KeyColumn;
use crate::error::{Error, ErrorKind, Result};

/// A delete file, or the part of a Puffin file that is one.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::iceberg) struct StoredMessage {
    #[prost(string, tag = "1")]
    uri: String,
    #[prost(uint64, tag = "2")]
    size_bytes: u64,
    #[prost(uint64, optional, tag = "3")]
    range_start: Option<u64>,
    #[prost(uint64, optional, tag = "4")]
    range_end: Option<u64>,
    #[prost(uint64, tag = "5")]
    records: u64,
    #[prost(bool, tag = "6")]
    names_one: bool,
    #[prost(bytes = "vec", tag = "7")]
    key: Vec<u8>,
}

/// One column of equality deletes.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::iceberg) struct KeyColumnMessage {
    #[prost(uint64, tag = "1")]
    column: u64,
    #[prost(uint64, repeated, tag = "2")]
    path: Vec<u64>,
    /// A schema of the one field.
    #[prost(message, optional, tag = "3")]
    stored: Option<protobuf::Schema>,
}

/// A delete file of a group, by its place, and its sequence number.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::iceberg) struct KeyFileMessage {
    #[prost(uint32, tag = "1")]
    stored: u32,
    #[prost(int64, tag = "2")]
    sequence_number: i64,
}

/// Equality deletes of one scope by the same columns.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::iceberg) struct KeyGroupMessage {
    #[prost(message, repeated, tag = "1")]
    columns: Vec<KeyColumnMessage>,
    #[prost(message, repeated, tag = "2")]
    files: Vec<KeyFileMessage>,
    #[prost(bytes = "vec", tag = "3")]
    key: Vec<u8>,
}

/// The deletes of one data file; files and groups by their places in [`DeletesMessage`].
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::iceberg) struct AttachedMessage {
    #[prost(string, tag = "1")]
    uri: String,
    #[prost(uint64, tag = "2")]
    rows: u64,
    #[prost(int64, tag = "3")]
    sequence_number: i64,
    #[prost(uint32, optional, tag = "4")]
    vector: Option<u32>,
    #[prost(uint32, repeated, tag = "5")]
    positions: Vec<u32>,
    #[prost(uint32, repeated, tag = "6")]
    equality: Vec<u32>,
    #[prost(message, repeated, tag = "7")]
    fixed: Vec<FixedMessage>,
}

/// A column that only deletes need, by its place, and the value that the file's partition fixes.
#[derive(Clone, PartialEq, prost::Message)]
struct FixedMessage {
    #[prost(uint64, tag = "1")]
    column: u64,
    #[prost(message, optional, tag = "2")]
    value: Option<protobuf_common::ScalarValue>,
}

/// What the data files of a scan share.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::iceberg) struct DeletesMessage {
    #[prost(message, repeated, tag = "1")]
    stored: Vec<StoredMessage>,
    #[prost(message, repeated, tag = "2")]
    groups: Vec<KeyGroupMessage>,
}

/// Gathers the deletes of a scan, file by file.
#[derive(Default)]
pub(in crate::iceberg) struct DeletesEncoder {
    message: DeletesMessage,
    stored: HashMap<*const StoredDeletes, u32>,
    groups: HashMap<*const KeyGroup, u32>,
}

impl DeletesEncoder {
    /// The deletes of one data file.
    pub(in crate::iceberg) fn add(&mut self, attached: &Attached) -> Result<AttachedMessage> {
        let vector = attached.vector.as_ref().map(|file| self.stored(file)).transpose()?;
        let positions =
            attached.positions.iter().map(|file| self.stored(file)).collect::<Result<_>>()?;
        let equality =
            attached.equality.iter().map(|group| self.group(group)).collect::<Result<_>>()?;
        Ok(AttachedMessage {
            uri: attached.uri.clone(),
            rows: attached.rows,
            sequence_number: attached.sequence_number,
            vector,
            positions,
            equality,
            fixed: attached.fixed.iter().map(fixed).collect::<Result<_>>()?,
        })
    }

    pub(in crate::iceberg) fn finish(self) -> DeletesMessage {
        self.message
    }

    fn stored(&mut self, file: &Arc<StoredDeletes>) -> Result<u32> {
        if let Some(place) = self.stored.get(&Arc::as_ptr(file)) {
            return Ok(*place);
        }
        let place = place(self.message.stored.len())?;
        self.message.stored.push(StoredMessage {
            uri: file.uri.clone(),
            size_bytes: file.size_bytes,
            range_start: file.range.as_ref().map(|range| range.start),
            range_end: file.range.as_ref().map(|range| range.end),
            records: file.records,
            names_one: file.names_one,
            key: file.key.as_bytes().to_vec(),
        });
        self.stored.insert(Arc::as_ptr(file), place);
        Ok(place)
    }

    fn group(&mut self, group: &Arc<KeyGroup>) -> Result<u32> {
        if let Some(place) = self.groups.get(&Arc::as_ptr(group)) {
            return Ok(*place);
        }
        let columns = group.columns.iter().map(key_column).collect::<Result<_>>()?;
        let mut files = Vec::with_capacity(group.files.len());
        for (file, sequence_number) in &group.files {
            let stored = self.stored(file)?;
            files.push(KeyFileMessage { stored, sequence_number: *sequence_number });
        }
        let place = place(self.message.groups.len())?;
        let key = group.key.as_bytes().to_vec();
        self.message.groups.push(KeyGroupMessage { columns, files, key });
        self.groups.insert(Arc::as_ptr(group), place);
        Ok(place)
    }
}

fn place(length: usize) -> Result<u32> {
    u32::try_from(length)
        .map_err(|_| Error::new(ErrorKind::LimitExceeded, "a scan with too many delete files"))
}

fn key_column(column: &KeyColumn) -> Result<KeyColumnMessage> {
    let stored = Schema::new(vec![Arc::clone(&column.stored)]);
    let stored = (&stored).try_into().map_err(DataFusionError::from)?;
    Ok(KeyColumnMessage {
        column: column.column as u64,
        path: column.path().iter().map(|at| *at as u64).collect(),
        stored: Some(stored),
    })
}

/// The deletes of a scan that came from elsewhere.
pub(in crate::iceberg) struct DecodedDeletes {
    stored: Vec<Arc<StoredDeletes>>,
    groups: Vec<Arc<KeyGroup>>,
}

impl DecodedDeletes {
    pub(in crate::iceberg) fn try_new(message: &DeletesMessage, storage: &Storage) -> Result<Self> {
        let stored = message
            .stored
            .iter()
            .map(|file| {
                let range = match (file.range_start, file.range_end) {
                    (Some(start), Some(end)) => Some(start..end),
                    _ => None,
                };
                Ok(Arc::new(StoredDeletes {
                    uri: file.uri.clone(),
                    at: storage.resolve(&file.uri)?,
                    size_bytes: file.size_bytes,
                    range,
                    records: file.records,
                    names_one: file.names_one,
                    key: decoded_key(&file.key)?,
                }))
            })
            .collect::<Result<Vec<_>>>()?;
        let groups = message
            .groups
            .iter()
            .map(|group| {
                let columns = group.columns.iter().map(decoded_column).collect::<Result<_>>()?;
                let files = group
                    .files
                    .iter()
                    .map(|file| Ok((at(&stored, file.stored)?, file.sequence_number)))
                    .collect::<Result<_>>()?;
                Ok(Arc::new(KeyGroup { columns, files, key: decoded_key(&group.key)? }))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { stored, groups })
    }

    /// The deletes of one data file.
    pub(in crate::iceberg) fn attached(&self, message: &AttachedMessage) -> Result<Attached> {
        let vector = message.vector.map(|place| at(&self.stored, place)).transpose()?;
        let positions = message.positions.iter().map(|place| at(&self.stored, *place));
        let equality = message.equality.iter().map(|place| at(&self.groups, *place));
        Ok(Attached {
            uri: message.uri.clone(),
            rows: message.rows,
            sequence_number: message.sequence_number,
            vector,
            positions: positions.collect::<Result<_>>()?,
            equality: equality.collect::<Result<_>>()?,
            fixed: message.fixed.iter().map(decoded_fixed).collect::<Result<_>>()?,
        })
    }
}

fn at<T>(all: &[Arc<T>], place: u32) -> Result<Arc<T>> {
    let found = usize::try_from(place).ok().and_then(|place| all.get(place));
    found.cloned().ok_or_else(|| Error::new(ErrorKind::Corrupt, "a scan names deletes it lacks"))
}

fn fixed((column, value): &(usize, ScalarValue)) -> Result<FixedMessage> {
    let value = value.try_into().map_err(DataFusionError::from)?;
    Ok(FixedMessage { column: *column as u64, value: Some(value) })
}

fn decoded_fixed(message: &FixedMessage) -> Result<(usize, ScalarValue)> {
    let lacking = || Error::new(ErrorKind::Corrupt, "a scan names a fixed column it lacks");
    let value = message.value.as_ref().ok_or_else(lacking)?;
    let value = value.try_into().map_err(DataFusionError::from)?;
    Ok((usize::try_from(message.column).map_err(|_| lacking())?, value))
}

fn decoded_key(bytes: &[u8]) -> Result<DeleteKey> {
    DeleteKey::from_bytes(bytes)
        .ok_or_else(|| Error::new(ErrorKind::Corrupt, "a scan names deletes by no key"))
}

fn decoded_column(message: &KeyColumnMessage) -> Result<KeyColumn> {
    let lacking = || Error::new(ErrorKind::Corrupt, "a scan names a key column it lacks");
    let stored = message.stored.as_ref().ok_or_else(lacking)?;
    let stored: Schema = stored.try_into().map_err(DataFusionError::from)?;
    let field: FieldRef = stored.fields().first().cloned().ok_or_else(lacking)?;
    let index = |at: u64| usize::try_from(at).map_err(|_| lacking());
    let path = message.path.iter().map(|at| index(*at)).collect::<Result<_>>()?;
    Ok(KeyColumn::new(index(message.column)?, path, field))
}
