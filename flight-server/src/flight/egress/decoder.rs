//! Messages of a client to schemas and batches, with the state that one stream's messages share.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow_flight::FlightData;
use arrow_ipc as ipc;
use arrow_ipc::convert::fb_to_schema;
use arrow_ipc::reader::{RecordBatchDecoder, read_dictionary};
use bytes::Bytes;

use super::malformed::{Checked, Malformed, ensure};
use super::verify_rows::verify_rows;
use super::verify_schema::verify_schema;

/// A message with its header and body.
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Values of all dictionaries that a stream has sent and not replaced.
const DICTIONARIES_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Additions to dictionaries in a stream: each copies what was there.
const DICTIONARY_DELTAS_MAX: usize = 4096;
/// What bodies are aligned to where Arrow may read values in place.
const BODY_ALIGNMENT_BYTES: usize = 64;

/// What a message brings.
#[derive(Debug)]
pub(super) enum Decoded {
    /// A command, metadata or a dictionary: nothing to see.
    Nothing,
    Schema(SchemaRef),
    Rows(RecordBatch),
}

/// The decoder of one stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    schema: Option<SchemaRef>,
    dictionaries: HashMap<i64, ArrayRef>,
    deltas: usize,
}

impl Decoder {
    /// Reads a message. Whatever its bytes are, this neither panics nor allocates by what they
    /// claim; strings and offsets are validated.
    pub(super) fn decode(&mut self, data: FlightData) -> Checked<Decoded> {
        let FlightData { data_header: header, data_body: body, .. } = data;
        if header.is_empty() {
            ensure(body.is_empty(), || "a body without a header".into())?;
            return Ok(Decoded::Nothing);
        }
        ensure(header.len().saturating_add(body.len()) <= MESSAGE_BYTES_MAX, || {
            format!("a message exceeds {MESSAGE_BYTES_MAX} bytes: send smaller batches")
        })?;
        // The checks know what Arrow panics of today; this is for what they miss.
        catch_unwind(AssertUnwindSafe(|| self.decode_message(&header, body)))
            .unwrap_or_else(|_| Err(Malformed::new("the message cannot be read")))
    }

    fn decode_message(&mut self, header: &Bytes, body: Bytes) -> Checked<Decoded> {
        let message = ipc::root_as_message(header)
            .map_err(|e| Malformed::new(format!("the header is not a message: {e}")))?;
        ensure(
            matches!(message.version(), ipc::MetadataVersion::V4 | ipc::MetadataVersion::V5),
            || format!("IPC version {:?} is not known", message.version()),
        )?;
        let claimed = message.bodyLength();
        ensure(usize::try_from(claimed).is_ok_and(|claimed| claimed <= body.len()), || {
            format!("the header claims a body of {claimed} bytes, and {} came", body.len())
        })?;
        match message.header_type() {
            ipc::MessageHeader::NONE => Ok(Decoded::Nothing),
            ipc::MessageHeader::Schema => self.decode_schema(message),
            ipc::MessageHeader::DictionaryBatch => self.decode_dictionary(message, body),
            ipc::MessageHeader::RecordBatch => self.decode_rows(message, body),
            other => Err(Malformed::new(format!(
                "a message of kind {}: send a schema, dictionaries and record batches",
                other.variant_name().unwrap_or("unknown")
            ))),
        }
    }

    fn decode_schema(&mut self, message: ipc::Message<'_>) -> Checked<Decoded> {
        ensure(self.schema.is_none(), || "a second schema in one stream".into())?;
        let Some(schema) = message.header_as_schema() else {
            return Err(Malformed::new("a schema message without a schema"));
        };
        verify_schema(schema)?;
        let schema = Arc::new(fb_to_schema(schema));
        self.schema = Some(Arc::clone(&schema));
        Ok(Decoded::Schema(schema))
    }

    fn decode_dictionary(&mut self, message: ipc::Message<'_>, body: Bytes) -> Checked<Decoded> {
        let schema = self.known_schema()?;
        let Some(dictionary) = message.header_as_dictionary_batch() else {
            return Err(Malformed::new("a dictionary message without a dictionary"));
        };
        let Some(rows) = dictionary.data() else {
            return Err(Malformed::new("a dictionary without values"));
        };
        let Some(value_type) = dictionary_value_type(&schema, dictionary.id()) else {
            return Err(Malformed::new(format!(
                "no field of the schema has a dictionary with id {}",
                dictionary.id()
            )));
        };
        verify_rows(rows, &body, std::iter::once(&value_type))?;
        self.deltas += usize::from(dictionary.isDelta());
        ensure(self.deltas <= DICTIONARY_DELTAS_MAX, || {
            format!("more than {DICTIONARY_DELTAS_MAX} additions to dictionaries: send them whole")
        })?;
        let version = message.version();
        let body = aligned(body);
        read_dictionary(&body, dictionary, &schema, &mut self.dictionaries, &version)
            .map_err(|e| unreadable("a dictionary", &e))?;
        let bytes = self.dictionaries.values().map(|v| v.get_buffer_memory_size()).sum::<usize>();
        ensure(bytes <= DICTIONARIES_BYTES_MAX, || {
            format!("dictionaries exceed {DICTIONARIES_BYTES_MAX} bytes")
        })?;
        Ok(Decoded::Nothing)
    }

    fn decode_rows(&mut self, message: ipc::Message<'_>, body: Bytes) -> Checked<Decoded> {
        let schema = self.known_schema()?;
        let Some(rows) = message.header_as_record_batch() else {
            return Err(Malformed::new("a record batch message without a record batch"));
        };
        verify_rows(rows, &body, schema.fields().iter().map(|field| field.data_type()))?;
        // Drivers send such a batch where there are no parameters (JDBC-05), some without lists of
        // columns and buffers.
        if schema.fields().is_empty() {
            let rows = usize::try_from(rows.length()).unwrap_or(0);
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            return RecordBatch::try_new_with_options(schema, Vec::new(), &options)
                .map(Decoded::Rows)
                .map_err(|e| unreadable("a record batch", &e));
        }
        let version = message.version();
        let body = aligned(body);
        RecordBatchDecoder::try_new(&body, rows, schema, &self.dictionaries, &version)
            .and_then(RecordBatchDecoder::read_record_batch)
            .map(Decoded::Rows)
            .map_err(|e| unreadable("a record batch", &e))
    }

    fn known_schema(&self) -> Checked<SchemaRef> {
        self.schema.clone().ok_or_else(|| Malformed::new("data before the schema"))
    }
}

fn unreadable(what: &str, e: &ArrowError) -> Malformed {
    Malformed::new(format!("{what} cannot be read: {e}"))
}

/// The body without a copy where it lies well; gRPC puts it anywhere.
fn aligned(body: Bytes) -> Buffer {
    if body.as_ptr().addr().is_multiple_of(BODY_ALIGNMENT_BYTES) {
        Buffer::from(body)
    } else {
        Buffer::from(body.as_ref())
    }
}

fn dictionary_value_type(schema: &Schema, id: i64) -> Option<DataType> {
    #[expect(deprecated, reason = "Arrow's own reader finds dictionaries so, and has no other way")]
    let fields = schema.fields_with_dict_id(id);
    match fields.first()?.data_type() {
        DataType::Dictionary(_, values) => Some(values.as_ref().clone()),
        _ => None,
    }
}
