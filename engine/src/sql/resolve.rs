//! Opens the relations of a query, all at the same time, each pinned once for the statement.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::datasource::ViewTable;
use datafusion::logical_expr::{Expr as DfExpr, LogicalPlanBuilder};
use fjord_catalog::metastore::View;
use fjord_catalog::references::ReferenceKind;
use fjord_catalog::spec::SnapshotRef;
use fjord_catalog::table::Table;
use fjord_connectors::relation::RelationArguments;
use futures::{StreamExt, TryStreamExt, stream};
use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr};

use super::context::{Loaded, QualifiedName, Scope, StatementContext};
use super::foreign::name::ForeignName;
use super::foreign::query::{self, QUERY};
use super::names::Mounted;
use super::relation::{AsOf, Request, Source};
use super::{access, branch, foreign, information_schema, parse, plan, system, time_travel};
use crate::access::Privilege;
use crate::error::{Error, ErrorKind, Result};
use crate::iceberg::metadata::metadata_table;
use crate::iceberg::table::IcebergTable;

/// Relations opened at the same time.
const CONCURRENT_MAX: usize = 32;

/// Views inside views.
const VIEW_DEPTH_MAX: usize = 16;

/// A relation that is ready to be planned.
pub(crate) struct Opened {
    /// The name that planning asks for, as written.
    pub(crate) key: Vec<String>,
    /// What it is in the catalog: two keys may lead to the same relation.
    pub(crate) identity: String,
    pub(crate) table: Arc<dyn TableProvider>,
}

type Opening<'a> = Pin<Box<dyn Future<Output = Result<Opened>> + Send + 'a>>;

/// Opens every requested relation.
pub(crate) async fn open_all(
    ctx: &StatementContext,
    scope: &Scope,
    requests: Vec<Request>,
) -> Result<Vec<Opened>> {
    let opening = requests.into_iter().map(|request| open(ctx, scope, request));
    stream::iter(opening).buffered(CONCURRENT_MAX).try_collect().await
}

// Boxed, because a view's relations are opened by the plan of the view.
fn open<'a>(ctx: &'a StatementContext, scope: &'a Scope, request: Request) -> Opening<'a> {
    Box::pin(async move {
        let Request { key, source } = request;
        match source {
            Source::Files(function, arguments) if function == QUERY => {
                let table = query::open(ctx, arguments).await?;
                Ok(Opened { identity: key.join("."), key, table })
            }
            Source::Files(function, arguments) => {
                let table = open_files(ctx, &function, arguments).await?;
                Ok(Opened { identity: key.join("."), key, table })
            }
            Source::Named(name, as_of) => {
                if let Some(name) = ForeignName::of(ctx, &name, scope)? {
                    let (identity, table) = foreign::relation::open(ctx, &name, as_of).await?;
                    return Ok(Opened { key, identity, table });
                }
                if let Some(found) = branch::resolve_metadata(ctx, &name, scope).await? {
                    let (name, reference, kind) = found;
                    return open_reference(ctx, key, &name, &reference, Some(kind), as_of).await;
                }
                let (name, reference) = branch::resolve(ctx, &name, scope, Privilege::Read).await?;
                if let Some(reference) = reference {
                    return open_reference(ctx, key, &name, &reference, None, as_of).await;
                }
                let identity = name.to_string();
                let table = open_named(ctx, scope, &name, as_of).await?;
                Ok(Opened { key, identity, table })
            }
        }
    })
}

/// A table as a branch or tag has it, or its metadata of a `kind`.
async fn open_reference(
    ctx: &StatementContext,
    key: Vec<String>,
    name: &QualifiedName,
    reference: &branch::Reference,
    kind: Option<String>,
    as_of: Option<AsOf>,
) -> Result<Opened> {
    access::permit(ctx, Privilege::Read, name)?;
    if as_of.is_some() {
        return Err(Error::unsupported(format!(
            "\"{name}\" is named with a branch or tag, which is a version of it already"
        )));
    }
    let table = ctx.load_table(name).await?;
    let (stored, reference, snapshot) = reference.find(&table)?;
    ctx.note_read(&name.catalog, &table, Some(snapshot.snapshot_id()));
    if let Some(kind) = kind {
        let identity = format!("{name}@{stored}${kind}");
        let table = metadata_table(&name.catalog, &table, &kind, Some(&snapshot)).await?;
        return Ok(Opened { key, identity, table });
    }
    let identity = format!("{name}@{stored}");
    let table = at(name, table, snapshot, reference == ReferenceKind::Branch)?;
    Ok(Opened { key, identity, table })
}

/// A branch has the table's schema; a tag or snapshot has its own.
fn at(
    name: &QualifiedName,
    table: Table,
    snapshot: SnapshotRef,
    is_branch: bool,
) -> Result<Arc<dyn TableProvider>> {
    let catalog = name.catalog.clone();
    Ok(Arc::new(if is_branch {
        IcebergTable::try_new_on(catalog, table, snapshot)?
    } else {
        IcebergTable::try_new_at(catalog, table, snapshot)?
    }))
}

async fn open_named(
    ctx: &StatementContext,
    scope: &Scope,
    name: &QualifiedName,
    as_of: Option<AsOf>,
) -> Result<Arc<dyn TableProvider>> {
    let schema = name.name.namespace.to_string();
    if schema.eq_ignore_ascii_case(information_schema::SCHEMA) {
        let table = name.name.name.to_lowercase();
        let of = Mounted::Lake(name.catalog.clone());
        return information_schema::relation(ctx, of, &table);
    }
    if let Some(relation) = system::relation(ctx, name).await {
        if as_of.is_some() {
            return Err(Error::unsupported(format!("\"{name}\" has no versions")));
        }
        return relation;
    }
    access::permit(ctx, Privilege::Read, name)?;
    let (name, as_of) = &at_catalog_reference(ctx, name, as_of).await?;
    let as_of = as_of.clone();
    if let Some((base, kind)) = name.name.name.rsplit_once('$') {
        let base = QualifiedName {
            catalog: name.catalog.clone(),
            name: fjord_catalog::name::TableName::new(name.name.namespace.clone(), base)?,
        };
        let table = ctx.load_table(&base).await?;
        let snapshot = match as_of {
            Some(as_of) => Some(snapshot_of(ctx, &table, as_of)?.0),
            None => table.current_snapshot().map(Arc::clone),
        };
        ctx.note_read(&name.catalog, &table, snapshot.as_ref().map(|s| s.snapshot_id()));
        let kind = kind.to_lowercase();
        return metadata_table(&name.catalog, &table, &kind, snapshot.as_ref()).await;
    }
    match (ctx.load(name).await?, as_of) {
        (Loaded::Table(table), None) => {
            let snapshot_id = table.current_snapshot().map(|s| s.snapshot_id());
            ctx.note_read(&name.catalog, &table, snapshot_id);
            Ok(Arc::new(IcebergTable::try_new(name.catalog.clone(), table)?))
        }
        (Loaded::Table(table), Some(as_of)) => {
            let (snapshot, is_branch) = snapshot_of(ctx, &table, as_of)?;
            ctx.note_read(&name.catalog, &table, Some(snapshot.snapshot_id()));
            at(name, table, snapshot, is_branch)
        }
        (Loaded::View(view), None) => open_view(ctx, scope, name, &view).await,
        (Loaded::View(_), Some(_)) => {
            Err(Error::unsupported(format!("view \"{name}\" has no versions of its own")))
        }
    }
}

/// A version that is a branch or tag of the whole catalog is another place to look; the name there,
/// and the version that is left.
async fn at_catalog_reference(
    ctx: &StatementContext,
    name: &QualifiedName,
    as_of: Option<AsOf>,
) -> Result<(QualifiedName, Option<AsOf>)> {
    let Some(AsOf::Version(version)) = &as_of else { return Ok((name.clone(), as_of)) };
    let metastore = name.catalog.metastore();
    metastore.connect().await?;
    if metastore.has_table_references() {
        return Ok((name.clone(), as_of));
    }
    let version = plan::constant_expr(ctx, version.clone())?;
    let Some(reference) = super::provider::string_of(&version) else {
        return Ok((name.clone(), as_of));
    };
    if name.name.name.contains('@') {
        return Err(Error::unsupported(format!(
            "\"{name}\" is named with a branch or tag, which is a version of it already"
        )));
    }
    let catalog = name.catalog.at_reference(reference);
    Ok((QualifiedName { catalog, name: name.name.clone() }, None))
}

/// The snapshot, and whether it was named by a branch.
fn snapshot_of(ctx: &StatementContext, table: &Table, as_of: AsOf) -> Result<(SnapshotRef, bool)> {
    match as_of {
        AsOf::Version(version) => {
            let version = plan::constant_expr(ctx, version)?;
            time_travel::snapshot_of_version(table, &version)
        }
        AsOf::Timestamp(time) => {
            let micros = plan::constant_time(ctx, time)?;
            Ok((time_travel::snapshot_at(table, micros)?, false))
        }
    }
}

async fn open_view(
    ctx: &StatementContext,
    scope: &Scope,
    name: &QualifiedName,
    view: &View,
) -> Result<Arc<dyn TableProvider>> {
    let full_name = format!("{}.{}", name.catalog.name(), view.name);
    if scope.views.contains(&full_name) {
        let path: Vec<&str> = scope.views.iter().chain([&full_name]).map(String::as_str).collect();
        return Err(Error::invalid(format!(
            "view \"{full_name}\" refers to itself: {}",
            path.join(" -> ")
        )));
    }
    if scope.views.len() >= VIEW_DEPTH_MAX {
        return Err(Error::new(
            ErrorKind::LimitExceeded,
            format!("view \"{full_name}\" lies deeper than {VIEW_DEPTH_MAX} views"),
        ));
    }
    let mut views = scope.views.clone();
    views.push(full_name.clone());
    let inner = Scope {
        catalog: view.default_catalog.clone(),
        schema: view.default_namespace.to_string(),
        views,
    };
    let query = parse::parse_query(&view.sql)?;
    let mut planned = plan::plan_query_in(ctx, query, &inner)
        .await
        .map_err(|e| Error::new(e.kind(), format!("view \"{full_name}\": {e}")).with_source(e))?;
    if !view.columns.is_empty() {
        let columns = planned.schema().columns();
        if columns.len() != view.columns.len() {
            return Err(Error::invalid(format!(
                "view \"{full_name}\" names {} columns, its query now yields {}",
                view.columns.len(),
                columns.len()
            )));
        }
        let renamed: Vec<DfExpr> = columns
            .into_iter()
            .zip(&view.columns)
            .map(|(column, name)| DfExpr::Column(column).alias(name))
            .collect();
        planned = LogicalPlanBuilder::from(planned).project(renamed)?.build()?;
    }
    Ok(Arc::new(ViewTable::new(planned, Some(view.sql.clone()))))
}

async fn open_files(
    ctx: &StatementContext,
    function: &str,
    arguments: Vec<FunctionArg>,
) -> Result<Arc<dyn TableProvider>> {
    let relation = ctx.services.file_relations.iter().find(|r| r.name() == function);
    let Some(relation) = relation else {
        return Err(Error::new(ErrorKind::NotFound, format!("function \"{function}\" not found")));
    };
    let mut paths = Vec::new();
    let mut options = BTreeMap::new();
    for argument in arguments {
        match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(path)) if paths.is_empty() => {
                paths = path_list(ctx, function, path)?;
            }
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                let value = plan::constant_expr(ctx, value)?;
                let name = name.value.to_lowercase();
                if options.insert(name.clone(), value).is_some() {
                    return Err(Error::invalid(format!("{function}: option {name} twice")));
                }
            }
            other => {
                return Err(Error::invalid(format!(
                    "{function}: {other} is not understood; write \
                     {function}('path' or ['path', …], option => value, …)"
                )));
            }
        }
    }
    if paths.is_empty() {
        return Err(Error::invalid(format!("{function}: a path is missing")));
    }
    let arguments = RelationArguments { paths, options };
    Ok(relation.open(arguments, &ctx.files, ctx.state.as_ref()).await?)
}

fn path_list(ctx: &StatementContext, function: &str, path: Expr) -> Result<Vec<String>> {
    let value = plan::constant_expr(ctx, path)?;
    let texts = |value: &ScalarValue| match value {
        ScalarValue::List(list) if list.len() == 1 => {
            let values = list.value(0);
            (0..values.len())
                .map(|i| {
                    let item = ScalarValue::try_from_array(&values, i).ok()?;
                    super::provider::string_of(&item).map(str::to_owned)
                })
                .collect::<Option<Vec<String>>>()
        }
        one => super::provider::string_of(one).map(|s| vec![s.to_owned()]),
    };
    use arrow::array::Array;
    texts(&value).filter(|paths| !paths.is_empty()).ok_or_else(|| {
        Error::invalid(format!("{function}: {value} is neither a path nor a list of paths"))
    })
}
