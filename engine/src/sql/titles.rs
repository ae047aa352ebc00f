//! Names for the columns of a select list that would share one: DataFusion wants them to differ,
//! and names a cast as what it casts.
//!
//! `SELECT n, CAST(n AS decimal(10, 2))` yields `n` and `CAST(n AS DECIMAL(10,2))`; `SELECT n, n`
//! yields `n` and `n_1`.

use std::collections::HashSet;
use std::convert::Infallible;
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Ident, Query, Select, SelectItem, SetExpr, VisitMut, VisitorMut};

use crate::error::{Error, Result};

/// Names every column that needs it. The identifiers of `query` are spelt as in its relations.
pub(crate) fn make_unique(query: &mut Query) {
    // The visitor never breaks.
    let _done: ControlFlow<Infallible> = VisitMut::visit(query, &mut Titles);
}

struct Titles;

impl VisitorMut for Titles {
    type Break = Infallible;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Infallible> {
        name_columns(select);
        ControlFlow::Continue(())
    }
}

fn name_columns(select: &mut Select) {
    // What a wildcard stands for is not known here: a cast of a column may collide with it.
    let wildcard = |item: &SelectItem| {
        matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
    };
    let has_wildcard = select.projection.iter().any(wildcard);
    let mut taken: HashSet<String> = HashSet::new();
    for item in &mut select.projection {
        match item {
            SelectItem::ExprWithAlias { alias, .. } => {
                taken.insert(alias.value.clone());
            }
            SelectItem::UnnamedExpr(expr) => {
                let hidden = has_wildcard && is_cast_of_column(expr);
                if taken.insert(name_of(expr)) && !hidden {
                    continue;
                }
                let alias = Ident::with_quote('"', free_name(expr, &taken));
                taken.insert(alias.value.clone());
                let expr = std::mem::replace(expr, Expr::value(sqlparser::ast::Value::Null));
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
            _ => {}
        }
    }
}

/// The name that DataFusion would give: the expression without its casts.
fn name_of(expr: &Expr) -> String {
    struct WithoutCasts;
    impl VisitorMut for WithoutCasts {
        type Break = Infallible;

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Infallible> {
            if let Expr::Cast { expr: inner, .. } | Expr::Nested(inner) = expr {
                let inner =
                    std::mem::replace(inner.as_mut(), Expr::value(sqlparser::ast::Value::Null));
                *expr = inner;
            }
            ControlFlow::Continue(())
        }
    }
    let mut bare = expr.clone();
    let _done: ControlFlow<Infallible> = VisitMut::visit(&mut bare, &mut WithoutCasts);
    match bare {
        Expr::Identifier(ident) => ident.value,
        other => other.to_string(),
    }
}

fn is_cast_of_column(expr: &Expr) -> bool {
    let mut inner = expr;
    let mut is_cast = false;
    loop {
        match inner {
            Expr::Cast { expr, .. } => {
                is_cast = true;
                inner = expr;
            }
            Expr::Nested(expr) => inner = expr,
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => return is_cast,
            _ => return false,
        }
    }
}

fn free_name(expr: &Expr, taken: &HashSet<String>) -> String {
    let base = match expr {
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::CompoundIdentifier(parts) => {
            parts.last().map_or_else(|| expr.to_string(), |part| part.value.clone())
        }
        other => other.to_string(),
    };
    let shared = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
    if !shared && !taken.contains(&base) {
        return base;
    }
    let mut number = 1_usize;
    loop {
        let name = format!("{base}_{number}");
        if !taken.contains(&name) {
            return name;
        }
        number += 1;
    }
}

/// Refuses a column that a stored query, which names no columns, yields twice: its second name would
/// be a surprise to whoever reads the table or view.
///
/// # Errors
/// `Invalid`, with the column.
pub(crate) fn check_stored(query: &Query) -> Result<()> {
    let SetExpr::Select(select) = query.body.as_ref() else { return Ok(()) };
    let mut seen = HashSet::new();
    for item in &select.projection {
        let column = match item {
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) => ident,
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => match parts.last() {
                Some(last) => last,
                None => continue,
            },
            SelectItem::ExprWithAlias { alias, .. } => alias,
            _ => continue,
        };
        if !seen.insert(column.value.to_lowercase()) {
            return Err(Error::invalid(format!(
                "the query yields \"{}\" twice; give one of them another name with AS",
                column.value
            )));
        }
    }
    Ok(())
}
