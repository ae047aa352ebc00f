//! Where the SQL of the two databases differs. Everything else is written once.

/// Which SQL a database speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::embedded) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// `column` with ASCII letters in lower case and all others as they are, whatever the locale
    /// of the database: in a Turkish one `lower('I')` is not `i`.
    pub(in crate::embedded) fn ascii_lower(self, expression: &str) -> String {
        match self {
            Dialect::Sqlite => format!("lower({expression})"),
            Dialect::Postgres => format!("lower({expression} COLLATE \"C\")"),
        }
    }

    /// Whether `column` holds anything but printable ASCII.
    pub(in crate::embedded) fn is_not_ascii(self, column: &str) -> String {
        match self {
            Dialect::Sqlite => format!("{column} GLOB '*[^ -~]*'"),
            Dialect::Postgres => format!("{column} COLLATE \"C\" ~ '[^ -~]'"),
        }
    }

    /// The names of the tables that an unqualified name would find.
    pub(in crate::embedded) fn list_tables(self) -> &'static str {
        match self {
            Dialect::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
            Dialect::Postgres => {
                "SELECT relname::text FROM pg_catalog.pg_class
                 WHERE relkind IN ('r', 'p') AND pg_catalog.pg_table_is_visible(oid)"
            }
        }
    }

    /// The columns of `iceberg_tables`.
    pub(in crate::embedded) fn list_columns(self) -> &'static str {
        match self {
            Dialect::Sqlite => "SELECT name FROM pragma_table_info('iceberg_tables')",
            Dialect::Postgres => {
                "SELECT attname::text FROM pg_catalog.pg_attribute
                 WHERE attrelid = pg_catalog.to_regclass('iceberg_tables') AND attnum > 0 AND NOT attisdropped"
            }
        }
    }

    /// What keeps other processes from completing the layout at the same time, if BEGIN does not:
    /// PostgreSQL's CREATE TABLE IF NOT EXISTS fails in such a race.
    pub(in crate::embedded) fn lock_layout(self) -> Option<&'static str> {
        match self {
            Dialect::Sqlite => None,
            // "fjord", as a number.
            Dialect::Postgres => {
                Some("SELECT pg_catalog.pg_advisory_xact_lock(440004203108)::text")
            }
        }
    }

    /// What keeps every other writer away until the transaction ends, PyIceberg among them, if
    /// BEGIN does not. Readers go on.
    pub(in crate::embedded) fn lock_names(self) -> Option<&'static str> {
        match self {
            Dialect::Sqlite => None,
            Dialect::Postgres => Some(
                "LOCK TABLE iceberg_namespace_properties, iceberg_tables, fjord_views
                 IN SHARE ROW EXCLUSIVE MODE",
            ),
        }
    }
}
