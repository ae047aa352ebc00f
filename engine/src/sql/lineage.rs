//! `_row_id` and `_last_updated_sequence_number` in queries: columns that a table of format 3 has only
//! where they are asked for, and that `*` never means.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::datasource::TableType;
use sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins, Visit,
    VisitMut, Visitor, VisitorMut, WildcardAdditionalOptions,
};

use super::context::name_parts;
use super::resolve::Opened;
use crate::error::{Error, Result};
use crate::iceberg::lineage::{LAST_UPDATED, ROW_ID, with_lineage};
use crate::iceberg::table::IcebergTable;

/// Gives the relations of `query` the lineage columns that it names, and keeps them out of its `*`.
///
/// # Errors
/// `Unsupported` where a `*` or NATURAL JOIN beside them cannot be told what it means.
pub(crate) fn extend(query: &mut Query, opened: &mut [Opened]) -> Result<()> {
    let mut asked = Asked::default();
    if Visit::visit(query, &mut asked).is_break() || asked.0.is_empty() {
        return Ok(());
    }
    let asked: Vec<&str> = asked.0.into_iter().collect();
    let mut extended = BTreeSet::new();
    for relation in opened.iter_mut() {
        if relation.table.table_type() != TableType::Base {
            continue;
        }
        let Some(table) = relation.table.downcast_ref::<IcebergTable>() else { continue };
        if let Some(with) = with_lineage(table, &asked)? {
            extended.insert(relation.key.clone());
            relation.table = with;
        }
    }
    if extended.is_empty() {
        return Ok(());
    }
    match VisitMut::visit(query, &mut Wildcards { asked: &asked, extended: &extended }) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The lineage columns that a query names.
#[derive(Default)]
struct Asked(BTreeSet<&'static str>);

impl Asked {
    fn see(&mut self, ident: &Ident) {
        let names = [ROW_ID, LAST_UPDATED].into_iter();
        self.0.extend(names.filter(|name| ident.value.eq_ignore_ascii_case(name)));
    }
}

impl Visitor for Asked {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => self.see(ident),
            Expr::CompoundIdentifier(parts) => {
                if let Some(last) = parts.last() {
                    self.see(last);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Takes the columns out of what `*` means.
struct Wildcards<'a> {
    asked: &'a [&'a str],
    extended: &'a BTreeSet<Vec<String>>,
}

impl VisitorMut for Wildcards<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        match self.set_expr(&mut query.body) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e),
        }
    }
}

impl Wildcards<'_> {
    fn set_expr(&self, body: &mut SetExpr) -> Result<()> {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::SetOperation { left, right, .. } => {
                self.set_expr(left)?;
                self.set_expr(right)
            }
            _ => Ok(()),
        }
    }

    fn select(&self, select: &mut Select) -> Result<()> {
        let all: Vec<&TableFactor> = select.from.iter().flat_map(factors).collect();
        let with: Vec<String> = all.iter().filter_map(|factor| self.known_as(factor)).collect();
        if with.is_empty() {
            return Ok(());
        }
        let is_natural = select.from.iter().flat_map(|from| &from.joins).any(is_natural);
        let alone = all.len() == 1;
        let refused = |what: &str| {
            Err(Error::unsupported(format!(
                "{what} beside {} in one SELECT is not supported; write the columns",
                self.asked.join(" and ")
            )))
        };
        if is_natural {
            return refused("NATURAL JOIN");
        }
        for item in &mut select.projection {
            match item {
                SelectItem::Wildcard(options) if alone => self.exclude(options)?,
                SelectItem::Wildcard(_) => return refused("* over several tables"),
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    options,
                ) => {
                    let name = name_parts(name)?.pop().unwrap_or_default();
                    if with.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
                        self.exclude(options)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn exclude(&self, options: &mut WildcardAdditionalOptions) -> Result<()> {
        let names = self.asked.iter().map(|name| ObjectName::from(vec![Ident::new(*name)]));
        let excluded = match options.opt_exclude.take() {
            None => Vec::new(),
            Some(ExcludeSelectItem::Single(name)) => vec![name],
            Some(ExcludeSelectItem::Multiple(names)) => names,
        };
        if options.opt_except.is_some() {
            return Err(Error::unsupported(format!(
                "* EXCEPT beside {} is not supported; write * EXCLUDE",
                self.asked.join(" and ")
            )));
        }
        let all = excluded.into_iter().chain(names).collect();
        options.opt_exclude = Some(ExcludeSelectItem::Multiple(all));
        Ok(())
    }

    /// By which name a table with lineage is known in its SELECT.
    fn known_as(&self, factor: &TableFactor) -> Option<String> {
        let TableFactor::Table { name, alias, args: None, .. } = factor else { return None };
        let mut parts = name_parts(name).ok()?;
        if !self.extended.contains(&parts) {
            return None;
        }
        alias.as_ref().map(|alias| alias.name.value.clone()).or_else(|| parts.pop())
    }
}

fn factors(from: &TableWithJoins) -> impl Iterator<Item = &TableFactor> {
    std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
}

fn is_natural(join: &sqlparser::ast::Join) -> bool {
    use JoinOperator as J;
    let (J::Join(constraint)
    | J::Inner(constraint)
    | J::Left(constraint)
    | J::LeftOuter(constraint)
    | J::Right(constraint)
    | J::RightOuter(constraint)
    | J::FullOuter(constraint)
    | J::Semi(constraint)
    | J::LeftSemi(constraint)
    | J::RightSemi(constraint)
    | J::Anti(constraint)
    | J::LeftAnti(constraint)
    | J::RightAnti(constraint)) = &join.join_operator
    else {
        return false;
    };
    matches!(constraint, JoinConstraint::Natural)
}
