//! PREPARE, EXECUTE, DEALLOCATE: the syntax tree is kept and planned anew each time.
//!
//! A kept plan would keep its tables' snapshots, and lose what later statements changed.

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr as DfExpr, ExprSchemable};
use datafusion::sql::planner::SqlToRel;
use sqlparser::ast::Statement;

use super::context::StatementContext;
use super::provider::PlanningContext;
use super::statement::Prepared;
use super::{folded, plan, router};
use crate::error::{Error, ErrorKind, Result};
use crate::query::QueryResult;

/// Keeps a statement.
pub(crate) fn prepare(
    ctx: &StatementContext,
    name: &str,
    prepared: &Prepared,
) -> Result<QueryResult> {
    ctx.shared.prepare(name.to_owned(), prepared.clone())?;
    Ok(QueryResult::done(format!("prepared {name}")))
}

/// EXECUTE and DEALLOCATE.
pub(crate) async fn run(ctx: &StatementContext, statement: &Statement) -> Result<QueryResult> {
    match statement {
        Statement::Deallocate { name, prepare: _ } => {
            if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all") {
                ctx.shared.deallocate_all();
                return Ok(QueryResult::done("deallocated all prepared statements"));
            }
            let name = folded(name);
            ctx.shared.deallocate(&name)?;
            Ok(QueryResult::done(format!("deallocated {name}")))
        }
        Statement::Execute { .. } => {
            let (inner, prepared) = bind(ctx, statement)?;
            router::run(&inner, &prepared.statement).await
        }
        other => Err(Error::unsupported(format!("{other} is not supported"))),
    }
}

/// The statement that EXECUTE means, and a context with its values.
pub(crate) fn bind(
    ctx: &StatementContext,
    statement: &Statement,
) -> Result<(StatementContext, Arc<Prepared>)> {
    match statement {
        Statement::Execute {
            name: Some(name),
            parameters,
            has_parentheses: _,
            immediate: false,
            into,
            using,
            output: false,
            default: false,
        } if into.is_empty() => {
            if !parameters.is_empty() && !using.is_empty() {
                return Err(Error::invalid("EXECUTE takes values in parentheses or after USING"));
            }
            let name = match name.0.as_slice() {
                [part] => part.as_ident().map(folded),
                _ => None,
            };
            let Some(name) = name else {
                return Err(Error::invalid("the name of a prepared statement has one part"));
            };
            let values = parameters.iter().chain(using.iter().map(|u| &u.expr));
            bind_values(ctx, &name, values.cloned().collect())
        }
        other => Err(Error::unsupported(format!("{other} is not supported"))),
    }
}

fn bind_values(
    ctx: &StatementContext,
    name: &str,
    values: Vec<sqlparser::ast::Expr>,
) -> Result<(StatementContext, Arc<Prepared>)> {
    let prepared = ctx.variables.prepared(name)?;
    if !prepared.types.is_empty() && prepared.types.len() != values.len() {
        return Err(Error::invalid(format!(
            "prepared statement \"{name}\" takes {} values, {} were given",
            prepared.types.len(),
            values.len()
        )));
    }
    let planning = PlanningContext::new(&ctx.state);
    let planner = SqlToRel::new(&planning);
    let mut parameters = Vec::with_capacity(values.len());
    for (i, value) in values.into_iter().enumerate() {
        let mut value = plan::constant_expr(ctx, value)?;
        if let Some(ty) = prepared.types.get(i) {
            let cast = sqlparser::ast::Expr::Cast {
                kind: sqlparser::ast::CastKind::Cast,
                expr: Box::new(sqlparser::ast::Expr::value(sqlparser::ast::Value::Null)),
                data_type: ty.clone(),
                array: false,
                format: None,
            };
            let schema = DFSchema::empty();
            let ty = planner
                .sql_to_expr(cast, &schema, &mut datafusion::sql::planner::PlannerContext::new())?
                .get_type(&schema)?;
            let cast = DfExpr::Literal(value, None).cast_to(&ty, &schema)?;
            value = plan::constant(&ctx.state, cast).map_err(|e| {
                Error::new(ErrorKind::Invalid, format!("parameter ${}: {e}", i + 1)).with_source(e)
            })?;
        }
        parameters.push(value);
    }
    Ok((ctx.with_parameters(parameters), prepared))
}
