//! A relation of a database in a query.

use std::sync::Arc;

use datafusion::catalog::TableProvider;

use super::name::ForeignName;
use crate::access::Privilege;
use crate::error::{Error, Result};
use crate::sql::context::StatementContext;
use crate::sql::lane::SYSTEM_SCHEMA;
use crate::sql::relation::AsOf;
use crate::sql::scope::INFORMATION_SCHEMA;
use crate::sql::{information_schema, names, system};

/// What a query reads, and its full name in stored spelling.
pub(crate) async fn open(
    ctx: &StatementContext,
    name: &ForeignName,
    as_of: Option<AsOf>,
) -> Result<(String, Arc<dyn TableProvider>)> {
    if name.schema.text.eq_ignore_ascii_case(INFORMATION_SCHEMA) {
        refuse_versions(name, as_of.as_ref())?;
        let of = names::Mounted::Foreign(Arc::clone(&name.catalog));
        let table = information_schema::relation(ctx, of, &name.table.text.to_lowercase())?;
        return Ok((name.to_string(), table));
    }
    // A schema of that name comes first, where the database answers at all.
    if name.schema.text.eq_ignore_ascii_case(SYSTEM_SCHEMA)
        && !matches!(name.catalog.find_schema(&name.schema).await, Ok(Some(_)))
    {
        refuse_versions(name, as_of.as_ref())?;
        return Ok((name.to_string(), system::table(ctx, &name.table.text)?));
    }
    name.permit(ctx, Privilege::Read)?;
    refuse_versions(name, as_of.as_ref())?;
    let found = name.found().await?;
    let Some(table) = ctx.foreign_table(&name.catalog, &found.name).await? else {
        return Err(name.missing("table or view").await);
    };
    Ok((format!("{}.{}", name.catalog.name(), found.name), table))
}

fn refuse_versions(name: &ForeignName, as_of: Option<&AsOf>) -> Result<()> {
    match as_of {
        None => Ok(()),
        Some(_) => Err(Error::unsupported(format!(
            "\"{name}\": a live {} database has no versions of its tables; land them in an Iceberg \
             table to look back",
            name.catalog.kind()
        ))),
    }
}
