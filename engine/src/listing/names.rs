//! Catalogs and their schemas, filtered by name, without reading what lies in them.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::filter::SchemaFilter;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::context::StatementContext;
use crate::sql::names::{self, Mounted};
use crate::sql::scope::is_visible;
use crate::sql::show::like::Matcher;

/// Names that one list of a listing holds.
pub(super) const NAMES_PER_LIST_MAX: usize = 1_000;

/// Catalogs asked for their schemas at the same time.
const CATALOGS_CONCURRENT_MAX: usize = 8;

/// A schema that the filter admits.
#[derive(Clone, Debug)]
pub(super) struct Admitted {
    pub(super) catalog: Mounted,
    pub(super) name: String,
    /// Whether its catalog was asked for by name, so that its failure is the answer.
    pub(super) named: bool,
}

/// The catalogs of this name, or all of them, sorted.
pub(super) fn catalogs(ctx: &StatementContext, name: Option<&str>) -> Vec<Mounted> {
    let mut catalogs: Vec<Mounted> = ctx.catalogs().into_iter().map(Mounted::Lake).collect();
    catalogs.extend(ctx.services.foreign_catalogs().into_iter().map(Mounted::Foreign));
    catalogs.retain(|catalog| name.is_none_or(|name| catalog.name().eq_ignore_ascii_case(name)));
    catalogs.retain(|c| is_visible(ctx.access.as_deref(), c.name(), None, None));
    catalogs.sort_by(|a, b| a.name().cmp(b.name()));
    catalogs
}

/// The schemas that the filter admits, by catalog and name.
pub(super) fn schemas(
    ctx: &StatementContext,
    filter: &SchemaFilter,
) -> BoxStream<'static, Result<Admitted>> {
    let named = filter.catalog.is_some();
    let matcher = Arc::new(Matcher::of_names(filter.schema_pattern.as_deref()));
    let access = ctx.access.clone();
    stream::iter(catalogs(ctx, filter.catalog.as_deref()))
        .map(move |catalog| {
            let (matcher, access) = (Arc::clone(&matcher), access.clone());
            async move {
                let mut listed = or_unreachable(
                    &catalog,
                    named,
                    in_time(&catalog, named, names::schemas(&catalog)).await,
                )?;
                listed.retain(|schema| matcher.matches(schema));
                listed.retain(|schema| {
                    is_visible(access.as_deref(), catalog.name(), Some(schema), None)
                });
                let admit = |name| Admitted { catalog: catalog.clone(), name, named };
                let admitted: Vec<Result<Admitted>> =
                    listed.into_iter().map(admit).map(Ok).collect();
                Ok::<_, Error>(stream::iter(admitted))
            }
        })
        .buffered(CATALOGS_CONCURRENT_MAX)
        .try_flatten()
        .boxed()
}

/// Whether a catalog could not be listed for what is no fault of the listing's: a database that
/// refuses our password is as gone as one that is down.
fn is_unreachable(catalog: &Mounted, e: &Error) -> bool {
    match catalog {
        Mounted::Lake(_) => e.kind() == ErrorKind::Unavailable,
        Mounted::Foreign(_) => e.kind() != ErrorKind::Bug,
    }
}

/// What a catalog answers; a database that nobody named has no more time than others can wait.
pub(super) async fn in_time<T>(
    catalog: &Mounted,
    named: bool,
    listing: impl Future<Output = Result<T>>,
) -> Result<T> {
    match catalog {
        Mounted::Lake(_) => listing.await,
        Mounted::Foreign(catalog) => catalog.quickly(named, listing).await,
    }
}

/// Nothing in place of what a catalog that nobody named could not say: one system that is down
/// does not hide all others.
pub(super) fn or_unreachable<T>(
    catalog: &Mounted,
    named: bool,
    listed: Result<Vec<T>>,
) -> Result<Vec<T>> {
    match listed {
        Err(e) if !named && is_unreachable(catalog, &e) => {
            tracing::warn!(catalog = catalog.name(), error = %e, "left out of a listing");
            Ok(Vec::new())
        }
        listed => listed,
    }
}
