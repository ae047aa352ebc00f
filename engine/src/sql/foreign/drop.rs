//! DROP TABLE and DROP VIEW in a database.

use super::name::{ForeignName, is_view};
use super::write::require_writes;
use crate::access::Privilege;
use crate::error::{Error, Result};
use crate::sql::context::StatementContext;

/// Drops a table, or a view.
pub(crate) async fn run(
    ctx: &StatementContext,
    target: &ForeignName,
    view: bool,
    if_exists: bool,
) -> Result<String> {
    target.permit(ctx, Privilege::Write)?;
    require_writes(target)?;
    target.refuse_information_schema()?;
    let what = if view { "view" } else { "table" };
    let missing = || format!("{what} {target} does not exist, skipped");
    let Some(found) = target.find().await? else {
        return if if_exists { Ok(missing()) } else { Err(target.missing(what).await) };
    };
    if found.kind.is_some() && is_view(found.kind) != view {
        let (is, instead) = if view { ("table", "DROP TABLE") } else { ("view", "DROP VIEW") };
        return Err(Error::invalid(format!("\"{target}\" is a {is}: use {instead}")));
    }
    match target.catalog.drop_relation(&found.name, view).await? {
        true => Ok(format!("dropped {what} {}.{}", target.catalog.name(), found.name)),
        false if if_exists => Ok(missing()),
        false => Err(target.missing(what).await),
    }
}
