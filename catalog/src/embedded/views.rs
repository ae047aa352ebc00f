//! Views, in a table of our own: PyIceberg's layout has no place for SQL text.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use crate::embedded::Embedded;
use crate::embedded::names::{not_found, taken_by};
use crate::error::{Error, ErrorKind, Result};
use crate::metastore::{EntryKind, View};
use crate::name::{Namespace, TableName};

/// SQL, column names, default catalog, default namespace, properties.
type Row = (String, String, String, String, String);

impl Embedded {
    pub(super) async fn read_view(&self, name: &TableName) -> Result<View> {
        let mut connection = self.database.connection().await?;
        if let Some(view) = self.view_as_given(&mut connection, name).await? {
            return Ok(view);
        }
        let stored = self.find_entry(&mut connection, EntryKind::View, name).await?;
        self.view_as_given(&mut connection, &stored)
            .await?
            .ok_or_else(|| not_found(EntryKind::View, name))
    }

    pub(super) async fn store_view(&self, view: View, replace: bool) -> Result<()> {
        let mut transaction = self.database.begin().await?;
        let namespace = self.require_namespace(&mut transaction, &view.name.namespace).await?;
        let alike = self.alike(&mut transaction, &namespace, &view.name.name).await?;
        let mut name = view.name.name.clone();
        for stored in alike {
            if !replace || stored.kind == EntryKind::Table || stored.foreign {
                let taken = TableName { namespace, name: stored.name };
                return Err(taken_by(stored.kind, &taken));
            }
            // It keeps the spelling it was created with.
            name = stored.name;
        }
        let columns = encode(&view.name, &view.columns)?;
        let properties = encode(&view.name, &view.properties)?;
        sqlx::query(
            "INSERT OR REPLACE INTO fjord_views
             (catalog_name, view_namespace, view_name, view_sql, column_names, default_catalog, default_namespace, properties)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&*self.catalog)
        .bind(namespace.to_string())
        .bind(name)
        .bind(&view.sql)
        .bind(columns)
        .bind(&view.default_catalog)
        .bind(view.default_namespace.to_string())
        .bind(properties)
        .execute(&mut *transaction)
        .await
        .map_err(|e| self.database.error(e))?;
        transaction.commit().await.map_err(|e| self.database.error(e))
    }

    pub(super) async fn delete_view(&self, name: &TableName) -> Result<()> {
        let mut transaction = self.database.begin().await?;
        let stored = self.find_entry(&mut transaction, EntryKind::View, name).await?;
        sqlx::query("DELETE FROM fjord_views WHERE catalog_name = ? AND view_namespace = ? AND view_name = ?")
            .bind(&*self.catalog)
            .bind(stored.namespace.to_string())
            .bind(&stored.name)
            .execute(&mut *transaction)
            .await
            .map_err(|e| self.database.error(e))?;
        transaction.commit().await.map_err(|e| self.database.error(e))
    }

    async fn view_as_given(
        &self,
        connection: &mut SqliteConnection,
        name: &TableName,
    ) -> Result<Option<View>> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT view_sql, column_names, default_catalog, default_namespace, properties FROM fjord_views
             WHERE catalog_name = ? AND view_namespace = ? AND view_name = ?",
        )
        .bind(&*self.catalog)
        .bind(name.namespace.to_string())
        .bind(&name.name)
        .fetch_optional(connection)
        .await
        .map_err(|e| self.database.error(e))?;
        row.map(|row| decode(name, row)).transpose()
    }
}

fn decode(name: &TableName, row: Row) -> Result<View> {
    let (sql, columns, default_catalog, default_namespace, properties) = row;
    let damaged = |what: &str| {
        Error::new(
            ErrorKind::Corrupt,
            format!(
                "view {:?}: its stored {what} cannot be read; drop it and create it anew",
                name.to_string()
            ),
        )
    };
    let columns: Vec<String> =
        serde_json::from_str(&columns).map_err(|e| damaged("column list").with_source(e))?;
    let properties: BTreeMap<String, String> =
        serde_json::from_str(&properties).map_err(|e| damaged("property list").with_source(e))?;
    let default_namespace = Namespace::parse(&default_namespace)
        .map_err(|e| damaged("default schema").with_source(e))?;
    Ok(View { name: name.clone(), sql, columns, default_catalog, default_namespace, properties })
}

fn encode(name: &TableName, value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| {
        Error::new(ErrorKind::Bug, format!("view {:?}: cannot be stored", name.to_string()))
            .with_source(e)
    })
}
