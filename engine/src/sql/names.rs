//! The schemas of a catalog and the names in each, the information schema among them.

use std::sync::Arc;

use fjord_catalog::catalog::Catalog;
use fjord_catalog::metastore::{Entry, EntryKind};
use fjord_catalog::name::{Namespace, TableName};
use fjord_connectors::connector::RemoteKind;

use crate::error::Result;
use crate::foreign::catalog::ForeignCatalog;
use crate::foreign::name::Part;
use crate::sql::information::InformationTable;
use crate::sql::scope::INFORMATION_SCHEMA;

/// A mounted catalog, of whichever kind.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a process has few, and most are of the large kind")]
pub(crate) enum Mounted {
    /// Tables of ours.
    Lake(Catalog),
    /// A live database.
    Foreign(Arc<ForeignCatalog>),
}

impl Mounted {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Lake(catalog) => catalog.name(),
            Self::Foreign(catalog) => catalog.name(),
        }
    }
}

/// A table or view in a listing.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) kind: EntryKind,
    /// What the catalog knows it by; `None` for what a database has.
    pub(crate) entry: Option<Entry>,
}

impl From<Entry> for Named {
    fn from(entry: Entry) -> Self {
        Self {
            schema: entry.name.namespace.to_string(),
            name: entry.name.name.clone(),
            kind: entry.kind,
            entry: Some(entry),
        }
    }
}

/// Every schema of a catalog, sorted.
pub(crate) async fn schemas(catalog: &Mounted) -> Result<Vec<String>> {
    let mut schemas: Vec<String> = match catalog {
        Mounted::Lake(catalog) => {
            let listed = catalog.metastore().list_namespaces().await?;
            listed.iter().map(ToString::to_string).collect()
        }
        Mounted::Foreign(catalog) => catalog.schemas().await?,
    };
    schemas.push(INFORMATION_SCHEMA.to_owned());
    schemas.sort();
    schemas.dedup();
    Ok(schemas)
}

/// Tables and views of a schema in stored spelling, sorted by name; none where it was dropped
/// meanwhile.
pub(crate) async fn entries(catalog: &Mounted, schema: &str) -> Result<Vec<Named>> {
    if schema.eq_ignore_ascii_case(INFORMATION_SCHEMA) {
        return information_entries();
    }
    match catalog {
        Mounted::Lake(catalog) => {
            match catalog.metastore().list(&Namespace::parse(schema)?).await {
                Ok(entries) => Ok(entries.into_iter().map(Named::from).collect()),
                Err(e) if e.kind() == fjord_catalog::ErrorKind::NotFound => Ok(Vec::new()),
                Err(e) => Err(e.into()),
            }
        }
        Mounted::Foreign(catalog) => {
            let entries = catalog.relations(schema).await?;
            let named = entries.into_iter().map(|entry| Named {
                schema: schema.to_owned(),
                name: entry.name,
                kind: if entry.kind == RemoteKind::View {
                    EntryKind::View
                } else {
                    EntryKind::Table
                },
                entry: None,
            });
            Ok(named.collect())
        }
    }
}

/// The same, by the name of a schema that must be there.
pub(crate) async fn foreign_entries(
    catalog: &Arc<ForeignCatalog>,
    schema: &Part,
) -> Result<(String, Vec<Named>)> {
    let mounted = Mounted::Foreign(Arc::clone(catalog));
    if schema.text.eq_ignore_ascii_case(INFORMATION_SCHEMA) {
        return Ok((INFORMATION_SCHEMA.to_owned(), information_entries()?));
    }
    let schema = catalog.schema(schema).await?;
    let entries = entries(&mounted, &schema).await?;
    Ok((schema, entries))
}

fn information_entries() -> Result<Vec<Named>> {
    let namespace = Namespace::parse(INFORMATION_SCHEMA)?;
    InformationTable::ALL
        .into_iter()
        .map(|table| {
            let name = TableName::new(namespace.clone(), table.name())?;
            Ok(Named::from(Entry { name, kind: EntryKind::Table }))
        })
        .collect()
}
