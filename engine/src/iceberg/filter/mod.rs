//! From DataFusion's filters to the catalog's predicate: equal to the filter on every row, or
//! `Unknown`; never wider. A metadata-only DELETE proves whole files by it.

mod literal;
mod column;
#[cfg(test)]
mod tests;

use datafusion::logical_expr::expr::{InList, Like, ScalarFunction};
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;
use fjord_catalog::predicate::{Comparison, Predicate};
use fjord_catalog::spec::{Datum, PrimitiveType, Schema};

use column::{BoundColumn, bind_column};
use literal::{Constant, constant, to_datum};

/// The predicate that all of `filters` make together, over the field ids of `schema`.
///
/// It is true for exactly the rows for which every filter is true; what cannot be said so is
/// [`Predicate::Unknown`] within it.
pub fn to_predicate(filters: &[Expr], schema: &Schema) -> Predicate {
    let translator = Translator { schema };
    Predicate::And(filters.iter().map(|filter| translator.rows(filter, true)).collect()).simplify()
}

/// SQL has three answers, so a negation cannot be put around a translation: every translation is
/// asked for the rows whose answer is *true*, or for those whose answer is *false*.
struct Translator<'a> {
    schema: &'a Schema,
}

impl Translator<'_> {
    /// The rows for which `expr` is `answer`.
    fn rows(&self, expr: &Expr, answer: bool) -> Predicate {
        match expr {
            Expr::Alias(alias) => self.rows(&alias.expr, answer),
            Expr::Not(inner) => self.rows(inner, !answer),
            Expr::Literal(ScalarValue::Boolean(value), _) => match value {
                Some(value) if *value == answer => Predicate::True,
                _ => Predicate::False,
            },
            Expr::Literal(ScalarValue::Null, _) => Predicate::False,
            Expr::BinaryExpr(binary) => self.binary(binary, answer),
            Expr::IsNull(inner) => exactly(self.null_rows(inner), answer),
            Expr::IsNotNull(inner) => exactly(self.null_rows(inner), !answer),
            Expr::IsUnknown(inner) => exactly(self.null_rows(inner), answer),
            Expr::IsNotUnknown(inner) => exactly(self.null_rows(inner), !answer),
            Expr::IsTrue(inner) => self.is(inner, true, answer),
            Expr::IsNotTrue(inner) => self.is(inner, true, !answer),
            Expr::IsFalse(inner) => self.is(inner, false, answer),
            Expr::IsNotFalse(inner) => self.is(inner, false, !answer),
            Expr::Between(between) => self.between(between, answer),
            Expr::InList(list) => self.in_list(list, answer),
            Expr::Like(like) => self.like(like, answer),
            Expr::ScalarFunction(function) => self.function(function, answer),
            Expr::Column(_) => self.boolean_column(expr, answer),
            _ => Predicate::Unknown,
        }
    }

    /// The rows for which `inner IS (TRUE|FALSE)` is `answer`; it is never NULL.
    fn is(&self, inner: &Expr, truth: bool, answer: bool) -> Predicate {
        if answer {
            return self.rows(inner, truth);
        }
        match self.null_rows(inner) {
            Some(null) => Predicate::Or(vec![self.rows(inner, !truth), null]),
            None => Predicate::Unknown,
        }
    }

    /// The rows for which `expr` is NULL, if that can be said.
    fn null_rows(&self, expr: &Expr) -> Option<Predicate> {
        let column = |expr: &Expr| Some(Predicate::IsNull(bind_column(expr, self.schema)?.id));
        match expr {
            Expr::Alias(alias) => self.null_rows(&alias.expr),
            Expr::Not(inner) => self.null_rows(inner),
            Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotUnknown(_) => Some(Predicate::False),
            Expr::Literal(value, _) if value.is_null() => Some(Predicate::True),
            Expr::Literal(..) => Some(Predicate::False),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if comparison(*op).is_some() => {
                // NULL as soon as one side is.
                Some(Predicate::Or(vec![self.null_rows(left)?, self.null_rows(right)?]))
            }
            _ => column(expr),
        }
    }

    fn binary(&self, binary: &BinaryExpr, answer: bool) -> Predicate {
        let BinaryExpr { left, op, right } = binary;
        let both = || vec![self.rows(left, answer), self.rows(right, answer)];
        match op {
            Operator::And if answer => Predicate::And(both()),
            Operator::And => Predicate::Or(both()),
            Operator::Or if answer => Predicate::Or(both()),
            Operator::Or => Predicate::And(both()),
            Operator::IsDistinctFrom => self.distinct(left, right, answer),
            Operator::IsNotDistinctFrom => self.distinct(left, right, !answer),
            _ => match comparison(*op) {
                Some(comparison) => self.compare(left, comparison, right, answer),
                None => Predicate::Unknown,
            },
        }
    }

    fn compare(&self, left: &Expr, op: Comparison, right: &Expr, answer: bool) -> Predicate {
        let Some((column, literal, is_swapped)) = self.sides(left, right) else {
            return Predicate::Unknown;
        };
        let op = if is_swapped { swapped(op) } else { op };
        let op = if answer { op } else { op.not() };
        match literal {
            Constant::Null => Predicate::False,
            Constant::Value(datum) => Predicate::Compare(column.id, op, datum),
            Constant::Unknown => Predicate::Unknown,
        }
    }

    /// `IS DISTINCT FROM` has no third answer.
    fn distinct(&self, left: &Expr, right: &Expr, answer: bool) -> Predicate {
        let Some((column, literal, _)) = self.sides(left, right) else {
            return Predicate::Unknown;
        };
        let id = column.id;
        match (literal, answer) {
            (Constant::Unknown, _) => Predicate::Unknown,
            (Constant::Null, true) => Predicate::IsNotNull(id),
            (Constant::Null, false) => Predicate::IsNull(id),
            (Constant::Value(datum), true) => Predicate::Or(vec![
                Predicate::Compare(id, Comparison::NotEq, datum),
                Predicate::IsNull(id),
            ]),
            (Constant::Value(datum), false) => Predicate::Compare(id, Comparison::Eq, datum),
        }
    }

    /// The column and the constant of a comparison, and whether they stood the other way round.
    fn sides(&self, left: &Expr, right: &Expr) -> Option<(BoundColumn, Constant, bool)> {
        if let Some(column) = bind_column(left, self.schema) {
            let constant = constant(right, &column.ty);
            return Some((column, constant, false));
        }
        let column = bind_column(right, self.schema)?;
        let constant = constant(left, &column.ty);
        Some((column, constant, true))
    }

    fn between(&self, between: &Between, answer: bool) -> Predicate {
        let Between { expr, negated, low, high } = between;
        let answer = answer != *negated;
        let parts = vec![
            self.compare(expr, Comparison::GtEq, low, answer),
            self.compare(expr, Comparison::LtEq, high, answer),
        ];
        if answer { Predicate::And(parts) } else { Predicate::Or(parts) }
    }

    fn in_list(&self, list: &InList, answer: bool) -> Predicate {
        let Some(column) = bind_column(&list.expr, self.schema) else { return Predicate::Unknown };
        let is_in = answer != list.negated;
        let mut data = Vec::with_capacity(list.list.len());
        let mut has_null = false;
        for item in &list.list {
            match constant(item, &column.ty) {
                Constant::Value(datum) => data.push(datum),
                Constant::Null => has_null = true,
                Constant::Unknown => return Predicate::Unknown,
            }
        }
        match (is_in, has_null) {
            (true, _) => Predicate::In(column.id, data),
            // `x NOT IN (1, NULL)` is never true.
            (false, true) => Predicate::False,
            // Of nothing at all, even NULL is no member; the predicate would leave NULL out.
            (false, false) if data.is_empty() => Predicate::Unknown,
            (false, false) => Predicate::NotIn(column.id, data),
        }
    }

    fn like(&self, like: &Like, answer: bool) -> Predicate {
        let Some(column) = bind_column(&like.expr, self.schema) else { return Predicate::Unknown };
        if like.case_insensitive || like.escape_char.is_some() || column.ty != PrimitiveType::String
        {
            return Predicate::Unknown;
        }
        let answer = answer != like.negated;
        let pattern = match literal::text(&like.pattern) {
            Some(Some(pattern)) => pattern,
            Some(None) => return Predicate::False,
            None => return Predicate::Unknown,
        };
        let (start, op) = match pattern.strip_suffix('%') {
            Some(start) => (start, Comparison::StartsWith),
            None => (pattern.as_str(), Comparison::Eq),
        };
        if start.contains(['%', '_', '\\']) {
            return Predicate::Unknown;
        }
        let op = if answer { op } else { op.not() };
        Predicate::Compare(column.id, op, Datum::string(start))
    }

    fn function(&self, function: &ScalarFunction, answer: bool) -> Predicate {
        match (function.name(), function.args.as_slice()) {
            ("starts_with", [text, prefix]) => {
                let Some(column) = bind_column(text, self.schema) else {
                    return Predicate::Unknown;
                };
                if column.ty != PrimitiveType::String {
                    return Predicate::Unknown;
                }
                let op = Comparison::StartsWith;
                let op = if answer { op } else { op.not() };
                match literal::text(prefix) {
                    Some(Some(prefix)) => Predicate::Compare(column.id, op, Datum::string(prefix)),
                    Some(None) => Predicate::False,
                    None => Predicate::Unknown,
                }
            }
            ("isnan", [value]) => match bind_column(value, self.schema) {
                Some(BoundColumn { id, ty: PrimitiveType::Float | PrimitiveType::Double }) => {
                    if answer {
                        Predicate::IsNan(id)
                    } else {
                        Predicate::IsNotNan(id)
                    }
                }
                _ => Predicate::Unknown,
            },
            ("get_field", _) => {
                self.boolean_column(&Expr::ScalarFunction(function.clone()), answer)
            }
            _ => Predicate::Unknown,
        }
    }

    fn boolean_column(&self, expr: &Expr, answer: bool) -> Predicate {
        match bind_column(expr, self.schema) {
            Some(BoundColumn { id, ty: PrimitiveType::Boolean }) => {
                match to_datum(&ScalarValue::Boolean(Some(answer)), &PrimitiveType::Boolean) {
                    Constant::Value(datum) => Predicate::Compare(id, Comparison::Eq, datum),
                    _ => Predicate::Unknown,
                }
            }
            _ => Predicate::Unknown,
        }
    }
}

/// The rows of `set`, or with `answer` false the others. `set` consists of null tests alone, which
/// have no third answer and so a complement.
fn exactly(set: Option<Predicate>, answer: bool) -> Predicate {
    match set {
        Some(set) if answer => set,
        Some(set) => set.not(),
        None => Predicate::Unknown,
    }
}

fn comparison(op: Operator) -> Option<Comparison> {
    Some(match op {
        Operator::Eq => Comparison::Eq,
        Operator::NotEq => Comparison::NotEq,
        Operator::Lt => Comparison::Lt,
        Operator::LtEq => Comparison::LtEq,
        Operator::Gt => Comparison::Gt,
        Operator::GtEq => Comparison::GtEq,
        _ => return None,
    })
}

/// `1 < x` is `x > 1`.
fn swapped(op: Comparison) -> Comparison {
    match op {
        Comparison::Lt => Comparison::Gt,
        Comparison::LtEq => Comparison::GtEq,
        Comparison::Gt => Comparison::Lt,
        Comparison::GtEq => Comparison::LtEq,
        same => same,
    }
}
