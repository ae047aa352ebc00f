//! Walking the snapshots that came between reading and committing, and judging each changed file.

use futures::{StreamExt, TryStreamExt, stream};

use super::rebase::conflict;
use crate::conflict::{BoundRule, ConflictRule, Happened};
use crate::error::Result;
use crate::manifest::Manifests;
use crate::snapshot::filter::MANIFESTS_IN_FLIGHT_MAX;
use crate::spec::{ManifestFile, ManifestStatus, SnapshotRef};
use crate::table::Table;

/// Refuses the operation when a snapshot after `base` (exclusive) up to `head` breaks `rule`.
///
/// # Errors
/// `Conflict` naming the file and what happened to it; also when `base` is not an ancestor of
/// `head` any more, since then nobody can say what happened in between.
pub(crate) async fn validate(
    table: &Table,
    manifests: &Manifests,
    base: Option<i64>,
    head: Option<&SnapshotRef>,
    rule: &ConflictRule,
) -> Result<()> {
    let metadata = table.metadata();
    let rule = rule.bind(metadata);
    let mut at = head;
    while at.map(|snapshot| snapshot.snapshot_id()) != base {
        let Some(snapshot) = at else {
            return Err(conflict(
                table.name(),
                "the snapshot that the statement read is no longer part of the table's history",
            ));
        };
        validate_snapshot(table, manifests, snapshot, &rule).await?;
        at = match snapshot.parent_snapshot_id() {
            None => None,
            Some(id) => Some(metadata.snapshot_by_id(id).ok_or_else(|| {
                conflict(
                    table.name(),
                    "snapshots made since the statement read the table have expired",
                )
            })?),
        };
    }
    Ok(())
}

async fn validate_snapshot(
    table: &Table,
    manifests: &Manifests,
    snapshot: &SnapshotRef,
    rule: &BoundRule<'_>,
) -> Result<()> {
    let metadata = table.metadata();
    let list = manifests.load_list(snapshot, metadata.format_version()).await?;
    let work: Vec<_> = list
        .iter()
        .filter(|manifest| manifest.added_snapshot_id == snapshot.snapshot_id())
        .filter(|manifest| manifest.has_added_files() || manifest.has_deleted_files())
        .map(|manifest| judge(manifests, manifest, rule))
        .collect();
    let mut reasons = stream::iter(work).buffered(MANIFESTS_IN_FLIGHT_MAX);
    while let Some(reason) = reasons.try_next().await? {
        if let Some((what, path)) = reason {
            let why = format!("{what} by snapshot {}: {path:?}", snapshot.snapshot_id());
            return Err(conflict(table.name(), &why));
        }
    }
    Ok(())
}

async fn judge(
    manifests: &Manifests,
    manifest: &ManifestFile,
    rule: &BoundRule<'_>,
) -> Result<Option<(&'static str, String)>> {
    let entries = manifests.load(manifest).await?;
    let own = Some(manifest.added_snapshot_id);
    for entry in entries.iter().filter(|entry| entry.snapshot_id == own) {
        let happened = match entry.status() {
            ManifestStatus::Added => Happened::Added,
            ManifestStatus::Deleted => Happened::Removed,
            ManifestStatus::Existing => continue,
        };
        let spec_id = manifest.partition_spec_id;
        if let Some(what) = rule.verdict(happened, spec_id, entry.data_file())? {
            return Ok(Some((what, entry.file_path().to_owned())));
        }
    }
    Ok(None)
}
