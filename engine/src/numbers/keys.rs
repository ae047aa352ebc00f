//! Joins on floats hand no filter to what they read.
//!
//! A hash join takes -0.0 and 0.0 as equal, but the list of keys that it pushes below itself is
//! compared bit by bit, which drops rows that the join wants. The filter that was pushed stays in
//! the plan and lets everything pass, as the join never fills it.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result as DfResult;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;

/// Takes their dynamic filter from hash joins on floats; runs after filters were pushed.
#[derive(Debug)]
pub(crate) struct EqualZeros;

impl PhysicalOptimizerRule for EqualZeros {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let Some(join) = node.downcast_ref::<HashJoinExec>() else {
                return Ok(Transformed::no(node));
            };
            let schema = join.right().schema();
            let mut on_float = false;
            for (_, key) in join.on() {
                on_float |= holds_float(&key.data_type(&schema)?);
            }
            if on_float {
                return Ok(Transformed::yes(join.builder().reset_state().build_exec()?));
            }
            Ok(Transformed::no(node))
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "equal_zeros"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn holds_float(ty: &DataType) -> bool {
    ty.is_floating() || ty.is_nested()
}
