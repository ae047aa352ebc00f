//! A parsed statement, with its text and place.

use sqlparser::ast;

use super::copy::CopyTo;
use super::ddl::ast::DdlStatement;
use crate::queries::{Lane, QueryKind};

/// One statement of a script.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its own text, trimmed, without the final semicolon.
    pub text: String,
    /// Where it begins in the script: line and column, both from 1.
    pub position: (u64, u64),
    /// How many values it takes for `?` or `$n`. A PREPARE's own are EXECUTE's to give.
    pub parameters: usize,
    pub(crate) parsed: std::sync::Arc<Parsed>,
    pub(crate) lane: Lane,
}

impl Statement {
    /// Where it queues.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// What it does to the lake, as far as its syntax tells: what EXECUTE runs, the session knows.
    pub fn query_kind(&self) -> QueryKind {
        self.parsed.kind()
    }
}

impl Parsed {
    /// What the statement does, from its syntax.
    pub(crate) fn kind(&self) -> QueryKind {
        use ast::Statement as S;
        match self {
            Parsed::Sql(statement) => match statement.as_ref() {
                S::Insert(_) | S::Delete(_) | S::Truncate(_) | S::Update(_) | S::Merge(_) => {
                    QueryKind::Change
                }
                S::Query(_) | S::ShowVariable { .. } | S::Execute { .. } => QueryKind::Query,
                _ => QueryKind::Command,
            },
            Parsed::Ddl(statement) => match statement.as_ref() {
                DdlStatement::CreateTable(table) if table.query.is_some() && table.with_data => {
                    QueryKind::Change
                }
                DdlStatement::Show(_) | DdlStatement::Describe(_) => QueryKind::Query,
                _ => QueryKind::Command,
            },
            Parsed::Copy(_) => QueryKind::Change,
            Parsed::Explain(_) => QueryKind::Query,
            Parsed::Prepare(..) => QueryKind::Command,
        }
    }
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
