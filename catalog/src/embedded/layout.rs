//! The tables in the file: PyIceberg's two as PyIceberg makes them, and Fjord's own beside them.

use std::collections::BTreeSet;

use crate::embedded::database::{Connection, Database, Statement};
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

/// Their names.
const NAMES: [&str; 4] =
    ["iceberg_tables", "iceberg_namespace_properties", "fjord_views", "fjord_layout"];

/// Completes the layout of a new database, or of one that PyIceberg made.
pub(super) async fn ensure(database: &Database) -> Result<()> {
    let mut connection = database.connection().await?;
    if is_complete(database, &mut connection).await? {
        return Ok(());
    }
    drop(connection);
    // Several processes may open a new database at once: whoever gets the lock second finds it done.
    let mut transaction = database.begin_layout().await?;
    if !is_complete(database, &mut transaction).await? {
        create(database, &mut transaction).await?;
    }
    transaction.commit("the layout").await
}

async fn is_complete(database: &Database, connection: &mut Connection) -> Result<bool> {
    let found = names(connection, database.dialect().list_tables()).await?;
    if !found.contains("fjord_layout") {
        return Ok(false);
    }
    let version =
        Statement::new("SELECT CAST(version AS TEXT) FROM fjord_layout WHERE singleton = 1");
    let version = connection.texts::<1>(version).await?;
    let version = version.first().and_then(|[version]| version.parse::<i64>().ok());
    if let Some(newer) = version.filter(|v| *v > LAYOUT_VERSION) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "catalog database {:?} was made by a newer fjord (layout {newer}, this one knows {LAYOUT_VERSION}): upgrade fjord",
                database.name()
            ),
        ));
    }
    Ok(NAMES.iter().all(|name| found.contains(*name))
        && version.is_some()
        && has_type_column(database, connection).await?)
}

async fn names(connection: &mut Connection, list: &'static str) -> Result<BTreeSet<String>> {
    let rows = connection.texts::<1>(Statement::new(list)).await?;
    Ok(rows.into_iter().map(|[name]| name).collect())
}

async fn has_type_column(database: &Database, connection: &mut Connection) -> Result<bool> {
    Ok(names(connection, database.dialect().list_columns()).await?.contains("iceberg_type"))
}

async fn create(database: &Database, connection: &mut Connection) -> Result<()> {
    for statement in TABLES {
        connection.execute(Statement::new(statement)).await?;
    }
    // Older PyIceberg has no such column; it names the columns that it writes, so it goes on.
    if !has_type_column(database, connection).await? {
        let add = "ALTER TABLE iceberg_tables ADD COLUMN iceberg_type VARCHAR(5)";
        connection.execute(Statement::new(add)).await?;
    }
    let version = Statement::new(
        "INSERT INTO fjord_layout (singleton, version) VALUES (1, $1) ON CONFLICT (singleton) DO NOTHING",
    );
    connection.execute(version.number(LAYOUT_VERSION)).await?;
    Ok(())
}
