//! The schemas of a catalog and the names in each, the information schema among them.

use fjord_catalog::catalog::Catalog;
use fjord_catalog::metastore::{Entry, EntryKind};
use fjord_catalog::name::{Namespace, TableName};

use crate::error::Result;
use crate::sql::information::InformationTable;
use crate::sql::scope::INFORMATION_SCHEMA;

/// Every schema of a catalog, sorted.
pub(crate) async fn schemas(catalog: &Catalog) -> Result<Vec<String>> {
    let listed = catalog.metastore().list_namespaces().await?;
    let mut schemas: Vec<String> = listed.iter().map(ToString::to_string).collect();
    schemas.push(INFORMATION_SCHEMA.to_owned());
    schemas.sort();
    schemas.dedup();
    Ok(schemas)
}

/// Tables and views of a schema, sorted by name; none where the schema was dropped meanwhile.
pub(crate) async fn entries(catalog: &Catalog, schema: &str) -> Result<Vec<Entry>> {
    if schema.eq_ignore_ascii_case(INFORMATION_SCHEMA) {
        return information_entries();
    }
    match catalog.metastore().list(&Namespace::parse(schema)?).await {
        Ok(entries) => Ok(entries),
        Err(e) if e.kind() == fjord_catalog::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e.into()),
    }
}

fn information_entries() -> Result<Vec<Entry>> {
    let namespace = Namespace::parse(INFORMATION_SCHEMA)?;
    InformationTable::ALL
        .into_iter()
        .map(|table| {
            let name = TableName::new(namespace.clone(), table.name())?;
            Ok(Entry { name, kind: EntryKind::Table })
        })
        .collect()
}
