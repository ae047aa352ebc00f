//! Titles for the columns of a select list: an expression is called as it was written, and no two
//! columns share a name. DataFusion would show its own types (`Int64(1)`), call a cast as what it
//! casts, and refuse names that do not differ.
//!
//! `SELECT n, CAST(n AS decimal(10, 2)), n` yields `n`, `CAST(n AS DECIMAL(10,2))` and `n_1`.

use std::collections::HashSet;
use std::convert::Infallible;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Ident, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, VisitMut, VisitorMut,
};

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

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Infallible> {
        sort_by_titles(query);
        ControlFlow::Continue(())
    }
}

fn name_columns(select: &mut Select) {
    // `*` has every column, so that a column beside it has been seen.
    let has_all = select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_)));
    let mut taken: HashSet<String> = HashSet::new();
    let mut qualified: HashSet<String> = HashSet::new();
    for item in &mut select.projection {
        let (name, is_free) = match item {
            SelectItem::ExprWithAlias { alias, .. } => {
                (alias.value.clone(), !taken.contains(&alias.value))
            }
            SelectItem::UnnamedExpr(Expr::Identifier(column)) => {
                let name = column.value.clone();
                let is_free = !has_all && !taken.contains(&name) && !qualified.contains(&name);
                (name, is_free)
            }
            SelectItem::UnnamedExpr(expr @ Expr::CompoundIdentifier(_)) => {
                // The same column of two relations keeps its name: the relations tell them apart.
                let Expr::CompoundIdentifier(parts) = &*expr else { continue };
                let Some(last) = parts.last() else { continue };
                let is_free =
                    !has_all && !taken.contains(&last.value) && taken.insert(expr.to_string());
                qualified.insert(last.value.clone());
                (last.value.clone(), is_free)
            }
            // May yield several columns, which one name would hide.
            SelectItem::UnnamedExpr(expr) if is_unnested(expr) => continue,
            SelectItem::UnnamedExpr(expr) => (expr.to_string(), false),
            _ => continue,
        };
        if is_free {
            if !matches!(item, SelectItem::UnnamedExpr(Expr::CompoundIdentifier(_))) {
                taken.insert(name);
            }
            continue;
        }
        let is_column = matches!(
            item,
            SelectItem::UnnamedExpr(Expr::Identifier(_) | Expr::CompoundIdentifier(_))
        );
        let title = free_name(name, is_column, &taken);
        taken.insert(title.clone());
        set_title(item, title);
    }
}

/// What a DISTINCT sorts by is one of its columns: DataFusion looks for the title, not for an equal
/// expression.
fn sort_by_titles(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    let Some(OrderBy { kind: OrderByKind::Expressions(keys), .. }) = &mut query.order_by else {
        return;
    };
    if select.distinct.is_none() {
        return;
    }
    for key in keys {
        let title = select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if *expr == key.expr => Some(alias.clone()),
            _ => None,
        });
        if let Some(title) = title {
            key.expr = Expr::Identifier(title);
        }
    }
}

fn set_title(item: &mut SelectItem, title: String) {
    let alias = Ident::with_quote('"', title);
    match item {
        SelectItem::ExprWithAlias { alias: old, .. } => *old = alias,
        SelectItem::UnnamedExpr(expr) => {
            let expr = std::mem::replace(expr, Expr::value(sqlparser::ast::Value::Null));
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
        _ => {}
    }
}

fn is_unnested(expr: &Expr) -> bool {
    let Expr::Function(function) = expr else { return false };
    function.name.to_string().eq_ignore_ascii_case("unnest")
}

/// `base`, or with a number behind it; `shared` when another column has it already.
fn free_name(base: String, shared: bool, taken: &HashSet<String>) -> String {
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
