//! What a statement does in a session: EXECUTE does what was prepared.

use sqlparser::ast::Statement as Sql;

use super::statement::Parsed;
use super::{folded, variables::Variables};
use crate::error::Result;
use crate::queries::QueryKind;

/// The kind of a statement.
///
/// # Errors
/// `NotFound` when EXECUTE names nothing that was prepared.
pub(crate) fn of(variables: &Variables, statement: &Parsed) -> Result<QueryKind> {
    if let Parsed::Sql(sql) = statement
        && let Sql::Execute { name: Some(name), .. } = sql.as_ref()
        && let [part] = name.0.as_slice()
        && let Some(name) = part.as_ident()
    {
        return of(variables, &variables.prepared(&folded(name))?.statement);
    }
    Ok(statement.kind())
}
