//! Conditions that the database judges as we do. What is not listed here is judged by us.
//!
//! The argument for each: NULL and AND, OR, NOT follow SQL in both; integers, decimals, dates, times
//! and timestamps (to the microsecond) have one order; texts are equal when their bytes are, and are
//! ordered by their bytes under `COLLATE "C"`; floats are compared with what is neither NaN nor zero.

use arrow::datatypes::DataType;
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::{Between, BinaryExpr, Cast, InList, Like};
use datafusion::logical_expr::{Expr, Operator};

use super::columns::{Class, RemoteColumn};
use super::literal::{Kind, constant};
use super::options::Rules;

/// Items of an IN list; a longer one is judged by us.
pub(super) const ITEMS_MAX: usize = 10_000;
/// Nesting of conditions: the database's parser recurses as ours does.
const DEPTH_MAX: usize = 200;

/// Prints conditions over columns that `find` knows.
pub(super) struct Printer<'a> {
    pub(super) rules: Rules,
    pub(super) find: &'a dyn Fn(&Column) -> Option<RemoteColumn>,
}

/// One side of a comparison.
struct Operand {
    sql: String,
    kind: Kind,
    /// Not a constant.
    varies: bool,
}

impl Printer<'_> {
    /// The condition in the database's SQL, in parentheses where it needs them.
    pub(super) fn condition(&self, expr: &Expr) -> Option<String> {
        self.at_depth(expr, 0)
    }

    fn at_depth(&self, expr: &Expr, depth: usize) -> Option<String> {
        if depth > DEPTH_MAX {
            return None;
        }
        let inner = |expr: &Expr| self.at_depth(expr, depth + 1);
        match expr {
            Expr::Alias(alias) => inner(&alias.expr),
            Expr::Literal(ScalarValue::Boolean(value), _) => Some(match value {
                Some(true) => "TRUE".to_owned(),
                Some(false) => "FALSE".to_owned(),
                None => "NULL::bool".to_owned(),
            }),
            Expr::Column(column) => {
                let column = (self.find)(column)?;
                (kind_of(&column)? == Kind::Bool).then_some(column.reference)
            }
            Expr::Not(expr) => Some(format!("(NOT {})", inner(expr)?)),
            Expr::IsNull(expr) => Some(format!("({} IS NULL)", self.any(expr, depth)?)),
            Expr::IsNotNull(expr) => Some(format!("({} IS NOT NULL)", self.any(expr, depth)?)),
            Expr::IsTrue(expr) => Some(format!("({} IS TRUE)", inner(expr)?)),
            Expr::IsFalse(expr) => Some(format!("({} IS FALSE)", inner(expr)?)),
            Expr::IsUnknown(expr) => Some(format!("({} IS UNKNOWN)", inner(expr)?)),
            Expr::IsNotTrue(expr) => Some(format!("({} IS NOT TRUE)", inner(expr)?)),
            Expr::IsNotFalse(expr) => Some(format!("({} IS NOT FALSE)", inner(expr)?)),
            Expr::IsNotUnknown(expr) => Some(format!("({} IS NOT UNKNOWN)", inner(expr)?)),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::And => Some(format!("({} AND {})", inner(left)?, inner(right)?)),
                Operator::Or => Some(format!("({} OR {})", inner(left)?, inner(right)?)),
                op => self.compare(left, *op, right),
            },
            Expr::Between(Between { expr, negated, low, high }) => {
                let low = self.compare(expr, Operator::GtEq, low)?;
                let high = self.compare(expr, Operator::LtEq, high)?;
                let not = if *negated { "NOT " } else { "" };
                Some(format!("({not}({low} AND {high}))"))
            }
            Expr::InList(list) => self.in_list(list),
            Expr::Like(like) => self.like(like),
            _ => None,
        }
    }

    /// What may be asked whether it is NULL: any column, and any condition.
    fn any(&self, expr: &Expr, depth: usize) -> Option<String> {
        match expr {
            Expr::Column(column) => Some((self.find)(column)?.reference),
            expr => self.at_depth(expr, depth + 1),
        }
    }

    pub(super) fn compare(&self, left: &Expr, op: Operator, right: &Expr) -> Option<String> {
        let (l, r) = match (self.column(left), self.column(right)) {
            (Some(l), Some(r)) => (l, r),
            (Some(l), None) => {
                let r = self.constant(right, l.kind)?;
                (l, r)
            }
            (None, Some(r)) => (self.constant(left, r.kind)?, r),
            (None, None) => return None,
        };
        if l.kind != r.kind {
            return None;
        }
        let both_vary = l.varies && r.varies;
        let is_order = matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq);
        let sign = match op {
            Operator::Eq => "=",
            Operator::NotEq => "<>",
            Operator::Lt => "<",
            Operator::LtEq => "<=",
            Operator::Gt => ">",
            Operator::GtEq => ">=",
            Operator::IsDistinctFrom => "IS DISTINCT FROM",
            Operator::IsNotDistinctFrom => "IS NOT DISTINCT FROM",
            _ => return None,
        };
        let collate = match l.kind {
            Kind::Float if both_vary => return None,
            // Two columns may have two collations, which the database would not choose between.
            Kind::Text if both_vary => " COLLATE \"C\"",
            Kind::Text if is_order && !self.rules.text_by_collation => " COLLATE \"C\"",
            _ => "",
        };
        Some(format!("({}{collate} {sign} {})", l.sql, r.sql))
    }

    /// A column, as it is or in a wider type of the same kind.
    fn column(&self, expr: &Expr) -> Option<Operand> {
        match expr {
            Expr::Column(column) => {
                let column = (self.find)(column)?;
                let kind = kind_of(&column)?;
                Some(Operand { sql: column.reference, kind, varies: true })
            }
            Expr::Cast(Cast { expr, field }) => {
                let Expr::Column(column) = expr.as_ref() else { return None };
                let column = (self.find)(column)?;
                let kind = kind_of(&column)?;
                is_widened(&column.wire.data_type(), field.data_type()).then_some(Operand {
                    sql: column.reference,
                    kind,
                    varies: true,
                })
            }
            _ => None,
        }
    }

    fn constant(&self, expr: &Expr, kind: Kind) -> Option<Operand> {
        let Expr::Literal(value, _) = expr else { return None };
        Some(Operand { sql: constant(value, kind)?, kind, varies: false })
    }

    fn in_list(&self, list: &InList) -> Option<String> {
        let column = self.column(&list.expr)?;
        if list.list.is_empty() || list.list.len() > ITEMS_MAX {
            return None;
        }
        let items = list
            .list
            .iter()
            .map(|item| match item {
                Expr::Literal(value, _) if value.is_null() => Some("NULL".to_owned()),
                item => self.constant(item, column.kind).map(|item| item.sql),
            })
            .collect::<Option<Vec<_>>>()?;
        let not = if list.negated { "NOT " } else { "" };
        Some(format!("({} {not}IN ({}))", column.sql, items.join(", ")))
    }

    fn like(&self, like: &Like) -> Option<String> {
        let column = self.column(&like.expr)?;
        let Expr::Literal(pattern, _) = like.pattern.as_ref() else { return None };
        let text = pattern.try_as_str()??;
        // An escape is read alike but for the last character of a pattern, where it is an error.
        if column.kind != Kind::Text
            || like.case_insensitive
            || like.escape_char.is_some()
            || text.contains('\\')
        {
            return None;
        }
        let not = if like.negated { "NOT " } else { "" };
        Some(format!("({} {not}LIKE {})", column.sql, constant(pattern, Kind::Text)?))
    }
}

/// How a column's values are compared; `None` where the database compares them otherwise.
pub(super) fn kind_of(column: &RemoteColumn) -> Option<Kind> {
    match column.class {
        Class::Opaque => None,
        Class::Uuid => Some(Kind::Uuid),
        Class::Exact | Class::Text | Class::Float => Kind::of(&column.wire.data_type()),
    }
}

/// Whether every value of `from` is the same value in `to`.
pub(super) fn is_widened(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    let digits = |ty: &DataType| match ty {
        T::Int16 => Some((5, 0)),
        T::Int32 => Some((10, 0)),
        T::Int64 => Some((19, 0)),
        T::Decimal128(precision, scale) => {
            Some((i16::from(*precision) - i16::from(*scale), i16::from(*scale)))
        }
        _ => None,
    };
    match (from, to) {
        _ if from == to => true,
        (T::Int16, T::Int32 | T::Int64) | (T::Int32, T::Int64) => true,
        (T::Float32, T::Float64) => true,
        (T::Utf8, T::Utf8View | T::LargeUtf8) => true,
        (_, T::Decimal128(..)) => match (digits(from), digits(to)) {
            (Some((whole, fraction)), Some((to_whole, to_fraction))) => {
                whole <= to_whole && fraction <= to_fraction
            }
            _ => false,
        },
        _ => false,
    }
}
