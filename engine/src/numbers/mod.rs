//! What numbers and instants become where DataFusion would choose otherwise, or be wrong.
//!
//! ```text
//! FloatsWin ─ DataFusion's coercion ─ Exact ─ DataFusion's optimizer
//! ```
//!
//! `floats` decides what types meet as, before DataFusion coerces them, and `text` what a text is that
//! meets them. `exact` replaces, after
//! coercion, the operators that DataFusion computes or rewrites inexactly by functions of ours:
//! lossy casts (`cast`), arithmetic that wraps (`arithmetic`) or outgrows the widest decimal
//! (`decimal`), comparisons across units of time (`instant`), lists that tell zeros apart (`zeros`;
//! `keys` for joins), floats that may be NaN (`nan`). `sum`, `extremes` (`min` and `max`) and `now`
//! take the places of DataFusion's functions of these names.

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{AggregateUDF, Expr, LogicalPlan, ScalarUDF};

pub(crate) mod floats;
mod text;
mod cast;
mod arithmetic;
mod decimal;
pub(crate) mod instant;
pub(crate) mod exact;
mod zeros;
pub(crate) mod keys;
mod nan;
mod sum;
mod extremes;
mod now;

/// The operands of an operator as it would be written: what is computed stands in parentheses.
fn as_operands(args: &[Expr]) -> Vec<String> {
    let shown = |arg: &Expr| match arg {
        Expr::BinaryExpr(_) | Expr::ScalarFunction(_) => format!("({arg})"),
        arg => arg.to_string(),
    };
    args.iter().map(shown).collect()
}

/// The scalar functions that replace DataFusion's, or that `exact` plans.
pub(crate) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    let mut functions = arithmetic::functions();
    functions.extend(decimal::functions());
    functions.extend(cast::functions());
    functions.push(Arc::new(ScalarUDF::from(nan::OneNan::default())));
    functions.push(Arc::new(ScalarUDF::from(now::Now::default())));
    functions
}

/// The aggregate functions that replace DataFusion's.
pub(crate) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![
        Arc::new(AggregateUDF::from(sum::ExactSum::default())),
        Arc::new(AggregateUDF::from(extremes::Extreme::min())),
        Arc::new(AggregateUDF::from(extremes::Extreme::max())),
    ]
}

/// Rewrites every expression of `plan` and of its subqueries, innermost first; `rewrite` is given
/// the schema of what the expression is evaluated on.
fn rewrite_expressions(
    plan: LogicalPlan,
    rewrite: &dyn Fn(Expr, &DFSchema) -> DfResult<Transformed<Expr>>,
) -> DfResult<Transformed<LogicalPlan>> {
    let schema = match &plan {
        LogicalPlan::TableScan(scan) => {
            DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?
        }
        plan => merge_schema(&plan.inputs()),
    };
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|expr| rewrite(expr, &schema))?;
        Ok(rewritten.update_data(|expr| name.restore(expr)))
    })
}
