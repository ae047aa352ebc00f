//! A parsed statement, with its text and place.

use sqlparser::ast;

use super::copy::CopyTo;
use super::ddl::ast::DdlStatement;

/// One statement of a script.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its own text, trimmed, without the final semicolon.
    pub text: String,
    /// Where it begins in the script: line and column, both from 1.
    pub position: (u64, u64),
    pub(crate) parsed: std::sync::Arc<Parsed>,
}

/// What the text means.
#[derive(Clone, Debug)]
pub(crate) enum Parsed {
    /// Syntax that sqlparser knows.
    Sql(Box<ast::Statement>),
    /// DDL, SHOW, DESCRIBE, USE: read by our own parser.
    Ddl(Box<DdlStatement>),
    /// `COPY … TO`.
    Copy(Box<CopyTo>),
    /// `EXPLAIN [ANALYZE] [VERBOSE] [FORMAT f] …`.
    Explain(Box<Explain>),
    /// `PREPARE name [(types)] AS …`.
    Prepare(String, Prepared),
}

/// How to explain, and what.
#[derive(Clone, Debug)]
pub(crate) struct Explain {
    pub(crate) analyze: bool,
    pub(crate) verbose: bool,
    pub(crate) format: Option<String>,
    pub(crate) statement: Parsed,
}

/// A statement to be planned anew by every EXECUTE.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) types: Vec<ast::DataType>,
    pub(crate) statement: Box<Parsed>,
}
