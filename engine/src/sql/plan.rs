//! From a query's syntax to plans: guarded, its relations opened, its names respelt.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ParamValues, ScalarValue};
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use sqlparser::ast;

use super::context::{Scope, StatementContext};
use super::foreign::query::QUERY;
use super::provider::PlanningContext;
use super::spelling::{self, Spellings};
use super::{bytes, guard, lineage, merged, relation, resolve, titles};
use crate::error::{Error, ErrorKind, Result};
use crate::numbers::{exact, floats};

/// Nodes of one logical plan: CTEs are expanded where they are used, so a short text may mean a
/// very large plan.
const PLAN_NODES_MAX: usize = 50_000;

/// Subqueries within subqueries of expressions. DataFusion 55.2 checks each of them once for every way
/// to it, so that planning takes twice as long for every level, and nothing ends it.
pub(crate) const SUBQUERY_DEPTH_MAX: usize = 12;

/// Plans a query of the session.
pub(crate) async fn plan_query(ctx: &StatementContext, query: ast::Query) -> Result<LogicalPlan> {
    plan_query_in(ctx, query, &ctx.scope()).await
}

/// Plans a query whose unqualified names mean what `scope` says.
pub(crate) async fn plan_query_in(
    ctx: &StatementContext,
    mut query: ast::Query,
    scope: &Scope,
) -> Result<LogicalPlan> {
    guard::check(&mut query)?;
    floats::respell(&mut query);
    bytes::respell(&mut query);
    let mut names: Vec<&str> = ctx.services.file_relations.iter().map(|r| r.name()).collect();
    names.push(QUERY);
    let requests = relation::collect(&mut query, &names)?;
    let mut opened = resolve::open_all(ctx, scope, requests).await?;
    lineage::extend(&mut query, &mut opened)?;

    let schemas: Vec<_> = opened.iter().map(|o| o.table.schema()).collect();
    let spellings = Spellings::learn(&query, schemas.iter().map(AsRef::as_ref));
    let (left, right) = spelling::written_aliases(&query);
    spellings.respell(&mut query)?;
    titles::make_unique(&mut query);
    merged::qualify(&mut query, &|name| {
        let found = opened.iter().find(|o| spelling::relation_key(&spellings, &o.key) == name)?;
        let schema = found.table.schema();
        let names = schema.fields().iter().map(|field| spellings.of_column(field.name()));
        Some(names.map(str::to_owned).collect())
    });

    let mut planning = PlanningContext::new(&ctx.state);
    let mut identities = std::collections::HashMap::new();
    for relation in opened {
        let key = spelling::relation_key(&spellings, &relation.key);
        let before = identities.insert(key.clone(), relation.identity.clone());
        if before.is_some_and(|b| !b.eq_ignore_ascii_case(&relation.identity)) {
            return Err(Error::invalid(format!(
                "\"{}\" stands for two relations of this query",
                key.join(".")
            )));
        }
        planning.add(key, relation.table, &spellings)?;
    }
    let mut context = PlannerContext::new().with_prepare_param_data_types(parameter_fields(ctx));
    let statement = ast::Statement::Query(Box::new(query));
    let plan =
        SqlToRel::new(&planning).sql_statement_to_plan_with_context(statement, &mut context)?;
    check_size(&plan)?;
    check_nesting(&plan, 0)?;
    let plan = if ctx.parameters.is_empty() {
        plan
    } else {
        plan.replace_params_with_values(&ParamValues::from(ctx.parameters.clone()))?
    };
    restore_aliases(plan, &left, &right)
}

/// What is known of the parameters' types: their values', or what a description gathered.
fn parameter_fields(ctx: &StatementContext) -> Vec<Option<FieldRef>> {
    match &ctx.parameter_types {
        Some(types) => types.clone(),
        None => ctx.parameters.iter().map(|v| Some(parameter_field(v))).collect(),
    }
}

fn parameter_field(value: &ScalarValue) -> FieldRef {
    Arc::new(Field::new("parameter", value.data_type(), true))
}

fn check_size(plan: &LogicalPlan) -> Result<()> {
    let mut nodes = 0_usize;
    plan.apply_with_subqueries(|_| {
        nodes += 1;
        Ok(if nodes > PLAN_NODES_MAX {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    if nodes > PLAN_NODES_MAX {
        return Err(Error::new(
            ErrorKind::LimitExceeded,
            format!(
                "the query expands to more than {PLAN_NODES_MAX} operators; store what several CTEs \
                 or views share in a table"
            ),
        ));
    }
    Ok(())
}

/// Counts the levels of subqueries in expressions, those of views included.
fn check_nesting(plan: &LogicalPlan, depth: usize) -> Result<()> {
    if depth > SUBQUERY_DEPTH_MAX {
        return Err(Error::new(
            ErrorKind::LimitExceeded,
            format!(
                "subqueries of expressions (EXISTS, IN, scalar ones) nest deeper than \
                 {SUBQUERY_DEPTH_MAX} levels; join what they read, or store a part of it in a table"
            ),
        ));
    }
    let mut refused = Ok(());
    plan.apply(|node| {
        node.apply_subqueries(|subquery| {
            refused = check_nesting(subquery, depth + 1);
            let goes_on = refused.is_ok();
            Ok(if goes_on { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        })
    })?;
    refused
}

/// Gives the output the names that the query itself wrote, where respelling unified them.
fn restore_aliases(
    plan: LogicalPlan,
    left: &[Option<String>],
    right: &[Option<String>],
) -> Result<LogicalPlan> {
    let columns = plan.schema().columns();
    let last = columns.len();
    let written = |i: usize| -> Option<&String> {
        left.get(i).or_else(|| right.get(last - 1 - i)).and_then(Option::as_ref)
    };
    let mut changed = false;
    let mut output = Vec::with_capacity(last);
    for (i, column) in columns.into_iter().enumerate() {
        let name = written(i)
            .filter(|w| **w != column.name && w.to_lowercase() == column.name.to_lowercase());
        let expr = Expr::Column(column);
        output.push(match name {
            Some(name) => {
                changed = true;
                expr.alias(name)
            }
            None => expr,
        });
    }
    if !changed {
        return Ok(plan);
    }
    Ok(LogicalPlanBuilder::from(plan).project(output)?.build()?)
}

/// The physical plan of a logical one.
pub(crate) async fn physical(
    ctx: &StatementContext,
    plan: &LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(ctx.state.create_physical_plan(plan).await?)
}

/// The value of an expression that names no column.
pub(crate) fn constant_expr(ctx: &StatementContext, mut expr: ast::Expr) -> Result<ScalarValue> {
    let shown = expr.to_string();
    Spellings::default().respell_expr(&mut expr)?;
    bytes::respell_expr(&mut expr);
    let planning = PlanningContext::new(&ctx.state);
    let mut context = PlannerContext::new().with_prepare_param_data_types(parameter_fields(ctx));
    let expr = SqlToRel::new(&planning)
        .sql_to_expr(expr, &DFSchema::empty(), &mut context)
        .and_then(|e| substitute(e, &ctx.parameters))
        .map_err(|e| {
            let text = e.strip_backtrace();
            Error::invalid(format!("{shown} is not a constant: {text}")).with_source(e)
        })?;
    constant(&ctx.state, expr)
}

/// Puts the values of `$1`, `$2` … into an expression.
pub(crate) fn substitute(
    expr: Expr,
    parameters: &[ScalarValue],
) -> datafusion::error::Result<Expr> {
    use datafusion::common::tree_node::Transformed;
    if parameters.is_empty() {
        return Ok(expr);
    }
    let values = ParamValues::from(parameters.to_vec());
    let replaced = expr.transform_up(|e| match &e {
        Expr::Placeholder(p) => {
            let value = values.get_placeholders_with_values(&p.id)?;
            Ok(Transformed::yes(Expr::Literal(value.value, None)))
        }
        _ => Ok(Transformed::no(e)),
    })?;
    Ok(replaced.data)
}

/// Evaluates an expression without columns.
pub(crate) fn constant(state: &SessionState, expr: Expr) -> Result<ScalarValue> {
    let context = SimplifyContext::builder()
        .with_config_options(Arc::clone(state.config_options()))
        .with_query_execution_start_time(state.execution_props().query_execution_start_time)
        .build();
    let simplifier = ExprSimplifier::new(context);
    let expr = floats::settle(expr, &DFSchema::empty())?;
    let expr = simplifier.coerce(expr, &DFSchema::empty())?;
    let expr = exact::exactly(expr, &DFSchema::empty())?;
    match simplifier.simplify(expr)? {
        Expr::Literal(value, _) => Ok(value),
        other => Err(Error::invalid(format!("{other} is not a constant"))),
    }
}

/// A constant point in time in microseconds since the epoch; without a zone it is UTC.
pub(crate) fn constant_time(ctx: &StatementContext, expr: ast::Expr) -> Result<i64> {
    let shown = expr.to_string();
    let value = constant_expr(ctx, expr)?;
    let ty = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let cast = Expr::Literal(value, None).cast_to(&ty, &DFSchema::empty())?;
    match constant(&ctx.state, cast) {
        Ok(ScalarValue::TimestampMicrosecond(Some(micros), _)) => Ok(micros),
        Ok(_) => Err(Error::invalid(format!("{shown} is not a point in time"))),
        Err(e) => {
            Err(Error::invalid(format!("{shown} is not a point in time: {e}")).with_source(e))
        }
    }
}
