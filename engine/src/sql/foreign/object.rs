//! Names as rights are given to them: what matters is where they lead, not whether it is there.

use crate::access::{AccessObject, Privilege};
use crate::error::{Error, Result};
use crate::sql::context::{Scope, StatementContext};

/// The three parts of a name, completed.
#[derive(Clone, Debug)]
pub(crate) struct ObjectName3 {
    pub(crate) catalog: String,
    pub(crate) schema: String,
    pub(crate) table: String,
}

/// A table or view of a database; `None` where the parts lead elsewhere.
pub(crate) fn of_relation(
    ctx: &StatementContext,
    parts: &[String],
    scope: &Scope,
) -> Result<Option<ObjectName3>> {
    let (catalog, schema, table) = match parts {
        [table] => (scope.catalog.as_str(), scope.schema.as_str(), table),
        [schema, table] => (scope.catalog.as_str(), schema.as_str(), table),
        [catalog, schema, table] => (catalog.as_str(), schema.as_str(), table),
        [catalog, ..] => {
            return match ctx.services.foreign(catalog) {
                Some(database) => Err(Error::unsupported(format!(
                    "\"{}\": tables of the {} database \"{}\" have no branches and tags",
                    parts.join("."),
                    database.kind(),
                    database.name()
                ))),
                None => Ok(None),
            };
        }
        [] => return Ok(None),
    };
    Ok(ctx.services.foreign(catalog).map(|database| ObjectName3 {
        catalog: database.name().to_owned(),
        schema: schema.to_owned(),
        table: table.clone(),
    }))
}

/// Refuses what the user may not do to a table or view of a database.
pub(crate) fn permit(
    ctx: &StatementContext,
    privilege: Privilege,
    name: &ObjectName3,
) -> Result<()> {
    let Some(policy) = &ctx.access else { return Ok(()) };
    let (schema, table) = (Some(name.schema.as_str()), Some(name.table.as_str()));
    policy.check(privilege, &AccessObject { catalog: &name.catalog, schema, table })
}

/// Refuses what the user may not do to a catalog as a whole.
pub(crate) fn permit_catalog(
    ctx: &StatementContext,
    privilege: Privilege,
    catalog: &str,
) -> Result<()> {
    let Some(policy) = &ctx.access else { return Ok(()) };
    policy.check(privilege, &AccessObject { catalog, schema: None, table: None })
}
