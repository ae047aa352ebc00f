//! `(a, b) IN (…)`: rows compared column by column, which DataFusion compares as structs, or not at
//! all.
//!
//! A list becomes OR and AND of comparisons, which is the same in every place. A subquery becomes
//! EXISTS, which is never NULL: the same where only TRUE counts, in WHERE and HAVING below AND and
//! OR. Elsewhere it is refused.

use sqlparser::ast::{BinaryOperator, Expr, Query, Select, UnaryOperator};

use super::template;
use crate::error::{Error, Result};

/// Rewrites rows compared with subqueries in the conditions of `select`.
pub(crate) fn conditions(select: &mut Select) -> Result<()> {
    for condition in [&mut select.selection, &mut select.having].into_iter().flatten() {
        condition_of(condition)?;
    }
    Ok(())
}

fn condition_of(condition: &mut Expr) -> Result<()> {
    let mut pending = vec![condition];
    while let Some(expr) = pending.pop() {
        match expr {
            Expr::Nested(inner) => pending.push(inner.as_mut()),
            Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
                pending.extend([left.as_mut(), right.as_mut()]);
            }
            Expr::InSubquery { expr: row, .. } if matches!(row.as_ref(), Expr::Tuple(_)) => {
                let Expr::InSubquery { expr: row, subquery, negated } =
                    std::mem::replace(expr, null())
                else {
                    continue;
                };
                let Expr::Tuple(row) = *row else { continue };
                *expr = exists(row, *subquery, negated)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Rewrites rows compared with a list; refuses rows compared with a subquery, of which
/// [`conditions`] has left those that it cannot say otherwise.
pub(crate) fn expression(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::InSubquery { expr: row, .. } if matches!(row.as_ref(), Expr::Tuple(_)) => {
            Err(Error::unsupported(
                "(a, b) IN (SELECT …) is supported in WHERE and HAVING, below AND and OR alone; \
                 elsewhere write EXISTS",
            ))
        }
        Expr::InList { expr: row, .. } if matches!(row.as_ref(), Expr::Tuple(_)) => {
            let Expr::InList { expr: row, list, negated } = std::mem::replace(expr, null()) else {
                return Ok(());
            };
            let Expr::Tuple(row) = *row else { return Ok(()) };
            let alternatives =
                list.into_iter().map(|item| equal(&row, item)).collect::<Result<Vec<_>>>()?;
            let any = Expr::Nested(Box::new(chain(alternatives, &BinaryOperator::Or)));
            *expr = if negated {
                Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(any) }
            } else {
                any
            };
            Ok(())
        }
        _ => Ok(()),
    }
}

fn null() -> Expr {
    Expr::value(sqlparser::ast::Value::Null)
}

fn equal(row: &[Expr], item: Expr) -> Result<Expr> {
    let values = match item {
        Expr::Tuple(values) if values.len() == row.len() => values,
        other => {
            return Err(Error::invalid(format!(
                "IN compares rows of {} columns with {other}",
                row.len()
            )));
        }
    };
    let pairs = row.iter().cloned().zip(values).map(|(left, right)| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::Eq,
        right: Box::new(right),
    });
    Ok(Expr::Nested(Box::new(chain(pairs.collect(), &BinaryOperator::And))))
}

/// `terms` joined by `op` as a balanced tree: a list of rows may be long.
fn chain(mut terms: Vec<Expr>, op: &BinaryOperator) -> Expr {
    while terms.len() > 1 {
        let mut paired = Vec::with_capacity(terms.len().div_ceil(2));
        let mut rest = terms.into_iter();
        while let Some(left) = rest.next() {
            paired.push(match rest.next() {
                Some(right) => {
                    Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) }
                }
                None => left,
            });
        }
        terms = paired;
    }
    terms.pop().unwrap_or_else(null)
}

fn exists(row: Vec<Expr>, subquery: Query, negated: bool) -> Result<Expr> {
    let names: Vec<String> = (0..row.len()).map(|i| format!("__fjord_{i}")).collect();
    let columns = names.join(", ");
    let pairs = row
        .into_iter()
        .zip(&names)
        .map(|(left, name)| {
            Ok(Expr::BinaryOp {
                left: Box::new(left),
                op: BinaryOperator::Eq,
                right: Box::new(template::expression(&format!("__fjord_rows.{name}"))?),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let same = Expr::Nested(Box::new(chain(pairs, &BinaryOperator::And)));
    let mut rows =
        template::select(&format!("SELECT 1 FROM (SELECT 1) AS __fjord_rows ({columns})"))?;
    template::fill(&mut rows, subquery)?;
    // NOT IN is true where every row is known to differ.
    let condition = if negated { Expr::IsNotFalse(Box::new(same)) } else { same };
    template::body(&mut rows)?.selection = Some(condition);
    Ok(Expr::Exists { subquery: Box::new(rows), negated })
}
