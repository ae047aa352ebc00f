//! CREATE, ALTER and DROP CATALOG, and what is cached of one forgotten.
//!
//! ```text
//! check ─ open ─ connect once ─ keep ─ mount
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use fjord_connectors::connector::ConnectorKind;

use super::object;
use crate::access::Privilege;
use crate::error::{Error, ErrorKind, Result};
use crate::foreign::catalog::{ForeignCatalog, Origin};
use crate::foreign::{CatalogDefinition, CatalogHome};
use crate::query::QueryResult;
use crate::services::Services;
use crate::sql::context::StatementContext;
use crate::sql::ddl::ast::{CatalogOption, CatalogStatement, ObjectPath};

/// Kinds that hold tables of ours.
const OWN_KINDS: [&str; 5] = ["embedded", "rest", "nessie", "iceberg", "hive"];

/// Runs a statement about a catalog.
pub(crate) async fn run(
    ctx: &StatementContext,
    statement: &CatalogStatement,
) -> Result<QueryResult> {
    let done = match statement {
        CatalogStatement::Create { name, if_not_exists, kind, options } => {
            create(ctx, only_part(name)?, *if_not_exists, kind, options).await?
        }
        CatalogStatement::Alter { name, options } => alter(ctx, only_part(name)?, options).await?,
        CatalogStatement::Drop { name, if_exists } => {
            drop_catalog(ctx, only_part(name)?, *if_exists).await?
        }
        CatalogStatement::Refresh(name) => refresh(ctx, name)?,
    };
    Ok(QueryResult::done(done))
}

/// The name of a catalog, which has one part.
pub(crate) fn only_part(path: &ObjectPath) -> Result<&str> {
    match path.0.as_slice() {
        [name] => Ok(name),
        _ => Err(Error::invalid(format!("\"{path}\" is not a catalog's name, which has one part"))),
    }
}

async fn create(
    ctx: &StatementContext,
    name: &str,
    if_not_exists: bool,
    kind: &str,
    options: &[(String, CatalogOption)],
) -> Result<String> {
    object::permit_catalog(ctx, Privilege::Admin, name)?;
    let services = &ctx.services;
    let _turn = services.mounting.lock().await;
    if is_mounted(services, name) {
        return match if_not_exists {
            true => Ok(format!("catalog {name} already exists, skipped")),
            false => Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("catalog \"{name}\" already exists"),
            )),
        };
    }
    let mut definition = CatalogDefinition {
        name: name.to_owned(),
        kind: kind_of(services, kind)?.name().to_owned(),
        options: BTreeMap::new(),
        secrets: BTreeMap::new(),
    };
    apply(&mut definition, options)?;
    let home = home(services)?;
    let catalog = opened(services, home, &definition)?;
    catalog.check().await?;
    home.add(&definition)?;
    services.mount_foreign(catalog)?;
    Ok(format!("created catalog {name}"))
}

async fn alter(
    ctx: &StatementContext,
    name: &str,
    options: &[(String, CatalogOption)],
) -> Result<String> {
    object::permit_catalog(ctx, Privilege::Admin, name)?;
    let services = &ctx.services;
    let _turn = services.mounting.lock().await;
    let mut definition = made_by_statement(services, name, "ALTER")?;
    apply(&mut definition, options)?;
    let home = home(services)?;
    let catalog = opened(services, home, &definition)?;
    catalog.check().await?;
    home.replace(&definition)?;
    let before = services.exchange_foreign(name, Some(catalog));
    if let Some(before) = before {
        before.close().await;
    }
    Ok(format!("altered catalog {}", definition.name))
}

async fn drop_catalog(ctx: &StatementContext, name: &str, if_exists: bool) -> Result<String> {
    object::permit_catalog(ctx, Privilege::Admin, name)?;
    let services = &ctx.services;
    let _turn = services.mounting.lock().await;
    if if_exists && !is_mounted(services, name) {
        return Ok(format!("catalog {name} does not exist, skipped"));
    }
    let definition = made_by_statement(services, name, "DROP")?;
    home(services)?.remove(&definition.name)?;
    if let Some(before) = services.exchange_foreign(name, None) {
        before.close().await;
    }
    Ok(format!("dropped catalog {}", definition.name))
}

/// `CALL system.refresh('catalog')`.
fn refresh(ctx: &StatementContext, name: &str) -> Result<String> {
    let Some(catalog) = ctx.services.foreign(name) else {
        // Of tables of ours nothing is cached that may be old.
        let catalog = ctx.services.catalog(name)?;
        return Ok(format!("catalog {} is always read anew", catalog.name()));
    };
    object::permit_catalog(ctx, Privilege::Read, catalog.name())?;
    catalog.connector()?;
    catalog.refresh();
    Ok(format!("refreshed catalog {}", catalog.name()))
}

fn is_mounted(services: &Services, name: &str) -> bool {
    services.foreign(name).is_some() || services.catalog(name).is_ok()
}

/// What CREATE CATALOG said of a catalog that is to be changed.
fn made_by_statement(services: &Services, name: &str, verb: &str) -> Result<CatalogDefinition> {
    let in_file = |name: &str| {
        Error::unsupported(format!(
            "catalog \"{name}\" is in the configuration, which {verb} CATALOG does not change: edit \
             it there"
        ))
    };
    match services.foreign(name) {
        Some(catalog) => catalog.definition().cloned().ok_or_else(|| in_file(catalog.name())),
        None => Err(in_file(services.catalog(name)?.name())),
    }
}

fn home(services: &Services) -> Result<&dyn CatalogHome> {
    services.databases.home.as_deref().ok_or_else(|| {
        Error::unsupported(
            "catalogs made by statements have no place to be kept here: describe them in the \
             configuration",
        )
    })
}

fn kind_of<'s>(services: &'s Services, kind: &str) -> Result<&'s Arc<dyn ConnectorKind>> {
    let kinds = &services.databases.kinds;
    kinds.iter().find(|k| k.name().eq_ignore_ascii_case(kind)).ok_or_else(|| {
        let known: Vec<&str> = kinds.iter().map(|k| k.name()).collect();
        if OWN_KINDS.iter().any(|own| own.eq_ignore_ascii_case(kind)) {
            return Error::unsupported(format!(
                "catalogs of kind {kind} are described in the configuration file, as \
                 [catalog.NAME] type = …; CREATE CATALOG makes those of {}",
                known.join(", ")
            ));
        }
        let shown: String = kind.chars().take(40).collect();
        Error::invalid(format!(
            "{shown:?} is not a kind of database; there are {}",
            known.join(", ")
        ))
    })
}

fn apply(definition: &mut CatalogDefinition, options: &[(String, CatalogOption)]) -> Result<()> {
    for (key, value) in options {
        definition.options.remove(key);
        definition.secrets.remove(key);
        match value {
            CatalogOption::Text(text) => {
                definition.options.insert(key.clone(), text.clone());
            }
            CatalogOption::Secret(reference) => {
                definition.secrets.insert(key.clone(), reference.clone());
            }
            CatalogOption::Default => {}
        }
    }
    definition.check()
}

fn opened(
    services: &Services,
    home: &dyn CatalogHome,
    definition: &CatalogDefinition,
) -> Result<ForeignCatalog> {
    let kind = kind_of(services, &definition.kind)?;
    let connector = definition
        .open(kind.as_ref(), |reference| home.secret(reference))
        .map_err(|e| e.within(&format!("catalog \"{}\"", definition.name)))?;
    Ok(ForeignCatalog::new(&definition.name, Origin::Statement(definition.clone()), connector))
}

/// Mounts what was made before.
///
/// # Errors
/// Where the definitions cannot be read.
pub(crate) fn mount_kept(services: &Services) -> Result<()> {
    let Some(home) = services.databases.home.as_deref() else { return Ok(()) };
    for definition in home.definitions()? {
        mount_defined(services, home, definition);
    }
    Ok(())
}

fn mount_defined(services: &Services, home: &dyn CatalogHome, definition: CatalogDefinition) {
    let name = definition.name.clone();
    if let Err(e) = services.mount_foreign(opened_or_broken(services, home, definition)) {
        // The configuration has one of that name, and comes first.
        tracing::warn!(catalog = name, error = %e, "a catalog was left out");
    }
}

fn opened_or_broken(
    services: &Services,
    home: &dyn CatalogHome,
    definition: CatalogDefinition,
) -> ForeignCatalog {
    let checked = definition.check().and_then(|()| opened(services, home, &definition));
    checked.unwrap_or_else(|e| {
        tracing::warn!(catalog = definition.name, error = %e, "a catalog could not be opened");
        ForeignCatalog::broken(definition, e.to_string())
    })
}

/// Takes over what statements have made, changed and dropped in other processes meanwhile.
/// Connections of what is gone end with the queries that use them.
///
/// # Errors
/// Where the definitions cannot be read.
pub(crate) fn refresh_kept(services: &Services) -> Result<()> {
    let Some(home) = services.databases.home.as_deref() else { return Ok(()) };
    // Whoever mounts now knows what is kept.
    let Ok(_turn) = services.mounting.try_lock() else { return Ok(()) };
    let kept = home.definitions()?;
    for mounted in services.foreign_catalogs() {
        let is_kept = |definition: &CatalogDefinition| {
            kept.iter().any(|kept| kept.name.eq_ignore_ascii_case(&definition.name))
        };
        if mounted.definition().is_some_and(|definition| !is_kept(definition)) {
            drop(services.exchange_foreign(mounted.name(), None));
        }
    }
    for definition in kept {
        match services.foreign(&definition.name) {
            None => mount_defined(services, home, definition),
            Some(mounted) => {
                // One of the configuration comes first.
                if mounted.definition().is_some_and(|known| *known != definition) {
                    let name = definition.name.clone();
                    let changed = opened_or_broken(services, home, definition);
                    drop(services.exchange_foreign(&name, Some(changed)));
                }
            }
        }
    }
    Ok(())
}
