//! `information_schema`: what a catalog holds, as relations.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use fjord_catalog::catalog::Catalog;

use super::context::StatementContext;
use crate::error::{Error, ErrorKind, Result};

/// The name of the schema, in every catalog.
pub(crate) const SCHEMA: &str = "information_schema";

/// The relation `table` of `catalog`'s information schema.
///
/// # Errors
/// `NotFound`, listing the relations there are.
pub(crate) async fn relation(
    _ctx: &StatementContext,
    _catalog: &Catalog,
    table: &str,
) -> Result<Arc<dyn TableProvider>> {
    std::future::ready(()).await;
    Err(Error::new(ErrorKind::NotFound, format!("table \"{SCHEMA}.{table}\" not found")))
}
