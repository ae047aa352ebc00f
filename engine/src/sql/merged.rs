//! The column that USING and NATURAL make of two, in WHERE and in a later ON.
//!
//! DataFusion finds it in the select list, and elsewhere calls it ambiguous: there it is qualified,
//! by the side that the join keeps. After a FULL JOIN it is neither side's, and stays as it is; so
//! does a name that a relation might have of its own whose columns are not known here.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query, Select,
    TableFactor, TableWithJoins, VisitMut, VisitorMut,
};

/// Qualifies merged columns. The identifiers of `query` are spelt as in its relations; `columns`
/// are those of the relation under a name, if it is a table.
pub(crate) fn qualify(query: &mut Query, columns: &dyn Fn(&[String]) -> Option<Vec<String>>) {
    // The visitor never breaks.
    let _done: ControlFlow<Infallible> = VisitMut::visit(query, &mut Selects { columns });
}

struct Selects<'a> {
    columns: &'a dyn Fn(&[String]) -> Option<Vec<String>>,
}

impl VisitorMut for Selects<'_> {
    type Break = Infallible;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Infallible> {
        if let [from] = select.from.as_mut_slice()
            && let Some(merged) = self.joins(from)
            && let Some(condition) = &mut select.selection
        {
            qualify_in(condition, &merged);
        }
        ControlFlow::Continue(())
    }
}

impl Selects<'_> {
    /// Qualifies in the conditions of joins, and says which side each merged column is of; `None`
    /// if a relation's columns are not known.
    fn joins(&self, from: &mut TableWithJoins) -> Option<BTreeMap<String, Ident>> {
        let merges = |join: &sqlparser::ast::Join| {
            matches!(
                sides(&join.join_operator),
                Some((_, JoinConstraint::Using(_) | JoinConstraint::Natural))
            )
        };
        if !from.joins.iter().any(merges) {
            return None;
        }
        let (first, names) = self.relation(&from.relation)?;
        // Whose a column is; `None` for one that several relations have.
        let mut owners: BTreeMap<String, Option<Ident>> =
            names.into_iter().map(|name| (name, Some(first.clone()))).collect();
        let mut merged: BTreeMap<String, Ident> = BTreeMap::new();
        for join in &mut from.joins {
            let (right, names) = self.relation(&join.relation)?;
            let (keeps, constraint) = sides(&join.join_operator)?;
            let common: Vec<String> = match constraint {
                JoinConstraint::Using(keys) => keys.iter().filter_map(single).collect(),
                JoinConstraint::Natural => {
                    names.iter().filter(|name| owners.contains_key(*name)).cloned().collect()
                }
                JoinConstraint::On(_) | JoinConstraint::None => Vec::new(),
            };
            for name in names {
                if common.contains(&name) {
                    let owner = match keeps {
                        Side::Left => owners.get(&name).cloned().flatten(),
                        Side::Right => Some(right.clone()),
                        Side::Neither => None,
                    };
                    match &owner {
                        Some(owner) => merged.insert(name.clone(), owner.clone()),
                        None => merged.remove(&name),
                    };
                    owners.insert(name, owner);
                } else if let Some(owner) = owners.get_mut(&name) {
                    *owner = None;
                    merged.remove(&name);
                } else {
                    owners.insert(name, Some(right.clone()));
                }
            }
            if let Some(condition) = on(&mut join.join_operator) {
                qualify_in(condition, &merged);
            }
        }
        Some(merged)
    }

    /// The name that qualifies a relation's columns, and the columns.
    fn relation(&self, factor: &TableFactor) -> Option<(Ident, Vec<String>)> {
        let TableFactor::Table { name, alias, args: None, .. } = factor else { return None };
        if alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
            return None;
        }
        let parts: Vec<&Ident> = name.0.iter().filter_map(ObjectNamePart::as_ident).collect();
        let key: Vec<String> = parts.iter().map(|part| part.value.clone()).collect();
        let columns = (self.columns)(&key)?;
        let shown = alias.as_ref().map_or_else(|| parts.last().copied(), |a| Some(&a.name))?;
        Some((shown.clone(), columns))
    }
}

#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
    Neither,
}

/// Which side's values a join keeps in a merged column, and by what it joins.
fn sides(operator: &JoinOperator) -> Option<(Side, &JoinConstraint)> {
    use JoinOperator as J;
    Some(match operator {
        J::Join(c) | J::Inner(c) | J::Left(c) | J::LeftOuter(c) | J::CrossJoin(c) => {
            (Side::Left, c)
        }
        J::Right(c) | J::RightOuter(c) => (Side::Right, c),
        J::FullOuter(c) => (Side::Neither, c),
        _ => return None,
    })
}

fn on(operator: &mut JoinOperator) -> Option<&mut Expr> {
    use JoinOperator as J;
    match operator {
        J::Join(JoinConstraint::On(expr))
        | J::Inner(JoinConstraint::On(expr))
        | J::Left(JoinConstraint::On(expr))
        | J::LeftOuter(JoinConstraint::On(expr))
        | J::Right(JoinConstraint::On(expr))
        | J::RightOuter(JoinConstraint::On(expr))
        | J::FullOuter(JoinConstraint::On(expr)) => Some(expr),
        _ => None,
    }
}

fn single(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [part] => part.as_ident().map(|ident| ident.value.clone()),
        _ => None,
    }
}

fn qualify_in(condition: &mut Expr, merged: &BTreeMap<String, Ident>) {
    // The visitor never breaks.
    let _done: ControlFlow<Infallible> =
        VisitMut::visit(condition, &mut Condition { merged, depth: 0 });
}

/// Qualifies outside of subqueries, whose relations may have columns of the same name.
struct Condition<'a> {
    merged: &'a BTreeMap<String, Ident>,
    depth: usize,
}

impl VisitorMut for Condition<'_> {
    type Break = Infallible;

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Infallible> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Infallible> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Infallible> {
        if self.depth == 0
            && let Expr::Identifier(name) = expr
            && let Some(owner) = self.merged.get(&name.value)
        {
            *expr = Expr::CompoundIdentifier(vec![owner.clone(), name.clone()]);
        }
        ControlFlow::Continue(())
    }
}
