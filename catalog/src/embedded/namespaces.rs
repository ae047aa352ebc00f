//! Namespaces: rows of properties in PyIceberg's layout.

use std::collections::BTreeMap;

use crate::embedded::Embedded;
use crate::embedded::database::{Connection, Statement};
use crate::embedded::names::{shown, stored};
use crate::error::{Error, ErrorKind, Result};
use crate::metastore::Entry;
use crate::name::{Namespace, TableName};

/// PyIceberg's mark of a namespace without properties. Ours carry it always, so that taking the
/// last property away does not drop the namespace.
const EXISTS: &str = "exists";

impl Embedded {
    pub(super) async fn list_all_namespaces(&self) -> Result<Vec<Namespace>> {
        let mut connection = self.connection().await?;
        Ok(self.stored_namespaces(&mut connection).await?.into_iter().collect())
    }

    pub(super) async fn insert_namespace(
        &self,
        namespace: &Namespace,
        mut properties: BTreeMap<String, String>,
    ) -> Result<()> {
        refuse_reserved(namespace, properties.keys())?;
        properties.insert(EXISTS.to_owned(), "true".to_owned());
        let mut transaction = self.begin_alone().await?;
        if let Some(taken) = self.find_namespace(&mut transaction, namespace).await? {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("schema {:?} exists already", taken.to_string()),
            ));
        }
        for (key, value) in &properties {
            self.put_property(&mut transaction, namespace, key, value).await?;
        }
        transaction.commit(&format!("schema {:?}", namespace.to_string())).await
    }

    /// Makes a namespace of an opened database, unless it is there.
    pub(super) async fn ensure_namespace(&self, namespace: &Namespace) -> Result<()> {
        let mut connection = self.database.connection().await?;
        if self.find_namespace(&mut connection, namespace).await?.is_some() {
            return Ok(());
        }
        drop(connection);
        let mut transaction = self.database.begin_alone().await?;
        if self.find_namespace(&mut transaction, namespace).await?.is_some() {
            return Ok(());
        }
        self.put_property(&mut transaction, namespace, EXISTS, "true").await?;
        transaction.commit(&format!("schema {:?}", namespace.to_string())).await
    }

    pub(super) async fn read_namespace(
        &self,
        namespace: &Namespace,
    ) -> Result<(Namespace, BTreeMap<String, String>)> {
        let mut connection = self.connection().await?;
        let namespace = self.require_namespace(&mut connection, namespace).await?;
        let statement = Statement::new(
            "SELECT property_key, property_value FROM iceberg_namespace_properties
             WHERE catalog_name = $1 AND namespace = $2 AND property_key <> $3",
        );
        let statement = statement.text(&*self.catalog).text(namespace.to_string()).text(EXISTS);
        let rows = connection.texts::<2>(statement).await?;
        Ok((namespace, rows.into_iter().map(|[key, value]| (key, value)).collect()))
    }

    pub(super) async fn change_namespace(
        &self,
        namespace: &Namespace,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        refuse_reserved(namespace, changes.keys())?;
        let mut transaction = self.begin_alone().await?;
        let namespace = self.require_namespace(&mut transaction, namespace).await?;
        self.put_property(&mut transaction, &namespace, EXISTS, "true").await?;
        for (key, value) in &changes {
            match value {
                Some(value) => self.put_property(&mut transaction, &namespace, key, value).await?,
                None => self.remove_properties(&mut transaction, &namespace, Some(key)).await?,
            }
        }
        transaction.commit(&format!("schema {:?}", namespace.to_string())).await
    }

    pub(super) async fn delete_namespace(&self, namespace: &Namespace) -> Result<()> {
        let mut transaction = self.begin_alone().await?;
        let namespace = self.require_namespace(&mut transaction, namespace).await?;
        let entries = self.entries(&mut transaction, &namespace).await?;
        let mut inside: Vec<String> = entries.iter().map(|e| e.name.to_string()).collect();
        let child = format!("{namespace}.");
        let all = self.stored_namespaces(&mut transaction).await?;
        inside.extend(all.iter().map(ToString::to_string).filter(|n| n.starts_with(&child)));
        if !inside.is_empty() {
            let name = namespace.to_string();
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("schema {name:?} is not empty: it holds {}", shown(inside)),
            ));
        }
        self.remove_properties(&mut transaction, &namespace, None).await?;
        transaction.commit(&format!("schema {:?}", namespace.to_string())).await
    }

    pub(super) async fn list_entries(&self, namespace: &Namespace) -> Result<Vec<Entry>> {
        let mut connection = self.connection().await?;
        let namespace = self.require_namespace(&mut connection, namespace).await?;
        self.entries(&mut connection, &namespace).await
    }

    async fn entries(
        &self,
        connection: &mut Connection,
        namespace: &Namespace,
    ) -> Result<Vec<Entry>> {
        let statement = Statement::new(
            "SELECT table_name, coalesce(iceberg_type, 'TABLE') FROM iceberg_tables
             WHERE catalog_name = $1 AND table_namespace = $2
             UNION ALL
             SELECT view_name, 'fjord' FROM fjord_views WHERE catalog_name = $1 AND view_namespace = $2",
        );
        let statement = statement.text(&*self.catalog).text(namespace.to_string());
        let rows = connection.texts::<2>(statement).await?;
        let entry = |[name, iceberg_type]: [String; 2]| {
            let stored = stored(name, &iceberg_type);
            let name = TableName { namespace: namespace.clone(), name: stored.name };
            Entry { name, kind: stored.kind }
        };
        let mut entries: Vec<Entry> = rows.into_iter().map(entry).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    async fn put_property(
        &self,
        connection: &mut Connection,
        namespace: &Namespace,
        key: &str,
        value: &str,
    ) -> Result<()> {
        let statement = Statement::new(
            "INSERT INTO iceberg_namespace_properties (catalog_name, namespace, property_key, property_value)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT (catalog_name, namespace, property_key) DO UPDATE SET property_value = excluded.property_value",
        );
        let statement = statement.text(&*self.catalog).text(namespace.to_string());
        connection.execute(statement.text(key).text(value)).await?;
        Ok(())
    }

    async fn remove_properties(
        &self,
        connection: &mut Connection,
        namespace: &Namespace,
        key: Option<&str>,
    ) -> Result<()> {
        let statement = Statement::new(
            "DELETE FROM iceberg_namespace_properties
             WHERE catalog_name = $1 AND namespace = $2 AND ($3 IS NULL OR property_key = $3)",
        );
        let statement = statement.text(&*self.catalog).text(namespace.to_string());
        connection.execute(statement.optional_text(key.map(str::to_owned))).await?;
        Ok(())
    }
}

fn refuse_reserved<'a>(
    namespace: &Namespace,
    mut keys: impl Iterator<Item = &'a String>,
) -> Result<()> {
    if keys.any(|key| key == EXISTS) {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "schema {:?}: the property \"exists\" is the catalog's own",
                namespace.to_string()
            ),
        ));
    }
    Ok(())
}
