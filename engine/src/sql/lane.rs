//! Which statements are light: those that read no relation, or only what is known in memory. They
//! must not wait behind the others, least of all the one that kills one of these.

use std::ops::ControlFlow;

use sqlparser::ast::{ObjectName, Query, Statement, TableFactor, Visit, Visitor};

use super::ddl::ast::{CatalogStatement, DdlStatement};
use super::scope::INFORMATION_SCHEMA;
use super::statement::Parsed;
use crate::queries::Lane;

/// The schema of what is known of the process.
pub(crate) const SYSTEM_SCHEMA: &str = "system";

/// The lane of a statement. It walks the tree: call it on a deep stack.
pub(crate) fn of(statement: &Parsed) -> Lane {
    let is_light = match statement {
        Parsed::Sql(statement) => match statement.as_ref() {
            Statement::Set(_)
            | Statement::Reset(_)
            | Statement::ShowVariable { .. }
            | Statement::Deallocate { .. } => true,
            Statement::Query(query) => reads_nothing(query),
            _ => false,
        },
        Parsed::Ddl(statement) => matches!(
            statement.as_ref(),
            DdlStatement::Show(_)
                | DdlStatement::Describe(_)
                | DdlStatement::Use(_)
                | DdlStatement::Kill(_)
                | DdlStatement::Catalog(CatalogStatement::Refresh(_))
        ),
        Parsed::Explain(explain) => !explain.analyze,
        Parsed::Prepare(..) => true,
        Parsed::Copy(_) => false,
    };
    if is_light { Lane::Light } else { Lane::Heavy }
}

fn reads_nothing(query: &Query) -> bool {
    Visit::visit(query, &mut Relations).is_continue()
}

/// Breaks at the first relation.
struct Relations;

impl Visitor for Relations {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Derived { .. } | TableFactor::NestedJoin { .. } => {
                ControlFlow::Continue(())
            }
            TableFactor::Table { name, args: None, .. } if is_known_in_memory(name) => {
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(()),
        }
    }
}

fn is_known_in_memory(name: &ObjectName) -> bool {
    let [.., schema, _] = name.0.as_slice() else { return false };
    schema.as_ident().is_some_and(|schema| {
        [SYSTEM_SCHEMA, INFORMATION_SCHEMA].iter().any(|s| schema.value.eq_ignore_ascii_case(s))
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse_script;
    use super::*;

    #[test]
    fn what_reads_no_relation_is_light() {
        for sql in [
            "SELECT 1",
            "SELECT * FROM (VALUES (1)) t",
            "SET batch_size = 1",
            "SHOW TABLES",
            "SELECT * FROM system.queries WHERE state = (SELECT 'running')",
            "CALL system.kill('x')",
            "EXPLAIN SELECT * FROM t",
        ] {
            assert_eq!(parse_script(sql).unwrap()[0].lane, Lane::Light, "{sql}");
        }
        for sql in [
            "SELECT * FROM t",
            "SELECT (SELECT max(x) FROM s.t)",
            "SELECT * FROM system.queries, t",
            "SELECT * FROM generate_series(1, 1000000000)",
            "INSERT INTO t VALUES (1)",
            "CREATE TABLE t (x int)",
            "EXPLAIN ANALYZE SELECT * FROM t",
        ] {
            assert_eq!(parse_script(sql).unwrap()[0].lane, Lane::Heavy, "{sql}");
        }
    }
}
