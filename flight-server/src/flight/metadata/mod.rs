//! The metadata commands: exact schemas, and rows from what the engine lists.
//!
//! ```text
//! command ─ filter ─ engine's listing ─ batches of the command's schema
//! ```
//!
//! A batch without rows is never made: Grafana's plugin panics on one.

pub(crate) mod column;
mod names;
mod tables;
mod keys;
mod type_info;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::Command;
use fjord_engine::session::Session;
use fjord_engine::{Error, ErrorKind};
use futures::stream::{self, BoxStream, StreamExt};

use super::sql_info::{self, ServerFacts, SqlInfoValues};

/// The rows of an answer as they come.
pub(crate) type Batches = BoxStream<'static, Result<RecordBatch, Error>>;

/// What makes the columns of a table those that a query of it would put on the wire.
pub(crate) type ColumnShape = Arc<dyn Fn(&Schema) -> SchemaRef + Send + Sync>;

/// What an answer depends on beside the command and the session.
#[derive(Clone)]
pub(crate) struct MetadataOptions {
    /// The client's output profile, for the schemas of tables. Their nullability is kept: it is
    /// what JDBC says of a column.
    pub(crate) shape: ColumnShape,
    /// Which values of server information the client reads.
    pub(crate) sql_info: SqlInfoValues,
    /// How long a prepared handle lives after its last use; zero: for ever.
    pub(crate) handle_lifetime: Duration,
}

impl Default for MetadataOptions {
    fn default() -> Self {
        Self {
            shape: Arc::new(|columns| Arc::new(columns.clone())),
            sql_info: SqlInfoValues::default(),
            handle_lifetime: Duration::ZERO,
        }
    }
}

/// The schema of a metadata command's answer; `None` for other commands.
pub(crate) fn schema(command: &Command) -> Option<SchemaRef> {
    Some(match command {
        Command::CommandGetCatalogs(_) => names::catalogs_schema(),
        Command::CommandGetDbSchemas(_) => names::schemas_schema(),
        Command::CommandGetTableTypes(_) => names::table_types_schema(),
        Command::CommandGetTables(command) => tables::schema(command),
        Command::CommandGetPrimaryKeys(_) => keys::primary_keys_schema(),
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => keys::foreign_keys_schema(),
        Command::CommandGetXdbcTypeInfo(_) => type_info::schema(),
        Command::CommandGetSqlInfo(_) => sql_info::schema(),
        _ => return None,
    })
}

/// Answers a metadata command.
///
/// # Errors
/// What the engine's listings meet; `Unsupported` for any other command.
pub(crate) fn run(
    session: &Session,
    command: &Command,
    options: &MetadataOptions,
) -> Result<(SchemaRef, Batches), Error> {
    let Some(schema) = schema(command) else {
        let url = command.type_url();
        return Err(Error::unsupported(format!("\"{url}\" is not a metadata command")));
    };
    let batches = match command {
        Command::CommandGetCatalogs(_) => names::catalogs(session)?,
        Command::CommandGetDbSchemas(command) => names::schemas(session, command)?,
        Command::CommandGetTableTypes(_) => names::table_types()?,
        Command::CommandGetTables(command) => tables::run(session, command, &options.shape)?,
        Command::CommandGetPrimaryKeys(command) => keys::primary_keys(session, command),
        Command::CommandGetXdbcTypeInfo(command) => at_once(type_info::rows(command)?),
        Command::CommandGetSqlInfo(command) => {
            let server = ServerFacts { handle_lifetime: options.handle_lifetime };
            at_once(sql_info::rows(session, &command.info, options.sql_info, server)?)
        }
        // Iceberg has no foreign keys.
        _ => at_once(None),
    };
    Ok((schema, batches))
}

/// Rows that are there already; none make no batch.
fn at_once(rows: Option<RecordBatch>) -> Batches {
    let rows = rows.filter(|rows| rows.num_rows() > 0);
    stream::iter(rows.into_iter().map(Ok)).boxed()
}

/// An answer that does not fit its own schema.
fn malformed(e: ArrowError) -> Error {
    Error::new(ErrorKind::Bug, "metadata cannot be put into its schema").with_source(e)
}
