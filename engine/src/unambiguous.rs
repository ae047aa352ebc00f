//! Filters pushed down where names lead to the right column.
//!
//! DataFusion (55.2) hands a filter from an operator to its input by the *name* of each column: in the
//! result of a join in which both sides have a column `i`, a filter of one becomes a filter of the
//! other, and rows are lost without a word. The operators that do so are many, and not ours; so the
//! rules that push filters down see only parts of a plan in which no input has a name twice.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};

/// What the names of the rules that push filters down begin with.
const PUSHES_FILTERS: &str = "FilterPushdown";

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// DataFusion's rules, of which those that push filters down are kept from ambiguous names.
pub(crate) fn physical_rules() -> Vec<Rule> {
    let rules = PhysicalOptimizer::new().rules.into_iter();
    rules
        .map(|rule| match rule.name().starts_with(PUSHES_FILTERS) {
            true => Arc::new(Unambiguous { rule }) as Rule,
            false => rule,
        })
        .collect()
}

/// A rule, applied to the largest parts of a plan in which no input has a name twice.
#[derive(Debug)]
struct Unambiguous {
    rule: Rule,
}

impl Unambiguous {
    /// The plan, and whether the rule may have all of it, and has not had it yet.
    fn apply(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<(Arc<dyn ExecutionPlan>, bool)> {
        let children = plan.children();
        if children.is_empty() {
            return Ok((plan, true));
        }
        let mut applied = Vec::with_capacity(children.len());
        for child in children {
            applied.push(self.apply(Arc::clone(child), config)?);
        }
        if applied.iter().all(|(_, is_free)| *is_free) && names_lead_to_columns(plan.as_ref()) {
            return Ok((plan, true));
        }
        let children = applied
            .into_iter()
            .map(|(child, is_free)| match is_free {
                true => self.rule.optimize(child, config),
                false => Ok(child),
            })
            .collect::<Result<Vec<_>>>()?;
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        Ok((plan.replace_children(children, options)?, false))
    }
}

impl PhysicalOptimizerRule for Unambiguous {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match self.apply(plan, config)? {
            (plan, true) => self.rule.optimize(plan, config),
            (plan, false) => Ok(plan),
        }
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}

/// Whether a name stands for one column of each input; in a union, of all inputs for the same one.
fn names_lead_to_columns(plan: &dyn ExecutionPlan) -> bool {
    let own = plan.is::<UnionExec>().then(|| plan.schema());
    plan.children().into_iter().all(|child| {
        let schema = child.schema();
        let mut seen = HashSet::new();
        let is_unique = schema.fields().iter().all(|field| seen.insert(field.name().as_str()));
        let is_alike = own.as_ref().is_none_or(|own| {
            own.fields().iter().zip(schema.fields()).all(|(one, other)| one.name() == other.name())
        });
        is_unique && is_alike
    })
}
