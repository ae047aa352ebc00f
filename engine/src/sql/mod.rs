//! From SQL text to statements that run.
//!
//! ```text
//! parse ─ Statement ─ router ─ one function per family
//!                                └ plan_query: guard ─ relation ─ resolve ─ spelling ─ DataFusion
//! ```
//!
//! Everything below `router` runs on a deep stack ([`deep`]), whatever recurses there.

pub mod quote;
pub mod types;
pub mod literal;
pub mod scope;
pub mod information;
pub(crate) mod deep;
pub(crate) mod dialect;
pub(crate) mod time_travel;
pub(crate) mod copy;
pub(crate) mod titles;
pub mod ddl;
pub mod show;
pub mod run;
pub mod statement;
pub(crate) mod depth;
pub(crate) mod parse;
pub(crate) mod variables;
pub mod files;
pub(crate) mod context;
pub(crate) mod template;
pub(crate) mod tuples;
pub(crate) mod multiset;
pub(crate) mod guard;
pub(crate) mod relation;
pub(crate) mod spelling;
pub(crate) mod merged;
pub(crate) mod information_schema;
pub(crate) mod resolve;
pub(crate) mod provider;
pub(crate) mod plan;
pub(crate) mod session_queries;
pub(crate) mod select;
pub(crate) mod settings;
pub(crate) mod insert;
pub(crate) mod ctas;
pub(crate) mod delete;
pub(crate) mod explain;
pub(crate) mod prepare;
pub(crate) mod router;
pub(crate) mod complete;
#[cfg(test)]
mod testing;

use sqlparser::ast::Ident;

/// An identifier's value: quoted as it is, unquoted in lower case.
pub(crate) fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}
