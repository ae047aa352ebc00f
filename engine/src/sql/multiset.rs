//! INTERSECT ALL and EXCEPT ALL: rows are numbered among their equals, and the numbered rows are
//! sets, of which DataFusion knows INTERSECT and EXCEPT.
//!
//! ```text
//! l EXCEPT ALL r  =>  SELECT * EXCLUDE n FROM (numbered(l) EXCEPT numbered(r))
//! ```

use datafusion::common::DFSchema;
use datafusion::error::Result as DfResult;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlanBuilder};
use sqlparser::ast::{SetExpr, SetOperator, SetQuantifier, TableFactor};

use super::template;
use crate::error::Result;

/// The alias that asks for rows to be numbered.
const NUMBERED: &str = "__fjord_numbered";

/// The column that numbers them.
const NUMBER: &str = "__fjord_number";

/// Rewrites the set operations of `body` that keep duplicates.
pub(crate) fn rewrite(body: &mut SetExpr) -> Result<()> {
    let mut pending = vec![body];
    while let Some(body) = pending.pop() {
        if is_multiset(body) {
            number_both(body)?;
        } else if let SetExpr::SetOperation { left, right, .. } = body {
            pending.extend([left.as_mut(), right.as_mut()]);
        }
    }
    Ok(())
}

fn is_multiset(body: &SetExpr) -> bool {
    matches!(
        body,
        SetExpr::SetOperation {
            op: SetOperator::Intersect | SetOperator::Except | SetOperator::Minus,
            set_quantifier: SetQuantifier::All,
            ..
        }
    )
}

/// The operands become queries inside, which are visited later.
fn number_both(body: &mut SetExpr) -> Result<()> {
    let outer = format!("SELECT * EXCLUDE (\"{NUMBER}\") FROM (SELECT 1) AS __fjord_multiset");
    let mut outer = template::select(&outer)?;
    let mut operation = std::mem::replace(body, nothing()?);
    if let SetExpr::SetOperation { left, right, set_quantifier, .. } = &mut operation {
        *set_quantifier = SetQuantifier::None;
        for side in [left, right] {
            let mut numbered =
                template::select(&format!("SELECT * FROM (SELECT 1) AS {NUMBERED}"))?;
            let operand = std::mem::replace(side.as_mut(), nothing()?);
            template::fill(&mut numbered, template::query_of(operand)?)?;
            **side = *numbered.body;
        }
    }
    template::fill(&mut outer, template::query_of(operation)?)?;
    *body = *outer.body;
    Ok(())
}

fn nothing() -> Result<SetExpr> {
    Ok(*template::select("SELECT 1")?.body)
}

/// Plans the derived tables that ask for numbers.
#[derive(Debug)]
pub(crate) struct Numbered;

impl RelationPlanner for Numbered {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> DfResult<RelationPlanning> {
        let TableFactor::Derived { lateral, subquery, alias: Some(alias), sample } = relation
        else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        if alias.name.value != NUMBERED {
            let alias = Some(alias);
            let original = TableFactor::Derived { lateral, subquery, alias, sample };
            return Ok(RelationPlanning::Original(Box::new(original)));
        }
        let inner = TableFactor::Derived { lateral, subquery, alias: None, sample };
        let rows = context.plan(inner)?;
        let mut columns = columns(rows.schema());
        let number = row_number().partition_by(columns.clone()).build()?;
        let plan = LogicalPlanBuilder::from(rows).window(vec![number])?;
        if let Some(number) = plan.schema().columns().pop() {
            columns.push(Expr::Column(number).alias(NUMBER));
        }
        let plan = plan.project(columns)?.build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}

fn columns(schema: &DFSchema) -> Vec<Expr> {
    schema.columns().into_iter().map(Expr::Column).collect()
}
