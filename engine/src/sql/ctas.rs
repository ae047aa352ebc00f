//! CREATE TABLE AS: a staged table, its files, and one commit.

use super::context::StatementContext;
use super::ddl::ast::CreateTableStatement;
use crate::error::{Error, Result};
use crate::query::QueryResult;

pub(crate) async fn run(
    _ctx: &StatementContext,
    statement: &CreateTableStatement,
) -> Result<QueryResult> {
    std::future::ready(()).await;
    Err(Error::unsupported(format!("not supported yet: CREATE TABLE {} AS", statement.name)))
}
