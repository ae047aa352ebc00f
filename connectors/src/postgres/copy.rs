//! The frame of `COPY … (FORMAT BINARY)`: header, tuples, trailer, however they are cut.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::{Buf, Bytes, BytesMut};

use super::decode::{Decoder, Refusal};
use super::wire::Wire;
use crate::error::{Error, ErrorKind};

pub(super) const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
const HEADER_BYTES: usize = SIGNATURE.len() + 8;
/// Bit 16: object identifiers follow, which no version that lives sends.
const CRITICAL_FLAGS: u32 = 0xffff_0000;
/// A field is at most a gigabyte, so that a row of what is no row is noticed.
const ROW_BYTES_MAX: usize = 2 << 30;
/// A batch ends when it has so many bytes, however few its rows are.
const BATCH_BYTES: usize = 4 << 20;

/// A column that is read.
#[derive(Clone, Debug)]
pub(super) struct ReadColumn {
    pub(super) name: String,
    pub(super) wire: Wire,
}

/// Reads one COPY, and the next with the same columns.
pub(super) struct CopyReader {
    columns: Vec<ReadColumn>,
    schema: SchemaRef,
    decoders: Vec<Decoder>,
    rows: usize,
    bytes: usize,
    rows_max: usize,
    pending: BytesMut,
    /// Of the tuples that are read at a time, one after the other.
    fields: Vec<FieldPlace>,
    stage: Stage,
    /// Words before each message: catalog and relation.
    context: String,
}

/// Where a field's bytes are; a negative length stands for NULL.
#[derive(Clone, Copy)]
struct FieldPlace {
    at: u32,
    length: i32,
}

impl FieldPlace {
    fn of(self, bytes: &[u8]) -> Option<&[u8]> {
        let (at, length) = (self.at as usize, usize::try_from(self.length).ok()?);
        bytes.get(at..at + length)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Tuples,
    Ended,
}

impl CopyReader {
    pub(super) fn new(
        columns: Vec<ReadColumn>,
        schema: SchemaRef,
        rows_max: usize,
        context: String,
    ) -> Self {
        // Many columns or few rows: builders grow by themselves.
        let capacity = rows_max.min(1024);
        Self {
            decoders: columns.iter().map(|c| Decoder::new(&c.wire, capacity)).collect(),
            columns,
            schema,
            rows: 0,
            bytes: 0,
            rows_max,
            pending: BytesMut::new(),
            fields: Vec::new(),
            stage: Stage::Header,
            context,
        }
    }

    /// Expects the header of another COPY.
    pub(super) fn restart(&mut self) {
        self.stage = Stage::Header;
        self.pending.clear();
    }

    fn malformed(&self, what: &str) -> Error {
        Error::new(ErrorKind::Corrupt, format!("{}: {what}", self.context))
    }

    /// Takes what came; a batch when one is full.
    pub(super) fn feed(&mut self, chunk: Bytes) -> Result<Option<RecordBatch>, Error> {
        if self.pending.is_empty() {
            let used = self.consume(&chunk)?;
            self.pending.extend_from_slice(&chunk[used..]);
        } else {
            self.pending.extend_from_slice(&chunk);
            let pending = self.pending.split();
            let used = self.consume(&pending)?;
            let mut rest = pending;
            rest.advance(used);
            self.pending = rest;
        }
        if self.pending.len() > ROW_BYTES_MAX {
            return Err(self.malformed("a row without an end"));
        }
        if self.rows >= self.rows_max || self.bytes >= BATCH_BYTES {
            return self.take();
        }
        Ok(None)
    }

    /// What is read so far.
    pub(super) fn take(&mut self) -> Result<Option<RecordBatch>, Error> {
        if self.rows == 0 {
            return Ok(None);
        }
        let context = &self.context;
        let arrays: Result<Vec<ArrayRef>, _> =
            self.decoders.iter_mut().map(Decoder::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        (self.rows, self.bytes) = (0, 0);
        arrays
            .and_then(|arrays| {
                RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            })
            .map(Some)
            .map_err(|e| {
                Error::new(ErrorKind::Corrupt, format!("{context}: rows do not fit their columns"))
                    .with_source(e)
            })
    }

    /// Ends a COPY. Without its trailer the rows are not all of them.
    pub(super) fn end(&self) -> Result<(), Error> {
        if self.stage == Stage::Ended && self.pending.is_empty() {
            return Ok(());
        }
        let what = "the database's answer ended before its end; what was read is not all there is";
        Err(Error::new(ErrorKind::Unavailable, format!("{}: {what}", self.context)))
    }

    /// Reads whole tuples; the number of bytes that were read.
    fn consume(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let mut at = 0;
        if self.stage == Stage::Header {
            match self.header(bytes)? {
                None => return Ok(0),
                Some(used) => at = used,
            }
            self.stage = Stage::Tuples;
        }
        // First where the fields of whole tuples are: a builder does not take back what it was given.
        self.fields.clear();
        let begin = at;
        while self.stage == Stage::Tuples {
            match self.tuple(bytes, at)? {
                None => break,
                Some(end) => at = end,
            }
        }
        self.decode(bytes)?;
        self.bytes += at - begin;
        if self.stage == Stage::Ended && at < bytes.len() {
            return Err(self.malformed("bytes after the end of the rows"));
        }
        Ok(at)
    }

    /// The fields that were found, column by column.
    fn decode(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let count = self.columns.len();
        for (index, (decoder, column)) in self.decoders.iter_mut().zip(&self.columns).enumerate() {
            let fields = self.fields.iter().skip(index).step_by(count);
            decoder
                .append(fields.map(|field| field.of(bytes)))
                .map_err(|refusal| refused(&self.context, column, &refusal))?;
        }
        Ok(())
    }

    fn header(&self, bytes: &[u8]) -> Result<Option<usize>, Error> {
        let Some(head) = bytes.get(..HEADER_BYTES) else { return Ok(None) };
        let word =
            |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if !head.starts_with(SIGNATURE) || word(SIGNATURE.len()) & CRITICAL_FLAGS != 0 {
            return Err(self.malformed("what the database sends is no COPY in the binary format"));
        }
        let extension = word(SIGNATURE.len() + 4) as usize;
        let end = HEADER_BYTES.saturating_add(extension);
        Ok((bytes.len() >= end).then_some(end))
    }

    /// Finds the fields of the tuple at `at`, if all of it is there; where it ends.
    fn tuple(&mut self, bytes: &[u8], mut at: usize) -> Result<Option<usize>, Error> {
        let Some(count) = bytes.get(at..).and_then(<[u8]>::first_chunk::<2>) else {
            return Ok(None);
        };
        let count = i16::from_be_bytes(*count);
        at += 2;
        if count == -1 {
            self.stage = Stage::Ended;
            return Ok(Some(at));
        }
        if usize::try_from(count) != Ok(self.columns.len()) {
            let (found, wanted) = (count, self.columns.len());
            return Err(self.malformed(&format!("a row of {found} fields where {wanted} belong")));
        }
        let before = self.fields.len();
        for _ in 0..count {
            let Some(length) = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>) else {
                self.fields.truncate(before);
                return Ok(None);
            };
            at += 4;
            let length = i32::from_be_bytes(*length);
            let place = u32::try_from(at).map_err(|_| self.malformed("a row without an end"))?;
            self.fields.push(FieldPlace { at: place, length });
            at += usize::try_from(length).unwrap_or_default();
        }
        if at > bytes.len() {
            self.fields.truncate(before);
            return Ok(None);
        }
        self.rows += 1;
        Ok(Some(at))
    }
}

fn refused(context: &str, column: &ReadColumn, refusal: &Refusal) -> Error {
    let ty = column.wire.data_type();
    match refusal {
        Refusal::Malformed => {
            let message = format!(
                "{context}: column {:?} is not sent as {ty}: it has changed since the query was planned",
                column.name
            );
            Error::new(ErrorKind::Corrupt, message)
        }
        Refusal::Value(value) => {
            let hint = match column.wire {
                // What `numeric` without a precision is read as.
                Wire::Decimal { precision: 38, scale: 9 } => {
                    "; the catalog's option `numeric = 'text'` reads columns without a precision as text"
                }
                Wire::Date { .. } | Wire::Timestamp { .. } => {
                    "; the catalog's option `infinite = 'null'` reads infinite ones as NULL"
                }
                _ => "",
            };
            let message =
                format!("{context}: column {:?}: {value} has no place in {ty}{hint}", column.name);
            Error::new(ErrorKind::Value, message)
        }
    }
}
