//! Names regardless of case: every identifier of a query is respelt before DataFusion sees it.
//!
//! DataFusion compares names exactly. Rather than teach it another comparison, a pass over the
//! syntax tree gives each name *one* spelling in the whole query: that of a column of a relation
//! if there is one, otherwise that of its first alias. A relation whose own spelling differs (two
//! tables may spell `customerId` differently) is scanned through a projection that renames the
//! column. So stored names go through planning untouched, `SELECT *` shows them, and no knowledge
//! of SQL's scopes is needed.
//!
//! Where one relation has two columns that differ by case alone, or one select list defines two
//! such aliases, that name is *exact*: quoting reaches one of them, an unquoted use is ambiguous.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use arrow::datatypes::{DataType, Fields, Schema};
use sqlparser::ast::{
    AccessExpr, Cte, ExcludeSelectItem, Expr, Ident, JoinConstraint, JoinOperator, ObjectName,
    ObjectNamePart, PipeOperator, Query, RenameSelectItem, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableFactor, TableWithJoins, Value,
    Visit, VisitMut, Visitor, VisitorMut, WildcardAdditionalOptions, WindowType,
};

use crate::error::{Error, Result};

/// The spellings of one query.
#[derive(Debug, Default)]
pub(crate) struct Spellings {
    /// Lower case to the spelling of columns.
    columns: BTreeMap<String, String>,
    /// Lower case to the spelling of fields inside structs.
    fields: BTreeMap<String, String>,
    /// Lower case to the spelling of relations and their aliases.
    relations: BTreeMap<String, String>,
    /// Names that only an exact spelling reaches, with their spellings.
    exact: BTreeMap<String, BTreeSet<String>>,
}

impl Spellings {
    /// Learns from the relations' schemas and then from the aliases of `query`.
    pub(crate) fn learn<'a>(query: &Query, schemas: impl IntoIterator<Item = &'a Schema>) -> Self {
        let mut spellings = Self::default();
        for schema in schemas {
            spellings.learn_schema(schema);
        }
        if let ControlFlow::Break(never) = Visit::visit(query, &mut Learn(&mut spellings)) {
            match never {}
        }
        spellings
    }

    fn learn_schema(&mut self, schema: &Schema) {
        let mut own: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for field in schema.fields() {
            own.entry(field.name().to_lowercase()).or_default().insert(field.name().clone());
            self.learn_nested(field.data_type());
        }
        for (lower, names) in own {
            if names.len() > 1 {
                self.exact.entry(lower).or_default().extend(names);
            } else if let Some(name) = names.into_iter().next() {
                self.columns.entry(lower).or_insert(name);
            }
        }
    }

    fn learn_nested(&mut self, ty: &DataType) {
        match ty {
            DataType::Struct(fields) => self.learn_fields(fields),
            DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => {
                self.learn_nested(f.data_type());
            }
            DataType::Map(entries, _) => self.learn_nested(entries.data_type()),
            _ => {}
        }
    }

    fn learn_fields(&mut self, fields: &Fields) {
        for field in fields {
            self.fields.entry(field.name().to_lowercase()).or_insert_with(|| field.name().clone());
            self.learn_nested(field.data_type());
        }
    }

    fn learn_alias(&mut self, alias: &Ident) {
        self.columns.entry(alias.value.to_lowercase()).or_insert_with(|| alias.value.clone());
    }

    fn learn_relation(&mut self, name: &Ident) {
        self.relations.entry(name.value.to_lowercase()).or_insert_with(|| name.value.clone());
    }

    /// The spelling of a relation's column within this query.
    pub(crate) fn of_column<'a>(&'a self, stored: &'a str) -> &'a str {
        let lower = stored.to_lowercase();
        if self.exact.contains_key(&lower) {
            return stored;
        }
        self.columns.get(&lower).map_or(stored, String::as_str)
    }

    /// Respells every identifier of `query`.
    ///
    /// # Errors
    /// `Invalid` for an ambiguous name, with the spellings that quoting can choose from.
    pub(crate) fn respell(&self, query: &mut Query) -> Result<()> {
        match VisitMut::visit(query, &mut Respell(self)) {
            ControlFlow::Break(e) => Err(e),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    /// Respells a free-standing expression (DELETE's WHERE).
    pub(crate) fn respell_expr(&self, expr: &mut Expr) -> Result<()> {
        match VisitMut::visit(expr, &mut Respell(self)) {
            ControlFlow::Break(e) => Err(e),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    /// Spellings for expressions over one relation, known as `name`.
    pub(crate) fn of_table(schema: &Schema, name: &str) -> Self {
        let mut spellings = Self::default();
        spellings.learn_schema(schema);
        spellings.learn_relation(&Ident::new(name));
        spellings
    }

    fn set(ident: &mut Ident, spelling: &str) {
        if ident.value != spelling {
            spelling.clone_into(&mut ident.value);
        }
    }

    fn reference(&self, ident: &mut Ident) -> Result<()> {
        let lower = ident.value.to_lowercase();
        if let Some(names) = self.exact.get(&lower) {
            if ident.quote_style.is_some() && names.contains(&ident.value) {
                return Ok(());
            }
            let names: Vec<String> = names.iter().map(|n| format!("\"{n}\"")).collect();
            return Err(Error::invalid(format!(
                "column \"{}\" is ambiguous: it may be {}; quote the one you mean",
                ident.value,
                names.join(" or ")
            )));
        }
        match self.columns.get(&lower).or_else(|| self.fields.get(&lower)) {
            Some(spelling) => Self::set(ident, spelling),
            None if ident.quote_style.is_none() => Self::set(ident, &lower),
            None => {}
        }
        Ok(())
    }

    /// An alias being defined: exact names keep what was written.
    fn definition(&self, ident: &mut Ident) {
        let lower = ident.value.to_lowercase();
        if !self.exact.contains_key(&lower)
            && let Some(spelling) = self.columns.get(&lower)
        {
            Self::set(ident, spelling);
        }
    }

    fn field(&self, ident: &mut Ident) {
        let lower = ident.value.to_lowercase();
        match self.fields.get(&lower).or_else(|| self.columns.get(&lower)) {
            Some(spelling) => Self::set(ident, spelling),
            None if ident.quote_style.is_none() => Self::set(ident, &lower),
            None => {}
        }
    }

    fn relation(&self, ident: &mut Ident) {
        let lower = ident.value.to_lowercase();
        match self.relations.get(&lower) {
            Some(spelling) => Self::set(ident, spelling),
            None if ident.quote_style.is_none() => Self::set(ident, &lower),
            None => {}
        }
    }

    fn is_relation(&self, ident: &Ident) -> bool {
        self.relations.contains_key(&ident.value.to_lowercase())
    }

    /// `[[catalog.]schema.]relation.column[.field …]` or `column.field …`.
    fn compound(&self, parts: &mut [Ident]) -> Result<()> {
        let qualifier = (1..=3)
            .find(|n| *n < parts.len() && parts.get(n - 1).is_some_and(|p| self.is_relation(p)))
            .unwrap_or(0);
        for (i, part) in parts.iter_mut().enumerate() {
            if i + 1 < qualifier {
                fold(part);
            } else if i + 1 == qualifier {
                self.relation(part);
            } else if i == qualifier {
                self.reference(part)?;
            } else {
                self.field(part);
            }
        }
        Ok(())
    }

    fn object_column(&self, name: &mut ObjectName) -> Result<()> {
        let mut parts: Vec<Ident> =
            name.0.iter().filter_map(ObjectNamePart::as_ident).cloned().collect();
        if parts.len() != name.0.len() {
            return Ok(());
        }
        match parts.as_mut_slice() {
            [one] => self.reference(one)?,
            many => self.compound(many)?,
        }
        *name = ObjectName::from(parts);
        Ok(())
    }

    fn object_relation(&self, name: &mut ObjectName) {
        let last = name.0.len().saturating_sub(1);
        for (i, part) in name.0.iter_mut().enumerate() {
            if let ObjectNamePart::Identifier(ident) = part {
                if i == last { self.relation(ident) } else { fold(ident) }
            }
        }
    }
}

/// The key under which planning asks for a relation: its name as [`Spellings::respell`] leaves it.
pub(crate) fn relation_key(spellings: &Spellings, key: &[String]) -> Vec<String> {
    let mut name = ObjectName::from(key.iter().map(Ident::new).collect::<Vec<_>>());
    spellings.object_relation(&mut name);
    name.0.iter().filter_map(ObjectNamePart::as_ident).map(|i| i.value.clone()).collect()
}

// Catalogs and schemas are looked up regardless of case, so lower case serves in every clause.
fn fold(ident: &mut Ident) {
    ident.value = ident.value.to_lowercase();
}

/// Learns aliases.
struct Learn<'a>(&'a mut Spellings);

impl Learn<'_> {
    fn table_alias(&mut self, alias: &TableAlias) {
        self.0.learn_relation(&alias.name);
        for column in &alias.columns {
            self.0.learn_alias(&column.name);
        }
    }

    fn select_list(&mut self, items: &[SelectItem]) {
        let mut quoted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for item in items {
            let aliases: &[Ident] = match item {
                SelectItem::ExprWithAlias { alias, .. } => std::slice::from_ref(alias),
                SelectItem::ExprWithAliases { aliases, .. } => aliases,
                _ => &[],
            };
            for alias in aliases {
                if alias.quote_style.is_some() {
                    let lower = alias.value.to_lowercase();
                    quoted.entry(lower).or_default().insert(alias.value.clone());
                }
                self.0.learn_alias(alias);
            }
        }
        for (lower, names) in quoted {
            if names.len() > 1 {
                self.0.exact.entry(lower).or_default().extend(names);
            }
        }
    }
}

impl Visitor for Learn<'_> {
    type Break = std::convert::Infallible;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.table_alias(&cte.alias);
        }
        for operator in &query.pipe_operators {
            match operator {
                PipeOperator::Select { exprs } | PipeOperator::Extend { exprs } => {
                    self.select_list(exprs);
                }
                PipeOperator::As { alias } => self.0.learn_relation(alias),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        self.select_list(&select.projection);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        if let TableFactor::Table { name, .. } = factor
            && let Some(last) = name.0.last().and_then(ObjectNamePart::as_ident)
        {
            self.0.learn_relation(last);
        }
        if let Some(alias) = alias_of(factor) {
            self.table_alias(alias);
        }
        ControlFlow::Continue(())
    }
}

fn alias_of(factor: &TableFactor) -> Option<&TableAlias> {
    match factor {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => alias.as_ref(),
        _ => None,
    }
}

fn alias_of_mut(factor: &mut TableFactor) -> Option<&mut TableAlias> {
    match factor {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => alias.as_mut(),
        _ => None,
    }
}

/// Gives every identifier its spelling.
struct Respell<'a>(&'a Spellings);

impl Respell<'_> {
    fn table_alias(&self, alias: &mut TableAlias) {
        self.0.relation(&mut alias.name);
        for column in &mut alias.columns {
            self.0.definition(&mut column.name);
        }
    }

    fn select_list(&self, items: &mut [SelectItem]) -> Result<()> {
        for item in items {
            match item {
                SelectItem::UnnamedExpr(_) => {}
                SelectItem::ExprWithAlias { alias, .. } => self.0.definition(alias),
                SelectItem::ExprWithAliases { aliases, .. } => {
                    aliases.iter_mut().for_each(|alias| self.0.definition(alias));
                }
                SelectItem::QualifiedWildcard(kind, options) => {
                    if let SelectItemQualifiedWildcardKind::ObjectName(name) = kind {
                        self.0.object_relation(name);
                    }
                    self.wildcard(options)?;
                }
                SelectItem::Wildcard(options) => self.wildcard(options)?,
            }
        }
        Ok(())
    }

    fn wildcard(&self, options: &mut WildcardAdditionalOptions) -> Result<()> {
        match &mut options.opt_exclude {
            Some(ExcludeSelectItem::Single(name)) => self.0.object_column(name)?,
            Some(ExcludeSelectItem::Multiple(names)) => {
                for name in names {
                    self.0.object_column(name)?;
                }
            }
            None => {}
        }
        if let Some(except) = &mut options.opt_except {
            self.0.reference(&mut except.first_element)?;
            for column in &mut except.additional_elements {
                self.0.reference(column)?;
            }
        }
        for element in options.opt_replace.iter_mut().flat_map(|replace| &mut replace.items) {
            self.0.reference(&mut element.column_name)?;
        }
        let renamed = match &mut options.opt_rename {
            Some(RenameSelectItem::Single(one)) => std::slice::from_mut(one),
            Some(RenameSelectItem::Multiple(many)) => many.as_mut_slice(),
            None => &mut [],
        };
        for rename in renamed {
            self.0.reference(&mut rename.ident)?;
        }
        Ok(())
    }

    fn joins(&self, from: &mut TableWithJoins) -> Result<()> {
        for join in &mut from.joins {
            let Some(JoinConstraint::Using(columns)) = constraint_of(&mut join.join_operator)
            else {
                continue;
            };
            for column in columns {
                self.0.object_column(column)?;
            }
        }
        Ok(())
    }

    fn query(&self, query: &mut Query) -> Result<()> {
        for Cte { alias, .. } in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            self.table_alias(alias);
        }
        if let SetExpr::Table(table) = query.body.as_mut() {
            return Err(Error::unsupported(format!(
                "{table} is not supported; write SELECT * FROM"
            )));
        }
        for operator in &mut query.pipe_operators {
            match operator {
                PipeOperator::Select { exprs } | PipeOperator::Extend { exprs } => {
                    self.select_list(exprs)?;
                }
                PipeOperator::As { alias } => self.0.relation(alias),
                PipeOperator::Drop { columns } => {
                    for column in columns {
                        self.0.reference(column)?;
                    }
                }
                PipeOperator::Rename { mappings } => {
                    for mapping in mappings {
                        self.0.reference(&mut mapping.ident)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn select(&self, select: &mut Select) -> Result<()> {
        self.select_list(&mut select.projection)?;
        for from in &mut select.from {
            self.joins(from)?;
        }
        for window in &mut select.named_window {
            fold(&mut window.0);
        }
        Ok(())
    }

    /// The field in `list[1].field`: DataFusion reads its name as a text, not as an identifier.
    fn access(&self, access: &mut AccessExpr) {
        if let AccessExpr::Dot(expr) = access
            && let Expr::Identifier(field) = expr
        {
            self.0.field(field);
            let name = Value::SingleQuotedString(std::mem::take(&mut field.value));
            *expr = Expr::value(name);
        }
    }

    fn expr(&self, expr: &mut Expr) -> Result<()> {
        match expr {
            Expr::Identifier(ident) => self.0.reference(ident),
            Expr::CompoundIdentifier(parts) => self.0.compound(parts),
            Expr::QualifiedWildcard(name, _) => {
                self.0.object_relation(name);
                Ok(())
            }
            Expr::CompoundFieldAccess { access_chain, .. } => {
                access_chain.iter_mut().for_each(|access| self.access(access));
                Ok(())
            }
            Expr::Function(function) => {
                if let Some(WindowType::NamedWindow(window)) = &mut function.over {
                    fold(window);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn constraint_of(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint)
        | JoinOperator::Semi(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::Anti(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint)
        | JoinOperator::StraightJoin(constraint)
        | JoinOperator::AsOf { constraint, .. } => Some(constraint),
        JoinOperator::CrossApply
        | JoinOperator::OuterApply
        | JoinOperator::ArrayJoin
        | JoinOperator::LeftArrayJoin
        | JoinOperator::InnerArrayJoin => None,
    }
}

fn flow(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(e) => ControlFlow::Break(e),
    }
}

impl VisitorMut for Respell<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        flow(self.query(query))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        flow(self.select(select))
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        if let Some(alias) = alias_of_mut(factor) {
            self.table_alias(alias);
        }
        match factor {
            TableFactor::Table { name, .. } => {
                self.0.object_relation(name);
                ControlFlow::Continue(())
            }
            TableFactor::NestedJoin { table_with_joins, .. } => flow(self.joins(table_with_joins)),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        flow(self.expr(expr))
    }
}

/// The names that the query's own select list gives to its output, by position from the left up to
/// a wildcard and from the right back to one; `None` where a name follows from the expression.
pub(crate) fn written_aliases(query: &Query) -> (Vec<Option<String>>, Vec<Option<String>>) {
    let mut body = &*query.body;
    let select = loop {
        match body {
            SetExpr::Select(select) => break select,
            SetExpr::Query(inner) => body = &inner.body,
            SetExpr::SetOperation { left, .. } => body = left,
            _ => return (Vec::new(), Vec::new()),
        }
    };
    let named = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(Some(alias.value.clone())),
        SelectItem::UnnamedExpr(_) => Some(None),
        _ => None,
    };
    let left: Vec<_> = select.projection.iter().map_while(named).collect();
    let right = if left.len() == select.projection.len() {
        Vec::new()
    } else {
        select.projection.iter().rev().map_while(named).collect()
    };
    (left, right)
}
