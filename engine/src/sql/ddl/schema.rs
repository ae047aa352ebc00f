//! CREATE SCHEMA, ALTER SCHEMA and the comment of a schema.

use std::collections::BTreeMap;

use fjord_catalog::ErrorKind::AlreadyExists;

use crate::error::{Error, Result};
use crate::sql::ddl::ast::ObjectPath;
use crate::sql::scope::{SqlScope, refuse_information_schema};

/// Makes a schema.
pub(crate) async fn run_create_schema(
    name: &ObjectPath,
    if_not_exists: bool,
    properties: &[(String, String)],
    scope: &SqlScope,
) -> Result<String> {
    let (catalog, namespace) = scope.resolve_schema(Some(name))?;
    refuse_information_schema(&namespace)?;
    if namespace.levels().len() > 1 && !catalog.metastore().capabilities().nested_namespaces {
        return Err(Error::unsupported(format!(
            "catalog \"{}\" has no nested schemas: choose a name without a dot",
            catalog.name()
        )));
    }
    let properties: BTreeMap<String, String> = properties.iter().cloned().collect();
    if let Some(location) = properties.get("location") {
        // A location that no store serves would fail at the first table.
        catalog.storage().resolve_named(location)?;
    }
    let shown = format!("{}.{namespace}", catalog.name());
    match catalog.create_namespace(&namespace, properties).await {
        Ok(()) => Ok(format!("created schema {shown}")),
        Err(e) if e.kind() == AlreadyExists && if_not_exists => {
            Ok(format!("schema {shown} already exists, skipped"))
        }
        Err(e) => Err(e.into()),
    }
}

/// Sets and removes properties of a schema.
pub(crate) async fn run_alter_schema(
    name: &ObjectPath,
    changes: &[(String, Option<String>)],
    scope: &SqlScope,
) -> Result<String> {
    let (catalog, namespace) = scope.resolve_schema(Some(name))?;
    refuse_information_schema(&namespace)?;
    let changes = changes.iter().cloned().collect();
    catalog.metastore().update_namespace(&namespace, changes).await?;
    Ok(format!("altered schema {}.{namespace}", catalog.name()))
}
