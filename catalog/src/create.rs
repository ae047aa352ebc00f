//! A table to be made, and one that is staged but not published.

use std::collections::HashMap;

use crate::error::{Error, ErrorKind, Result};
use crate::name::TableName;
use crate::spec::{
    FormatVersion, Schema, SortOrder, TableMetadata, TableUpdate, UnboundPartitionSpec,
};
use crate::table::Table;

/// What `CREATE TABLE` does when the name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateMode {
    /// An error.
    Create,
    /// Replaces the table, keeping its uuid and history, in one commit.
    CreateOrReplace,
    /// Like `CreateOrReplace`, but the table must exist (`REPLACE TABLE`).
    Replace,
}

/// A table to be made.
#[derive(Clone, Debug)]
pub struct CreateTable {
    /// Its name, in the spelling to be stored.
    pub name: TableName,
    /// Columns; field ids are assigned anew, so any unique ids will do.
    pub schema: Schema,
    /// Partitioning, by the field ids of `schema`.
    pub partition_spec: UnboundPartitionSpec,
    /// Write order, by the field ids of `schema`.
    pub sort_order: SortOrder,
    /// `None`: below the warehouse, in a directory of its own.
    pub location: Option<String>,
    /// Table properties (`write.parquet.compression-codec` …).
    pub properties: HashMap<String, String>,
    /// 2 or 3.
    pub format_version: FormatVersion,
    /// What to do when the name is taken.
    pub mode: CreateMode,
}

/// A table whose files may be written before it exists.
#[derive(Clone, Debug)]
pub struct StagedTable {
    /// Metadata to write against; nobody else sees it yet.
    pub table: Table,
    /// For a replace, the table as it was.
    pub replaces: Option<Table>,
    /// The updates that made `table` (for a replace: from `replaces`).
    pub updates: Vec<TableUpdate>,
}

impl StagedTable {
    /// The same with more properties, of a table that did not exist before.
    ///
    /// # Errors
    /// `Bug` for the replacement of a table, `Corrupt` for properties that no table can have.
    pub fn with_properties(mut self, properties: HashMap<String, String>) -> Result<Self> {
        if self.replaces.is_some() {
            return Err(Error::new(ErrorKind::Bug, "a replacement got properties after staging"));
        }
        let metadata = TableMetadata::clone(self.table.metadata()).into_builder(None);
        let built = metadata.set_properties(properties.clone())?.build()?;
        self.table = Table::staged(self.table.name().clone(), built.metadata);
        // One update: Nessie takes no second of the kind.
        let known = self.updates.iter_mut().find_map(|update| match update {
            TableUpdate::SetProperties { updates } => Some(updates),
            _ => None,
        });
        match known {
            Some(known) => known.extend(properties),
            None => self.updates.push(TableUpdate::SetProperties { updates: properties }),
        }
        Ok(self)
    }
}
