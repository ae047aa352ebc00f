//! Which DDL, SHOW and DESCRIBE are about a database, and what becomes of them.

use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use fjord_catalog::metastore::EntryKind;

use super::name::ForeignName;
use super::{catalogs, create, drop, show, write};
use crate::error::Result;
use crate::foreign::catalog::ForeignCatalog;
use crate::foreign::name::Part;
use crate::query::QueryResult;
use crate::services::not_of_ours;
use crate::sql::context::StatementContext;
use crate::sql::ddl::ast::{CommentTarget, DdlStatement, Describe, ObjectPath, Show};

type Work<'a> = Pin<Box<dyn Future<Output = Result<QueryResult>> + Send + 'a>>;

/// The work of a statement that is about a database or a catalog; `None` for all others.
///
/// # Errors
/// For a statement on a database that is for tables of ours.
pub(crate) fn claim<'a>(
    ctx: &'a StatementContext,
    statement: &'a DdlStatement,
) -> Result<Option<Work<'a>>> {
    Ok(match statement {
        DdlStatement::Catalog(statement) => Some(Box::pin(catalogs::run(ctx, statement))),
        DdlStatement::CreateTable(create) => {
            ForeignName::of_path(ctx, &create.name)?.map(|target| -> Work<'a> {
                if create.query.is_some() {
                    return Box::pin(async move { write::run_ctas(ctx, create, &target).await });
                }
                done(async move { create::run(ctx, create, &target).await })
            })
        }
        DdlStatement::CreateView(create) => ForeignName::of_path(ctx, &create.name)?
            .map(|target| done(async move { create::run_view(ctx, create, &target).await })),
        DdlStatement::DropTable { name, if_exists, purge } => {
            let target = ForeignName::of_path(ctx, name)?;
            if let (Some(target), true) = (&target, purge) {
                return Err(refusal(&target.catalog));
            }
            target.map(|t| done(async move { drop::run(ctx, &t, false, *if_exists).await }))
        }
        DdlStatement::DropView { name, if_exists } => ForeignName::of_path(ctx, name)?
            .map(|t| done(async move { drop::run(ctx, &t, true, *if_exists).await })),
        DdlStatement::Show(show) => claim_show(ctx, show)?,
        DdlStatement::Describe(describe) => claim_describe(ctx, describe)?,
        DdlStatement::CreateSchema { name, .. }
        | DdlStatement::DropSchema { name, .. }
        | DdlStatement::AlterSchema { name, .. }
        | DdlStatement::Comment { target: CommentTarget::Schema(name), .. } => {
            refuse(of_schema(ctx, Some(name)))?
        }
        DdlStatement::AlterTable { name, .. }
        | DdlStatement::AlterView { name, .. }
        | DdlStatement::Analyze { name, .. }
        | DdlStatement::RegisterTable { name, .. }
        | DdlStatement::AddFiles { name, .. }
        | DdlStatement::SnapshotFiles { name, .. }
        | DdlStatement::Comment {
            target: CommentTarget::Table(name) | CommentTarget::View(name),
            ..
        } => refuse(ForeignName::of_path(ctx, name)?.map(|name| (name.catalog, name.schema)))?,
        DdlStatement::Comment { target: CommentTarget::Column(name), .. } => {
            let parts = name.0.len().saturating_sub(1);
            let table = ObjectPath(name.0.iter().take(parts).cloned().collect());
            refuse(ForeignName::of_path(ctx, &table)?.map(|name| (name.catalog, name.schema)))?
        }
        // USE finds catalogs of either kind itself.
        DdlStatement::Use(_) | DdlStatement::Kill(_) => None,
    })
}

fn done<'a>(work: impl Future<Output = Result<String>> + Send + 'a) -> Work<'a> {
    Box::pin(async move { Ok(QueryResult::done(work.await?)) })
}

fn rows<'a>(work: impl Future<Output = Result<RecordBatch>> + Send + 'a) -> Work<'a> {
    Box::pin(async move {
        let batch = work.await?;
        Ok(QueryResult::rows(batch.schema(), vec![batch]))
    })
}

fn refusal(catalog: &ForeignCatalog) -> crate::error::Error {
    not_of_ours(catalog.name(), catalog.kind())
}

fn refuse<'a>(found: Option<(Arc<ForeignCatalog>, Part)>) -> Result<Option<Work<'a>>> {
    match found {
        Some((catalog, _)) => Err(refusal(&catalog)),
        None => Ok(None),
    }
}

/// The schema of a database that a path leads to; `None` is the current one.
pub(crate) fn of_schema(
    ctx: &StatementContext,
    path: Option<&ObjectPath>,
) -> Option<(Arc<ForeignCatalog>, Part)> {
    let current = ctx.scope();
    let (catalog, schema) = match path.map(|path| path.0.as_slice()) {
        None => (current.catalog.as_str(), Part::stored(&current.schema)),
        Some([schema]) => (current.catalog.as_str(), Part::folded(schema)),
        Some([catalog, schema]) => (catalog.as_str(), Part::folded(schema)),
        Some(_) => return None,
    };
    Some((ctx.services.foreign(catalog)?, schema))
}

fn claim_show<'a>(ctx: &'a StatementContext, show: &'a Show) -> Result<Option<Work<'a>>> {
    let relation = |name| ForeignName::of_path(ctx, name);
    let listing = |from: Option<&ObjectPath>, kind, like: &'a Option<_>| {
        of_schema(ctx, from).map(|(catalog, schema)| {
            rows(async move { show::tables(ctx, &catalog, &schema, kind, like.as_ref()).await })
        })
    };
    Ok(match show {
        Show::CreateCatalog(name) => {
            Some(rows(std::future::ready(show::create_catalog(ctx, name))))
        }
        Show::Schemas(from, like) => {
            let name = match from.as_ref().map(|path| path.0.as_slice()) {
                None => ctx.scope().catalog,
                Some([name]) => name.clone(),
                Some(_) => return Ok(None),
            };
            ctx.services.foreign(&name).map(|catalog| {
                rows(async move { show::schemas(ctx, &catalog, like.as_ref()).await })
            })
        }
        Show::Tables(from, like) => listing(from.as_ref(), None, like),
        Show::Views(from, like) => listing(from.as_ref(), Some(EntryKind::View), like),
        Show::Columns(name, like) => relation(name)?
            .map(|name| rows(async move { show::columns(ctx, &name, like.as_ref()).await })),
        Show::CreateTable(name) | Show::CreateView(name) | Show::Properties(name, _) => {
            if let Some(name) = relation(name)? {
                let what = match show {
                    Show::Properties(..) => "SHOW TBLPROPERTIES",
                    Show::CreateView(_) => "SHOW CREATE VIEW",
                    _ => "SHOW CREATE TABLE",
                };
                return Err(show::refuse(&name.catalog, what));
            }
            None
        }
        Show::CreateSchema(name) => {
            if let Some((catalog, _)) = of_schema(ctx, Some(name)) {
                return Err(show::refuse(&catalog, "SHOW CREATE SCHEMA"));
            }
            None
        }
        Show::Catalogs(_) | Show::Functions(_) => None,
    })
}

fn claim_describe<'a>(
    ctx: &'a StatementContext,
    describe: &'a Describe,
) -> Result<Option<Work<'a>>> {
    Ok(match describe {
        Describe::Relation { name, extended } => ForeignName::of_path(ctx, name)?.map(|name| {
            rows(async move {
                match extended {
                    true => show::extended(ctx, &name).await,
                    false => show::columns(ctx, &name, None).await,
                }
            })
        }),
        Describe::Schema(path) => of_schema(ctx, Some(path))
            .map(|(catalog, schema)| rows(async move { show::schema(&catalog, &schema).await })),
        Describe::Query(_) => None,
    })
}
