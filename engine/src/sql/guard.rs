//! Clauses that parse and that DataFusion would drop without a word: each is an error here.
//!
//! The structs are taken apart without `..`, so a clause that a newer parser reads does not compile
//! until somebody has decided what it means. `FETCH FIRST n ROWS ONLY` becomes the LIMIT it is, a number
//! with an exponent the double it is, and a timestamp keeps the digits it is written with.

use std::ops::ControlFlow;

use sqlparser::ast::{
    CastKind, DataType, Distinct, ExactNumberInfo, Expr, Fetch, GroupByExpr, Join, LimitClause,
    OrderByKind, PipeOperator, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier,
    TableAlias, TableFactor, TableWithJoins, TimezoneInfo, TypedString, Value, VisitMut,
    VisitorMut, WildcardAdditionalOptions,
};

use super::{multiset, tuples};
use crate::error::{Error, Result};
use crate::numbers::instant;

/// Refuses what would be ignored, and rewrites what has an equivalent.
pub(crate) fn check(query: &mut Query) -> Result<()> {
    match VisitMut::visit(query, &mut Guard) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The same for an expression that stands alone (DELETE's WHERE).
pub(crate) fn check_expr(expr: &mut Expr) -> Result<()> {
    match VisitMut::visit(expr, &mut Guard) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Guard;

fn flow(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(e) => ControlFlow::Break(e),
    }
}

/// The first clause that is present, as an error.
fn refuse<const N: usize>(clauses: [(bool, &str); N]) -> ControlFlow<Error> {
    match clauses.into_iter().find(|(present, _)| *present) {
        Some((_, clause)) => {
            ControlFlow::Break(Error::unsupported(format!("{clause} is not supported")))
        }
        None => ControlFlow::Continue(()),
    }
}

impl VisitorMut for Guard {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        limit_for_fetch(query)?;
        flow(multiset::rewrite(&mut query.body))?;
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch: _,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        refuse([
            (!locks.is_empty(), "FOR UPDATE or FOR SHARE"),
            (for_clause.is_some(), "FOR XML, FOR JSON or FOR BROWSE"),
            (settings.is_some(), "SETTINGS"),
            (format_clause.is_some(), "FORMAT"),
        ])?;
        for cte in with.iter().flat_map(|with| &with.cte_tables) {
            refuse([(cte.from.is_some(), "FROM after a CTE")])?;
            check_alias(Some(&cte.alias))?;
        }
        if let Some(LimitClause::LimitOffset { limit_by, .. }) = limit_clause {
            refuse([(!limit_by.is_empty(), "LIMIT BY")])?;
        }
        if let Some(order_by) = order_by {
            refuse([(order_by.interpolate.is_some(), "INTERPOLATE")])?;
            if let OrderByKind::Expressions(exprs) = &order_by.kind {
                refuse([(exprs.iter().any(|e| e.with_fill.is_some()), "WITH FILL")])?;
            }
        }
        let samples = pipe_operators.iter().any(|p| matches!(p, PipeOperator::TableSample { .. }));
        refuse([(samples, "TABLESAMPLE")])?;
        check_body(body)
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        check_select(select)?;
        flow(tuples::conditions(select))
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        check_factor(factor)
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match expr {
            Expr::OuterJoin(_) => refuse([(true, "the (+) of Oracle's outer join")]),
            Expr::Prior(_) => refuse([(true, "PRIOR")]),
            Expr::TypedString(literal) => settle_precision(literal),
            Expr::Value(value) if is_approximate(&value.value) => {
                double_for_exponent(expr);
                ControlFlow::Continue(())
            }
            Expr::InList { .. } | Expr::InSubquery { .. } => flow(tuples::expression(expr)),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// `TIMESTAMP '… .1234567'` has the precision that it is written with, and with an offset it is an
/// instant whatever the session's zone, as in Trino.
fn settle_precision(literal: &mut TypedString) -> ControlFlow<Error> {
    let DataType::Timestamp(precision @ None, zone) = &mut literal.data_type else {
        return ControlFlow::Continue(());
    };
    let Value::SingleQuotedString(text) = &literal.value.value else {
        return ControlFlow::Continue(());
    };
    if *zone == TimezoneInfo::None && has_offset(text) {
        *zone = TimezoneInfo::WithTimeZone;
    }
    match instant::fraction_digits(text) {
        0..=6 => {}
        7..=9 => *precision = Some(9),
        digits => {
            return ControlFlow::Break(Error::invalid(format!(
                "TIMESTAMP '{text}' has {digits} digits below the second; nanoseconds, nine digits, \
                 are the finest"
            )));
        }
    }
    ControlFlow::Continue(())
}

/// Whether a sign or a letter follows the time of day: `+02:00`, `Z`, `Europe/Paris`.
fn has_offset(text: &str) -> bool {
    let offset = |c: char| matches!(c, '+' | '-') || c.is_ascii_alphabetic();
    text.split_once(':').is_some_and(|(_, after)| after.contains(offset))
}

/// `1e3`: a number with an exponent is approximate in the SQL standard, unlike `1.5`.
fn is_approximate(value: &Value) -> bool {
    matches!(value, Value::Number(digits, _) if digits.contains(['e', 'E']))
}

fn double_for_exponent(expr: &mut Expr) {
    let Expr::Value(value) = expr else { return };
    let Value::Number(digits, _) = &value.value else { return };
    let digits = Expr::value(Value::SingleQuotedString(digits.clone()));
    *expr = Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(digits),
        data_type: DataType::Double(ExactNumberInfo::None),
        array: false,
        format: None,
    };
}

/// `FETCH FIRST n ROWS ONLY` is LIMIT n.
fn limit_for_fetch(query: &mut Query) -> ControlFlow<Error> {
    let Some(Fetch { with_ties, percent, quantity }) = query.fetch.take() else {
        return ControlFlow::Continue(());
    };
    refuse([(with_ties, "FETCH … WITH TIES"), (percent, "FETCH … PERCENT")])?;
    let quantity = quantity.unwrap_or_else(|| Expr::value(Value::Number("1".to_owned(), false)));
    match &mut query.limit_clause {
        None => {
            query.limit_clause = Some(LimitClause::LimitOffset {
                limit: Some(quantity),
                offset: None,
                limit_by: Vec::new(),
            });
        }
        Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(quantity),
        Some(_) => return refuse([(true, "FETCH together with LIMIT")]),
    }
    ControlFlow::Continue(())
}

fn check_body(body: &SetExpr) -> ControlFlow<Error> {
    let mut pending = vec![body];
    while let Some(body) = pending.pop() {
        match body {
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                // DataFusion plans them as joins, which forget how often a row occurs; without BY
                // NAME they were rewritten.
                let by_name = matches!(
                    set_quantifier,
                    SetQuantifier::ByName
                        | SetQuantifier::AllByName
                        | SetQuantifier::DistinctByName
                );
                refuse([
                    (by_name && *op == SetOperator::Intersect, "INTERSECT BY NAME"),
                    (
                        by_name && matches!(op, SetOperator::Except | SetOperator::Minus),
                        "EXCEPT BY NAME",
                    ),
                ])?;
                pending.extend([&**left, &**right]);
            }
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                refuse([(true, "a change inside a query")])?;
            }
            SetExpr::Table(_) => refuse([(true, "TABLE t (write SELECT * FROM t)")])?,
            SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => {}
        }
    }
    ControlFlow::Continue(())
}

fn check_select(select: &Select) -> ControlFlow<Error> {
    let Select {
        select_token: _,
        optimizer_hints,
        distinct,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection,
        exclude,
        into,
        from,
        lateral_views,
        prewhere,
        selection: _,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window: _,
        qualify: _,
        window_before_qualify: _,
        value_table_mode,
        flavor: _,
    } = select;
    let _planned_by_datafusion: (&Option<Distinct>, &GroupByExpr) = (distinct, group_by);
    refuse([
        (!optimizer_hints.is_empty(), "an optimizer hint"),
        (select_modifiers.is_some(), "a modifier of SELECT such as HIGH_PRIORITY"),
        (top.is_some(), "TOP (write LIMIT)"),
        (exclude.is_some(), "EXCLUDE after the select list (write * EXCLUDE (…))"),
        (into.is_some(), "SELECT INTO (write CREATE TABLE … AS)"),
        (!lateral_views.is_empty(), "LATERAL VIEW (write unnest in the select list)"),
        (prewhere.is_some(), "PREWHERE (write WHERE)"),
        (!connect_by.is_empty(), "CONNECT BY (write WITH RECURSIVE)"),
        (!cluster_by.is_empty(), "CLUSTER BY"),
        (!distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!sort_by.is_empty(), "SORT BY (write ORDER BY)"),
        (value_table_mode.is_some(), "SELECT AS VALUE or AS STRUCT"),
    ])?;
    for item in projection {
        match item {
            SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
                check_wildcard(options)?;
            }
            SelectItem::ExprWithAliases { .. } => {
                refuse([(true, "several aliases of one expression")])?;
            }
            SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. } => {}
        }
    }
    for TableWithJoins { relation: _, joins } in from {
        check_joins(joins)?;
    }
    ControlFlow::Continue(())
}

fn check_wildcard(options: &WildcardAdditionalOptions) -> ControlFlow<Error> {
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude: _,
        opt_except: _,
        opt_replace: _,
        opt_rename,
        opt_alias,
    } = options;
    refuse([
        (opt_ilike.is_some(), "* ILIKE"),
        (opt_rename.is_some(), "* RENAME"),
        (opt_alias.is_some(), "* AS"),
    ])
}

fn check_joins(joins: &[Join]) -> ControlFlow<Error> {
    for Join { relation: _, global, join_operator: _ } in joins {
        refuse([(*global, "GLOBAL JOIN")])?;
    }
    ControlFlow::Continue(())
}

fn check_alias(alias: Option<&TableAlias>) -> ControlFlow<Error> {
    let Some(TableAlias { explicit: _, name: _, columns, at }) = alias else {
        return ControlFlow::Continue(());
    };
    refuse([
        (at.is_some(), "AT after an alias"),
        (columns.iter().any(|c| c.data_type.is_some()), "a type in a table's alias"),
    ])
}

fn check_factor(factor: &TableFactor) -> ControlFlow<Error> {
    match factor {
        TableFactor::Table {
            name: _,
            alias,
            args,
            with_hints,
            version: _, // `relation` takes it, or refuses it.
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } => {
            refuse([
                (!with_hints.is_empty(), "a table hint WITH (…)"),
                (*with_ordinality, "WITH ORDINALITY"),
                (!partitions.is_empty(), "PARTITION after a table (write WHERE)"),
                (json_path.is_some(), "a JSON path after a table"),
                (sample.is_some(), "TABLESAMPLE"),
                (!index_hints.is_empty(), "an index hint"),
                (args.as_ref().is_some_and(|a| a.settings.is_some()), "SETTINGS of a function"),
            ])?;
            check_alias(alias.as_ref())
        }
        TableFactor::Derived { lateral: _, subquery: _, alias, sample } => {
            refuse([(sample.is_some(), "TABLESAMPLE")])?;
            check_alias(alias.as_ref())
        }
        TableFactor::Function { lateral: _, name: _, args: _, with_ordinality, alias } => {
            refuse([(*with_ordinality, "WITH ORDINALITY")])?;
            check_alias(alias.as_ref())
        }
        TableFactor::UNNEST {
            alias,
            array_exprs: _,
            with_offset,
            with_offset_alias: _,
            with_ordinality,
        } => {
            refuse([(*with_offset, "WITH OFFSET"), (*with_ordinality, "WITH ORDINALITY")])?;
            check_alias(alias.as_ref())
        }
        TableFactor::NestedJoin { table_with_joins, alias } => {
            check_joins(&table_with_joins.joins)?;
            check_alias(alias.as_ref())
        }
        TableFactor::TableFunction { expr: _, alias } => check_alias(alias.as_ref()),
        TableFactor::Pivot { .. } => refuse([(true, "PIVOT")]),
        TableFactor::Unpivot { .. } => refuse([(true, "UNPIVOT")]),
        TableFactor::MatchRecognize { .. } => refuse([(true, "MATCH_RECOGNIZE")]),
        other => ControlFlow::Break(Error::unsupported(format!("FROM {other} is not supported"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse_query;
    use super::*;
    use crate::error::ErrorKind;

    /// The hazard's test, through whole statements, is `refused/clauses.slt`.
    #[test]
    fn clauses_that_would_be_dropped_are_refused() {
        for (sql, clause) in [
            ("SELECT * FROM t FOR UPDATE", "FOR UPDATE"),
            ("SELECT * FROM t FOR JSON AUTO", "FOR JSON"),
            ("SELECT * FROM t FOR XML AUTO", "FOR XML"),
            ("SELECT * FROM t SETTINGS a = 1", "SETTINGS"),
            ("SELECT * FROM t FORMAT JSON", "FORMAT"),
            ("SELECT * FROM t TABLESAMPLE (10 PERCENT)", "TABLESAMPLE"),
            ("SELECT * FROM (SELECT 1) t TABLESAMPLE (10 PERCENT)", "TABLESAMPLE"),
            ("SELECT * FROM t PARTITION (p0)", "PARTITION"),
            ("SELECT * FROM t WITH (NOLOCK)", "a table hint"),
            ("SELECT a FROM t PREWHERE a = 1", "PREWHERE"),
            ("SELECT a FROM t START WITH a = 1 CONNECT BY PRIOR a = b", "CONNECT BY"),
            ("SELECT a FROM t START WITH a = 1 CONNECT BY a = 2", "CONNECT BY"),
            ("SELECT TOP 5 a FROM t", "TOP"),
            ("SELECT a FROM t SORT BY a", "SORT BY"),
            ("SELECT a FROM t CLUSTER BY a", "CLUSTER BY"),
            ("SELECT a FROM t LATERAL VIEW explode(b) x AS y", "LATERAL VIEW"),
            ("SELECT a FROM t LIMIT 3 BY a", "LIMIT BY"),
            ("SELECT /*+ BROADCAST(t) */ a FROM t", "an optimizer hint"),
            ("SELECT a INTO u FROM t", "SELECT INTO"),
            ("SELECT * RENAME (a AS b) FROM t", "RENAME"),
            ("SELECT * FROM t FETCH FIRST 5 PERCENT ROWS ONLY", "PERCENT"),
            ("SELECT * FROM t FETCH FIRST 5 ROWS WITH TIES", "TIES"),
            ("SELECT * FROM UNNEST([1]) WITH ORDINALITY", "ORDINALITY"),
            ("SELECT 1 UNION ALL SELECT 2 FROM t FOR UPDATE", "FOR UPDATE"),
            ("SELECT * FROM (SELECT * FROM t FOR SHARE) x", "FOR UPDATE or FOR SHARE"),
            ("WITH a AS (SELECT * FROM t FOR SHARE) SELECT * FROM a", "FOR UPDATE or FOR SHARE"),
            ("SELECT (SELECT max(a) FROM t FOR SHARE)", "FOR UPDATE or FOR SHARE"),
        ] {
            let mut query = parse_query(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
            let e = check(&mut query).map(|()| panic!("{sql} was let through")).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Unsupported, "{sql}");
            assert!(e.to_string().contains(clause), "{sql}: {e}");
        }
    }

    /// Clauses of the same kind that our dialect does not read: what the parser refuses cannot be
    /// dropped.
    #[test]
    fn clauses_that_the_parser_refuses_stay_refused() {
        for sql in [
            "SELECT a, b EXCLUDE (b) FROM t",
            "SELECT * FROM t USE INDEX (i)",
            "SELECT a FROM (SELECT 1 AS a) x FOR VERSION AS OF 1",
            "SELECT a FROM t AT (SECOND => 1)",
        ] {
            let Ok(mut query) = parse_query(sql) else { continue };
            let refused = check(&mut query)
                .and_then(|()| super::super::relation::collect(&mut query, &[]).map(drop));
            refused.map(|()| panic!("{sql} was let through")).unwrap_err();
        }
    }

    #[test]
    fn fetch_first_becomes_limit() {
        let mut query =
            parse_query("SELECT * FROM t OFFSET 2 ROWS FETCH FIRST 3 ROWS ONLY").unwrap();
        check(&mut query).unwrap();
        assert!(query.to_string().contains("LIMIT 3"), "{query}");
        assert!(query.to_string().contains("OFFSET 2"), "{query}");
    }
}
