//! What a session can list, as protocols ask for it: catalogs, schemas, tables with their columns,
//! keys, functions.
//!
//! ```text
//! catalogs ─ schemas ─ filter ─ names ─ filter ─ load columns (only when asked) ─ batches
//! ```

mod filter;
mod functions;
mod names;
mod columns;
mod tables;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};

use crate::error::Result;
use crate::session::Session;
use tables::Lister;

pub use filter::{Columns, SchemaFilter, TableFilter, TableKind};
pub use functions::{FunctionGroup, ListedFunction};

/// A listing as it comes, some entries at a time; none of the lists is empty.
pub type Listing<T> = BoxStream<'static, Result<Vec<T>>>;

/// A schema with its catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSchema {
    /// The catalog.
    pub catalog: String,
    /// The schema, dotted where it is nested.
    pub schema: String,
}

/// A table or view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTable {
    /// The catalog.
    pub catalog: String,
    /// The schema, dotted where it is nested.
    pub schema: String,
    /// The name, in stored spelling.
    pub name: String,
    /// What it is.
    pub kind: TableKind,
    /// The columns that a query of it yields, where they were asked for. Empty where they cannot
    /// be told: one damaged table hides no other.
    pub columns: Option<SchemaRef>,
}

/// The columns that identify a row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// The catalog.
    pub catalog: String,
    /// The schema, dotted where it is nested.
    pub schema: String,
    /// The table, in stored spelling.
    pub table: String,
    /// The columns, in the order of the table.
    pub columns: Vec<String>,
}

impl Session {
    /// The names of the mounted catalogs, sorted.
    pub fn list_catalogs(&self) -> Result<Vec<String>> {
        let ctx = self.statement_context()?;
        Ok(names::catalogs(&ctx, None).iter().map(|c| c.name().to_owned()).collect())
    }

    /// Schemas, by catalog and name.
    ///
    /// # Errors
    /// The stream fails where a catalog that was asked for by name cannot be reached; others are
    /// left out with a warning.
    pub fn list_schemas(&self, filter: &SchemaFilter) -> Result<Listing<ListedSchema>> {
        let ctx = self.statement_context()?;
        Ok(names::schemas(&ctx, filter)
            .map_ok(|schema| ListedSchema {
                catalog: schema.catalog.name().to_owned(),
                schema: schema.name,
            })
            .try_chunks(names::NAMES_PER_LIST_MAX)
            .map_err(|e| e.1)
            .boxed())
    }

    /// Tables and views, by catalog, schema and name. Nothing is loaded of what the filter does
    /// not admit, nor ahead of what is read.
    ///
    /// Where the pattern for tables is a name, without `%`, what comes first is the table that
    /// this name stands for in the session: clients look no further than the first row.
    ///
    /// # Errors
    /// As [`Session::list_schemas`].
    pub fn list_tables(&self, filter: &TableFilter) -> Result<Listing<ListedTable>> {
        Ok(Lister::new(Arc::new(self.statement_context()?), filter).tables())
    }

    /// What identifies the rows of a table, where its metadata says so. The filter's patterns are
    /// exact names here.
    ///
    /// # Errors
    /// As [`Session::list_schemas`].
    pub async fn list_keys(&self, filter: &TableFilter) -> Result<Vec<ListedKey>> {
        Lister::new(Arc::new(self.statement_context()?), filter).keys().await
    }

    /// Every scalar function that queries may call, by name.
    pub fn list_functions(&self) -> Result<Vec<ListedFunction>> {
        Ok(functions::scalar_functions(&self.statement_context()?))
    }
}
