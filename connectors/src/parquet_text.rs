//! Text that a file does not mark as such, marked: so that the reader proves it to be UTF-8.
//!
//! The Parquet reader proves the bytes of a column when the file says `UTF8` of it, and of no other:
//! what is JSON, or what the Arrow schema beside the Parquet schema calls text, or what is read as
//! text because the table's column of that name is text, it takes for proven. Bytes that are no
//! UTF-8 would then be undefined behaviour, and anybody may write such a file.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::parquet::arrow::parquet_to_arrow_schema;
use datafusion::parquet::basic::{ConvertedType, LogicalType, Type as PhysicalType};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataBuilder};
use datafusion::parquet::schema::types::{ColumnDescriptor, SchemaDescriptor, Type, TypePtr};

/// The key of the Arrow schema that some writers put beside the Parquet schema.
const ARROW_SCHEMA: &str = "ARROW:schema";

/// What becomes of a column.
#[derive(Clone, Debug, PartialEq)]
enum Fate {
    Kept,
    /// Said to be text, and so proven.
    Marked,
    /// Given a name that nobody asks for: it stays bytes, and is found by its field id.
    Renamed(String),
}

/// The footer in which nothing is read as text that is not proven to be; `text` are the names of
/// columns that the reader reads as text wherever it meets them. `None` if it is so already.
///
/// # Errors
/// For a footer whose schema cannot be read.
pub fn marked(
    footer: &ParquetMetaData,
    text: &HashSet<String>,
) -> Result<Option<ParquetMetaData>, ParquetError> {
    let file = footer.file_metadata();
    let schema = file.schema_descr();
    if !schema.columns().iter().any(|column| is_unmarked(column)) {
        return Ok(None);
    }
    let fates = fates(file, text)?;
    if fates.iter().all(|fate| *fate == Fate::Kept) {
        return Ok(None);
    }
    let mut pairs = file.key_value_metadata().cloned();
    if fates.iter().any(|fate| matches!(fate, Fate::Renamed(_)))
        && let Some(pairs) = &mut pairs
    {
        // It has the names as they were; types come from the Parquet schema alone then.
        pairs.retain(|pair| pair.key != ARROW_SCHEMA);
    }
    let root = with_fates(&schema.root_schema_ptr(), &mut fates.into_iter())?;
    let file = FileMetaData::new(
        file.version(),
        file.num_rows(),
        file.created_by().map(str::to_owned),
        pairs,
        Arc::new(SchemaDescriptor::new(root)),
        file.column_orders().cloned(),
    );
    let marked = ParquetMetaDataBuilder::new(file)
        .set_row_groups(footer.row_groups().to_vec())
        .set_column_index(footer.column_index().cloned())
        .set_offset_index(footer.offset_index().cloned());
    Ok(Some(marked.build()))
}

/// What becomes of each column.
fn fates(file: &FileMetaData, text: &HashSet<String>) -> Result<Vec<Fate>, ParquetError> {
    let schema = file.schema_descr();
    let arrow = parquet_to_arrow_schema(schema, file.key_value_metadata())?;
    let mut are_text = Vec::with_capacity(schema.num_columns());
    arrow.fields().iter().for_each(|field| leaves(field, &mut are_text));
    if are_text.len() != schema.num_columns() {
        return Err(ParquetError::General("its columns are not those of its schema".to_owned()));
    }
    let mut taken: HashSet<String> = text.clone();
    taken.extend(arrow.fields().iter().map(|field| field.name().clone()));
    let fates = schema.columns().iter().zip(are_text).map(|(column, is_text)| {
        let asked = matches!(column.path().parts(), [name] if text.contains(name));
        if !is_unmarked(column) || !(is_text || asked) {
            Fate::Kept
        } else if is_text || !column.self_type().get_basic_info().has_id() {
            Fate::Marked
        } else {
            let mut name = format!("{} as bytes", column.name());
            while !taken.insert(name.clone()) {
                name.push('_');
            }
            Fate::Renamed(name)
        }
    });
    Ok(fates.collect())
}

fn is_unmarked(column: &ColumnDescriptor) -> bool {
    column.physical_type() == PhysicalType::BYTE_ARRAY
        && column.converted_type() != ConvertedType::UTF8
}

/// Whether each Parquet column of `field`, in their order, is text in Arrow.
fn leaves(field: &Field, are_text: &mut Vec<bool>) {
    leaves_of(field.data_type(), are_text);
}

fn leaves_of(ty: &DataType, are_text: &mut Vec<bool>) {
    match ty {
        DataType::Struct(fields) => fields.iter().for_each(|field| leaves(field, are_text)),
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::ListView(element)
        | DataType::LargeListView(element)
        | DataType::FixedSizeList(element, _)
        | DataType::Map(element, _) => leaves(element, are_text),
        DataType::Dictionary(_, values) => leaves_of(values, are_text),
        DataType::RunEndEncoded(_, values) => leaves(values, are_text),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => are_text.push(true),
        _ => are_text.push(false),
    }
}

/// The schema after what becomes of its columns, in their order.
fn with_fates(
    ty: &TypePtr,
    fates: &mut impl Iterator<Item = Fate>,
) -> Result<TypePtr, ParquetError> {
    let info = ty.get_basic_info();
    let id = info.has_id().then(|| info.id());
    let built = match ty.as_ref() {
        Type::PrimitiveType { physical_type, .. } => {
            let primitive = |name| {
                Type::primitive_type_builder(name, *physical_type)
                    .with_repetition(info.repetition())
                    .with_id(id)
            };
            match fates.next() {
                Some(Fate::Marked) => primitive(info.name())
                    .with_converted_type(ConvertedType::UTF8)
                    .with_logical_type(Some(LogicalType::String))
                    .build()?,
                Some(Fate::Renamed(name)) => primitive(&name).build()?,
                Some(Fate::Kept) | None => return Ok(Arc::clone(ty)),
            }
        }
        Type::GroupType { fields, .. } => {
            let fields = fields.iter().map(|field| with_fates(field, fates));
            let mut group = Type::group_type_builder(info.name())
                .with_converted_type(info.converted_type())
                .with_logical_type(info.logical_type_ref().cloned())
                .with_fields(fields.collect::<Result<Vec<_>, _>>()?)
                .with_id(id);
            if info.has_repetition() {
                group = group.with_repetition(info.repetition());
            }
            group.build()?
        }
    };
    Ok(Arc::new(built))
}
