//! Writing manifests and manifest lists.

use iceberg::io::FileIO;
use iceberg::spec::{ManifestListWriter, ManifestWriter, ManifestWriterBuilder};

use super::data_file::{rebuild, widen_partition};
use super::target::{MetadataFiles, bind, spec_by_id};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Entry;
use crate::spec::{
    DataFile, FormatVersion, ManifestContentType, ManifestFile, StructType, TableMetadata,
};

/// One line of a manifest to be written.
#[derive(Debug)]
pub(crate) enum Line<'a> {
    /// A file that this snapshot adds. Its numbers are inherited, which lets a retry keep the manifest.
    Added(&'a DataFile),
    /// A file that stays.
    Existing(&'a Entry),
    /// A file that this snapshot removes.
    Deleted(&'a Entry),
}

/// Writes the manifests of one snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ManifestSink<'a> {
    /// The stores.
    pub(crate) io: &'a FileIO,
    /// The table that is written to.
    pub(crate) metadata: &'a TableMetadata,
    /// The snapshot that is made.
    pub(crate) snapshot_id: i64,
    /// Names.
    pub(crate) files: &'a MetadataFiles,
}

impl ManifestSink<'_> {
    /// Writes one manifest of `lines`, all under partition spec `spec_id`.
    pub(crate) async fn write(
        &self,
        spec_id: i32,
        content: ManifestContentType,
        lines: impl Iterator<Item = Line<'_>>,
    ) -> Result<ManifestFile> {
        let uri = self.files.next_manifest(self.metadata);
        let (mut writer, ty) = self.open(&uri, spec_id, content)?;
        for line in lines {
            self.put(&mut writer, &ty, spec_id, line)
                .map_err(|e| e.with_context("manifest", uri.clone()))?;
        }
        writer.write_manifest_file().await.map_err(|e| Error::from(e).with_context("manifest", uri))
    }

    fn open(
        &self,
        uri: &str,
        spec_id: i32,
        content: ManifestContentType,
    ) -> Result<(ManifestWriter, StructType)> {
        let spec = spec_by_id(self.metadata, spec_id)?;
        let (schema, ty) = bind(self.metadata, spec)?;
        let output = self.io.new_output(uri)?;
        let builder =
            ManifestWriterBuilder::new(output, Some(self.snapshot_id), schema, spec.clone());
        let writer = match (self.metadata.format_version(), content) {
            (FormatVersion::V3, ManifestContentType::Data) => builder.build_v3_data(),
            (FormatVersion::V3, ManifestContentType::Deletes) => builder.build_v3_deletes(),
            (_, ManifestContentType::Data) => builder.build_v2_data(),
            (_, ManifestContentType::Deletes) => builder.build_v2_deletes(),
        };
        Ok((writer, ty))
    }

    fn put(
        &self,
        writer: &mut ManifestWriter,
        ty: &StructType,
        spec_id: i32,
        line: Line<'_>,
    ) -> Result<()> {
        match line {
            Line::Added(file) => {
                let partition = widen_partition(file.partition(), ty);
                writer.add_file(rebuild(file, spec_id, None, partition)?, -1)?;
            }
            Line::Existing(entry) => {
                let (sequence, file_sequence) = numbers(entry)?;
                let snapshot_id = entry.snapshot_id.ok_or_else(|| unnumbered(entry))?;
                let file = carried(entry, ty, spec_id)?;
                writer.add_existing_file(file, snapshot_id, sequence, Some(file_sequence))?;
            }
            Line::Deleted(entry) => {
                let (sequence, file_sequence) = numbers(entry)?;
                let file = carried(entry, ty, spec_id)?;
                writer.add_delete_file(file, sequence, Some(file_sequence))?;
            }
        }
        Ok(())
    }
}

/// The file as a rewritten manifest must hold it: an inherited row id becomes an explicit one, or
/// its rows would change identity.
fn carried(entry: &Entry, ty: &StructType, spec_id: i32) -> Result<DataFile> {
    let file = entry.data_file();
    rebuild(file, spec_id, entry.first_row_id, widen_partition(file.partition(), ty))
}

fn numbers(entry: &Entry) -> Result<(i64, i64)> {
    let sequence = entry.sequence_number.ok_or_else(|| unnumbered(entry))?;
    Ok((sequence, entry.file_sequence_number.unwrap_or(sequence)))
}

fn unnumbered(entry: &Entry) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "file {:?}: its manifest entry has no sequence number or snapshot id",
            entry.file_path()
        ),
    )
}

/// A manifest list that was written.
#[derive(Debug)]
pub(crate) struct WrittenList {
    /// Its URI.
    pub(crate) uri: String,
    /// `(first row id, rows assigned)` of the snapshot; format 3 only.
    pub(crate) row_range: Option<(u64, u64)>,
}

impl ManifestSink<'_> {
    /// Writes the manifest list; the format library fills in sequence numbers and first row ids.
    pub(crate) async fn write_list(
        &self,
        parent_id: Option<i64>,
        manifests: Vec<ManifestFile>,
    ) -> Result<WrittenList> {
        let uri = self.files.next_list(self.metadata, self.snapshot_id);
        let range = self.put_list(&uri, parent_id, manifests).await;
        let row_range =
            range.map_err(|e| Error::from(e).with_context("manifest list", uri.clone()))?;
        Ok(WrittenList { uri, row_range })
    }

    async fn put_list(
        &self,
        uri: &str,
        parent_id: Option<i64>,
        manifests: Vec<ManifestFile>,
    ) -> iceberg::Result<Option<(u64, u64)>> {
        let output = self.io.new_output(uri)?.writer().await?;
        let sequence = self.metadata.next_sequence_number();
        let first = self.metadata.next_row_id();
        let mut writer = match self.metadata.format_version() {
            FormatVersion::V3 => {
                ManifestListWriter::v3(output, self.snapshot_id, parent_id, sequence, Some(first))
            }
            _ => ManifestListWriter::v2(output, self.snapshot_id, parent_id, sequence),
        };
        writer.add_manifests(manifests.into_iter())?;
        let row_range = writer.next_row_id().map(|next| (first, next - first));
        writer.close().await?;
        Ok(row_range)
    }
}
