//! What DDL, SHOW and the information schema ask of the planner, answered by the session's own.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::logical_expr::Volatility;
use fjord_catalog::metastore::View;
use sqlparser::ast::Query;

use super::context::{Scope, StatementContext};
use super::foreign::query::QUERY;
use super::scope::{FunctionEntry, Queries, SqlScope};
use super::{deep, parse, plan};
use crate::error::Result;

/// The scope of a statement, for DDL and SHOW.
pub(crate) fn sql_scope(ctx: &StatementContext) -> SqlScope {
    let scope = ctx.scope();
    let databases = ctx.services.foreign_catalogs();
    let databases = databases.iter().map(|c| (c.name().to_owned(), c.kind().to_owned())).collect();
    SqlScope::new(ctx.catalogs(), scope.catalog, scope.schema, queries(ctx))
        .with_databases(databases)
        .with_access(ctx.access.clone())
}

/// The planner, detached from the statement: streams ask it after planning has ended.
pub(crate) fn queries(ctx: &StatementContext) -> Arc<dyn Queries> {
    Arc::new(SessionQueries { ctx: Arc::new(ctx.with_parameters(Vec::new())) })
}

#[derive(Debug)]
struct SessionQueries {
    ctx: Arc<StatementContext>,
}

impl SessionQueries {
    /// Plans on a deep stack, wherever the caller runs.
    async fn schema_of(&self, query: Query, scope: Scope) -> Result<SchemaRef> {
        let ctx = Arc::clone(&self.ctx);
        deep::run_async(async move {
            let planned = plan::plan_query_in(&ctx, query, &scope).await?;
            Ok(Arc::clone(planned.schema().inner()))
        })
        .await
    }
}

#[async_trait]
impl Queries for SessionQueries {
    async fn query_schema(&self, query: &Query) -> Result<SchemaRef> {
        self.schema_of(query.clone(), self.ctx.scope()).await
    }

    async fn view_schema(&self, catalog: &str, view: &View) -> Result<SchemaRef> {
        let scope = Scope {
            catalog: view.default_catalog.clone(),
            schema: view.default_namespace.to_string(),
            views: vec![format!("{catalog}.{}", view.name)],
        };
        self.schema_of(parse::parse_query(&view.sql)?, scope).await
    }

    fn functions(&self) -> Vec<FunctionEntry> {
        let state = &self.ctx.state;
        let entry = |name: &String, kind, volatility| FunctionEntry {
            name: name.clone(),
            kind,
            deterministic: volatility != Volatility::Volatile,
            description: String::new(),
        };
        let scalar = state.scalar_functions().iter();
        let scalar = scalar.map(|(n, f)| entry(n, "scalar", f.signature().volatility));
        let aggregate = state.aggregate_functions().iter();
        let aggregate = aggregate.map(|(n, f)| entry(n, "aggregate", f.signature().volatility));
        let window = state.window_functions().iter();
        let window = window.map(|(n, f)| entry(n, "window", f.signature().volatility));
        let files = self.ctx.services.file_relations.iter();
        let files = files.map(|f| entry(&f.name().to_owned(), "table", Volatility::Volatile));
        let query = entry(&QUERY.to_owned(), "table", Volatility::Volatile);
        scalar.chain(aggregate).chain(window).chain(files).chain([query]).collect()
    }
}
