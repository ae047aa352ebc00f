//! The relations of a query: collected from its syntax tree, and given names that planning can
//! look up.
//!
//! A plain name stays in place. A table at a version, and a file relation, get a name of their own
//! and the alias that they would have been known by, so that one table at two versions is two
//! relations.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, Query, TableAlias, TableFactor, TableVersion, VisitMut, VisitorMut, With,
};

use super::context::name_parts;
use super::limits::RELATIONS_MAX;
use crate::error::{Error, ErrorKind, Result};

/// Relations of one query after every CTE is put where it is used, which is what the planner does:
/// forty CTEs that each join the one before with itself would be a trillion.
const EXPANDED_MAX: usize = 5_000;

/// What the names of respelt relations begin with.
const PREFIX: &str = "__fjord_relation_";

/// What the names of renamed CTEs begin with.
const CTE_PREFIX: &str = "__fjord_cte_";

/// Which state of a table is read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AsOf {
    /// A snapshot id, or the name of a branch or tag, as a literal.
    Version(Expr),
    /// A point in time, as a constant expression.
    Timestamp(Expr),
}

/// What a relation is read from.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a statement has few, and most are named")]
pub(crate) enum Source {
    /// A table, view or metadata table.
    Named(ObjectName, Option<AsOf>),
    /// `read_parquet(…)` and its kind, `query(…)`.
    Files(String, Vec<FunctionArg>),
}

/// A relation to open.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The name under which planning will ask for it.
    pub(crate) key: Vec<String>,
    pub(crate) source: Source,
}

/// Collects the relations of `query`; CTEs in scope are not among them. `file_relations` are the
/// names of functions that read files.
pub(crate) fn collect(query: &mut Query, file_relations: &[&str]) -> Result<Vec<Request>> {
    let mut collector = Collector {
        file_relations,
        requests: Vec::new(),
        seen: HashSet::new(),
        spelt: HashMap::new(),
        ctes: Vec::new(),
        renamed: 0,
        withs: Vec::new(),
        expanded: 0,
    };
    match VisitMut::visit(query, &mut collector) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(collector.requests),
    }
}

struct Collector<'a> {
    file_relations: &'a [&'a str],
    requests: Vec<Request>,
    seen: HashSet<Vec<String>>,
    /// Names in lower case, each as it was first written, and whether that was in quotes.
    spelt: HashMap<Vec<String>, (Vec<String>, bool)>,
    ctes: Vec<Cte>,
    /// CTEs that were renamed so far.
    renamed: usize,
    /// Relations so far, CTEs expanded.
    expanded: usize,
    /// WITH clauses of the queries being visited: a CTE's query is visited before its name is in
    /// scope, so they are taken out and put back.
    withs: Vec<Option<With>>,
}

/// A CTE in scope.
struct Cte {
    /// In lower case.
    name: String,
    /// The relations that a use of it stands for.
    relations: usize,
    /// Its name from here on, where it hides an outer one: the planner knows no hiding.
    planned_as: Option<Ident>,
}

impl VisitorMut for Collector<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let mut with = query.with.take();
        if let Some(with) = &mut with {
            let outer = self.ctes.len();
            for cte in &mut with.cte_tables {
                let name = cte.alias.name.value.to_lowercase();
                let planned_as = self.hiding(&name, outer);
                let before = self.expanded;
                let at = self.ctes.len();
                if with.recursive {
                    let planned_as = planned_as.clone();
                    self.ctes.push(Cte { name: name.clone(), relations: 1, planned_as });
                }
                VisitMut::visit(&mut cte.query, self)?;
                self.ctes.truncate(at);
                if let Some(ident) = &planned_as {
                    cte.alias.name = ident.clone();
                }
                let relations = 1 + self.expanded - before;
                self.ctes.push(Cte { name, relations, planned_as });
                self.expanded = before;
            }
        }
        self.withs.push(with);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        query.with = self.withs.pop().flatten();
        if let Some(with) = &query.with {
            let outer = self.ctes.len().saturating_sub(with.cte_tables.len());
            self.ctes.truncate(outer);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        match self.table_factor(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e),
        }
    }
}

impl Collector<'_> {
    /// The new name of a CTE that hides one of the first `outer` CTEs.
    fn hiding(&mut self, name: &str, outer: usize) -> Option<Ident> {
        if !self.ctes.iter().take(outer).any(|cte| cte.name == name) {
            return None;
        }
        self.renamed += 1;
        Some(Ident::with_quote('"', format!("{CTE_PREFIX}{}", self.renamed)))
    }

    fn table_factor(&mut self, factor: &mut TableFactor) -> Result<()> {
        let TableFactor::Table { name, alias, args, version, .. } = factor else {
            return Ok(());
        };
        if let Some(function) = args {
            let called = name.to_string().to_lowercase();
            if !self.file_relations.contains(&called.as_str()) {
                return Ok(());
            }
            let source = Source::Files(called.clone(), std::mem::take(&mut function.args));
            *args = None;
            return self.respell(source, name, alias, Ident::new(called));
        }
        let parts = name_parts(name)?;
        let Some(last) = name.0.last().and_then(ObjectNamePart::as_ident).cloned() else {
            return Ok(());
        };
        let lower = last.value.to_lowercase();
        let cte = self.ctes.iter().rev().find(|cte| parts.len() == 1 && cte.name == lower);
        self.expanded = self.expanded.saturating_add(cte.map_or(1, |cte| cte.relations));
        if let Some(Cte { planned_as: Some(ident), .. }) = cte {
            *name = ObjectName::from(vec![ident.clone()]);
            let known_as =
                TableAlias { explicit: true, name: last.clone(), columns: Vec::new(), at: None };
            alias.get_or_insert(known_as);
        }
        if self.expanded > EXPANDED_MAX {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!(
                    "the query reads more than {EXPANDED_MAX} relations once its CTEs are expanded; \
                     store what they share in a table"
                ),
            ));
        }
        if cte.is_some() {
            return match version {
                None => Ok(()),
                Some(_) => Err(Error::invalid(format!("\"{name}\" is a CTE and has no versions"))),
            };
        }
        match version.take() {
            // The planner knows no name of four parts: it is a branch or tag of catalog.schema.table.
            None if parts.len() == 4 => {
                let source = Source::Named(name.clone(), None);
                self.respell(source, name, alias, last)
            }
            // In the planner's eyes both are one, and a database may have two.
            None if self.is_another(&parts, name) => {
                let source = Source::Named(name.clone(), None);
                self.respell(source, name, alias, last)
            }
            None => self.request(parts, Source::Named(name.clone(), None)),
            Some(version) => {
                let source = Source::Named(name.clone(), Some(as_of(version)?));
                self.respell(source, name, alias, last)
            }
        }
    }

    /// Whether a name differs from an earlier one by case alone, and one of them is in quotes.
    fn is_another(&mut self, parts: &[String], name: &ObjectName) -> bool {
        let idents = name.0.iter().filter_map(ObjectNamePart::as_ident);
        let is_quoted = idents.into_iter().any(|ident| ident.quote_style.is_some());
        let lower = parts.iter().map(|part| part.to_lowercase()).collect();
        let (first, was_quoted) =
            self.spelt.entry(lower).or_insert_with(|| (parts.to_vec(), is_quoted));
        first.as_slice() != parts && (is_quoted || *was_quoted)
    }

    fn respell(
        &mut self,
        source: Source,
        name: &mut ObjectName,
        alias: &mut Option<TableAlias>,
        known_as: Ident,
    ) -> Result<()> {
        let key = format!("{PREFIX}{}", self.requests.len());
        *name = ObjectName::from(vec![Ident::with_quote('"', &key)]);
        if alias.is_none() {
            *alias =
                Some(TableAlias { explicit: true, name: known_as, columns: Vec::new(), at: None });
        }
        self.request(vec![key], source)
    }

    fn request(&mut self, key: Vec<String>, source: Source) -> Result<()> {
        if self.seen.insert(key.clone()) {
            self.requests.push(Request { key, source });
        }
        if self.requests.len() > RELATIONS_MAX {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("more than {RELATIONS_MAX} relations in one query"),
            ));
        }
        Ok(())
    }
}

fn as_of(version: TableVersion) -> Result<AsOf> {
    match version {
        TableVersion::ForSystemTimeAsOf(expr) | TableVersion::TimestampAsOf(expr) => {
            Ok(AsOf::Timestamp(expr))
        }
        TableVersion::VersionAsOf(expr) => Ok(AsOf::Version(expr)),
        TableVersion::Function(Expr::Function(function)) => as_of_function(function),
        other => Err(Error::unsupported(format!(
            "{other} is not supported; write FOR VERSION AS OF or FOR TIMESTAMP AS OF"
        ))),
    }
}

/// `AT(VERSION => x)` and `AT(TIMESTAMP => x)`.
fn as_of_function(function: Function) -> Result<AsOf> {
    let shown = function.to_string();
    let refused = || {
        Error::unsupported(format!(
            "{shown} is not supported; write FOR VERSION AS OF or FOR TIMESTAMP AS OF"
        ))
    };
    if !function.name.to_string().eq_ignore_ascii_case("at") {
        return Err(refused());
    }
    let FunctionArguments::List(list) = function.args else { return Err(refused()) };
    let Ok([argument]) = <[FunctionArg; 1]>::try_from(list.args) else { return Err(refused()) };
    let (name, value) = match argument {
        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => (name.value, value),
        FunctionArg::ExprNamed { name, arg: FunctionArgExpr::Expr(value), .. } => {
            (name.to_string(), value)
        }
        _ => return Err(refused()),
    };
    match name.to_lowercase().as_str() {
        "version" => Ok(AsOf::Version(value)),
        "timestamp" => Ok(AsOf::Timestamp(value)),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse_query;
    use super::*;

    fn collected(sql: &str) -> (Vec<String>, String) {
        let mut query = parse_query(sql).unwrap();
        let requests = collect(&mut query, &["read_csv"]).unwrap();
        (requests.iter().map(|r| r.key.join(".")).collect(), query.to_string())
    }

    #[test]
    fn ctes_hide_tables_only_where_they_are_in_scope() {
        assert_eq!(collected("WITH t AS (SELECT * FROM t) SELECT * FROM t").0, ["t"]);
        assert!(
            collected("WITH RECURSIVE t AS (SELECT 1 UNION ALL SELECT * FROM t) SELECT * FROM t")
                .0
                .is_empty()
        );
        assert_eq!(collected("SELECT * FROM (WITH t AS (SELECT 1) SELECT * FROM T), t").0, ["t"]);
        assert_eq!(
            collected("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a, b").0,
            ["b"]
        );
        assert_eq!(collected("SELECT (SELECT max(x) FROM s.t) FROM a.b.c").0, ["s.t", "a.b.c"]);
    }

    #[test]
    fn one_table_at_two_versions_is_two_relations() {
        let (keys, sql) = collected(
            "SELECT * FROM t FOR VERSION AS OF 1 AS a JOIN t FOR VERSION AS OF 2 USING (id)",
        );
        assert_eq!(keys.len(), 2);
        assert!(sql.contains("AS a") && sql.contains("AS t"), "{sql}");
        assert!(!sql.contains("VERSION"), "{sql}");
    }

    #[test]
    fn file_relations_are_relations() {
        let (keys, sql) = collected("SELECT * FROM read_csv('x', header => true)");
        assert_eq!(keys.len(), 1);
        assert!(sql.contains("AS read_csv"), "{sql}");
    }
}
