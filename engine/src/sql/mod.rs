//! From SQL text to statements that run.
//!
//! ```text
//! parse ─ Statement ─ router ─ one function per family
//!                                └ plan_query: guard ─ relation ─ resolve ─ spelling ─ DataFusion
//! ```
//!
//! Everything below `router` runs on a deep stack ([`deep`]), whatever recurses there.

pub mod limits;
pub mod quote;
pub mod types;
pub mod literal;
pub mod scope;
pub mod information;
pub(crate) mod names;
pub mod keywords;
pub(crate) mod deep;
pub(crate) mod dialect;
pub(crate) mod placeholders;
pub(crate) mod time_travel;
pub(crate) mod copy;
pub(crate) mod titles;
pub mod ddl;
pub mod show;
pub mod run;
pub mod statement;
pub(crate) mod depth;
pub(crate) mod lane;
pub(crate) mod parse;
pub(crate) mod scripts;
pub(crate) mod variables;
pub mod files;
pub mod pins;
pub(crate) mod context;
pub(crate) mod bytes;
pub(crate) mod template;
pub(crate) mod tuples;
pub(crate) mod multiset;
pub(crate) mod guard;
pub(crate) mod relation;
pub(crate) mod spelling;
pub(crate) mod merged;
pub(crate) mod information_schema;
pub(crate) mod cluster_tables;
pub(crate) mod system;
pub(crate) mod access;
pub(crate) mod branch;
pub(crate) mod register;
pub(crate) mod foreign;
mod add_files;
pub(crate) mod resolve;
mod lineage;
pub(crate) mod provider;
pub(crate) mod plan;
pub(crate) mod session_queries;
pub(crate) mod select;
pub(crate) mod settings;
pub(crate) mod bound;
pub(crate) mod insert;
pub(crate) mod analyze;
pub(crate) mod ctas;
pub(crate) mod delete;
pub(crate) mod explain;
pub(crate) mod prepare;
pub(crate) mod ingest;
pub(crate) mod kind;
pub(crate) mod planned;
pub(crate) mod router;
pub(crate) mod describe;
pub(crate) mod complete;
#[cfg(test)]
pub(crate) mod testing;

use sqlparser::ast::Ident;

/// An identifier's value: quoted as it is, unquoted in lower case.
pub(crate) fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}
