//! From a script to statements: sizes checked, split at semicolons, time travel respelt, parsed.
//!
//! ```text
//! text ─ tokens ─ split ─ depth of tokens ─ respell ─ sqlparser ─ balance ─ depth of tree
//! ```

use std::sync::Arc;

use sqlparser::ast;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::dialect::FjordDialect;
use super::limits::SCRIPT_BYTES_MAX;
use super::statement::{Explain, Parsed, Prepared, Statement};
use super::{copy, ddl, deep, depth, lane, placeholders, time_travel};
use crate::error::{Error, ErrorKind, Result};

/// Statements of one script.
const STATEMENTS_MAX: usize = 100_000;

/// Nesting that sqlparser may follow; the tree's own limit is [`depth::DEPTH_MAX`].
const PARSER_RECURSION_MAX: usize = 1_000;

/// Splits and parses a script.
///
/// # Errors
/// `Syntax` with line, column and the offending token; `LimitExceeded` for what is too large or
/// too deep.
pub(crate) fn parse_script(script: &str) -> Result<Vec<Statement>> {
    if script.len() > SCRIPT_BYTES_MAX {
        return Err(Error::new(
            ErrorKind::LimitExceeded,
            format!("statement of {} bytes; at most {SCRIPT_BYTES_MAX} are read", script.len()),
        ));
    }
    let script = script.to_owned();
    deep::run(move || {
        let dialect = FjordDialect::default();
        let tokens = Tokenizer::new(&dialect, &script).tokenize_with_location().map_err(|e| {
            let (line, column) = (e.location.line, e.location.column);
            syntax_error(line, column, None, &e.message)
        })?;
        let lines = LineStarts::new(&script);
        let mut statements = Vec::new();
        for part in tokens.split(|t| t.token == Token::SemiColon) {
            let part = trimmed(part);
            let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
            if statements.len() >= STATEMENTS_MAX {
                return Err(Error::new(
                    ErrorKind::LimitExceeded,
                    format!("script of more than {STATEMENTS_MAX} statements"),
                ));
            }
            let from = lines.offset(&script, first.span.start.line, first.span.start.column);
            let to = lines.offset(&script, last.span.end.line, last.span.end.column);
            let text = script.get(from..to).unwrap_or_default().trim().to_owned();
            let position = (first.span.start.line, first.span.start.column);
            // A query inside reaches to the end of the text at most: not into the next statement.
            let up_to_here = script.get(..to).unwrap_or(&script);
            let (parsed, parameters) = parse_tokens(&dialect, part, up_to_here)?;
            let parsed = Arc::new(parsed);
            let lane = lane::of(&parsed);
            statements.push(Statement { text, position, parameters, parsed, lane });
        }
        Ok(statements)
    })
}

/// Parses exactly one query: a view's definition.
pub(crate) fn parse_query(sql: &str) -> Result<ast::Query> {
    let mut statements = parse_script(sql)?;
    match (statements.pop().map(|s| Arc::unwrap_or_clone(s.parsed)), statements.is_empty()) {
        (Some(Parsed::Sql(statement)), true) => match *statement {
            ast::Statement::Query(query) => Ok(*query),
            _ => Err(Error::new(ErrorKind::Syntax, "a query was expected")),
        },
        _ => Err(Error::new(ErrorKind::Syntax, "one query was expected")),
    }
}

fn trimmed(mut tokens: &[TokenWithSpan]) -> &[TokenWithSpan] {
    let blank = |t: &TokenWithSpan| matches!(t.token, Token::Whitespace(_) | Token::EOF);
    while let [first, rest @ ..] = tokens
        && blank(first)
    {
        tokens = rest;
    }
    while let [rest @ .., last] = tokens
        && blank(last)
    {
        tokens = rest;
    }
    tokens
}

/// The statement, and how many values it takes.
fn parse_tokens(
    dialect: &FjordDialect,
    tokens: &[TokenWithSpan],
    script: &str,
) -> Result<(Parsed, usize)> {
    depth::check_tokens(tokens)?;
    let (tokens, parameters) = placeholders::number(tokens.to_vec())?;
    let tokens = time_travel::respell(tokens);
    let mut parser = Parser::new(dialect)
        .with_recursion_limit(PARSER_RECURSION_MAX)
        .with_tokens_with_locations(tokens);
    // EXPLAIN stands before DDL too, which is not sqlparser's.
    let explain = parse_explain_head(&mut parser).map_err(|e| located(&parser, e))?;
    let met = parser.peek_token();
    let statement = match ddl::parse::parse_ddl(&mut parser, script)? {
        Some(statement) => Parsed::Ddl(Box::new(statement)),
        None => parse_whole(&mut parser).map_err(|e| located(&parser, e))?,
    };
    let parsed = match explain {
        Some(head) => head.over(statement, &parser, met).map_err(|e| located(&parser, e))?,
        None => statement,
    };
    // What a PREPARE takes is for its EXECUTE to give.
    let parameters = if matches!(parsed, Parsed::Prepare(..)) { 0 } else { parameters };
    Ok((depth::settle(parsed)?, parameters))
}

fn parse_whole(parser: &mut Parser<'_>) -> Result<Parsed, ParserError> {
    let parsed = parse_one(parser)?;
    match parser.peek_token() {
        end if end.token == Token::EOF => Ok(parsed),
        other => parser.expected("end of statement", other),
    }
}

fn parse_one(parser: &mut Parser<'_>) -> Result<Parsed, ParserError> {
    if let Some(head) = parse_explain_head(parser)? {
        let met = parser.peek_token();
        let statement = parse_one(parser)?;
        return head.over(statement, parser, met);
    }
    let first = match parser.peek_token().token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    };
    match first {
        Keyword::PREPARE => parse_prepare(parser),
        Keyword::COPY => Ok(Parsed::Copy(Box::new(copy::parse(parser)?))),
        _ => Ok(Parsed::Sql(Box::new(parser.parse_statement()?))),
    }
}

/// What stands between EXPLAIN and its statement.
struct ExplainHead {
    analyze: bool,
    verbose: bool,
    format: Option<String>,
}

impl ExplainHead {
    /// `met` is the token that `statement` begins with.
    fn over(
        self,
        statement: Parsed,
        parser: &Parser<'_>,
        met: TokenWithSpan,
    ) -> Result<Parsed, ParserError> {
        if matches!(statement, Parsed::Explain(_) | Parsed::Prepare(..)) {
            return parser.expected("a statement that can be explained", met);
        }
        let Self { analyze, verbose, format } = self;
        Ok(Parsed::Explain(Box::new(Explain { analyze, verbose, format, statement })))
    }
}

/// `EXPLAIN [ANALYZE] [VERBOSE] [FORMAT f]`, if the statement begins so.
fn parse_explain_head(parser: &mut Parser<'_>) -> Result<Option<ExplainHead>, ParserError> {
    if !parser.parse_keyword(Keyword::EXPLAIN) {
        return Ok(None);
    }
    let mut head = ExplainHead { analyze: false, verbose: false, format: None };
    loop {
        if parser.parse_keyword(Keyword::ANALYZE) {
            head.analyze = true;
        } else if parser.parse_keyword(Keyword::VERBOSE) {
            head.verbose = true;
        } else if parser.parse_keyword(Keyword::FORMAT) {
            let _optional = parser.consume_token(&Token::Eq);
            head.format = Some(parser.parse_identifier()?.value.to_lowercase());
        } else if is_distributed_option(parser) {
            for _token in 0..3 {
                parser.next_token();
            }
            head.format = Some("distributed".to_owned());
        } else {
            return Ok(Some(head));
        }
    }
}

/// `(DISTRIBUTED)`, as Trino has options of EXPLAIN.
fn is_distributed_option(parser: &Parser<'_>) -> bool {
    let word = parser.peek_nth_token(1).token.to_string();
    parser.peek_nth_token(0).token == Token::LParen
        && word.eq_ignore_ascii_case("distributed")
        && parser.peek_nth_token(2).token == Token::RParen
}

fn parse_prepare(parser: &mut Parser<'_>) -> Result<Parsed, ParserError> {
    parser.expect_keyword(Keyword::PREPARE)?;
    let name = parser.parse_identifier()?;
    let mut types = Vec::new();
    if parser.consume_token(&Token::LParen) {
        types = parser.parse_comma_separated(Parser::parse_data_type)?;
        parser.expect_token(&Token::RParen)?;
    }
    parser.expect_keyword(Keyword::AS)?;
    let next = parser.peek_token();
    let statement = Box::new(parse_one(parser)?);
    if matches!(*statement, Parsed::Prepare(..)) {
        return parser.expected("a statement that can be prepared", next);
    }
    Ok(Parsed::Prepare(super::folded(&name), Prepared { types, statement }))
}

fn located(parser: &Parser<'_>, error: ParserError) -> Error {
    let message = match error {
        ParserError::RecursionLimitExceeded => return depth::too_deep("the statement"),
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
    };
    // `expected` names the token that it met; other messages leave the parser behind it.
    let (message, place) = match message.rsplit_once(" at Line: ") {
        Some((message, place)) => (message.to_owned(), parse_place(place)),
        None => (message, None),
    };
    let met = parser.peek_token();
    let (line, column) = place.unwrap_or((met.span.start.line, met.span.start.column));
    let token = message.rsplit_once(", found: ").map(|(_, token)| token.to_owned());
    let token = token.or_else(|| (met.token != Token::EOF).then(|| met.token.to_string()));
    syntax_error(line, column, token.as_deref(), &message)
}

fn parse_place(place: &str) -> Option<(u64, u64)> {
    let (line, column) = place.split_once(", Column: ")?;
    Some((line.parse().ok()?, column.parse().ok()?))
}

fn syntax_error(line: u64, column: u64, token: Option<&str>, message: &str) -> Error {
    let message = message.trim_end_matches('.');
    let mut letters = message.chars();
    let message: String = match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    };
    let near = token.map(|t| format!(" near {t:?}")).unwrap_or_default();
    let place = match (line, column) {
        (0, _) => "at the end of the statement".to_owned(),
        _ => format!("at line {line}, column {column}"),
    };
    Error::new(ErrorKind::Syntax, format!("syntax error {place}{near}: {message}"))
}

/// Byte offsets of the lines of a script, to cut statements out of it.
struct LineStarts(Vec<usize>);

impl LineStarts {
    fn new(script: &str) -> Self {
        let ends = script.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        Self(std::iter::once(0).chain(ends).collect())
    }

    // The tokenizer counts lines from 1 and columns, in characters, from 1.
    fn offset(&self, script: &str, line: u64, column: u64) -> usize {
        let line = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
        let Some(start) = self.0.get(line) else { return script.len() };
        let rest = script.get(*start..).unwrap_or_default();
        let skip = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
        rest.char_indices().nth(skip).map_or(script.len(), |(i, _)| start + i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_split_with_texts_and_positions() {
        let script = "SELECT 'a;b';\n -- c;d\n  SELECT\n  2 ;;";
        let statements = parse_script(script).unwrap();
        let texts: Vec<_> = statements.iter().map(|s| (s.text.as_str(), s.position)).collect();
        assert_eq!(texts, [("SELECT 'a;b'", (1, 1)), ("SELECT\n  2", (3, 3))]);
    }

    #[test]
    fn a_view_ends_where_its_statement_ends() {
        let statements =
            parse_script("CREATE VIEW v AS\nSELECT 1 AS x -- one\n;\nSELECT 2").unwrap();
        let Parsed::Ddl(ddl) = statements[0].parsed.as_ref() else { panic!("not DDL") };
        let ddl::ast::DdlStatement::CreateView(view) = ddl.as_ref() else { panic!("not a view") };
        assert_eq!(view.query.text, "SELECT 1 AS x");
        assert!(parse_query(&view.query.text).is_ok());
    }

    #[test]
    fn a_syntax_error_says_line_column_and_token() {
        let e = parse_script("SELECT 1;\nSELECT (1 +) FROM x").unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Syntax);
        assert!(e.to_string().contains("line 2, column"), "{e}");
        assert!(e.to_string().contains("near"), "{e}");
        let e = parse_script("SELEC 1").unwrap_err();
        assert!(e.to_string().contains("near \"SELEC\""), "{e}");
        let e = parse_script("SELECT 'open").unwrap_err();
        assert!(e.to_string().contains("line 1, column 8"), "{e}");
        let e = parse_script("SELECT (1").unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Syntax);
    }

    #[test]
    fn a_huge_statement_is_refused() {
        let script = format!("SELECT '{}'", "x".repeat(SCRIPT_BYTES_MAX));
        assert_eq!(parse_script(&script).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn explain_and_prepare_wrap_any_statement() {
        for sql in [
            "EXPLAIN SELECT 1",
            "EXPLAIN ANALYZE VERBOSE SELECT 1",
            "EXPLAIN FORMAT TREE SELECT 1",
            "PREPARE p (int, varchar) AS SELECT $1, $2",
            "EXPLAIN INSERT INTO t SELECT 1",
            "INSERT OVERWRITE TABLE t PARTITION (d = DATE '2024-01-01') SELECT 1",
            "INSERT OVERWRITE t SELECT 1",
            "SELECT * FROM t FOR VERSION AS OF 12 AS x",
            "SELECT * FROM t FOR VERSION AS OF 'tag' WHERE a = 1",
            "SELECT * FROM t FOR TIMESTAMP AS OF TIMESTAMP '2024-01-01 00:00:00' WHERE a = 1",
            "SELECT * FROM t FOR SYSTEM_TIME AS OF '2024-01-01' x",
            "SELECT * FROM t VERSION AS OF 3, u TIMESTAMP AS OF '2024-01-01'",
            "SELECT * FROM t FOR SYSTEM_VERSION AS OF 7",
            "SELECT version AS of FROM t",
            "SELECT * FROM \"t$snapshots\"",
            "SELECT * FROM read_csv(['a', 'b'], header => true)",
        ] {
            parse_script(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        }
    }
}
