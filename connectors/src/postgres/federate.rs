//! The optimizer rule that finds what one database can answer by itself.
//!
//! ```text
//! Aggregate ─ Scan(orders)   =>   Projection ─ Scan(SELECT … GROUP BY …)
//! ```
//!
//! A subtree becomes a scan of a query, under a projection that keeps its names; what is above is
//! looked at next. Filters and limits reach scans by DataFusion's own rules.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::catalog::default_table_source::{DefaultTableSource, source_as_provider};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, NullEquality};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::logical_plan::{FetchType, SkipType};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::condition::Printer;
use super::derive::{self, On, Source};
use super::relation::{Base, RemoteRelation};

/// Moves aggregates, joins and the first rows of an order into the database that holds their rows.
#[derive(Debug)]
pub struct Federate;

impl OptimizerRule for Federate {
    fn name(&self) -> &str {
        "federate"
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> DfResult<Transformed<LogicalPlan>> {
        plan.transform_up_with_subqueries(|plan| {
            let found = match &plan {
                LogicalPlan::Aggregate(_) => aggregate(&plan),
                LogicalPlan::Sort(_) => return first(plan),
                LogicalPlan::Join(_) => join(&plan),
                _ => None,
            };
            match found {
                Some(relation) => Ok(Transformed::yes(scan(relation, plan.schema())?)),
                None => Ok(Transformed::no(plan)),
            }
        })
    }
}

fn fields(schema: &DFSchema) -> Vec<&Field> {
    schema.fields().iter().map(AsRef::as_ref).collect()
}

fn position(schema: &DFSchema, column: &Column) -> Option<usize> {
    schema.maybe_index_of_column(column)
}

fn aggregate(plan: &LogicalPlan) -> Option<RemoteRelation> {
    let LogicalPlan::Aggregate(aggregate) = plan else { return None };
    let source = source(&aggregate.input)?;
    let input = aggregate.input.schema();
    derive::aggregate(
        &source,
        &aggregate.group_expr,
        &aggregate.aggr_expr,
        &fields(&aggregate.schema),
        &|column| position(input, column),
    )
}

/// The order itself stays: the rows are few, and nothing else promises how they arrive.
fn first(plan: LogicalPlan) -> DfResult<Transformed<LogicalPlan>> {
    let LogicalPlan::Sort(sort) = &plan else { return Ok(Transformed::no(plan)) };
    let found = sort.fetch.and_then(|fetch| {
        let source = source(&sort.input)?;
        if source.conditions.is_empty() && source.relation.rows_max.is_some_and(|n| n <= fetch) {
            return None;
        }
        let input = sort.input.schema();
        derive::first(&source, &sort.expr, fetch, &fields(input), &|c| position(input, c))
    });
    let Some(relation) = found else { return Ok(Transformed::no(plan)) };
    let mut sort = sort.clone();
    sort.input = Arc::new(scan(relation, sort.input.schema())?);
    Ok(Transformed::yes(LogicalPlan::Sort(sort)))
}

fn join(plan: &LogicalPlan) -> Option<RemoteRelation> {
    let LogicalPlan::Join(join) = plan else { return None };
    if join.null_aware || join.null_equality != NullEquality::NullEqualsNothing {
        return None;
    }
    let (left, right) = (source(&join.left)?, source(&join.right)?);
    if !Arc::ptr_eq(&left.relation.database, &right.relation.database) {
        return None;
    }
    let on = On { kind: join.join_type, keys: &join.on, filter: join.filter.as_ref() };
    let (left_schema, right_schema) = (join.left.schema(), join.right.schema());
    derive::join(&left, &right, &on, &fields(&join.schema), &|column| match (
        position(left_schema, column),
        position(right_schema, column),
    ) {
        (Some(index), None) => Some((true, index)),
        (None, Some(index)) => Some((false, index)),
        _ => None,
    })
}

/// A scan of a query, under the names of what it stands for.
fn scan(relation: RemoteRelation, schema: &DFSchema) -> DfResult<LogicalPlan> {
    let mut hasher = DefaultHasher::new();
    if let Base::Query { sql } = &relation.base {
        sql.hash(&mut hasher);
    }
    // A name of its own: two of them may meet in one join.
    let name = format!("remote_{:016x}", hasher.finish());
    let columns: Vec<Expr> = relation
        .columns
        .iter()
        .zip(schema.iter())
        .map(|(column, (qualifier, field))| {
            Expr::Column(Column::new(Some(name.clone()), &column.name))
                .alias_qualified(qualifier.cloned(), field.name())
        })
        .collect();
    let source = Arc::new(DefaultTableSource::new(Arc::new(relation)));
    LogicalPlanBuilder::scan(name, source, None)?.project(columns)?.build()
}

/// What `plan` reads, if that is columns of the rows of one relation, some or all.
fn source(plan: &LogicalPlan) -> Option<Source> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source).ok()?;
            let relation = Arc::new(provider.downcast_ref::<RemoteRelation>()?.clone());
            if !relation.database.settings().pushdown {
                return None;
            }
            let conditions = scan
                .filters
                .iter()
                .map(|filter| relation.condition(filter))
                .collect::<Option<Vec<_>>>()?;
            let columns =
                scan.projection.clone().unwrap_or_else(|| (0..relation.columns.len()).collect());
            Some(Source { relation, columns, conditions, fetch: scan.fetch })
        }
        LogicalPlan::SubqueryAlias(alias) => source(&alias.input),
        LogicalPlan::Projection(projection) => {
            let mut source = source(&projection.input)?;
            let schema = projection.input.schema();
            source.columns = projection
                .expr
                .iter()
                .map(|expr| {
                    let column = expr.clone().unalias_nested().data;
                    let Expr::Column(column) = column else { return None };
                    source.columns.get(position(schema, &column)?).copied()
                })
                .collect::<Option<Vec<_>>>()?;
            Some(source)
        }
        LogicalPlan::Filter(filter) => {
            let mut source = source(&filter.input)?;
            if source.fetch.is_some() {
                return None;
            }
            let schema = filter.input.schema();
            let find = |column: &Column| source.column(position(schema, column)?).cloned();
            let rules = source.relation.database.settings().rules;
            let condition = Printer { rules, find: &find }.condition(&filter.predicate)?;
            source.conditions.push(condition);
            Some(source)
        }
        LogicalPlan::Limit(limit) => {
            let mut source = source(&limit.input)?;
            match (limit.get_skip_type().ok()?, limit.get_fetch_type().ok()?) {
                (SkipType::Literal(0), FetchType::Literal(Some(fetch))) => {
                    source.fetch = Some(source.fetch.map_or(fetch, |inner| inner.min(fetch)));
                    Some(source)
                }
                _ => None,
            }
        }
        _ => None,
    }
}
