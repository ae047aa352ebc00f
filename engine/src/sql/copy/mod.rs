//! `COPY (query) TO 'file'`: creates a file, never replaces one.

mod options;
mod sink;

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use object_store::ObjectStoreExt;
use sqlparser::ast;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use self::options::CopyOptions;
use self::sink::Target;
use super::context::StatementContext;
use super::{plan, select};
use crate::error::{Error, ErrorKind, Result};
use crate::query::{QueryResult, ResultKind};

/// A parsed COPY.
#[derive(Clone, Debug)]
pub(crate) struct CopyTo {
    pub(crate) query: ast::Query,
    pub(crate) target: String,
    /// Options in the order written, names in lower case.
    pub(crate) options: Vec<(String, ast::Expr)>,
}

impl CopyTo {
    /// The query, whose depth is checked.
    pub(crate) fn query_mut(&mut self) -> Option<&mut ast::Query> {
        Some(&mut self.query)
    }
}

/// Parses `COPY { (query) | table } TO 'file' [WITH] [(option [=] value, …)]`.
pub(crate) fn parse(parser: &mut Parser<'_>) -> Result<CopyTo, ParserError> {
    parser.expect_keyword(Keyword::COPY)?;
    let query = if parser.consume_token(&Token::LParen) {
        let query = *parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        query
    } else {
        let name = parser.parse_object_name(false)?;
        let tokens = format!("SELECT * FROM {name}");
        let dialect = super::dialect::FjordDialect::default();
        *Parser::new(&dialect).try_with_sql(&tokens)?.parse_query()?
    };
    parser.expect_keyword(Keyword::TO)?;
    let target = parser.parse_literal_string()?;
    let _optional = parser.parse_keyword(Keyword::WITH);
    let mut options = Vec::new();
    if parser.consume_token(&Token::LParen) {
        options = parser.parse_comma_separated(|p| {
            let name = p.parse_identifier()?.value.to_lowercase();
            let _optional = p.consume_token(&Token::Eq);
            Ok((name, p.parse_expr()?))
        })?;
        parser.expect_token(&Token::RParen)?;
    }
    Ok(CopyTo { query, target, options })
}

/// Runs a COPY. The work happens as the result is read, so that dropping the result stops it.
pub(crate) async fn run(ctx: &StatementContext, copy: &CopyTo) -> Result<QueryResult> {
    let options = CopyOptions::try_new(copy)?;
    let location = ctx.files.locate(&copy.target)?;
    if copy.target.contains(['*', '?', '[', '{']) {
        return Err(Error::invalid(format!("COPY to {:?}: name one file", copy.target)));
    }
    if location.store.head(&location.path).await.is_ok() {
        return Err(exists(&copy.target));
    }
    let planned = plan::plan_query(ctx, copy.query.clone()).await?;
    let physical = plan::physical(ctx, &planned).await?;
    let named = Arc::clone(planned.schema().inner());
    let rows = select::execute(ctx, physical, ResultKind::Rows, Some(named))?;
    let (plan, relations) = (rows.plan.clone(), rows.relations.clone());
    let schema = Arc::new(Schema::new(vec![Field::new("count", DataType::UInt64, false)]));
    let target = Target { location, name: copy.target.clone() };
    let counted = Arc::clone(&schema);
    let work = async move {
        let count = target.create(rows.stream, &rows.schema, &options).await?;
        Ok(RecordBatch::try_new(counted, vec![Arc::new(UInt64Array::from(vec![count]))])?)
    };
    let stream = RecordBatchStreamAdapter::new(Arc::clone(&schema), futures::stream::once(work));
    let kind = ResultKind::Affected;
    Ok(QueryResult { kind, schema, stream: Box::pin(stream), plan, relations })
}

fn exists(target: &str) -> Error {
    Error::new(
        ErrorKind::AlreadyExists,
        format!("file {target:?} exists, and COPY never replaces one; choose another name"),
    )
}
