//! Statistics files of a table: distinct values of columns, as sketches that other engines read too.

use std::collections::HashMap;

use datasketches::hash::value::raw_bytes;
use datasketches::theta::{ThetaSketch, ThetaSketchBuilder};
use iceberg::io::FileIO;
use iceberg::puffin::{
    APACHE_DATASKETCHES_THETA_V1, Blob, CREATED_BY_PROPERTY, CompressionCodec, PuffinWriter,
};
use iceberg::spec::{BlobMetadata, StatisticsFile};
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::references::ancestors;
use crate::snapshot::target::directory;
use crate::spec::{Snapshot, TableMetadata};

/// The property of a blob that says what its sketch comes to.
const NDV: &str = "ndv";

/// The bytes of a Puffin file before its first blob.
const MAGIC_BYTES: usize = 4;

/// Counts the distinct values of one column, by the hash that Iceberg prescribes: of the value's
/// single-value serialization. Takes some 64 KiB, whatever it has seen.
#[derive(Debug)]
pub struct DistinctSketch {
    field_id: i32,
    sketch: ThetaSketch,
}

impl DistinctSketch {
    /// A sketch that has seen nothing, for the column with this id.
    ///
    /// # Errors
    /// None that is known.
    pub fn new(field_id: i32) -> Result<Self> {
        let sketch = ThetaSketchBuilder::default()
            .build()
            .map_err(|e| Error::new(ErrorKind::Bug, format!("a sketch cannot be made: {e}")))?;
        Ok(Self { field_id, sketch })
    }

    /// Adds a value that is not NULL, serialized. Like Iceberg's own library, the sketch does not
    /// take what is empty.
    pub fn add(&mut self, value: &[u8]) {
        if !value.is_empty() {
            self.sketch.update(raw_bytes::from_slice(value));
        }
    }

    /// How many distinct values it has seen, about.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate is not negative, and rounded down as Iceberg's own library does"
    )]
    pub fn distinct(&self) -> u64 {
        self.sketch.estimate() as u64
    }

    fn blob(&self, snapshot: &Snapshot) -> Blob {
        Blob::builder()
            .r#type(APACHE_DATASKETCHES_THETA_V1.to_owned())
            .fields(vec![self.field_id])
            .snapshot_id(snapshot.snapshot_id())
            .sequence_number(snapshot.sequence_number())
            .data(self.sketch.compact(true).serialize())
            .properties(HashMap::from([(NDV.to_owned(), self.distinct().to_string())]))
            .build()
    }
}

/// Writes the sketches of `snapshot`'s columns into a new file.
pub(crate) async fn write(
    io: &FileIO,
    metadata: &TableMetadata,
    snapshot: &Snapshot,
    sketches: &[DistinctSketch],
) -> Result<StatisticsFile> {
    let id = snapshot.snapshot_id();
    let path = format!("{}/{id}-{}.stats", directory(metadata), Uuid::now_v7());
    let created_by = format!("Fjord {}", env!("CARGO_PKG_VERSION"));
    let properties = HashMap::from([(CREATED_BY_PROPERTY.to_owned(), created_by)]);
    let mut writer = PuffinWriter::new(&io.new_output(&path)?, properties, false).await?;
    let mut blobs_end = MAGIC_BYTES;
    let mut blob_metadata = Vec::with_capacity(sketches.len());
    for sketch in sketches {
        let blob = sketch.blob(snapshot);
        blobs_end += blob.data().len();
        blob_metadata.push(BlobMetadata {
            r#type: blob.blob_type().to_owned(),
            snapshot_id: blob.snapshot_id(),
            sequence_number: blob.sequence_number(),
            fields: blob.fields().to_vec(),
            properties: blob.properties().clone(),
        });
        writer.add(blob, CompressionCodec::None).await?;
    }
    writer.close().await?;
    let size = io.new_input(&path)?.metadata().await?.size;
    let footer = size.saturating_sub(blobs_end as u64);
    Ok(StatisticsFile {
        snapshot_id: id,
        statistics_path: path,
        file_size_in_bytes: i64::try_from(size).unwrap_or(i64::MAX),
        file_footer_size_in_bytes: i64::try_from(footer).unwrap_or(i64::MAX),
        key_metadata: None,
        blob_metadata,
    })
}

/// Distinct values by column, as the statistics of a snapshot, or of the nearest one before it that
/// has any, say.
pub fn distinct_counts(metadata: &TableMetadata, snapshot: &Snapshot) -> HashMap<i32, u64> {
    let mut counts = HashMap::new();
    if metadata.statistics_iter().len() == 0 {
        return counts;
    }
    let found = ancestors(metadata, Some(snapshot.snapshot_id()))
        .into_iter()
        .find_map(|id| metadata.statistics_for_snapshot(id));
    for blob in found.iter().flat_map(|file| &file.blob_metadata) {
        let ndv = blob.properties.get(NDV).and_then(|ndv| ndv.parse().ok());
        if let ([field], Some(ndv)) = (blob.fields.as_slice(), ndv)
            && blob.r#type == APACHE_DATASKETCHES_THETA_V1
        {
            counts.insert(*field, ndv);
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sketch_counts_values_and_skips_empty_ones() {
        let mut sketch = DistinctSketch::new(1).unwrap();
        for n in 0..1_000_i64 {
            sketch.add(&(n % 100).to_le_bytes());
        }
        sketch.add(b"");
        assert_eq!(sketch.distinct(), 100);
    }

    /// Hazard: a sketch that hashes otherwise merges with nobody's.
    ///
    /// The form is that of the reference libraries (seed 9001), as they write a sketch of the bytes of
    /// a long: without that, no other engine could merge our sketches.
    #[test]
    fn hazard_a_sketch_hashes_bytes_as_the_reference_does() {
        let mut sketch = DistinctSketch::new(1).unwrap();
        sketch.add(&1_i64.to_le_bytes());
        let bytes = sketch.sketch.compact(true).serialize();
        // preamble longs 1, serial version 3, family 3, seed hash 0x93cc, then one hash.
        assert_eq!(&bytes[..3], &[1, 3, 3]);
        assert_eq!(&bytes[6..8], &[0xcc, 0x93]);
        assert_eq!(bytes.len(), 16);
        // Murmur3 of the eight bytes, and of nothing else: Rust's own hashing adds a length.
        assert_eq!(bytes[8..], 405_753_591_161_026_837_u64.to_le_bytes());
    }
}
