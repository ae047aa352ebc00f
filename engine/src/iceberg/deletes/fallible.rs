//! Which expressions may be evaluated on deleted rows: those that cannot fail.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr,
    Literal, NotExpr, TryCastExpr,
};

/// Whether evaluating `expr` may fail on some row. What is not known may.
pub(super) fn may_fail(expr: &Arc<dyn PhysicalExpr>) -> Result<bool> {
    let mut fails = false;
    expr.apply(|node| {
        // Compares with what is on the other side of a join, or bounds of it.
        if node.is::<DynamicFilterPhysicalExpr>() {
            return Ok(TreeNodeRecursion::Jump);
        }
        let safe = match node.downcast_ref::<BinaryExpr>() {
            Some(binary) => is_safe(*binary.op()),
            None => {
                node.is::<Column>()
                    || node.is::<Literal>()
                    || node.is::<IsNullExpr>()
                    || node.is::<IsNotNullExpr>()
                    || node.is::<NotExpr>()
                    || node.is::<InListExpr>()
                    || node.is::<LikeExpr>()
                    || node.is::<TryCastExpr>()
            }
        };
        fails |= !safe;
        Ok(if fails { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(fails)
}

/// Whether `expr` has a filter in it that changes while the query runs.
pub(super) fn is_dynamic(expr: &Arc<dyn PhysicalExpr>) -> Result<bool> {
    expr.exists(|node| Ok(node.is::<DynamicFilterPhysicalExpr>()))
}

fn is_safe(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
            | Operator::And
            | Operator::Or
    )
}
