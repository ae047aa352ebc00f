//! How Fjord writes Arrow's IPC format.

use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow_ipc::writer::{DictionaryTracker, EncodedData, IpcDataGenerator, IpcWriteOptions};
use arrow_ipc::{CompressionType, MetadataVersion};
use bytes::Bytes;

/// Where buffers begin in a body: at what the widest value (a decimal of 128 bits) needs to be read
/// in place. Every client takes eight and more.
pub(super) const ALIGNMENT_BYTES: usize = 16;

/// How bodies are compressed, for clients that ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyCompression {
    /// LZ4 frames.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl BodyCompression {
    /// The compression of that name, regardless of case.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "lz4" => Some(Self::Lz4),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

pub(super) fn write_options(
    compression: Option<BodyCompression>,
) -> Result<IpcWriteOptions, ArrowError> {
    let compression = compression.map(|chosen| match chosen {
        BodyCompression::Lz4 => CompressionType::LZ4_FRAME,
        BodyCompression::Zstd => CompressionType::ZSTD,
    });
    IpcWriteOptions::try_new(ALIGNMENT_BYTES, false, MetadataVersion::V5)?
        .try_with_compression(compression)
}

/// The schema as an encapsulated message, as `FlightInfo`, `dataset_schema`, `parameter_schema` and
/// `table_schema` carry it.
pub(crate) fn schema_bytes(schema: &Schema) -> Bytes {
    let options = IpcWriteOptions::default();
    let mut tracker = DictionaryTracker::new(false);
    let message = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(
        schema,
        &mut tracker,
        &options,
    );
    encapsulated(&message)
}

/// Continuation marker, padded length, message, padding to eight bytes.
fn encapsulated(message: &EncodedData) -> Bytes {
    let header = &message.ipc_message;
    let length = header.len().next_multiple_of(8);
    let mut bytes = Vec::with_capacity(8 + length);
    bytes.extend_from_slice(&[0xff; 4]);
    // A schema of 2 GiB is out of reach: every part of it has a limit.
    bytes.extend_from_slice(&i32::try_from(length).unwrap_or(i32::MAX).to_le_bytes());
    bytes.extend_from_slice(header);
    bytes.resize(8 + length, 0);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};
    use arrow_ipc::convert::try_schema_from_ipc_buffer;

    use super::*;

    #[test]
    fn adbc_15_schema_bytes_are_an_encapsulated_message() {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        for fields in [
            vec![],
            vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, false)],
            vec![Field::new("d", dictionary, true)],
        ] {
            let schema = Schema::new(fields);
            let bytes = schema_bytes(&schema);
            assert_eq!(bytes[..4], [0xff; 4]);
            assert_eq!(bytes.len() % 8, 0);
            assert_eq!(try_schema_from_ipc_buffer(&bytes).expect("a schema"), schema);
        }
    }
}
