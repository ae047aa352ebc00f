//! A query in the database's own SQL, as a relation: one statement that yields rows, in a
//! transaction that only reads.

use std::collections::HashSet;
use std::sync::Arc;

use tokio_postgres::types::{Kind, Type};

use super::columns::{self, PgType};
use super::database::Database;
use super::quote;
use super::relation::RemoteRelation;
use crate::error::{Error, ErrorKind};

/// What is shown of a query in messages.
const SHOWN: &str = "a query in the database's own SQL";

pub(super) async fn relation(database: &Arc<Database>, sql: &str) -> Result<RemoteRelation, Error> {
    let lease = database.begin_lookup().await?;
    // The text by itself is a statement, and one only: what follows puts it in parentheses.
    let failed = |e| database.pool.failed(SHOWN, e);
    lease.client()?.prepare(sql).await.map_err(failed)?;
    let sql = sql.trim_end().trim_end_matches(';');
    let bare = format!("SELECT * FROM (\n{sql}\n) AS p");
    let statement = lease.client()?.prepare(&bare).await.map_err(failed)?;
    let mut taken = HashSet::new();
    let mut yielded = Vec::new();
    for (index, found) in statement.columns().iter().enumerate() {
        let name = format!("c{index}");
        let ty = pg_type(found.type_(), found.type_modifier());
        let mut column = columns::column(&name, true, &ty, database.settings());
        column.name = found.name().to_owned();
        if !taken.insert(column.name.clone()) {
            column.name = format!("{} (column {})", found.name(), index + 1);
        }
        yielded.push(column);
    }
    if yielded.is_empty() {
        let message = format!("catalog {:?}: {SHOWN} without columns", database.settings().catalog);
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    drop(statement);
    database.end_read(lease).await?;
    let names: Vec<_> =
        (0..yielded.len()).map(|index| quote::identifier(&format!("c{index}"))).collect();
    let names = names.join(", ");
    let sql = format!("SELECT {names} FROM (\n{sql}\n) AS p ({names})");
    let mut relation =
        RemoteRelation::of_query(Arc::clone(database), sql, SHOWN.to_owned(), yielded);
    relation.has_text = true;
    Ok(relation)
}

fn pg_type(ty: &Type, modifier: i32) -> PgType {
    let is_enum = |ty: &Type| matches!(ty.kind(), Kind::Enum(_));
    PgType {
        oid: ty.oid(),
        modifier,
        is_enum: is_enum(ty),
        element: match ty.kind() {
            Kind::Array(item) => Some((item.oid(), is_enum(item))),
            _ => None,
        },
        // Which collation a column of a query has is not told.
        nondeterministic: true,
    }
}
