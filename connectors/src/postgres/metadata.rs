//! What the system tables say of schemas, relations and columns.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::columns::PgType;
use crate::connector::{RemoteEntry, RemoteKind, RemoteName};

const SCHEMAS: &str = "SELECT nspname::text FROM pg_namespace \
     WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' \
       AND has_schema_privilege(oid, 'USAGE') ORDER BY nspname::text COLLATE \"C\"";

const RELATIONS: &str = "SELECT c.relname::text, c.relkind::text FROM pg_class c \
     JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
       AND has_schema_privilege(n.oid, 'USAGE') ORDER BY c.relname::text COLLATE \"C\"";

const RELATION: &str = "SELECT c.oid::int8, c.relkind::text, c.reltuples::float8, \
       CASE WHEN c.relkind IN ('r', 'm') THEN pg_relation_size(c.oid) ELSE 0 END::int8, \
       pg_encoding_to_char(d.encoding)::text \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_database d ON d.datname = current_database() \
     WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";

/// Domains become what they are made of, in as many steps as it takes.
const COLUMNS: &str = "WITH RECURSIVE base AS ( \
       SELECT a.attnum, a.attname::text AS name, a.attnotnull, a.atttypid AS typ, \
              a.atttypmod AS mod, a.attcollation AS coll \
       FROM pg_attribute a WHERE a.attrelid = $1::int8::oid AND a.attnum > 0 AND NOT a.attisdropped \
       UNION ALL \
       SELECT b.attnum, b.name, b.attnotnull, t.typbasetype, t.typtypmod, b.coll \
       FROM base b JOIN pg_type t ON t.oid = b.typ WHERE t.typtype = 'd') \
     SELECT b.name, b.attnotnull, b.typ::int8, b.mod, t.typtype = 'e', \
            CASE WHEN e.oid IS NULL THEN NULL ELSE t.typelem::int8 END, e.typtype = 'e', \
            NOT coalesce(l.collisdeterministic, true) \
     FROM base b JOIN pg_type t ON t.oid = b.typ \
     LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid \
     LEFT JOIN pg_collation l ON l.oid = b.coll \
     WHERE t.typtype <> 'd' ORDER BY b.attnum";

const STATISTICS: &str = "SELECT attname::text, null_frac::float8, n_distinct::float8, \
       avg_width::int8 FROM pg_stats WHERE schemaname = $1 AND tablename = $2 \
     ORDER BY inherited";

/// A relation before its columns are known.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) oid: u32,
    pub(super) kind: RemoteKind,
    /// Whether its rows may be in several files that can be read by parts.
    pub(super) is_stored: bool,
    /// Rows when the database last counted.
    pub(super) rows: Option<f64>,
    pub(super) bytes: u64,
    /// Texts are ordered by their bytes under `COLLATE "C"` in this encoding alone.
    pub(super) is_utf8: bool,
}

/// A column as it is stored.
#[derive(Clone, Debug)]
pub(super) struct FoundColumn {
    pub(super) name: String,
    pub(super) required: bool,
    pub(super) ty: PgType,
}

/// What the planner of the database knows of a column.
#[derive(Clone, Debug)]
pub(super) struct FoundStatistics {
    pub(super) column: String,
    pub(super) null_share: f64,
    /// Negative: a share of the rows.
    pub(super) distinct: f64,
    pub(super) width: i64,
}

type Result<T> = std::result::Result<T, tokio_postgres::Error>;

pub(super) async fn schemas(client: &Client) -> Result<Vec<String>> {
    client.query_typed(SCHEMAS, &[]).await?.iter().map(|row| row.try_get(0)).collect()
}

fn kind(letter: &str) -> RemoteKind {
    match letter {
        "v" | "m" => RemoteKind::View,
        "f" => RemoteKind::Foreign,
        _ => RemoteKind::Table,
    }
}

pub(super) async fn relations(client: &Client, schema: &str) -> Result<Vec<RemoteEntry>> {
    let rows = client.query_typed(RELATIONS, &[(&schema, Type::TEXT)]).await?;
    rows.iter()
        .map(|row| Ok(RemoteEntry { name: row.try_get(0)?, kind: kind(row.try_get(1)?) }))
        .collect()
}

pub(super) async fn relation(client: &Client, name: &RemoteName) -> Result<Option<Found>> {
    let (schema, table) = (&name.schema, &name.name);
    let rows = client.query_typed(RELATION, &[(schema, Type::TEXT), (table, Type::TEXT)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let letter: &str = row.try_get(1)?;
    let rows: f64 = row.try_get(2)?;
    Ok(Some(Found {
        oid: oid(row, 0)?,
        kind: kind(letter),
        is_stored: matches!(letter, "r" | "p" | "m"),
        rows: (rows >= 0.0).then_some(rows),
        bytes: row.try_get::<_, i64>(3)?.max(0).unsigned_abs(),
        is_utf8: row.try_get::<_, &str>(4)? == "UTF8",
    }))
}

fn oid(row: &Row, index: usize) -> Result<u32> {
    Ok(u32::try_from(row.try_get::<_, i64>(index)?).unwrap_or_default())
}

pub(super) async fn columns(client: &Client, relation: u32) -> Result<Vec<FoundColumn>> {
    let relation = i64::from(relation);
    let rows = client.query_typed(COLUMNS, &[(&relation, Type::INT8)]).await?;
    rows.iter()
        .map(|row| {
            let element = match row.try_get::<_, Option<i64>>(5)? {
                None => None,
                Some(_) => {
                    let is_enum = row.try_get::<_, Option<bool>>(6)?.unwrap_or_default();
                    Some((oid(row, 5)?, is_enum))
                }
            };
            Ok(FoundColumn {
                name: row.try_get(0)?,
                required: row.try_get(1)?,
                ty: PgType {
                    oid: oid(row, 2)?,
                    modifier: row.try_get(3)?,
                    is_enum: row.try_get(4)?,
                    element,
                    nondeterministic: row.try_get(7)?,
                },
            })
        })
        .collect()
}

pub(super) async fn statistics(client: &Client, name: &RemoteName) -> Result<Vec<FoundStatistics>> {
    let (schema, table) = (&name.schema, &name.name);
    let rows = client.query_typed(STATISTICS, &[(schema, Type::TEXT), (table, Type::TEXT)]).await?;
    rows.iter()
        .map(|row| {
            Ok(FoundStatistics {
                column: row.try_get(0)?,
                null_share: row.try_get(1)?,
                distinct: row.try_get(2)?,
                width: row.try_get(3)?,
            })
        })
        .collect()
}
