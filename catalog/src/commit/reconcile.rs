//! What became of a commit whose answer was lost.

use tokio::time::Instant;

use super::limits::{Backoff, CommitLimits, deadline_in};
use super::operation::Operation;
use crate::error::{ErrorKind, Result};
use crate::metadata::MetadataReader;
use crate::metastore::Metastore;
use crate::name::TableName;
use crate::table::Table;

/// Older metadata files that are read in search of a commit; a table keeps 100 unless told otherwise.
const METADATA_FILES_MAX: usize = 128;

/// What is known.
#[derive(Debug)]
pub(crate) enum Finding {
    /// It was applied; the table as it is now.
    Applied(Box<Table>),
    /// It never will be: the table moved on from what it required, in a chain of metadata files
    /// that has no trace of it.
    Superseded,
    /// Nothing is. Absence is no proof: the request may be applied yet.
    Unclear,
}

/// Looks for the operation until something is known or the time for it is over.
pub(crate) async fn reconcile(
    metastore: &dyn Metastore,
    reader: &MetadataReader,
    name: &TableName,
    base: Option<&Table>,
    operation: &dyn Operation,
    limits: &CommitLimits,
) -> Result<Finding> {
    let deadline: Instant = deadline_in(limits.unknown_max)?;
    let mut backoff = Backoff::new(limits.backoff_min, limits.backoff_max, deadline);
    loop {
        match look(metastore, reader, name, base, operation).await {
            Ok(Finding::Unclear) => {}
            Ok(finding) => return Ok(finding),
            Err(e) => {
                tracing::warn!(table = %name, error = %e, "cannot look for a commit whose answer was lost")
            }
        }
        if !backoff.wait().await {
            return Ok(Finding::Unclear);
        }
    }
}

/// Looks once.
pub(crate) async fn look(
    metastore: &dyn Metastore,
    reader: &MetadataReader,
    name: &TableName,
    base: Option<&Table>,
    operation: &dyn Operation,
) -> Result<Finding> {
    let now = match metastore.load_table(name).await {
        Ok(table) => table,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Finding::Unclear),
        Err(e) => return Err(e),
    };
    // A create is told by the table's own uuid; another table under the name tells nothing.
    let Some(base) = base else {
        return Ok(if operation.is_applied(now.metadata()) {
            Finding::Applied(Box::new(now))
        } else {
            Finding::Unclear
        });
    };
    if now.metadata().uuid() != base.metadata().uuid()
        || now.metadata_location() == base.metadata_location()
    {
        return Ok(Finding::Unclear);
    }
    if operation.is_applied(now.metadata()) {
        return Ok(Finding::Applied(Box::new(now)));
    }
    // The snapshot may have been applied and expired since: only the whole chain is proof.
    if let Some(history) = metastore.history_since(base).await? {
        for file in history.metadata_files.iter().take(METADATA_FILES_MAX) {
            if operation.is_applied(&*reader.load(file).await?) {
                return Ok(Finding::Applied(Box::new(now)));
            }
        }
        let is_all = history.metadata_files.len() <= METADATA_FILES_MAX && history.is_complete;
        let has_moved = is_all && !history.metadata_files.is_empty();
        return Ok(if has_moved { Finding::Superseded } else { Finding::Unclear });
    }
    let log = now.metadata().metadata_log();
    for entry in log.iter().rev().take(METADATA_FILES_MAX) {
        if Some(entry.metadata_file.as_str()) == base.metadata_location() {
            return Ok(Finding::Superseded);
        }
        let older = reader.load(&entry.metadata_file).await?;
        if operation.is_applied(&older) {
            return Ok(Finding::Applied(Box::new(now)));
        }
    }
    Ok(Finding::Unclear)
}
