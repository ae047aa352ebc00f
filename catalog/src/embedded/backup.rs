//! Backup and restore of a catalog's pointers while others go on writing.
//!
//! A backup is a SQLite file in the layout of the catalog itself, whatever kind the catalog is: it
//! opens like any `catalog.db`, and restoring it into another database moves the catalog there.
//!
//! ```text
//! database ─ one read snapshot ─ pages of rows ─► FILE.partial ─ whole and on disk ─► FILE
//! FILE ─ pages of rows ─► one transaction that nobody writes beside ─► database
//! ```

use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};

use crate::embedded::Embedded;
use crate::embedded::database::{Connection, Database, Statement, Transaction};
use crate::embedded::layout;
use crate::embedded::names::shown;
use crate::error::{Error, ErrorKind, Result};

/// Rows that are held in memory at a time.
const PAGE_ROWS_MAX: usize = 1_000;

/// A table of the layout as it is copied; the first two columns are its key below the catalog's name.
struct Copied {
    table: &'static str,
    columns: &'static [&'static str],
}

const NAMESPACES: Copied = Copied {
    table: "iceberg_namespace_properties",
    columns: &["namespace", "property_key", "property_value"],
};
const TABLES: Copied = Copied {
    table: "iceberg_tables",
    columns: &[
        "table_namespace",
        "table_name",
        "metadata_location",
        "previous_metadata_location",
        "iceberg_type",
    ],
};
const VIEWS: Copied = Copied {
    table: "fjord_views",
    columns: &[
        "view_namespace",
        "view_name",
        "view_sql",
        "column_names",
        "default_catalog",
        "default_namespace",
        "properties",
    ],
};

/// What a backup holds, or a restore has put back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupContents {
    /// Tables.
    pub tables: u64,
    /// Views.
    pub views: u64,
    /// Properties of schemas, at least one for each schema.
    pub schema_properties: u64,
}

/// What becomes of a catalog that holds something when a backup is restored into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreMode {
    /// It stays as it is, and the restore is refused.
    IntoEmpty,
    /// Its schemas, tables and views are forgotten, their files left where they are.
    Replace,
}

impl Embedded {
    /// Writes the schemas, table pointers and views of this catalog, as they are at one moment, to
    /// a new file. Others may write meanwhile.
    ///
    /// # Errors
    /// `AlreadyExists` when there is such a file: a backup never takes another's place.
    pub async fn back_up(&self, to: &Path) -> Result<BackupContents> {
        if tokio::fs::try_exists(to).await.unwrap_or(true) {
            return Err(taken(to));
        }
        let partial = partial_path(to);
        let written = self.write_backup(&partial).await;
        let published = match written {
            Ok(contents) => publish(&partial, to).await.map(|()| contents),
            Err(e) => Err(e),
        };
        // The file has its name by now, or was no backup.
        let _gone = tokio::fs::remove_file(&partial).await;
        published
    }

    async fn write_backup(&self, partial: &Path) -> Result<BackupContents> {
        self.make_ready().await?;
        let target = Database::create_plain_file(partial, self.busy_timeout()).await?;
        let written = async {
            layout::ensure(&target).await?;
            let mut source = self.database.begin_reading().await?;
            let mut transaction = target.begin_alone().await?;
            let contents =
                copy_all(&mut source, &self.catalog, &mut transaction, &self.catalog).await?;
            transaction.commit("the backup").await?;
            Ok(contents)
        };
        let written = written.await;
        target.close().await;
        written
    }

    /// Puts back what [`Embedded::back_up`] has written for the catalog called `name_there`, in one
    /// transaction. Commits that are under way elsewhere find the tables changed and start anew
    /// from what was restored.
    ///
    /// # Errors
    /// `InvalidArgument` when the file holds no such catalog, or this one holds something and
    /// `mode` does not say what becomes of it.
    pub async fn restore(
        &self,
        from: &Path,
        name_there: &str,
        mode: RestoreMode,
    ) -> Result<BackupContents> {
        let source = Database::open_plain_file(from, self.busy_timeout()).await?;
        let restored = self.restore_from(&source, from, name_there, mode).await;
        source.close().await;
        restored
    }

    async fn restore_from(
        &self,
        source: &Database,
        from: &Path,
        name_there: &str,
        mode: RestoreMode,
    ) -> Result<BackupContents> {
        let mut reading = source.begin_reading().await?;
        require_catalog(&mut reading, from, name_there).await?;
        let mut transaction = self.begin_alone().await?;
        self.make_room(&mut transaction, mode).await?;
        let contents = copy_all(&mut reading, name_there, &mut transaction, &self.catalog).await?;
        transaction.commit("the restore").await?;
        Ok(contents)
    }

    async fn make_room(&self, transaction: &mut Transaction, mode: RestoreMode) -> Result<()> {
        let statement = Statement::new(
            "SELECT table_namespace || '.' || table_name FROM iceberg_tables WHERE catalog_name = $1
             UNION ALL SELECT view_namespace || '.' || view_name FROM fjord_views WHERE catalog_name = $1
             ORDER BY 1 LIMIT 6",
        );
        let inside = transaction.texts::<1>(statement.text(&*self.catalog)).await?;
        if mode == RestoreMode::IntoEmpty && !inside.is_empty() {
            let inside = shown(inside.into_iter().map(|[name]| name));
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "catalog {:?} is not empty: it holds {inside}; restore with --replace to forget what it holds (files stay), or into another catalog",
                    &*self.catalog
                ),
            ));
        }
        for copied in [&VIEWS, &TABLES, &NAMESPACES] {
            let statement = format!("DELETE FROM {} WHERE catalog_name = $1", copied.table);
            transaction.execute(Statement::new(statement).text(&*self.catalog)).await?;
        }
        Ok(())
    }
}

async fn copy_all(
    source: &mut Connection,
    name_there: &str,
    target: &mut Transaction,
    name_here: &str,
) -> Result<BackupContents> {
    Ok(BackupContents {
        schema_properties: copy(&NAMESPACES, source, name_there, target, name_here).await?,
        tables: copy(&TABLES, source, name_there, target, name_here).await?,
        views: copy(&VIEWS, source, name_there, target, name_here).await?,
    })
}

/// Copies the rows of one catalog page by page, in the order of their keys.
async fn copy(
    copied: &Copied,
    source: &mut Connection,
    name_there: &str,
    target: &mut Transaction,
    name_here: &str,
) -> Result<u64> {
    let (table, columns) = (copied.table, copied.columns.join(", "));
    let keys = copied.columns.get(..2).unwrap_or_default().join(", ");
    let places: Vec<String> = (2..copied.columns.len() + 2).map(|n| format!("${n}")).collect();
    let insert =
        format!("INSERT INTO {table} (catalog_name, {columns}) VALUES ($1, {})", places.join(", "));
    let select = format!(
        "SELECT {columns} FROM {table} WHERE catalog_name = $1 AND ({keys}) > ($2, $3)
         ORDER BY {keys} LIMIT {PAGE_ROWS_MAX}"
    );
    let (mut last, mut count) = ([String::new(), String::new()], 0);
    loop {
        let [first, second] = last.clone();
        let statement = Statement::new(select.clone()).text(name_there).text(first).text(second);
        let rows = source.rows(statement).await?;
        let is_last = rows.len() < PAGE_ROWS_MAX;
        for row in rows {
            if let [Some(first), Some(second), ..] = row.as_slice() {
                last = [first.clone(), second.clone()];
            }
            let statement = Statement::new(insert.clone()).text(name_here);
            let statement = row.into_iter().fold(statement, Statement::optional_text);
            count += target.execute(statement).await?;
        }
        if is_last {
            return Ok(count);
        }
    }
}

async fn require_catalog(source: &mut Connection, from: &Path, name: &str) -> Result<()> {
    let statement = Statement::new(
        "SELECT catalog_name FROM iceberg_namespace_properties
         UNION SELECT catalog_name FROM iceberg_tables UNION SELECT catalog_name FROM fjord_views
         ORDER BY 1",
    );
    let found: Vec<String> =
        source.texts::<1>(statement).await?.into_iter().map(|[name]| name).collect();
    if found.iter().any(|there| there == name) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidArgument,
        format!(
            "backup {:?} holds no catalog {name:?}; it holds {}; choose with --from-catalog",
            from.display().to_string(),
            if found.is_empty() { "none".to_owned() } else { shown(found) }
        ),
    ))
}

/// Beside the file, so that it can take its name.
fn partial_path(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(format!(".partial-{:08x}", fastrand::u32(..)));
    PathBuf::from(name)
}

/// Gives the file its name, unless another has it.
async fn publish(partial: &Path, to: &Path) -> Result<()> {
    let failed = |e: std::io::Error| {
        if e.kind() == IoErrorKind::AlreadyExists {
            return taken(to);
        }
        let to = to.display().to_string();
        Error::new(ErrorKind::Storage, format!("backup {to:?}: cannot be written: {e}"))
            .with_source(e)
    };
    tokio::fs::hard_link(partial, to).await.map_err(failed)?;
    // The name is to survive a power cut as the bytes do.
    let directory = to.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = tokio::fs::File::open(directory).await.map_err(failed)?;
    directory.sync_all().await.map_err(failed)
}

fn taken(to: &Path) -> Error {
    let to = to.display().to_string();
    Error::new(ErrorKind::AlreadyExists, format!("file {to:?} exists already; give another name"))
}
