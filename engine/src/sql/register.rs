//! `CALL system.register_table`: a table from metadata that somebody else wrote.

use super::context::StatementContext;
use super::ddl::ast::ObjectPath;
use super::files;
use super::scope::{refuse_information_schema, refuse_versioned_name};
use crate::error::{Error, Result};
use crate::query::QueryResult;

/// Registers the table, if the session may name the metadata file and where the table lies.
pub(crate) async fn run(
    ctx: &StatementContext,
    name: &ObjectPath,
    metadata_file: &str,
) -> Result<QueryResult> {
    let name = ctx.qualify_parts(&name.0, &ctx.scope())?;
    refuse_information_schema(&name.name.namespace)?;
    refuse_versioned_name(&name.catalog, &name.name).await?;
    ctx.files.locate(metadata_file)?;
    let location = files::uri(metadata_file)?;
    let staged = name.catalog.load_table_at(&name.name, &location).await?;
    let table_location = staged.metadata().location();
    ctx.files.locate(table_location).map_err(|e| {
        Error::new(e.kind(), format!("table \"{name}\" lies at {table_location:?}: {e}"))
            .with_source(e)
    })?;
    let table = name.catalog.register_table(&name.name, &location).await?;
    Ok(QueryResult::done(format!(
        "registered table {}.{} from {location}",
        name.catalog.name(),
        table.name()
    )))
}
