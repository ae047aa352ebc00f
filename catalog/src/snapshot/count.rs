//! The counts of a manifest that its manifest list does not give: the first format need not.

use crate::error::Result;
use crate::manifest::Manifests;
use crate::spec::{ManifestFile, ManifestStatus};

/// `manifest` with all counts, which later formats require: as given, or else from its entries.
pub(super) async fn counted(
    manifests: &Manifests,
    manifest: &ManifestFile,
) -> Result<ManifestFile> {
    let files =
        [manifest.added_files_count, manifest.existing_files_count, manifest.deleted_files_count];
    let rows =
        [manifest.added_rows_count, manifest.existing_rows_count, manifest.deleted_rows_count];
    if files.iter().all(Option::is_some) && rows.iter().all(Option::is_some) {
        return Ok(manifest.clone());
    }
    let entries = manifests.load(manifest).await?;
    let of = |status: ManifestStatus| {
        let entries = entries.iter().filter(move |entry| entry.status == status);
        entries.fold((0_u32, 0_u64), |(files, rows), entry| {
            (files.saturating_add(1), rows.saturating_add(entry.record_count()))
        })
    };
    let (added, existing) = (of(ManifestStatus::Added), of(ManifestStatus::Existing));
    let deleted = of(ManifestStatus::Deleted);
    let mut counted = manifest.clone();
    (counted.added_files_count, counted.added_rows_count) = (Some(added.0), Some(added.1));
    (counted.existing_files_count, counted.existing_rows_count) =
        (Some(existing.0), Some(existing.1));
    (counted.deleted_files_count, counted.deleted_rows_count) = (Some(deleted.0), Some(deleted.1));
    Ok(counted)
}
