//! Changes of metadata alone: run again on whatever the table has become after a lost race.

use async_trait::async_trait;
use uuid::Uuid;

use super::bound::with_field_ids;
use super::operation::{Operation, Proposal};
use super::rebase::check_same_table;
use super::requirements::requirements;
use super::staged::{apply, same_state};
use crate::error::{Error, ErrorKind, Result};
use crate::metastore::TableCommit;
use crate::name::TableName;
use crate::spec::{TableMetadata, TableUpdate};
use crate::table::Table;

/// A change of metadata on its way into a table.
pub(crate) struct MetadataOperation<F> {
    op_id: Uuid,
    name: TableName,
    edit: F,
    /// The table that the statement meant; another one under the name is not it.
    first: Option<Table>,
    /// The metadata that the last attempt asked for.
    wanted: Option<TableMetadata>,
}

impl<F> MetadataOperation<F>
where
    F: Fn(&TableMetadata) -> Result<Vec<TableUpdate>> + Send + Sync,
{
    /// Prepares `edit` on the table `name`.
    pub(crate) fn new(name: TableName, edit: F) -> Self {
        Self { op_id: Uuid::now_v7(), name, edit, first: None, wanted: None }
    }
}

#[async_trait]
impl<F> Operation for MetadataOperation<F>
where
    F: Fn(&TableMetadata) -> Result<Vec<TableUpdate>> + Send + Sync,
{
    fn op_id(&self) -> Uuid {
        self.op_id
    }

    async fn propose(&mut self, head: Option<&Table>) -> Result<Proposal> {
        let Some(head) = head else {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("table \"{}\" does not exist", self.name),
            ));
        };
        check_same_table(self.first.get_or_insert_with(|| head.clone()), head)?;
        let metadata = head.metadata();
        let updates = (self.edit)(metadata)?;
        if updates.is_empty() {
            return Ok(Proposal::Nothing);
        }
        let wanted = apply(TableMetadata::clone(metadata), updates.clone())?;
        let updates = with_field_ids(updates, &wanted);
        self.wanted = Some(wanted);
        Ok(Proposal::Commit(Box::new(TableCommit {
            name: head.name().clone(),
            requirements: requirements(metadata, &updates),
            updates,
            staged: None,
        })))
    }

    // Metadata carries no mark of who changed it: after a definite refusal, a column that is there
    // now was added by somebody else.
    fn has_identity(&self) -> bool {
        false
    }

    fn is_applied(&self, metadata: &TableMetadata) -> bool {
        self.wanted.as_ref().is_some_and(|wanted| same_state(wanted, metadata))
    }
}
