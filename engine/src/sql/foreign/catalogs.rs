//! CREATE, ALTER and DROP CATALOG, and what is cached of one forgotten.
//!
//! ```text
//! check ─ open ─ connect once ─ keep ─ mount
//! ```

use std::collections::BTreeMap;

use super::object;
use crate::access::Privilege;
use crate::error::{Error, ErrorKind, Result};
use crate::foreign::CatalogDefinition;
use crate::query::QueryResult;
use crate::services::Services;
use crate::sql::context::StatementContext;
use crate::sql::ddl::ast::{CatalogOption, CatalogStatement, ObjectPath};

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
        kind: services.databases.kind(kind)?.name().to_owned(),
        options: BTreeMap::new(),
        secrets: BTreeMap::new(),
    };
    apply(&mut definition, options)?;
    let home = services.databases.home()?;
    let catalog = services.databases.open(&definition)?;
    catalog.check().await?;
    home.add(&definition)?;
    match services.mount_foreign(catalog) {
        // Whoever met the name just now has mounted what is kept.
        Err(e) if !is_mounted(services, name) => return Err(e),
        _ => {}
    }
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
    let home = services.databases.home()?;
    let catalog = services.databases.open(&definition)?;
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
    services.databases.home()?.remove(&definition.name)?;
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
