//! The Iceberg format types that other crates may name. Nothing here carries an Arrow type.

pub use crate::transform::transform_literal;
pub use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, FieldSummary, FormatVersion,
    ListType, Literal, MAIN_BRANCH, Manifest, ManifestContentType, ManifestEntry, ManifestFile,
    ManifestList, ManifestStatus, MapType, NestedField, NestedFieldRef, NullOrder, Operation,
    PartitionField, PartitionSpec, PartitionSpecRef, PrimitiveLiteral, PrimitiveType, Schema,
    SchemaRef, Snapshot, SnapshotRef, SnapshotReference, SnapshotRetention, SortDirection,
    SortField, SortOrder, SortOrderRef, Struct, StructType, Summary, TableMetadata,
    TableMetadataRef, Transform, Type, UnboundPartitionField, UnboundPartitionSpec, ViewMetadata,
};
pub use iceberg::{MetadataLocation, TableRequirement, TableUpdate};
