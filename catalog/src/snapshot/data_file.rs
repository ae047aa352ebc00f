//! Data files as values: what the format library keeps to itself (partition spec id, row ids, JSON).

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{
    DataContentType, DataFile, DataFileBuilder, Literal, PartitionSpec, PrimitiveLiteral,
    PrimitiveType, Struct, StructType, TableMetadata, Type,
};

/// `file` with another partition spec id, row id and partition value; everything else is copied.
///
/// `DataFile` has no setters and hides its spec id, but its builder takes every field and its
/// getters give all others.
pub(crate) fn rebuild(
    file: &DataFile,
    spec_id: i32,
    first_row_id: Option<i64>,
    partition: Struct,
) -> Result<DataFile> {
    let mut builder = DataFileBuilder::default();
    builder
        .content(file.content_type())
        .file_path(file.file_path().to_owned())
        .file_format(file.file_format())
        .partition(partition)
        .record_count(file.record_count())
        .file_size_in_bytes(file.file_size_in_bytes())
        .column_sizes(file.column_sizes().clone())
        .value_counts(file.value_counts().clone())
        .null_value_counts(file.null_value_counts().clone())
        .nan_value_counts(file.nan_value_counts().clone())
        .lower_bounds(file.lower_bounds().clone())
        .upper_bounds(file.upper_bounds().clone())
        .key_metadata(file.key_metadata().map(<[u8]>::to_vec))
        .split_offsets(file.split_offsets().map(<[i64]>::to_vec))
        .equality_ids(file.equality_ids())
        .first_row_id(first_row_id)
        .partition_spec_id(spec_id)
        .referenced_data_file(file.referenced_data_file())
        .content_offset(file.content_offset())
        .content_size_in_bytes(file.content_size_in_bytes());
    if let Some(order) = file.sort_order_id() {
        builder.sort_order_id(order);
    }
    builder.build().map_err(|e| {
        Error::new(ErrorKind::Bug, format!("file {:?}: cannot copy it", file.file_path()))
            .with_source(e)
    })
}

/// The partition spec that `file` was written by, found by rebuilding it under each candidate.
///
/// # Errors
/// `Conflict` when the table has no such spec (any more).
pub(crate) fn spec_id_of(file: &DataFile, metadata: &TableMetadata) -> Result<i32> {
    let default = metadata.default_partition_spec_id();
    let others = metadata.partition_specs_iter().map(|spec| spec.spec_id());
    for id in std::iter::once(default).chain(others.filter(|id| *id != default)) {
        if rebuild(file, id, file.first_row_id(), file.partition().clone())? == *file {
            return Ok(id);
        }
    }
    Err(Error::new(
        ErrorKind::Conflict,
        format!(
            "file {:?}: the table has no partition spec that it was written by",
            file.file_path()
        ),
    ))
}

/// Refuses what would damage a manifest: a file of another content, or a partition of another shape.
pub(crate) fn check_new_file(file: &DataFile, spec: &PartitionSpec) -> Result<()> {
    let problem = if file.content_type() != DataContentType::Data {
        "is not a data file".to_owned()
    } else if file.partition().fields().len() != spec.fields().len() {
        format!(
            "has {} partition values where partition spec {} has {}",
            file.partition().fields().len(),
            spec.spec_id(),
            spec.fields().len()
        )
    } else if file.partition().iter().flatten().any(|v| !matches!(v, Literal::Primitive(_))) {
        "has a partition value that is not primitive".to_owned()
    } else if file.first_row_id().is_some() {
        "carries row ids, which only a commit assigns".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::InvalidArgument, format!("file {:?} {problem}", file.file_path())))
}

/// A partition value as `ty` has it now: a source column that was widened (int to long, float to
/// double) leaves narrower values behind in older manifests.
pub(crate) fn widen_partition(partition: &Struct, ty: &StructType) -> Struct {
    let fields = partition.iter().zip(ty.fields()).map(|(value, field)| {
        value.map(|literal| match (literal, field.field_type.as_ref()) {
            (
                Literal::Primitive(PrimitiveLiteral::Int(v)),
                Type::Primitive(PrimitiveType::Long),
            ) => Literal::long(i64::from(*v)),
            (
                Literal::Primitive(PrimitiveLiteral::Float(v)),
                Type::Primitive(PrimitiveType::Double),
            ) => Literal::double(f64::from(v.0)),
            _ => literal.clone(),
        })
    });
    Struct::from_iter(fields)
}

/// `file` as JSON, in the format library's form.
pub(crate) fn to_json(
    metadata: &TableMetadata,
    spec: &PartitionSpec,
    file: DataFile,
) -> Result<String> {
    let ty = spec.partition_type(metadata.current_schema())?;
    Ok(iceberg::spec::serialize_data_file_to_json(file, &ty, metadata.format_version())?)
}

/// The inverse of [`to_json`].
pub(crate) fn from_json(metadata: &TableMetadata, spec_id: i32, json: &str) -> Result<DataFile> {
    let spec = metadata.partition_spec_by_id(spec_id).ok_or_else(|| {
        Error::new(ErrorKind::InvalidArgument, format!("the table has no partition spec {spec_id}"))
    })?;
    let schema = metadata.current_schema();
    let ty = spec.partition_type(schema)?;
    Ok(iceberg::spec::deserialize_data_file_from_json(json, spec_id, &ty, schema)?)
}
