//! Views, in a table of our own: PyIceberg's layout has no place for SQL text.

use std::collections::BTreeMap;

use crate::embedded::Embedded;
use crate::embedded::database::{Connection, Statement};
use crate::embedded::names::{not_found, taken_by};
use crate::error::{Error, ErrorKind, Result};
use crate::metastore::{EntryKind, View};
use crate::name::{Namespace, TableName};

/// SQL, column names, default catalog, default namespace, properties.
type Row = [String; 5];

impl Embedded {
    pub(super) async fn read_view(&self, name: &TableName) -> Result<View> {
        let mut connection = self.connection().await?;
        if let Some(view) = self.view_as_given(&mut connection, name).await? {
            return Ok(view);
        }
        let stored = self.find_entry(&mut connection, EntryKind::View, name).await?;
        self.view_as_given(&mut connection, &stored)
            .await?
            .ok_or_else(|| not_found(EntryKind::View, name))
    }

    pub(super) async fn store_view(&self, view: View, replace: bool) -> Result<()> {
        let mut transaction = self.begin_alone().await?;
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
        let statement = Statement::new(
            "INSERT INTO fjord_views
             (catalog_name, view_namespace, view_name, view_sql, column_names, default_catalog, default_namespace, properties)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (catalog_name, view_namespace, view_name) DO UPDATE SET
                view_sql = excluded.view_sql, column_names = excluded.column_names,
                default_catalog = excluded.default_catalog, default_namespace = excluded.default_namespace,
                properties = excluded.properties",
        );
        let statement = statement.text(&*self.catalog).text(namespace.to_string()).text(name);
        let statement = statement.text(&view.sql).text(columns).text(&view.default_catalog);
        let statement = statement.text(view.default_namespace.to_string()).text(properties);
        transaction.execute(statement).await?;
        transaction.commit(&format!("view {:?}", view.name.to_string())).await
    }

    pub(super) async fn delete_view(&self, name: &TableName) -> Result<()> {
        let mut transaction = self.begin_alone().await?;
        let stored = self.find_entry(&mut transaction, EntryKind::View, name).await?;
        let statement = Statement::new(
            "DELETE FROM fjord_views WHERE catalog_name = $1 AND view_namespace = $2 AND view_name = $3",
        );
        let statement = statement.text(&*self.catalog).text(stored.namespace.to_string());
        transaction.execute(statement.text(&stored.name)).await?;
        transaction.commit(&format!("view {:?}", stored.to_string())).await
    }

    async fn view_as_given(
        &self,
        connection: &mut Connection,
        name: &TableName,
    ) -> Result<Option<View>> {
        let statement = Statement::new(
            "SELECT view_sql, column_names, default_catalog, default_namespace, properties FROM fjord_views
             WHERE catalog_name = $1 AND view_namespace = $2 AND view_name = $3",
        );
        let statement = statement.text(&*self.catalog).text(name.namespace.to_string());
        let rows: Vec<Row> = connection.texts(statement.text(&name.name)).await?;
        rows.into_iter().next().map(|row| decode(name, row)).transpose()
    }
}

fn decode(name: &TableName, row: Row) -> Result<View> {
    let [sql, columns, default_catalog, default_namespace, properties] = row;
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
