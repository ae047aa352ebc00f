//! Every change of columns and properties, allowed and refused.

use std::collections::HashMap;
use std::sync::Arc;

use super::{ColumnChange, change_columns, set_properties, unset_properties};
use crate::error::{ErrorKind, Result};
use crate::spec::{
    FormatVersion, ListType, Literal, MapType, NestedField, NullOrder, PartitionSpec,
    PrimitiveType, Schema, SortDirection, SortField, SortOrder, StructType, TableMetadata,
    TableUpdate, Transform, Type,
};

fn primitive(ty: PrimitiveType) -> Type {
    Type::Primitive(ty)
}

fn path(dotted: &str) -> Vec<String> {
    dotted.split('.').map(str::to_owned).collect()
}

fn metadata(version: FormatVersion) -> TableMetadata {
    let int = || primitive(PrimitiveType::Int);
    let point = StructType::new(vec![
        Arc::new(NestedField::optional(20, "x", int())),
        Arc::new(NestedField::required(21, "y", primitive(PrimitiveType::Float))),
    ]);
    let list = ListType::new(Arc::new(NestedField::list_element(
        22,
        Type::Struct(StructType::new(vec![Arc::new(NestedField::optional(23, "e", int()))])),
        false,
    )));
    let map = MapType::new(
        Arc::new(NestedField::map_key_element(24, primitive(PrimitiveType::String))),
        Arc::new(NestedField::map_value_element(
            25,
            Type::Struct(StructType::new(vec![Arc::new(NestedField::optional(26, "v", int()))])),
            false,
        )),
    );
    let decimal = primitive(PrimitiveType::Decimal { precision: 9, scale: 2 });
    let schema = Schema::builder()
        .with_identifier_field_ids([1])
        .with_fields(
            [
                NestedField::required(1, "id", primitive(PrimitiveType::Long)),
                NestedField::optional(2, "customerId", int()),
                NestedField::optional(3, "Point", Type::Struct(point)),
                NestedField::optional(4, "points", Type::List(list)),
                NestedField::optional(5, "tags", Type::Map(map)),
                NestedField::optional(6, "price", decimal),
                NestedField::required(7, "day", primitive(PrimitiveType::Date)),
                NestedField::optional(8, "sorted", int()),
            ]
            .map(Arc::new),
        )
        .build()
        .unwrap();
    let spec = PartitionSpec::builder(schema.clone())
        .add_partition_field("day", "day_month", Transform::Month)
        .unwrap()
        .build()
        .unwrap();
    let order = SortOrder::builder()
        .with_sort_field(
            SortField::builder()
                .source_id(8)
                .transform(Transform::Identity)
                .direction(SortDirection::Ascending)
                .null_order(NullOrder::First)
                .build(),
        )
        .build(&schema)
        .unwrap();
    iceberg::spec::TableMetadataBuilder::new(
        schema,
        spec.into_unbound(),
        order,
        "file:///t".to_owned(),
        version,
        HashMap::from([("owner".to_owned(), "ann".to_owned())]),
    )
    .unwrap()
    .build()
    .unwrap()
    .metadata
}

fn change(version: FormatVersion, changes: &[ColumnChange]) -> Result<TableMetadata> {
    let before = metadata(version);
    let updates = change_columns(&before, changes)?;
    let mut builder = before.into_builder(None);
    for update in updates {
        builder = update.apply(builder).unwrap();
    }
    Ok(builder.build().unwrap().metadata)
}

fn changed(changes: &[ColumnChange]) -> Arc<Schema> {
    Arc::clone(change(FormatVersion::V2, changes).unwrap().current_schema())
}

fn refused(changes: &[ColumnChange]) -> (ErrorKind, String) {
    let e = change(FormatVersion::V2, changes).unwrap_err();
    (e.kind(), e.to_string())
}

fn add(dotted: &str, ty: Type) -> ColumnChange {
    ColumnChange::Add { path: path(dotted), ty, doc: None, default: None }
}

#[test]
fn adding_gives_ids_that_were_never_used() {
    let before = metadata(FormatVersion::V2);
    let last = before.last_column_id();
    let nested = Type::Struct(StructType::new(vec![Arc::new(NestedField::required(
        1,
        "inner",
        primitive(PrimitiveType::Int),
    ))]));
    let schema = changed(&[add("fresh", nested), add("next", primitive(PrimitiveType::String))]);
    assert_eq!(schema.field_id_by_name("fresh"), Some(last + 1));
    assert_eq!(schema.field_id_by_name("fresh.inner"), Some(last + 2));
    assert_eq!(schema.field_id_by_name("next"), Some(last + 3));
    assert!(!schema.field_by_name("fresh").unwrap().required);
}

#[test]
fn a_dropped_and_added_column_is_another_column() {
    let schema = changed(&[
        ColumnChange::Drop(path("price")),
        add("price", primitive(PrimitiveType::Double)),
    ]);
    assert_ne!(schema.field_id_by_name("price"), Some(6));
}

#[test]
fn nested_columns_are_found_in_any_case_through_structs_lists_and_maps() {
    let int = || primitive(PrimitiveType::Int);
    let schema = changed(&[
        add("POINT.z", int()),
        add("points.element.f", int()),
        add("tags.value.w", int()),
        ColumnChange::Rename(path("point.X"), "left".to_owned()),
        ColumnChange::Drop(path("points.element.e")),
    ]);
    for name in ["Point.z", "points.f", "tags.w", "Point.left"] {
        let full = name.replace("points.f", "points.element.f").replace("tags.w", "tags.value.w");
        let found = schema.field_by_name(&full).or_else(|| schema.field_by_name(name));
        assert!(found.is_some(), "{name} in {schema}");
    }
    let before = metadata(FormatVersion::V2);
    let id = |name: &str| before.current_schema().field_id_by_name(name).unwrap();
    assert_eq!(schema.field_id_by_name("Point.left"), Some(id("Point.x")));
    assert!(schema.field_by_id(id("points.element.e")).is_none());
}

#[test]
fn names_are_taken_regardless_of_case() {
    let (kind, message) = refused(&[add("CUSTOMERID", primitive(PrimitiveType::Int))]);
    assert_eq!(kind, ErrorKind::AlreadyExists);
    assert!(message.contains("customerId"), "{message}");
    let rename = |from, to: &str| ColumnChange::Rename(path(from), to.to_owned());
    assert_eq!(refused(&[rename("price", "ID")]).0, ErrorKind::AlreadyExists);
    // Its own name in another case is free.
    assert!(changed(&[rename("customerid", "CustomerID")]).field_by_name("CustomerID").is_some());
}

#[test]
fn a_column_may_not_take_a_partition_fields_name() {
    let (kind, message) = refused(&[add("day_month", primitive(PrimitiveType::Int))]);
    assert_eq!(kind, ErrorKind::AlreadyExists, "{message}");
}

#[test]
fn missing_columns_and_parents_are_named() {
    for missing in ["nope", "Point.nope", "nope.x"] {
        let (kind, message) = refused(&[ColumnChange::Drop(path(missing))]);
        assert_eq!(kind, ErrorKind::NotFound);
        assert!(message.contains(missing), "{message}");
    }
    for wrong in ["id.x", "points.e", "tags.v", "tags.key.x"] {
        assert_eq!(refused(&[ColumnChange::Drop(path(wrong))]).0, ErrorKind::InvalidArgument);
    }
    assert_eq!(refused(&[ColumnChange::Drop(Vec::new())]).0, ErrorKind::InvalidArgument);
    assert_eq!(refused(&[add("", primitive(PrimitiveType::Int))]).0, ErrorKind::InvalidArgument);
}

#[test]
fn used_columns_and_last_columns_are_not_dropped() {
    for (used, by) in [("id", "identifies"), ("day", "partitioning"), ("sorted", "sort order")] {
        let (kind, message) = refused(&[ColumnChange::Drop(path(used))]);
        assert_eq!(kind, ErrorKind::InvalidArgument);
        assert!(message.contains(by), "{message}");
    }
    let (_, message) = refused(&[ColumnChange::Drop(path("tags.value.v"))]);
    assert!(message.contains("only one"), "{message}");
}

#[test]
fn types_only_widen() {
    use PrimitiveType as P;
    let set = |column, ty| ColumnChange::SetType(path(column), primitive(ty));
    let schema = changed(&[
        set("customerid", P::Long),
        set("point.y", P::Double),
        set("price", P::Decimal { precision: 12, scale: 2 }),
    ]);
    assert_eq!(*schema.field_by_id(2).unwrap().field_type, primitive(P::Long));
    assert_eq!(*schema.field_by_name("Point.y").unwrap().field_type, primitive(P::Double));
    for wrong in [
        set("id", P::Int),
        set("customerId", P::String),
        set("customerId", P::Double),
        set("price", P::Decimal { precision: 8, scale: 2 }),
        set("price", P::Decimal { precision: 12, scale: 3 }),
        set("day", P::Timestamp),
        set("point", P::Int),
    ] {
        assert_eq!(
            refused(std::slice::from_ref(&wrong)).0,
            ErrorKind::InvalidArgument,
            "{wrong:?}"
        );
    }
}

#[test]
fn not_null_is_dropped_but_for_identifiers() {
    assert!(!changed(&[ColumnChange::DropNotNull(path("day"))]).field_by_id(7).unwrap().required);
    assert_eq!(refused(&[ColumnChange::DropNotNull(path("id"))]).0, ErrorKind::InvalidArgument);
}

#[test]
fn comments_are_set_and_cleared() {
    let comment = |doc: Option<&str>| ColumnChange::Comment(path("price"), doc.map(str::to_owned));
    let schema = changed(&[comment(Some("in euro"))]);
    assert_eq!(schema.field_by_id(6).unwrap().doc.as_deref(), Some("in euro"));
    // Nothing changed, nothing committed.
    let updates = change_columns(&metadata(FormatVersion::V2), &[comment(None)]).unwrap();
    assert!(updates.is_empty());
}

#[test]
fn defaults_need_format_3_and_a_value_of_the_type() {
    let with = |default| ColumnChange::Add {
        path: path("n"),
        ty: primitive(PrimitiveType::Int),
        doc: None,
        default: Some(default),
    };
    assert_eq!(refused(&[with(Literal::int(7))]).0, ErrorKind::Unsupported);
    let wrong = change(FormatVersion::V3, &[with(Literal::string("7"))]).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::InvalidArgument);
    let widen = ColumnChange::SetType(path("n"), primitive(PrimitiveType::Long));
    let metadata = change(FormatVersion::V3, &[with(Literal::int(7)), widen]).unwrap();
    let field = metadata.current_schema().field_by_name("n").unwrap();
    assert_eq!(field.initial_default, Some(Literal::long(7)));
    assert_eq!(field.write_default, Some(Literal::long(7)));
}

#[test]
fn nanoseconds_need_format_3() {
    let column = add("t", primitive(PrimitiveType::TimestampNs));
    assert_eq!(refused(std::slice::from_ref(&column)).0, ErrorKind::Unsupported);
    assert!(change(FormatVersion::V3, &[column]).is_ok());
}

#[test]
fn properties_are_set_and_unset_but_not_reserved_ones() {
    let metadata = metadata(FormatVersion::V2);
    let map = |key: &str, value: &str| HashMap::from([(key.to_owned(), value.to_owned())]);
    assert!(set_properties(&metadata, &map("owner", "ann")).unwrap().is_empty());
    assert!(matches!(
        set_properties(&metadata, &map("owner", "bob")).unwrap().as_slice(),
        [TableUpdate::SetProperties { .. }]
    ));
    assert!(unset_properties(&metadata, &["nope".to_owned()]).unwrap().is_empty());
    assert_eq!(unset_properties(&metadata, &["owner".to_owned()]).unwrap().len(), 1);
    for key in ["format-version", "uuid", "current-snapshot-id", ""] {
        let set = set_properties(&metadata, &map(key, "1")).unwrap_err();
        assert_eq!(set.kind(), ErrorKind::InvalidArgument);
        let unset = unset_properties(&metadata, &[key.to_owned()]).unwrap_err();
        assert_eq!(unset.kind(), ErrorKind::InvalidArgument);
    }
}
