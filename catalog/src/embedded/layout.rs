//! The tables in the file: PyIceberg's two as PyIceberg makes them, and Fjord's own beside them.

use sqlx::{Sqlite, SqliteConnection, Transaction};

use crate::embedded::database::Database;
use crate::error::{Error, ErrorKind, Result};

/// The version of Fjord's own tables that this code reads and writes.
const LAYOUT_VERSION: i64 = 1;

const TABLES: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS iceberg_tables (
        catalog_name VARCHAR(255) NOT NULL,
        table_namespace VARCHAR(255) NOT NULL,
        table_name VARCHAR(255) NOT NULL,
        metadata_location VARCHAR(1000),
        previous_metadata_location VARCHAR(1000),
        iceberg_type VARCHAR(5),
        PRIMARY KEY (catalog_name, table_namespace, table_name)
    )",
    "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
        catalog_name VARCHAR(255) NOT NULL,
        namespace VARCHAR(255) NOT NULL,
        property_key VARCHAR(255) NOT NULL,
        property_value VARCHAR(1000) NOT NULL,
        PRIMARY KEY (catalog_name, namespace, property_key)
    )",
    "CREATE TABLE IF NOT EXISTS fjord_views (
        catalog_name TEXT NOT NULL,
        view_namespace TEXT NOT NULL,
        view_name TEXT NOT NULL,
        view_sql TEXT NOT NULL,
        column_names TEXT NOT NULL,
        default_catalog TEXT NOT NULL,
        default_namespace TEXT NOT NULL,
        properties TEXT NOT NULL,
        PRIMARY KEY (catalog_name, view_namespace, view_name)
    )",
    "CREATE TABLE IF NOT EXISTS fjord_layout (
        singleton INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1),
        version INTEGER NOT NULL
    )",
];

/// Completes the layout of a new file, or of one that PyIceberg made.
pub(super) async fn ensure(database: &Database) -> Result<()> {
    let mut connection = database.connection().await?;
    if is_complete(database, &mut connection).await? {
        return Ok(());
    }
    drop(connection);
    // Several processes may open a new file at once: whoever gets the lock second finds it done.
    let mut transaction = database.begin().await?;
    if !is_complete(database, &mut transaction).await? {
        create(&mut transaction).await.map_err(|e| database.error(e))?;
    }
    transaction.commit().await.map_err(|e| database.error(e))
}

async fn is_complete(database: &Database, connection: &mut SqliteConnection) -> Result<bool> {
    let found: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN
         ('iceberg_tables', 'iceberg_namespace_properties', 'fjord_views', 'fjord_layout')",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(|e| database.error(e))?;
    let has_layout: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'fjord_layout'",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(|e| database.error(e))?;
    if has_layout == 0 {
        return Ok(false);
    }
    let version: Option<i64> =
        sqlx::query_scalar("SELECT version FROM fjord_layout WHERE singleton = 1")
            .fetch_optional(&mut *connection)
            .await
            .map_err(|e| database.error(e))?;
    if let Some(newer) = version.filter(|v| *v > LAYOUT_VERSION) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "catalog database {:?} was made by a newer fjord (layout {newer}, this one knows {LAYOUT_VERSION}): upgrade fjord",
                database.path().display().to_string()
            ),
        ));
    }
    Ok(found == TABLES.len() as i64
        && version.is_some()
        && has_type_column(connection).await.map_err(|e| database.error(e))?)
}

async fn has_type_column(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    let columns: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pragma_table_info('iceberg_tables') WHERE name = 'iceberg_type'",
    )
    .fetch_one(connection)
    .await?;
    Ok(columns > 0)
}

async fn create(transaction: &mut Transaction<'static, Sqlite>) -> sqlx::Result<()> {
    for statement in TABLES {
        sqlx::query(statement).execute(&mut **transaction).await?;
    }
    // Older PyIceberg has no such column; it names the columns that it writes, so it goes on.
    if !has_type_column(&mut *transaction).await? {
        sqlx::query("ALTER TABLE iceberg_tables ADD COLUMN iceberg_type VARCHAR(5)")
            .execute(&mut **transaction)
            .await?;
    }
    sqlx::query("INSERT OR IGNORE INTO fjord_layout (singleton, version) VALUES (1, ?)")
        .bind(LAYOUT_VERSION)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
