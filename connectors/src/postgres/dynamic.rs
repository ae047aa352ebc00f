//! What a join has learnt of its other side, as a condition for the database: never less than the
//! rows that the join wants, which judges them again.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, DynamicFilterPhysicalExpr, InListExpr, Literal,
};

use super::columns::Class;
use super::condition::ITEMS_MAX;
use super::literal::{Kind, constant};
use super::scan::ScanColumn;

/// Nesting that is looked into.
const DEPTH_MAX: usize = 64;

/// The conditions that hold for every row that passes `filters`, as far as they can be said.
pub(super) fn conditions(
    filters: &[Arc<dyn PhysicalExpr>],
    columns: &[ScanColumn],
    schema: &Schema,
) -> Vec<String> {
    let reader = Reader { columns, schema };
    filters.iter().filter_map(|filter| reader.at_least(filter, 0)).collect()
}

struct Reader<'a> {
    columns: &'a [ScanColumn],
    schema: &'a Schema,
}

impl Reader<'_> {
    /// A condition that `expr` implies; `None` where nothing is known but that it may hold.
    fn at_least(&self, expr: &Arc<dyn PhysicalExpr>, depth: usize) -> Option<String> {
        if depth > DEPTH_MAX {
            return None;
        }
        if let Some(dynamic) = expr.downcast_ref::<DynamicFilterPhysicalExpr>() {
            return self.at_least(&dynamic.current().ok()?, depth + 1);
        }
        if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
            return match binary.op() {
                Operator::And => {
                    let sides = [binary.left(), binary.right()];
                    let known: Vec<_> =
                        sides.iter().filter_map(|s| self.at_least(s, depth + 1)).collect();
                    (!known.is_empty()).then(|| format!("({})", known.join(" AND ")))
                }
                Operator::Or => {
                    let left = self.at_least(binary.left(), depth + 1)?;
                    let right = self.at_least(binary.right(), depth + 1)?;
                    Some(format!("({left} OR {right})"))
                }
                op => self.compare(binary.left(), *op, binary.right()),
            };
        }
        if let Some(list) = expr.downcast_ref::<InListExpr>() {
            return self.in_list(list);
        }
        if let Some(case) = expr.downcast_ref::<CaseExpr>() {
            return self.case(case, depth);
        }
        if let Some(literal) = expr.downcast_ref::<Literal>() {
            return (literal.value() == &false.into()).then(|| "FALSE".to_owned());
        }
        None
    }

    /// A row that passes a CASE passes one of its branches.
    fn case(&self, case: &CaseExpr, depth: usize) -> Option<String> {
        let mut branches = Vec::new();
        let results = case.when_then_expr().iter().map(|(_, then)| then).chain(case.else_expr());
        for result in results {
            let branch = self.at_least(result, depth + 1)?;
            if branch != "FALSE" && !branches.contains(&branch) {
                branches.push(branch);
            }
        }
        match branches.len() {
            0 => Some("FALSE".to_owned()),
            _ => Some(format!("({})", branches.join(" OR "))),
        }
    }

    fn compare(
        &self,
        left: &Arc<dyn PhysicalExpr>,
        op: Operator,
        right: &Arc<dyn PhysicalExpr>,
    ) -> Option<String> {
        let (sql, kind) = self.column(left)?;
        let literal = right.downcast_ref::<Literal>()?;
        let sign = match op {
            Operator::Eq => "=",
            Operator::Lt => "<",
            Operator::LtEq => "<=",
            Operator::Gt => ">",
            Operator::GtEq => ">=",
            _ => return None,
        };
        let collate = if kind == Kind::Text && op != Operator::Eq { " COLLATE \"C\"" } else { "" };
        Some(format!("({sql}{collate} {sign} {})", constant(literal.value(), kind)?))
    }

    fn in_list(&self, list: &InListExpr) -> Option<String> {
        let (sql, kind) = self.column(list.expr())?;
        if list.negated() || list.len() > ITEMS_MAX {
            return None;
        }
        let mut items = Vec::new();
        for item in list.list() {
            let value = item.downcast_ref::<Literal>()?.value();
            // No row equals NULL, whatever else is in the list.
            if !value.is_null() {
                items.push(constant(value, kind)?);
            }
        }
        match items.len() {
            0 => Some("FALSE".to_owned()),
            _ => Some(format!("({sql} IN ({}))", items.join(", "))),
        }
    }

    fn column(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<(String, Kind)> {
        if let Some(cast) = expr.downcast_ref::<CastExpr>() {
            let inner = cast.expr();
            let from = inner.data_type(self.schema).ok()?;
            let to = expr.data_type(self.schema).ok()?;
            return match super::condition::is_widened(&from, &to) {
                true => self.column(inner),
                false => None,
            };
        }
        let column = expr.downcast_ref::<Column>()?;
        let column = self.columns.get(column.index())?;
        let kind = match column.class {
            Class::Exact | Class::Text => Kind::of(&column.wire.data_type())?,
            // A text that is no uuid equals none, and would make the condition too narrow nowhere,
            // but cannot be written.
            Class::Uuid => Kind::Uuid,
            Class::Float | Class::Opaque => return None,
        };
        Some((column.reference.clone(), kind))
    }
}
