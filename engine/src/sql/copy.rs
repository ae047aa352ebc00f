//! `COPY (query) TO 'file'`: creates a file, never replaces one.

use sqlparser::ast;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::context::StatementContext;
use crate::error::{Error, Result};
use crate::query::QueryResult;

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

pub(crate) async fn run(_ctx: &StatementContext, copy: &CopyTo) -> Result<QueryResult> {
    std::future::ready(()).await;
    Err(Error::unsupported(format!("COPY to {:?} is not supported yet", copy.target)))
}
