//! The analyzer rule that keeps answers exact: it runs after types are coerced and before the
//! optimizer could fold, unwrap or prune by what is not exact.

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::{arithmetic, cast, decimal, instant, nan, rewrite_expressions, zeros};

/// Plans our functions where DataFusion's operators would wrap, or lose digits.
#[derive(Debug)]
pub(crate) struct Exact;

impl AnalyzerRule for Exact {
    fn name(&self) -> &'static str {
        "exact"
    }

    fn analyze(&self, plan: LogicalPlan, _options: &ConfigOptions) -> DfResult<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            let mapped = rewrite_expressions(plan, &rewrite)?;
            if !mapped.transformed {
                return Ok(mapped);
            }
            mapped.map_data(LogicalPlan::recompute_schema)
        })?;
        Ok(rewritten.data)
    }
}

/// The same for an expression that stands alone; its types are coerced already.
pub(crate) fn exactly(expr: Expr, schema: &DFSchema) -> DfResult<Expr> {
    Ok(expr.transform_up(|expr| rewrite(expr, schema))?.data)
}

fn rewrite(expr: Expr, schema: &DFSchema) -> DfResult<Transformed<Expr>> {
    match expr {
        Expr::Cast(_) | Expr::TryCast(_) => cast::hide(expr, schema),
        Expr::Negative(_) | Expr::ScalarFunction(_) => compute(expr, schema),
        Expr::BinaryExpr(_) => {
            let compared = instant::compare(expr, schema)?;
            if compared.transformed {
                return Ok(compared);
            }
            compute(compared.data, schema)
        }
        Expr::InList(list) => zeros::in_list(list, schema),
        Expr::Between(_) => instant::between(expr, schema),
        other => Ok(Transformed::no(other)),
    }
}

fn compute(expr: Expr, schema: &DFSchema) -> DfResult<Transformed<Expr>> {
    let checked = arithmetic::check(expr, schema)?;
    if checked.transformed {
        return Ok(checked);
    }
    let checked = decimal::check(checked.data, schema)?;
    if checked.transformed { Ok(checked) } else { nan::settle(checked.data, schema) }
}
