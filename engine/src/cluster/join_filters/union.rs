//! What passes any of several filters.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CaseExpr, InListExpr, Literal, lit};
use datafusion::physical_expr::split_conjunction;
use datafusion::scalar::ScalarValue;

/// The alternatives of a join's filter: one for each partition of its build side, which the join
/// chooses between by the hash of a row. Elsewhere rows are in other partitions: any will do.
pub(super) fn alternatives(filter: &Arc<dyn PhysicalExpr>) -> Vec<Arc<dyn PhysicalExpr>> {
    if let Some(case) = filter.downcast_ref::<CaseExpr>() {
        let branches = case.when_then_expr().iter().map(|(_, then)| then);
        return branches.chain(case.else_expr()).flat_map(alternatives).collect();
    }
    if let Some(or) = filter.downcast_ref::<BinaryExpr>()
        && *or.op() == Operator::Or
    {
        return [or.left(), or.right()].into_iter().flat_map(alternatives).collect();
    }
    vec![Arc::clone(filter)]
}

/// A filter that passes what any of `filters` does. Lists of values of the same key become one list,
/// so that a row is looked up once.
pub(super) fn union(
    filters: Vec<Arc<dyn PhysicalExpr>>,
    schema: &Schema,
) -> Result<Arc<dyn PhysicalExpr>> {
    let mut alternatives: Vec<_> = filters.into_iter().filter(|f| !is(f, false)).collect();
    if alternatives.is_empty() {
        return Ok(lit(false));
    }
    if alternatives.iter().any(|filter| is(filter, true)) {
        return Ok(lit(true));
    }
    if let [_] = alternatives.as_slice()
        && let Some(only) = alternatives.pop()
    {
        return Ok(only);
    }
    let Some(listed) = alternatives.iter().map(Listed::of).collect::<Option<Vec<_>>>() else {
        return Ok(any(alternatives));
    };
    let [first, others @ ..] = listed.as_slice() else { return Ok(any(alternatives)) };
    let key = first.list.expr();
    if others.iter().any(|other| other.list.expr() != key) {
        return Ok(any(alternatives));
    }
    let values = listed.iter().flat_map(|one| one.list.list()).map(Arc::clone).collect();
    let list = InListExpr::try_new(Arc::clone(key), values, false, schema)?;
    let rest = any(listed.iter().map(|one| all(&one.rest)).collect());
    Ok(all(&[rest, Arc::new(list)]))
}

/// A list of values, and what else must hold.
struct Listed<'a> {
    list: &'a InListExpr,
    rest: Vec<Arc<dyn PhysicalExpr>>,
}

impl<'a> Listed<'a> {
    fn of(filter: &'a Arc<dyn PhysicalExpr>) -> Option<Self> {
        let (mut lists, mut rest) = (Vec::new(), Vec::new());
        for part in split_conjunction(filter) {
            match part.downcast_ref::<InListExpr>() {
                Some(list) if !list.negated() => lists.push(list),
                _ => rest.push(Arc::clone(part)),
            }
        }
        let [list] = lists.as_slice() else { return None };
        Some(Self { list, rest })
    }
}

fn is(filter: &Arc<dyn PhysicalExpr>, value: bool) -> bool {
    filter
        .downcast_ref::<Literal>()
        .is_some_and(|literal| *literal.value() == ScalarValue::Boolean(Some(value)))
}

fn any(filters: Vec<Arc<dyn PhysicalExpr>>) -> Arc<dyn PhysicalExpr> {
    if filters.iter().any(|filter| is(filter, true)) {
        return lit(true);
    }
    let joined = filters.into_iter().reduce(|one, other| {
        Arc::new(BinaryExpr::new(one, Operator::Or, other)) as Arc<dyn PhysicalExpr>
    });
    joined.unwrap_or_else(|| lit(false))
}

/// A filter that passes what all of `filters` do.
pub(super) fn all(filters: &[Arc<dyn PhysicalExpr>]) -> Arc<dyn PhysicalExpr> {
    let joined =
        filters.iter().filter(|filter| !is(filter, true)).map(Arc::clone).reduce(|one, other| {
            Arc::new(BinaryExpr::new(one, Operator::And, other)) as Arc<dyn PhysicalExpr>
        });
    joined.unwrap_or_else(|| lit(true))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field};
    use datafusion::physical_expr::expressions::col;

    use super::*;

    fn schema() -> Arc<Schema> {
        Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]))
    }

    fn bounded(low: i64, high: i64, values: &[i64]) -> Arc<dyn PhysicalExpr> {
        let k = col("k", &schema()).unwrap();
        let compare = |op, value| {
            Arc::new(BinaryExpr::new(Arc::clone(&k), op, lit(value))) as Arc<dyn PhysicalExpr>
        };
        let values = values.iter().map(|value| lit(*value)).collect();
        let list = InListExpr::try_new(Arc::clone(&k), values, false, &schema()).unwrap();
        all(&[compare(Operator::GtEq, low), compare(Operator::LtEq, high), Arc::new(list)])
    }

    fn passing(filter: &Arc<dyn PhysicalExpr>) -> Vec<i64> {
        let keys = Int64Array::from_iter((0..20).map(Some).chain([None]));
        let batch = RecordBatch::try_new(schema(), vec![Arc::new(keys)]).unwrap();
        let found = filter.evaluate(&batch).unwrap().into_array(21).unwrap();
        let found = found.as_boolean();
        (0..20).filter(|at| found.is_valid(*at as usize) && found.value(*at as usize)).collect()
    }

    #[test]
    fn a_row_passes_when_any_task_of_the_join_has_its_key() {
        let filters = vec![bounded(1, 5, &[1, 5]), lit(false), bounded(9, 12, &[9, 12, 10])];
        let found = union(filters, &schema()).unwrap();
        assert_eq!(passing(&found), [1, 5, 9, 10, 12]);
        let text = found.to_string();
        assert_eq!(text.matches("IN (SET)").count(), 1, "one list: {text}");

        // A task that knows bounds alone lets pass what is within them.
        let bounds = union(vec![bounded(1, 5, &[1, 5])], &schema()).unwrap();
        let k = col("k", &schema()).unwrap();
        let above = Arc::new(BinaryExpr::new(k, Operator::Gt, lit(17_i64)));
        assert_eq!(passing(&union(vec![bounds, above], &schema()).unwrap()), [1, 5, 18, 19]);

        assert!(is(&union(Vec::new(), &schema()).unwrap(), false));
        let open = union(vec![lit(true), bounded(1, 5, &[1])], &schema()).unwrap();
        assert!(is(&open, true));
    }

    #[test]
    fn the_partitions_of_a_join_are_alternatives() {
        let branch = |n: i64| (lit(n), bounded(n, n, &[n]));
        let k = col("k", &schema()).unwrap();
        let case =
            CaseExpr::try_new(Some(Arc::clone(&k)), vec![branch(3), branch(4)], Some(lit(false)));
        let case: Arc<dyn PhysicalExpr> = Arc::new(case.unwrap());
        let or: Arc<dyn PhysicalExpr> =
            Arc::new(BinaryExpr::new(lit(false), Operator::Or, Arc::clone(&case)));
        for filter in [case, or] {
            let found = union(alternatives(&filter), &schema()).unwrap();
            assert_eq!(passing(&found), [3, 4]);
        }
    }
}
