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

    /// Whether it takes many rows of values at once ([`StatementOptions::rows`]): an INSERT whose
    /// VALUES are one row of parameters. All rows are then one commit.
    ///
    /// [`StatementOptions::rows`]: super::context::StatementOptions::rows
    pub fn takes_rows(&self) -> bool {
        self.parsed.inserted_parameters().is_some()
    }

    /// What it does to the lake, as far as its syntax tells: what EXECUTE runs, the session knows.
    pub fn query_kind(&self) -> QueryKind {
        self.parsed.kind()
    }
}

impl Parsed {
    /// The INSERT whose VALUES are one row of parameters and nothing else, and their numbers from 1.
    pub(crate) fn inserted_parameters(&self) -> Option<Vec<usize>> {
        let Parsed::Sql(statement) = self else { return None };
        let ast::Statement::Insert(insert) = statement.as_ref() else { return None };
        inserted_parameters(insert)
    }

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

/// The numbers, from 1, of the parameters that are the one row of an INSERT's VALUES, if it has
/// nothing else.
pub(crate) fn inserted_parameters(insert: &ast::Insert) -> Option<Vec<usize>> {
    let query = insert.source.as_deref()?;
    let is_plain = query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none();
    let ast::SetExpr::Values(values) = query.body.as_ref() else { return None };
    let ([row], true) = (values.rows.as_slice(), is_plain && !insert.overwrite) else {
        return None;
    };
    row.iter().map(parameter_number).collect()
}

fn parameter_number(value: &ast::Expr) -> Option<usize> {
    let ast::Expr::Value(value) = value else { return None };
    let ast::Value::Placeholder(name) = &value.value else { return None };
    name.strip_prefix('$')?.parse().ok().filter(|number| *number > 0)
}
