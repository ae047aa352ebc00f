//! Pieces of syntax made from text of our own: shorter, and easier to read, than trees by hand.

use sqlparser::ast::{Expr, Query, Select, SetExpr, TableFactor};
use sqlparser::parser::{Parser, ParserError};

use super::dialect::FjordDialect;
use crate::error::{Error, ErrorKind, Result};

fn bug(e: ParserError) -> Error {
    Error::new(ErrorKind::Bug, "a rewritten query does not parse").with_source(e)
}

fn missing() -> Error {
    Error::new(ErrorKind::Bug, "a rewritten query is not what it was written as")
}

/// The expression that `sql` is.
pub(crate) fn expression(sql: &str) -> Result<Expr> {
    let dialect = FjordDialect::default();
    let mut parser = Parser::new(&dialect).try_with_sql(sql).map_err(bug)?;
    parser.parse_expr().map_err(bug)
}

/// The query that `sql` is: a single SELECT.
pub(crate) fn select(sql: &str) -> Result<Query> {
    let dialect = FjordDialect::default();
    let mut parser = Parser::new(&dialect).try_with_sql(sql).map_err(bug)?;
    Ok(*parser.parse_query().map_err(bug)?)
}

/// The SELECT of a query made by [`select`].
pub(crate) fn body(query: &mut Query) -> Result<&mut Select> {
    match query.body.as_mut() {
        SetExpr::Select(select) => Ok(select),
        _ => Err(missing()),
    }
}

/// Puts `inner` in the place of the one derived table of `query`.
pub(crate) fn fill(query: &mut Query, inner: Query) -> Result<()> {
    match body(query)?.from.first_mut().map(|from| &mut from.relation) {
        Some(TableFactor::Derived { subquery, .. }) => {
            **subquery = inner;
            Ok(())
        }
        _ => Err(missing()),
    }
}

/// A body alone, as a query.
pub(crate) fn query_of(body: SetExpr) -> Result<Query> {
    let mut query = select("SELECT 1")?;
    *query.body = body;
    Ok(query)
}
