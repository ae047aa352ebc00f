//! Preparing a table before it exists: name, field ids, location, defaults.

use std::collections::HashMap;

use iceberg::spec::{TableMetadataBuilder, TableProperties};
use uuid::Uuid;

use super::bound::with_field_ids;
use super::replace::{Replacement, replace};
use crate::create::{CreateMode, CreateTable, StagedTable};
use crate::error::{Error, ErrorKind, Result};
use crate::metastore::Metastore;
use crate::name::TableName;
use crate::spec::{PartitionField, PrimitiveType, TableUpdate, Transform, Type};
use crate::storage::Storage;
use crate::table::Table;

/// The longest table name that a directory takes over; the rest of the name is its suffix.
const DIRECTORY_NAME_BYTES_MAX: usize = 120;

/// The property of a namespace that says where its tables go.
const LOCATION: &str = "location";

/// Stages `create` below `warehouse`.
pub(crate) async fn stage(
    metastore: &dyn Metastore,
    storage: &Storage,
    warehouse: &str,
    mut create: CreateTable,
) -> Result<StagedTable> {
    // The namespace must exist, and its stored spelling is the one to use.
    let (namespace, of_namespace) = metastore.load_namespace(&create.name.namespace).await?;
    create.name.namespace = namespace;
    check_properties(&create)?;
    let existing = existing(metastore, &create.name).await?;
    if existing.is_none() && create.mode != CreateMode::Replace {
        // Before anything is resolved: what is vended for the table may be its only store.
        let place = metastore.place_new(&create).await?;
        if create.location.is_none() {
            let below = |base: &String| below(base, &create.name);
            create.location = place.or_else(|| of_namespace.get(LOCATION).map(below));
        }
    }
    if let Some(location) = &create.location {
        storage.resolve_new(location)?;
    }
    let staged = match (existing, create.mode) {
        (Some(table), CreateMode::Create) => Err(Error::new(
            ErrorKind::AlreadyExists,
            format!("table \"{}\" already exists", table.name()),
        )),
        (Some(table), CreateMode::CreateOrReplace | CreateMode::Replace) => {
            stage_replace(table, create)
        }
        (None, CreateMode::Replace) => Err(Error::new(
            ErrorKind::NotFound,
            format!("table \"{}\" does not exist, so there is nothing to replace", create.name),
        )),
        (None, CreateMode::Create | CreateMode::CreateOrReplace) => {
            let told = match warehouse.is_empty() && create.location.is_none() {
                true => Some(told_warehouse(metastore, &create.name).await?),
                false => None,
            };
            stage_create(told.as_deref().unwrap_or(warehouse), create)
        }
    }?;
    check_partition_types(&staged.table)?;
    Ok(staged)
}

/// Refuses partition values that would not come back as they were.
///
/// The format library cannot write a uuid or a float into a manifest's partition tuple.
fn check_partition_types(table: &Table) -> Result<()> {
    let metadata = table.metadata();
    let spec = metadata.default_partition_spec();
    for field in metadata.default_partition_type().fields() {
        let Type::Primitive(ty) = field.field_type.as_ref() else { continue };
        // A void field is always NULL, which can be written.
        let void = |p: &PartitionField| p.field_id == field.id && p.transform == Transform::Void;
        let remedy = match ty {
            PrimitiveType::Uuid => format!("partition by bucket(n, {})", field.name),
            PrimitiveType::Float => "make the column a double".to_owned(),
            _ => continue,
        };
        if !spec.fields().iter().any(void) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "table \"{}\": partitioning by the values of {:?}, a {ty}, is not supported; \
                     {remedy}",
                    table.name(),
                    field.name
                ),
            ));
        }
    }
    Ok(())
}

/// Where the server says that new tables go.
async fn told_warehouse(metastore: &dyn Metastore, name: &TableName) -> Result<String> {
    metastore.warehouse().await?.ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "table \"{name}\": the catalog does not tell where tables go; give a LOCATION, or configure `location` for the catalog"
            ),
        )
    })
}

/// The table of that name; an error if the name is a view's.
async fn existing(metastore: &dyn Metastore, name: &TableName) -> Result<Option<Table>> {
    match metastore.load_table(name).await {
        Ok(table) => return Ok(Some(table)),
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    if metastore.capabilities().views {
        match metastore.load_view(name).await {
            Ok(view) => {
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    format!("\"{}\" is a view; drop it first", view.name),
                ));
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

fn check_properties(create: &CreateTable) -> Result<()> {
    let reserved = TableProperties::RESERVED_PROPERTIES;
    match create.properties.keys().find(|key| reserved.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("table \"{}\": property {key:?} is reserved and cannot be set", create.name),
        )),
    }
}

fn stage_create(warehouse: &str, create: CreateTable) -> Result<StagedTable> {
    let location = create.location.unwrap_or_else(|| new_location(warehouse, &create.name));
    let properties = with_defaults(create.properties);
    let built = TableMetadataBuilder::new(
        create.schema,
        create.partition_spec,
        create.sort_order,
        location,
        create.format_version,
        properties,
    )
    .and_then(|builder| builder.build())
    .map_err(|e| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("table \"{}\": {}", create.name, e.message()),
        )
        .with_source(e)
    })?;
    let mut updates = vec![
        TableUpdate::AssignUuid { uuid: built.metadata.uuid() },
        TableUpdate::UpgradeFormatVersion { format_version: create.format_version },
    ];
    updates.extend(built.changes);
    Ok(StagedTable { table: Table::staged(create.name, built.metadata), replaces: None, updates })
}

fn stage_replace(existing: Table, create: CreateTable) -> Result<StagedTable> {
    let built = replace(
        existing.metadata(),
        Replacement {
            schema: create.schema,
            partition_spec: create.partition_spec,
            sort_order: create.sort_order,
            location: create.location,
            properties: create.properties,
            format_version: create.format_version,
        },
    )
    .map_err(|e| e.with_context("table", existing.name().to_string()))?;
    let updates = with_field_ids(built.changes, &built.metadata);
    Ok(StagedTable {
        table: Table::staged(existing.name().clone(), built.metadata),
        replaces: Some(existing),
        updates,
    })
}

fn with_defaults(mut properties: HashMap<String, String>) -> HashMap<String, String> {
    properties
        .entry("write.parquet.compression-codec".to_owned())
        .or_insert_with(|| "zstd".to_owned());
    properties
}

/// `<warehouse>/<schema>/<table>-<8 hex>`, in characters that every reader takes for themselves:
/// some decode `%20` in a path and some do not.
fn new_location(warehouse: &str, name: &TableName) -> String {
    let schema = plain(&name.namespace.to_string());
    below(&format!("{}/{schema}", warehouse.trim_end_matches('/')), name)
}

/// A directory of its own for a table of that name.
fn below(base: &str, name: &TableName) -> String {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    format!("{}/{}-{:08x}", base.trim_end_matches('/'), plain(&name.name), random >> 32)
}

fn plain(name: &str) -> String {
    let replaced = name
        .chars()
        .take(DIRECTORY_NAME_BYTES_MAX)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' });
    replaced.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Namespace;

    #[test]
    fn odd_names_make_plain_directories() {
        let name = TableName::new(Namespace::new(["my schema"]).unwrap(), "año 100% #1?").unwrap();
        let location = new_location("file:///w/", &name);
        let (directory, hex) = location.rsplit_once('-').unwrap();
        assert_eq!(directory, "file:///w/my_schema/a_o_100___1_");
        assert_eq!(hex.len(), 8);
        assert_ne!(location, new_location("file:///w/", &name), "a name never shares its past");
    }
}
