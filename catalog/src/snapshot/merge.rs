//! Which manifests to merge, so that planning does not slow down with every append.

use std::collections::{BTreeMap, HashMap};

use crate::spec::{ManifestFile, TableMetadata};

/// The table properties that steer merging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MergePolicy {
    /// `commit.manifest-merge.enabled`
    pub(crate) enabled: bool,
    /// `commit.manifest.min-count-to-merge`
    pub(crate) count_min: usize,
    /// `commit.manifest.target-size-bytes`
    pub(crate) target_bytes: u64,
}

impl MergePolicy {
    /// The table's policy. A value that does not parse counts as unset: a commit must not fail
    /// over a hint.
    pub(crate) fn of(metadata: &TableMetadata) -> Self {
        let properties = metadata.properties();
        Self {
            enabled: parsed(properties, "commit.manifest-merge.enabled").unwrap_or(true),
            count_min: parsed(properties, "commit.manifest.min-count-to-merge").unwrap_or(100),
            target_bytes: parsed(properties, "commit.manifest.target-size-bytes")
                .filter(|bytes| *bytes > 0)
                .unwrap_or(8 << 20),
        }
    }
}

fn parsed<T: std::str::FromStr>(properties: &HashMap<String, String>, key: &str) -> Option<T> {
    properties.get(key).and_then(|value| value.trim().parse().ok())
}

/// Groups `manifests` (newest first): each group becomes one manifest; a group of one stays as it is.
///
/// Bins are filled from the oldest end, so that the same old manifests fall together on every
/// commit and only the newest bin changes. That bin waits until it has `count_min` members.
pub(crate) fn group(manifests: Vec<ManifestFile>, policy: MergePolicy) -> Vec<Vec<ManifestFile>> {
    if !policy.enabled {
        return manifests.into_iter().map(|manifest| vec![manifest]).collect();
    }
    let newest = manifests.first().map(|manifest| manifest.manifest_path.clone());
    let mut by_spec: BTreeMap<i32, Vec<ManifestFile>> = BTreeMap::new();
    for manifest in manifests {
        by_spec.entry(manifest.partition_spec_id).or_default().push(manifest);
    }
    let mut groups = Vec::new();
    for same_spec in by_spec.into_values().rev() {
        for bin in pack_from_end(same_spec, policy.target_bytes) {
            let waits = bin.len() < policy.count_min
                && bin.iter().any(|m| Some(&m.manifest_path) == newest.as_ref());
            if waits {
                groups.extend(bin.into_iter().map(|manifest| vec![manifest]));
            } else {
                groups.push(bin);
            }
        }
    }
    groups
}

fn pack_from_end(manifests: Vec<ManifestFile>, target_bytes: u64) -> Vec<Vec<ManifestFile>> {
    let mut bins: Vec<Vec<ManifestFile>> = Vec::new();
    let mut open_bytes = 0;
    for manifest in manifests.into_iter().rev() {
        let bytes = u64::try_from(manifest.manifest_length).unwrap_or(0);
        match bins.last_mut() {
            Some(bin) if open_bytes + bytes <= target_bytes => {
                open_bytes += bytes;
                bin.push(manifest);
            }
            _ => {
                open_bytes = bytes;
                bins.push(vec![manifest]);
            }
        }
    }
    bins.reverse();
    for bin in &mut bins {
        bin.reverse();
    }
    bins
}
