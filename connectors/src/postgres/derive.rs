//! Queries over queries of one database: aggregates, the first rows of an order, joins. Each gives
//! the answer that we would compute; `None` where that is not proven.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Expr, Operator, SortExpr};

use super::columns::{Class, RemoteColumn, oid};
use super::condition::{Printer, is_widened, kind_of};
use super::literal::Kind;
use super::relation::RemoteRelation;
use super::wire::Wire;

/// What a subtree of a plan reads from one database.
pub(super) struct Source {
    pub(super) relation: Arc<RemoteRelation>,
    /// The relation's columns, in the order of the subtree's schema.
    pub(super) columns: Vec<usize>,
    pub(super) conditions: Vec<String>,
    pub(super) fetch: Option<usize>,
}

impl Source {
    pub(super) fn column(&self, index: usize) -> Option<&RemoteColumn> {
        self.relation.columns.get(*self.columns.get(index)?)
    }

    /// `FROM … WHERE …`, with the columns as they are named there. What is limited is a query of
    /// its own.
    fn clauses(&self) -> (String, Vec<RemoteColumn>) {
        if self.fetch.is_some() {
            let (sql, columns) = self.query();
            return (format!("FROM ({sql}) AS q"), columns);
        }
        let columns = (0..self.columns.len()).filter_map(|i| self.column(i).cloned()).collect();
        let mut from = format!("FROM {}", self.relation.base.to_sql());
        if !self.conditions.is_empty() {
            from.push_str(&format!(" WHERE {}", self.conditions.join(" AND ")));
        }
        (from, columns)
    }

    /// A query that yields the columns under names of ours, `c0` and so on.
    fn query(&self) -> (String, Vec<RemoteColumn>) {
        let mut items = Vec::new();
        let mut columns = Vec::new();
        for index in 0..self.columns.len() {
            let Some(column) = self.column(index) else { continue };
            let (sql, ty) = column.inner();
            items.push(format!("{sql} AS c{index}"));
            columns.push(named(column, &format!("c{index}"), ty));
        }
        let mut sql = format!("SELECT {} FROM {}", items.join(", "), self.relation.base.to_sql());
        if !self.conditions.is_empty() {
            sql.push_str(&format!(" WHERE {}", self.conditions.join(" AND ")));
        }
        if let Some(fetch) = self.fetch {
            sql.push_str(&format!(" LIMIT {fetch}"));
        }
        (sql, columns)
    }
}

/// A column of a query of ours, `ty` its type there.
fn named(column: &RemoteColumn, name: &str, ty: u32) -> RemoteColumn {
    RemoteColumn {
        select: name.to_owned(),
        reference: name.to_owned(),
        oid: ty,
        reference_oid: ty,
        ..column.clone()
    }
}

/// A query of `sources`, with a column for each of `fields`.
fn relation(
    of: &Source,
    sql: String,
    mut columns: Vec<RemoteColumn>,
    fields: &[&Field],
) -> Option<RemoteRelation> {
    // A join may bring two columns of one name.
    let mut taken = HashSet::new();
    for (index, column) in columns.iter_mut().enumerate() {
        if !taken.insert(column.name.clone()) {
            column.name = format!("{} (column {})", column.name, index + 1);
        }
    }
    let fits = columns.len() == fields.len()
        && columns.iter().zip(fields).all(|(c, f)| c.wire.data_type() == *f.data_type());
    fits.then(|| {
        let database = Arc::clone(&of.relation.database);
        let shown = of.relation.shown.clone();
        let mut relation = RemoteRelation::of_query(database, sql, shown, columns);
        relation.has_text = of.relation.has_text;
        relation
    })
}

/// The position of a column in a subtree's schema, if `expr` is nothing but a column.
pub(super) type Find<'a> = &'a dyn Fn(&Column) -> Option<usize>;

fn plain(expr: &Expr, find: Find<'_>) -> Option<usize> {
    match expr {
        Expr::Alias(alias) => plain(&alias.expr, find),
        Expr::Column(column) => find(column),
        _ => None,
    }
}

/// Whether equal values are equal there.
fn is_groupable(column: &RemoteColumn) -> bool {
    matches!(column.class, Class::Exact | Class::Text | Class::Uuid)
}

/// `GROUP BY`, or one row of totals.
pub(super) fn aggregate(
    source: &Source,
    groups: &[Expr],
    aggregates: &[Expr],
    fields: &[&Field],
    find: Find<'_>,
) -> Option<RemoteRelation> {
    let (from, columns) = source.clauses();
    let mut items = Vec::new();
    let mut keys = Vec::new();
    let mut yielded = Vec::new();
    for group in groups {
        let column = columns.get(plain(group, find)?)?;
        if !is_groupable(column) {
            return None;
        }
        let (sql, ty) = column.inner();
        let name = format!("c{}", items.len());
        yielded.push(named(column, &name, ty));
        keys.push(sql.to_owned());
        items.push(format!("{sql} AS {name}"));
    }
    for aggregate in aggregates {
        let name = format!("c{}", items.len());
        let total = total(source, aggregate, &columns, find)?;
        items.push(format!("{} AS {name}", total.sql));
        yielded.push(RemoteColumn {
            name: name.clone(),
            nullable: total.nullable,
            wire: total.wire,
            oid: total.oid,
            modifier: -1,
            select: name.clone(),
            reference: name,
            reference_oid: total.oid,
            class: total.class,
        });
    }
    if items.is_empty() {
        return None;
    }
    let mut sql = format!("SELECT {} {from}", items.join(", "));
    if !keys.is_empty() {
        sql.push_str(&format!(" GROUP BY {}", keys.join(", ")));
    }
    relation(source, sql, yielded, fields)
}

struct Total {
    sql: String,
    wire: Wire,
    oid: u32,
    class: Class,
    nullable: bool,
}

fn total(source: &Source, expr: &Expr, columns: &[RemoteColumn], find: Find<'_>) -> Option<Total> {
    let AggregateFunction { func, params } = match expr {
        Expr::Alias(alias) => return total(source, &alias.expr, columns, find),
        Expr::AggregateFunction(function) => function,
        _ => return None,
    };
    if !params.order_by.is_empty() || params.null_treatment.is_some() {
        return None;
    }
    let [argument] = params.args.as_slice() else { return None };
    let lookup = |column: &Column| find(column).and_then(|i| columns.get(i).cloned());
    let filter = match &params.filter {
        None => String::new(),
        Some(filter) => {
            let rules = source.relation.database.settings().rules;
            let condition = Printer { rules, find: &lookup }.condition(filter)?;
            format!(" FILTER (WHERE {condition})")
        }
    };
    let distinct = if params.distinct { "DISTINCT " } else { "" };
    let count = |what: &str| Total {
        sql: format!("count({distinct}{what}){filter}"),
        wire: Wire::Int64,
        oid: oid::INT8,
        class: Class::Exact,
        nullable: false,
    };
    let name = func.name();
    if name == "count" && matches!(argument, Expr::Literal(value, _) if !value.is_null()) {
        return (!params.distinct).then(|| count("*"));
    }
    let (argument, cast) = match argument {
        Expr::Cast(cast) => (cast.expr.as_ref(), Some(cast.field.data_type())),
        argument => (argument, None),
    };
    let column = columns.get(plain(argument, find)?)?;
    if cast.is_some_and(|to| !is_widened(&column.wire.data_type(), to)) {
        return None;
    }
    let (reference, _) = column.inner();
    match name {
        "count" if params.distinct && !is_groupable(column) => None,
        "count" => Some(count(reference)),
        "sum" if !params.distinct => {
            let (wire, ty) = sum(&column.wire, cast)?;
            let sql = format!("sum({reference}){filter}");
            Some(Total { sql, wire, oid: ty, class: Class::Exact, nullable: true })
        }
        "min" | "max" if cast.is_none() => {
            let collate = match kind_of(column)? {
                Kind::Number | Kind::Date | Kind::Timestamp { .. } | Kind::Time => "",
                Kind::Text if source.relation.database.settings().rules.text_by_collation => "",
                Kind::Text => " COLLATE \"C\"",
                Kind::Bool | Kind::Uuid | Kind::Float => return None,
            };
            let is_text = column.class == Class::Text;
            Some(Total {
                sql: format!("{name}({reference}{collate}){filter}"),
                wire: column.wire.clone(),
                oid: if is_text { oid::TEXT } else { column.reference_oid },
                class: column.class,
                nullable: true,
            })
        }
        _ => None,
    }
}

/// A sum as the database gives it: exact, and checked as it is read.
fn sum(wire: &Wire, cast: Option<&DataType>) -> Option<(Wire, u32)> {
    let to_integer = cast.is_none_or(|to| *to == DataType::Int64);
    match wire {
        Wire::Int16 | Wire::Int32 if to_integer => Some((Wire::Int64, oid::INT8)),
        Wire::Int64 if to_integer => Some((Wire::NumericInt64, oid::NUMERIC)),
        Wire::Decimal { precision, scale } if cast.is_none() => {
            let precision = precision.saturating_add(10).min(super::columns::DIGITS_MAX);
            Some((Wire::Decimal { precision, scale: *scale }, oid::NUMERIC))
        }
        _ => None,
    }
}

/// The first `fetch` rows of an order.
pub(super) fn first(
    source: &Source,
    order: &[SortExpr],
    fetch: usize,
    fields: &[&Field],
    find: Find<'_>,
) -> Option<RemoteRelation> {
    let rules = source.relation.database.settings().rules;
    let (from, columns) = source.clauses();
    let mut keys = Vec::new();
    for key in order {
        let index = plain(&key.expr, find)?;
        let column = columns.get(index)?;
        if !is_groupable(column) {
            return None;
        }
        // A name alone means a column of the result, in an expression one of the input.
        let key_sql = match column.class {
            Class::Text if !rules.text_by_collation => {
                format!("{} COLLATE \"C\"", column.inner().0)
            }
            _ => format!("c{index}"),
        };
        let direction = if key.asc { "ASC" } else { "DESC" };
        let nulls = match key.nulls_first {
            _ if rules.nulls_anywhere => "",
            // Without a word of NULLs an index serves both directions.
            _ if !column.nullable => "",
            true => " NULLS FIRST",
            false => " NULLS LAST",
        };
        keys.push(format!("{key_sql} {direction}{nulls}"));
    }
    let mut items = Vec::new();
    let mut yielded = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        let (sql, ty) = column.inner();
        let name = format!("c{index}");
        items.push(format!("{sql} AS {name}"));
        yielded.push(named(column, &name, ty));
    }
    let sql =
        format!("SELECT {} {from} ORDER BY {} LIMIT {fetch}", items.join(", "), keys.join(", "));
    let mut relation = relation(source, sql, yielded, fields)?;
    relation.rows_max = Some(fetch);
    Some(relation)
}

/// What joins two sources of one database.
pub(super) struct On<'a> {
    pub(super) kind: JoinType,
    pub(super) keys: &'a [(Expr, Expr)],
    pub(super) filter: Option<&'a Expr>,
}

/// A join. `find` tells the side, left or right, and the position on it.
pub(super) fn join(
    left: &Source,
    right: &Source,
    on: &On<'_>,
    fields: &[&Field],
    find: &dyn Fn(&Column) -> Option<(bool, usize)>,
) -> Option<RemoteRelation> {
    let rules = left.relation.database.settings().rules;
    let (left_sql, left_columns) = left.query();
    let (right_sql, right_columns) = right.query();
    let qualified = |columns: Vec<RemoteColumn>, side: &str| -> Vec<RemoteColumn> {
        columns
            .into_iter()
            .map(|c| named(&c, &format!("{side}.{}", c.reference), c.reference_oid))
            .collect()
    };
    let (left_columns, right_columns) =
        (qualified(left_columns, "l"), qualified(right_columns, "r"));
    let lookup = |column: &Column| match find(column)? {
        (true, index) => left_columns.get(index).cloned(),
        (false, index) => right_columns.get(index).cloned(),
    };
    let printer = Printer { rules, find: &lookup };
    let mut conditions = on
        .keys
        .iter()
        .map(|(l, r)| printer.compare(l, Operator::Eq, r))
        .collect::<Option<Vec<_>>>()?;
    if conditions.is_empty() {
        return None;
    }
    if let Some(filter) = on.filter {
        conditions.push(printer.condition(filter)?);
    }
    let conditions = conditions.join(" AND ");
    let (kept, tables): (Vec<&RemoteColumn>, String) = match on.kind {
        JoinType::Inner | JoinType::Left => {
            let word = if on.kind == JoinType::Inner { "JOIN" } else { "LEFT JOIN" };
            let tables =
                format!("FROM ({left_sql}) AS l {word} ({right_sql}) AS r ON {conditions}");
            (left_columns.iter().chain(&right_columns).collect(), tables)
        }
        JoinType::LeftSemi | JoinType::LeftAnti => {
            let not = if on.kind == JoinType::LeftAnti { "NOT " } else { "" };
            let tables = format!(
                "FROM ({left_sql}) AS l WHERE {not}EXISTS (SELECT FROM ({right_sql}) AS r WHERE {conditions})"
            );
            (left_columns.iter().collect(), tables)
        }
        _ => return None,
    };
    let is_outer = on.kind == JoinType::Left;
    let mut items = Vec::new();
    let mut yielded = Vec::new();
    for (index, column) in kept.into_iter().enumerate() {
        let name = format!("c{index}");
        items.push(format!("{} AS {name}", column.reference));
        let mut column = named(column, &name, column.reference_oid);
        column.nullable |= is_outer && index >= left_columns.len();
        yielded.push(column);
    }
    let sql = format!("SELECT {} {tables}", items.join(", "));
    let mut relation = relation(left, sql, yielded, fields)?;
    relation.shown = format!("{} and {}", left.relation.shown, right.relation.shown);
    relation.has_text |= right.relation.has_text;
    Some(relation)
}
