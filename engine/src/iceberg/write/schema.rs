//! The Arrow schema in which rows reach the Parquet writer.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema as ArrowSchema, SchemaRef};
use fjord_catalog::spec::Schema;

use super::conform::by_name_or_position;
use crate::error::{Error, Result};
use crate::iceberg::types::to_file_schema;

/// The file schema of `schema`, except that a text or binary column keeps the layout in which it
/// arrives: the writer takes views and plain arrays alike, and a copy would be for nothing.
///
/// # Errors
/// `Invalid` when the rows have another number of columns.
pub(crate) fn to_write_schema(schema: &Schema, incoming: &ArrowSchema) -> Result<SchemaRef> {
    let file = to_file_schema(schema)?;
    let (columns, given) = (file.fields(), incoming.fields());
    if columns.len() != given.len() {
        return Err(Error::invalid(format!(
            "the table has {} columns, the rows to write have {}",
            columns.len(),
            given.len()
        )));
    }
    let fields = columns.iter().zip(given).map(|(c, g)| keep_layout(c, Some(g.data_type())));
    Ok(Arc::new(ArrowSchema::new(fields.collect::<Fields>())))
}

fn keep_layout(field: &Arc<Field>, given: Option<&DataType>) -> Arc<Field> {
    use DataType as D;
    let ty = match (field.data_type(), given) {
        (
            D::Utf8 | D::LargeUtf8 | D::Utf8View,
            Some(t @ (D::Utf8 | D::LargeUtf8 | D::Utf8View)),
        )
        | (
            D::Binary | D::LargeBinary | D::BinaryView,
            Some(t @ (D::Binary | D::LargeBinary | D::BinaryView)),
        ) => t.clone(),
        (D::Struct(children), Some(D::Struct(from))) => {
            let names = children.iter().map(|c| c.name().as_str()).collect::<Vec<_>>();
            let kept = children.iter().enumerate().map(|(i, child)| {
                let at = by_name_or_position(from, &names, i);
                keep_layout(child, at.map(|at| from[at].data_type()))
            });
            D::Struct(kept.collect())
        }
        (
            D::List(element),
            Some(
                D::List(from)
                | D::LargeList(from)
                | D::FixedSizeList(from, _)
                | D::ListView(from)
                | D::LargeListView(from),
            ),
        ) => D::List(keep_layout(element, Some(from.data_type()))),
        (D::Map(entries, sorted), Some(D::Map(from, _))) => {
            match (entries.data_type(), from.data_type()) {
                (D::Struct(pair), D::Struct(from)) if from.len() == pair.len() => {
                    let kept =
                        pair.iter().zip(from).map(|(p, f)| keep_layout(p, Some(f.data_type())));
                    let kept = D::Struct(kept.collect());
                    D::Map(Arc::new(entries.as_ref().clone().with_data_type(kept)), *sorted)
                }
                _ => return Arc::clone(field),
            }
        }
        _ => return Arc::clone(field),
    };
    Arc::new(field.as_ref().clone().with_data_type(ty))
}
