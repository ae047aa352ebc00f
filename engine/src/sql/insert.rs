//! Insert, being built.

use sqlparser::ast;

use super::context::StatementContext;
use crate::error::{Error, Result};
use crate::query::QueryResult;

pub(crate) async fn run(_ctx: &StatementContext, statement: &ast::Insert) -> Result<QueryResult> {
    std::future::ready(()).await;
    Err(Error::unsupported(format!("not supported yet: {statement}")))
}
