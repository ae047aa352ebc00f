//! The columns that a query of a listed table or view would yield.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use fjord_catalog::metastore::{EntryKind, View};
use fjord_connectors::connector::RemoteName;

use crate::error::Result;
use crate::iceberg::types::{COMMENT, to_arrow_schema};
use crate::sql::ddl::view::COLUMN_COMMENT;
use crate::sql::information::columns_of;
use crate::sql::names::{Mounted, Named};
use crate::sql::scope::Queries;

/// The columns of an entry; `None` where it was dropped since it was listed.
///
/// # Errors
/// What kept the metadata from being read, or the view from being planned.
pub(super) async fn columns(
    catalog: &Mounted,
    named: &Named,
    queries: &dyn Queries,
) -> Result<Option<SchemaRef>> {
    use fjord_catalog::ErrorKind::NotFound;
    let (catalog, entry) = match (catalog, &named.entry) {
        (Mounted::Lake(catalog), Some(entry)) => (catalog, entry),
        (_, Some(entry)) => return columns_of(&entry.name).transpose(),
        (Mounted::Foreign(catalog), None) => {
            let name = RemoteName { schema: named.schema.clone(), name: named.name.clone() };
            return Ok(catalog.table(&name).await?.map(|table| table.schema()));
        }
        (Mounted::Lake(_), None) => return Ok(None),
    };
    if let Some(own) = columns_of(&entry.name) {
        return own.map(Some);
    }
    match entry.kind {
        EntryKind::Table => match catalog.load_table(&entry.name).await {
            Ok(table) => to_arrow_schema(table.metadata().current_schema()).map(Some),
            Err(e) if e.kind() == NotFound => Ok(None),
            Err(e) => Err(e.into()),
        },
        EntryKind::View => match catalog.metastore().load_view(&entry.name).await {
            Ok(view) => {
                let yielded = queries.view_schema(catalog.name(), &view).await?;
                Ok(Some(under_own_names(&view, &yielded)))
            }
            Err(e) if e.kind() == NotFound => Ok(None),
            Err(e) => Err(e.into()),
        },
    }
}

/// What a view's query yields, under the names and with the comments that the view gives.
fn under_own_names(view: &View, yielded: &Schema) -> SchemaRef {
    let own = |(i, field): (usize, &Arc<Field>)| {
        let name = view.columns.get(i).unwrap_or_else(|| field.name());
        let mut metadata = field.metadata().clone();
        // A comment on the table's column is not one on the view's.
        metadata.remove(COMMENT);
        if let Some(comment) = view.properties.get(&format!("{COLUMN_COMMENT}{name}")) {
            metadata.insert(COMMENT.to_owned(), comment.clone());
        }
        // What a view yields may become NULL with its tables.
        Field::new(name, field.data_type().clone(), true).with_metadata(metadata)
    };
    let fields: Vec<Field> = yielded.fields().iter().enumerate().map(own).collect();
    Arc::new(Schema::new(fields))
}
