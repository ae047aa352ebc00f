//! `query('catalog', 'sql')`: rows of a query in a database's own SQL.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr};

use super::object;
use crate::access::Privilege;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::context::StatementContext;
use crate::sql::plan;
use crate::sql::provider::string_of;

/// The name of the function.
pub(crate) const QUERY: &str = "query";

/// The option of a catalog that allows it.
const ALLOW: &str = "pass_through";

/// Opens the rows of such a call. What the database lets the catalog's own user read, the whole
/// catalog's reader may: names in the text are the database's, and not ours to check.
///
/// # Errors
/// `PermissionDenied` where the catalog does not allow it, or the user may not read all of it.
pub(crate) async fn open(
    ctx: &StatementContext,
    arguments: Vec<FunctionArg>,
) -> Result<Arc<dyn TableProvider>> {
    let usage = || Error::invalid(format!("{QUERY}: write {QUERY}('catalog', 'SELECT …')"));
    let [catalog, sql] = <[FunctionArg; 2]>::try_from(arguments).map_err(|_| usage())?;
    let text = |argument: FunctionArg| {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument else {
            return Err(usage());
        };
        // A catalog may be written as a name.
        if let Expr::Identifier(name) = &expr {
            return Ok(name.value.clone());
        }
        let value = plan::constant_expr(ctx, expr)?;
        string_of(&value).map(str::to_owned).ok_or_else(usage)
    };
    let (catalog, sql) = (text(catalog)?, text(sql)?);
    let Some(database) = ctx.services.foreign(&catalog) else {
        // What is there, and what is none.
        let iceberg = ctx.services.catalog(&catalog)?;
        return Err(Error::invalid(format!(
            "{QUERY}: catalog \"{}\" is no live database",
            iceberg.name()
        )));
    };
    object::permit_catalog(ctx, Privilege::Read, database.name())?;
    if !database.connector()?.capabilities().pass_through {
        return Err(Error::new(
            ErrorKind::PermissionDenied,
            format!(
                "{QUERY}: catalog \"{}\" does not allow it; its option {ALLOW} = 'true' would",
                database.name()
            ),
        ));
    }
    database.query(&sql).await
}
