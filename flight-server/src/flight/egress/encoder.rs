//! Batches to Flight messages, with the state that one stream's messages share.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow_flight::FlightData;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};

use super::ipc::{BodyCompression, write_options};

/// Bodies smaller than this are written into a fresh allocation: keeping one ready costs more.
const REUSE_BYTES_MIN: usize = 64 * 1024;

/// The encoder of one stream.
pub(super) struct Encoder {
    generator: IpcDataGenerator,
    dictionaries: DictionaryTracker,
    options: IpcWriteOptions,
    context: IpcWriteContext,
}

impl Encoder {
    pub(super) fn try_new(compression: Option<BodyCompression>) -> Result<Self, ArrowError> {
        Ok(Self {
            generator: IpcDataGenerator::default(),
            dictionaries: DictionaryTracker::new(false),
            options: write_options(compression)?,
            context: IpcWriteContext::default(),
        })
    }

    /// The schema message, which gives dictionaries their ids.
    pub(super) fn schema(&mut self, schema: &Schema) -> FlightData {
        let dictionaries = &mut self.dictionaries;
        let message = self.generator.schema_to_bytes_with_dictionary_tracker(
            schema,
            dictionaries,
            &self.options,
        );
        message.into()
    }

    /// The messages of a batch that weighs about `bytes`: dictionaries that are new, then its rows.
    ///
    /// The body is written once, from the arrays' buffers into the allocation that the message
    /// owns; from the second batch on that allocation is as large as the last one's, so that it
    /// does not grow while it is written.
    pub(super) fn batch(
        &mut self,
        batch: &RecordBatch,
        bytes: usize,
    ) -> Result<Vec<FlightData>, ArrowError> {
        self.context.set_reserve_scratch(bytes >= REUSE_BYTES_MIN);
        let (dictionaries, mut rows) = self.generator.encode(
            batch,
            &mut self.dictionaries,
            &self.options,
            &mut self.context,
        )?;
        // A small batch after a large one must not hold the large one's allocation while it waits.
        if rows.arrow_data.capacity() / 2 > rows.arrow_data.len() {
            rows.arrow_data.shrink_to_fit();
        }
        Ok(dictionaries.into_iter().chain([rows]).map(FlightData::from).collect())
    }
}
