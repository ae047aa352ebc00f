//! Tables: the pointer to the current metadata, and its compare-and-set.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use iceberg::spec::TableMetadataBuildResult;

use crate::embedded::Embedded;
use crate::embedded::database::{Connection, Failure, Statement};
use crate::embedded::names::{not_found, word};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::metadata::next_metadata_location;
use crate::metastore::{EntryKind, TableCommit};
use crate::name::TableName;
use crate::spec::{FormatVersion, TableMetadata, TableMetadataRef, TableRequirement, TableUpdate};
use crate::table::Table;

/// How often a load or a drop follows a table whose pointer moves underneath.
const MOVES_MAX: u32 = 10;

/// A row of `iceberg_tables`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pointer {
    name: TableName,
    location: String,
}

impl Embedded {
    pub(super) async fn read_table(&self, name: &TableName) -> Result<Table> {
        let mut connection = self.connection().await?;
        let mut pointer = self.pointer(&mut connection, name).await?;
        drop(connection);
        for _ in 0..MOVES_MAX {
            let error = match self.metadata.load(&pointer.location).await {
                Ok(metadata) => return Ok(Table::new(pointer.name, metadata, pointer.location)),
                Err(e) => e,
            };
            if error.kind() != ErrorKind::NotFound {
                return Err(error.with_context("table", name.to_string()));
            }
            // Another process may have committed and cleaned up the version that we were about to
            // read; only a pointer that stays put is dangling.
            let mut connection = self.connection().await?;
            let now = self.pointer(&mut connection, name).await?;
            if now == pointer {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!(
                        "table {:?}: its metadata file {:?} is missing",
                        name.to_string(),
                        now.location
                    ),
                )
                .with_source(error));
            }
            pointer = now;
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            format!("table {:?} changes faster than it can be read", name.to_string()),
        ))
    }

    pub(super) async fn apply_commit(&self, commit: TableCommit) -> Result<Table> {
        if commit.requirements.iter().any(|r| matches!(r, TableRequirement::NotExist)) {
            return self.create_table(commit).await;
        }
        let base = self.read_table(&commit.name).await?;
        let name = base.name().clone();
        for requirement in &commit.requirements {
            requirement.check(Some(base.metadata())).map_err(|e| stale(&name).with_source(e))?;
        }
        check_order(&name, base.metadata(), &commit.updates)?;
        let Some(old) = base.metadata_location().map(str::to_owned) else {
            return Err(Error::new(
                ErrorKind::Bug,
                format!("table {:?} was loaded from nowhere", name.to_string()),
            ));
        };
        let built = apply(&name, base.metadata(), &old, commit.updates)?;
        if built.changes.is_empty() {
            return Ok(base);
        }
        let metadata = Arc::new(built.metadata);
        let new = next_metadata_location(&metadata, Some(&old))?;
        self.metadata.write(&new, &metadata).await?;
        failpoint::hit("K5").await;
        match self.swap(&name, &old, &new).await {
            Ok(true) => {}
            Ok(false) => {
                self.discard(&new).await;
                return Err(stale(&name));
            }
            Err(e) => {
                if e.kind() != ErrorKind::CommitUnknown {
                    self.discard(&new).await;
                }
                return Err(e);
            }
        }
        failpoint::hit("K7").await;
        let expired = built.expired_metadata_logs.into_iter().map(|log| log.metadata_file);
        self.clean_up(&metadata, expired.filter(|file| *file != new && *file != old).collect())
            .await;
        Ok(Table::new(name, metadata, new))
    }

    async fn create_table(&self, commit: TableCommit) -> Result<Table> {
        let Some(staged) = commit.staged else {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("table {:?}: a create needs staged metadata", commit.name.to_string()),
            ));
        };
        let mut connection = self.connection().await?;
        self.require_free(&mut connection, &commit.name, None).await?;
        drop(connection);
        let metadata = Arc::clone(staged.metadata());
        let location = next_metadata_location(&metadata, None)?;
        self.metadata.write(&location, &metadata).await?;
        failpoint::hit("K5").await;
        failpoint::hit("K6").await;
        match self.insert(&commit.name, &location).await {
            Ok(name) => {
                failpoint::hit("K7").await;
                Ok(Table::new(name, metadata, location))
            }
            Err(e) => {
                if e.kind() != ErrorKind::CommitUnknown {
                    self.discard(&location).await;
                }
                Err(e)
            }
        }
    }

    /// The metadata stays where it is; from now on commits go on from there.
    pub(super) async fn register(&self, name: &TableName, location: &str) -> Result<Table> {
        let metadata = self.metadata.load(location).await?;
        let name = self.insert(name, location).await?;
        Ok(Table::new(name, metadata, location))
    }

    pub(super) async fn delete_table(&self, name: &TableName) -> Result<Option<Table>> {
        for _ in 0..MOVES_MAX {
            let mut connection = self.connection().await?;
            let pointer = self.pointer(&mut connection, name).await?;
            drop(connection);
            let metadata = match self.metadata.load(&pointer.location).await {
                Ok(metadata) => Some(metadata),
                Err(e) if is_unreadable(e.kind()) => {
                    tracing::warn!(table = %pointer.name, error = %e, "dropping a table whose metadata cannot be read");
                    None
                }
                Err(e) => return Err(e.with_context("table", name.to_string())),
            };
            // A commit in between moves the pointer: what is dropped is what is returned.
            if self.delete_pointer(&pointer).await? {
                return Ok(metadata.map(|m| Table::new(pointer.name, m, pointer.location)));
            }
        }
        Err(stale(name))
    }

    /// Forgets a table if it still points where `pointer` says.
    async fn delete_pointer(&self, pointer: &Pointer) -> Result<bool> {
        let statement = Statement::new(
            "DELETE FROM iceberg_tables WHERE catalog_name = $1 AND table_namespace = $2
             AND table_name = $3 AND metadata_location = $4",
        );
        let statement = statement.text(&*self.catalog).text(pointer.name.namespace.to_string());
        let statement = statement.text(&pointer.name.name).text(&pointer.location);
        self.change_one(&pointer.name, statement).await
    }

    /// A statement that changes the row of a table, or nothing if somebody else was first.
    async fn change_one(&self, name: &TableName, statement: Statement) -> Result<bool> {
        // Until COMMIT is sent nothing can come of it, so failing earlier is no riddle.
        let mut transaction = self.begin().await?;
        let changed = transaction.execute(statement).await?;
        failpoint::hit("K6L").await;
        match changed {
            0 => Ok(false),
            _ => self.settle(name, transaction.try_commit().await).map(|()| true),
        }
    }

    /// What the end of a transaction means for the table that it changed.
    fn settle(&self, name: &TableName, committed: Result<(), Failure>) -> Result<()> {
        committed.map_err(|failure| {
            if failure.is_definite() {
                return self.database.error(failure);
            }
            unknown(name, self.database.error(failure))
        })
    }

    pub(super) async fn move_entry(
        &self,
        kind: EntryKind,
        from: &TableName,
        to: &TableName,
    ) -> Result<()> {
        let mut transaction = self.begin_alone().await?;
        let from = self.find_entry(&mut transaction, kind, from).await?;
        let to = self.require_free(&mut transaction, to, Some(&from)).await?;
        let statement = match kind {
            EntryKind::Table => {
                "UPDATE iceberg_tables SET table_namespace = $1, table_name = $2
                 WHERE catalog_name = $3 AND table_namespace = $4 AND table_name = $5"
            }
            EntryKind::View => {
                "UPDATE fjord_views SET view_namespace = $1, view_name = $2
                 WHERE catalog_name = $3 AND view_namespace = $4 AND view_name = $5"
            }
        };
        let statement = Statement::new(statement).text(to.namespace.to_string()).text(&to.name);
        let statement = statement.text(&*self.catalog).text(from.namespace.to_string());
        transaction.execute(statement.text(&from.name)).await?;
        transaction.commit(&format!("{} {:?}", word(kind), from.to_string())).await
    }

    async fn pointer(&self, connection: &mut Connection, name: &TableName) -> Result<Pointer> {
        if let Some(found) = self.pointer_as_given(connection, name).await? {
            return Ok(found);
        }
        let stored = self.find_entry(connection, EntryKind::Table, name).await?;
        self.pointer_as_given(connection, &stored)
            .await?
            .ok_or_else(|| not_found(EntryKind::Table, name))
    }

    async fn pointer_as_given(
        &self,
        connection: &mut Connection,
        name: &TableName,
    ) -> Result<Option<Pointer>> {
        let statement = Statement::new(
            "SELECT metadata_location FROM iceberg_tables
             WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3
               AND coalesce(iceberg_type, 'TABLE') = 'TABLE'",
        );
        let statement = statement.text(&*self.catalog).text(name.namespace.to_string());
        let rows = connection.rows(statement.text(&name.name)).await?;
        let row = rows.into_iter().next().map(|columns| columns.into_iter().next().flatten());
        match row {
            None => Ok(None),
            Some(Some(location)) => Ok(Some(Pointer { name: name.clone(), location })),
            Some(None) => Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "table {:?}: the catalog holds no metadata location for it",
                    name.to_string()
                ),
            )),
        }
    }

    /// The compare-and-set; `false` when somebody else was first.
    async fn swap(&self, name: &TableName, old: &str, new: &str) -> Result<bool> {
        failpoint::hit("K6").await;
        let statement = Statement::new(
            "UPDATE iceberg_tables SET metadata_location = $1, previous_metadata_location = $2
             WHERE catalog_name = $3 AND table_namespace = $4 AND table_name = $5 AND metadata_location = $2",
        );
        let statement = statement.text(new).text(old).text(&*self.catalog);
        let statement = statement.text(name.namespace.to_string()).text(&name.name);
        self.change_one(name, statement).await
    }

    async fn insert(&self, name: &TableName, location: &str) -> Result<TableName> {
        let mut transaction = self.begin_alone().await?;
        let name = self.require_free(&mut transaction, name, None).await?;
        let statement = Statement::new(
            "INSERT INTO iceberg_tables
             (catalog_name, table_namespace, table_name, metadata_location, previous_metadata_location, iceberg_type)
             VALUES ($1, $2, $3, $4, NULL, 'TABLE')",
        );
        let statement = statement.text(&*self.catalog).text(name.namespace.to_string());
        transaction.execute(statement.text(&name.name).text(location)).await?;
        self.settle(&name, transaction.try_commit().await)?;
        Ok(name)
    }

    /// Deletes metadata that was certainly not committed. A failure leaves an orphan, no harm.
    async fn discard(&self, location: &str) {
        if let Err(error) = self.storage.delete_file(location).await {
            tracing::warn!(location, %error, "metadata of a lost race stays behind");
        }
    }

    /// Deletes old metadata files where the table asks for it; the commit is certain by now.
    async fn clean_up(&self, metadata: &TableMetadata, expired: Vec<String>) {
        let asked = metadata.properties().get("write.metadata.delete-after-commit.enabled");
        if expired.is_empty() || !asked.is_some_and(|v| v.eq_ignore_ascii_case("true")) {
            return;
        }
        failpoint::hit("K9").await;
        for file in expired {
            if let Err(error) = self.storage.delete_file(&file).await {
                tracing::warn!(file, %error, "an old metadata file stays behind");
            }
            failpoint::hit("K10").await;
        }
    }
}

/// Applies updates in order. The format library checks each; what it trips over ends here.
fn apply(
    name: &TableName,
    base: &TableMetadataRef,
    location: &str,
    updates: Vec<TableUpdate>,
) -> Result<TableMetadataBuildResult> {
    let applied = catch_unwind(AssertUnwindSafe(|| {
        let mut builder = TableMetadata::clone(base).into_builder(Some(location.to_owned()));
        for update in updates {
            builder = update.apply(builder)?;
        }
        builder.build()
    }));
    let refused = |problem: &str| {
        Error::new(ErrorKind::InvalidArgument, format!("table {:?}: {problem}", name.to_string()))
    };
    match applied {
        Ok(Ok(built)) => Ok(built),
        Ok(Err(e)) => {
            Err(refused(&format!("the change cannot be applied: {}", e.message())).with_source(e))
        }
        Err(_panic) => Err(refused("the change cannot be applied")),
    }
}

/// A snapshot that was numbered against older metadata lost a race even if its branch did not
/// move: another branch took its number or its row ids.
fn check_order(name: &TableName, base: &TableMetadata, updates: &[TableUpdate]) -> Result<()> {
    if base.format_version() == FormatVersion::V1 {
        return Ok(());
    }
    for update in updates {
        let TableUpdate::AddSnapshot { snapshot } = update else { continue };
        let late = snapshot.sequence_number() <= base.last_sequence_number()
            && snapshot.parent_snapshot_id().is_some();
        let overlaps = base.format_version() == FormatVersion::V3
            && snapshot.first_row_id().is_some_and(|first| first < base.next_row_id());
        if late || overlaps {
            return Err(stale(name));
        }
    }
    Ok(())
}

/// Whether the file itself is the problem, rather than the way to it.
fn is_unreadable(kind: ErrorKind) -> bool {
    use ErrorKind::{Corrupt, LimitExceeded, NotFound, Unsupported};
    matches!(kind, NotFound | Corrupt | Unsupported | LimitExceeded)
}

fn stale(name: &TableName) -> Error {
    Error::new(
        ErrorKind::Stale,
        format!("table {:?} was changed by another commit", name.to_string()),
    )
}

fn unknown(name: &TableName, error: Error) -> Error {
    Error::new(
        ErrorKind::CommitUnknown,
        format!(
            "table {:?}: the catalog did not say whether the change was made",
            name.to_string()
        ),
    )
    .with_source(error)
}
