//! DROP TABLE, DROP VIEW, DROP SCHEMA.

use fjord_catalog::ErrorKind::NotFound;
use fjord_catalog::metastore::EntryKind;
use fjord_catalog::name::Namespace;

use crate::error::{Error, ErrorKind, Result};
use crate::sql::ddl::ast::ObjectPath;
use crate::sql::scope::{
    Found, Resolved, SqlScope, find, not_found, refuse_information_schema, wrong_kind,
};

/// Names shown of what is in the way.
const SHOWN_MAX: usize = 5;

/// Drops a table; its files only with `purge`.
pub(crate) async fn run_drop_table(
    name: &ObjectPath,
    if_exists: bool,
    purge: bool,
    scope: &SqlScope,
) -> Result<String> {
    let target = scope.resolve_for_change(name)?;
    // The table is not read first: one with damaged metadata can be dropped too.
    let missing = match target.catalog.drop_table(&target.name, purge).await {
        Ok(files) if purge => {
            return Ok(format!("dropped table {target} and deleted {files} files"));
        }
        Ok(_) => return Ok(format!("dropped table {target}")),
        Err(e) if e.kind() == NotFound => e,
        Err(e) => return Err(e.into()),
    };
    match find(&target).await? {
        Found::View(_) => Err(wrong_kind(&target, "view", "DROP VIEW")),
        _ if if_exists => Ok(format!("table {target} does not exist, skipped")),
        _ => Err(not_found("table", &target).with_source(missing)),
    }
}

/// Drops a view.
pub(crate) async fn run_drop_view(
    name: &ObjectPath,
    if_exists: bool,
    scope: &SqlScope,
) -> Result<String> {
    let target = scope.resolve_for_change(name)?;
    let missing = match target.catalog.metastore().drop_view(&target.name).await {
        Ok(()) => return Ok(format!("dropped view {target}")),
        Err(e) if e.kind() == NotFound => e,
        Err(e) => return Err(e.into()),
    };
    match find(&target).await? {
        Found::Table(_) => Err(wrong_kind(&target, "table", "DROP TABLE")),
        _ if if_exists => Ok(format!("view {target} does not exist, skipped")),
        _ => Err(not_found("view", &target).with_source(missing)),
    }
}

/// Drops a schema; with `cascade` what is in it first, files excepted.
///
/// A cascade is not one change: what was dropped before a failure stays dropped, and the error
/// names where it stopped.
pub(crate) async fn run_drop_schema(
    name: &ObjectPath,
    if_exists: bool,
    cascade: bool,
    scope: &SqlScope,
) -> Result<String> {
    let (catalog, namespace) = scope.resolve_schema(Some(name))?;
    refuse_information_schema(&namespace)?;
    let metastore = catalog.metastore();
    let namespace = match metastore.load_namespace(&namespace).await {
        Ok((stored, _)) => stored,
        Err(e) if e.kind() == NotFound && if_exists => {
            return Ok(format!("schema {}.{namespace} does not exist, skipped", catalog.name()));
        }
        Err(e) => return Err(e.into()),
    };
    let shown = format!("{}.{namespace}", catalog.name());
    if !cascade {
        refuse_full(&catalog, &namespace, &shown).await?;
        metastore.drop_namespace(&namespace).await?;
        return Ok(format!("dropped schema {shown}"));
    }
    let mut doomed: Vec<Namespace> = metastore.list_namespaces().await?;
    doomed.retain(|n| n.levels().starts_with(namespace.levels()));
    // Innermost first.
    doomed.sort_by_key(|n| std::cmp::Reverse(n.levels().len()));
    let (mut tables, mut views) = (0_usize, 0_usize);
    for inner in &doomed {
        for entry in metastore.list(inner).await? {
            let what = Resolved { catalog: catalog.clone(), name: entry.name };
            let dropped = match entry.kind {
                EntryKind::Table => catalog.drop_table(&what.name, false).await.map(drop),
                EntryKind::View => metastore.drop_view(&what.name).await,
            };
            match dropped {
                Ok(()) if entry.kind == EntryKind::Table => tables += 1,
                Ok(()) => views += 1,
                // Somebody else dropped it meanwhile.
                Err(e) if e.kind() == NotFound => {}
                Err(e) => {
                    let e = Error::from(e);
                    let message = format!("schema \"{shown}\": stopped at \"{what}\": {e}");
                    return Err(Error::new(e.kind(), message).with_source(e));
                }
            }
        }
        metastore.drop_namespace(inner).await?;
    }
    Ok(format!("dropped schema {shown} with {tables} tables and {views} views"))
}

async fn refuse_full(
    catalog: &fjord_catalog::catalog::Catalog,
    namespace: &Namespace,
    shown: &str,
) -> Result<()> {
    let entries = catalog.metastore().list(namespace).await?;
    if entries.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = entries.iter().take(SHOWN_MAX).map(|e| e.name.name.as_str()).collect();
    let more = if entries.len() > SHOWN_MAX { ", …" } else { "" };
    Err(Error::new(
        ErrorKind::Invalid,
        format!(
            "schema \"{shown}\" is not empty: it holds {}{more}; DROP SCHEMA … CASCADE drops them too",
            names.join(", ")
        ),
    ))
}
