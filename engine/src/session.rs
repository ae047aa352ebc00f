//! A session: current catalog and schema, settings, prepared statements.

use crate::error::{Error, ErrorKind, Result};
use crate::query::QueryResult;
use crate::sql::statement::Statement;

/// What a session starts with.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// `None`: the first mounted catalog.
    pub catalog: Option<String>,
    /// `None`: `default`.
    pub schema: Option<String>,
}

/// One user's session. Statements of one session run one after the other.
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// Splits and parses a script; the error names line and column.
    pub fn parse(&self, _script: &str) -> Result<Vec<Statement>> {
        Err(Error::new(ErrorKind::Bug, "not built yet"))
    }

    /// Runs one statement. DDL and DML have run when this returns their result's last batch.
    pub async fn execute(&self, _statement: &Statement) -> Result<QueryResult> {
        Err(Error::new(ErrorKind::Bug, "not built yet"))
    }

    /// Catalog, schema, table and column names that complete `prefix` in the shell.
    pub async fn complete(&self, _prefix: &str) -> Vec<String> {
        Vec::new()
    }
}
