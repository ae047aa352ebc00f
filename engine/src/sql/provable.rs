//! From a condition to what the catalog's predicate engine can prove.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use fjord_catalog::predicate::Predicate;
use fjord_catalog::spec::Schema;

/// The predicate that all of `filters` make together.
///
/// Only constants are told apart until the translation of conditions lands; anything else is
/// unknown, which proves nothing and so deletes nothing.
pub(crate) fn to_predicate(filters: &[Expr], _schema: &Schema) -> Predicate {
    let one = |filter: &Expr| match filter {
        Expr::Literal(ScalarValue::Boolean(Some(true)), _) => Predicate::True,
        Expr::Literal(ScalarValue::Boolean(_), _) => Predicate::False,
        _ => Predicate::Unknown,
    };
    match filters {
        [only] => one(only),
        many => Predicate::And(many.iter().map(one).collect()),
    }
}
