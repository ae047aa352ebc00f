//! Every change of columns and properties, allowed and refused.

use std::collections::HashMap;
use std::sync::Arc;

use super::{
    ColumnChange, ColumnPosition, NAME_MAPPING, change_columns, set_properties, unset_properties,
};
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
    ColumnChange::Add {
        path: path(dotted),
        ty,
        required: false,
        doc: None,
        default: None,
        position: ColumnPosition::Last,
    }
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
        required: false,
        doc: None,
        default: Some(default),
        position: ColumnPosition::Last,
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

fn names(schema: &Schema) -> Vec<&str> {
    schema.as_struct().fields().iter().map(|field| field.name.as_str()).collect()
}

#[test]
fn columns_are_put_in_their_place_at_every_level() {
    let put = |column, position| ColumnChange::Move(path(column), position);
    let after = |name: &str| ColumnPosition::After(name.to_owned());
    let schema = changed(&[
        put("sorted", ColumnPosition::First),
        put("ID", after("CUSTOMERID")),
        put("Point.y", ColumnPosition::First),
        ColumnChange::Add {
            path: path("Point.z"),
            ty: primitive(PrimitiveType::Int),
            required: false,
            doc: None,
            default: None,
            position: after("Y"),
        },
        put("price", ColumnPosition::Last),
    ]);
    let expected = ["sorted", "customerId", "id", "Point", "points", "tags", "day", "price"];
    assert_eq!(names(&schema), expected);
    let point = schema.field_by_name("Point").unwrap();
    let Type::Struct(point) = point.field_type.as_ref() else { panic!("no struct") };
    let inner: Vec<_> = point.fields().iter().map(|field| field.name.as_str()).collect();
    assert_eq!(inner, ["y", "z", "x"]);
    assert_eq!(refused(&[put("id", after("nope"))]).0, ErrorKind::NotFound);
    assert_eq!(refused(&[put("id", after("ID"))]).0, ErrorKind::InvalidArgument);
}

#[test]
fn a_changed_default_is_for_rows_to_come() {
    let add = |required| ColumnChange::Add {
        path: path("n"),
        ty: primitive(PrimitiveType::Int),
        required,
        doc: None,
        default: Some(Literal::int(7)),
        position: ColumnPosition::Last,
    };
    let set = |default| ColumnChange::SetDefault(path("n"), default);
    let field = |changes: &[ColumnChange]| {
        let metadata = change(FormatVersion::V3, changes).unwrap();
        NestedField::clone(metadata.current_schema().field_by_name("n").unwrap())
    };
    let field_set = field(&[add(false), set(Some(Literal::int(8)))]);
    assert_eq!(field_set.initial_default, Some(Literal::int(7)));
    assert_eq!(field_set.write_default, Some(Literal::int(8)));
    let cleared = field(&[add(true), set(None)]);
    assert_eq!((cleared.initial_default, cleared.write_default), (Some(Literal::int(7)), None));
    assert!(cleared.required);
    let wrong = change(FormatVersion::V3, &[add(false), set(Some(Literal::string("x")))]);
    assert_eq!(wrong.unwrap_err().kind(), ErrorKind::InvalidArgument);
    let old = [ColumnChange::SetDefault(path("price"), Some(Literal::decimal(1)))];
    assert_eq!(refused(&old).0, ErrorKind::Unsupported);
}

/// The properties after `changes` of a table that has `properties`.
fn properties_after(
    properties: &[(&str, &str)],
    changes: &[ColumnChange],
) -> HashMap<String, String> {
    let set = properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let builder = metadata(FormatVersion::V2).into_builder(None).set_properties(set).unwrap();
    let mut current = builder.build().unwrap().metadata;
    for one in changes {
        let updates = change_columns(&current, std::slice::from_ref(one)).unwrap();
        let mut builder = current.into_builder(None);
        for update in updates {
            builder = update.apply(builder).unwrap();
        }
        current = builder.build().unwrap().metadata;
    }
    current.properties().clone()
}

/// Hazard: a name in the mapping passes to another column, whose values in files without field ids
/// are then those of the first (stack §3).
#[test]
fn the_name_mapping_follows_columns_and_gives_no_name_to_another() {
    let rename = |from, to: &str| ColumnChange::Rename(path(from), to.to_owned());
    let x = metadata(FormatVersion::V2).current_schema().field_id_by_name("Point.x").unwrap();
    let last = metadata(FormatVersion::V2).last_column_id();
    let mapping = serde_json::json!([
        {"field-id": 2, "names": ["customerId"]},
        {"field-id": 3, "names": ["Point"], "fields": [{"field-id": x, "names": ["x"]}]},
        {"field-id": 6, "names": ["price"]},
    ])
    .to_string();
    let after = |changes: &[ColumnChange]| -> serde_json::Value {
        let properties = properties_after(&[(NAME_MAPPING, &mapping)], changes);
        serde_json::from_str(&properties[NAME_MAPPING]).unwrap()
    };
    // The dropped `price` keeps its name, whoever takes it; so does the renamed `customerId`.
    let found = after(&[
        rename("customerId", "buyer"),
        rename("Point.x", "left"),
        ColumnChange::Drop(path("price")),
        add("price", primitive(PrimitiveType::Int)),
        add("customerId", primitive(PrimitiveType::Int)),
        add("fresh", primitive(PrimitiveType::Int)),
    ]);
    let expected: serde_json::Value = serde_json::json!([
        {"field-id": 2, "names": ["customerId", "buyer"]},
        {"field-id": 3, "names": ["Point"], "fields": [{"field-id": x, "names": ["x", "left"]}]},
        {"field-id": 6, "names": ["price"]},
        {"field-id": last + 3, "names": ["fresh"]},
    ]);
    assert_eq!(found, expected);
    let swapped =
        after(&[rename("price", "p"), rename("customerId", "price"), rename("p", "customerId")]);
    assert_eq!(swapped[0]["names"], serde_json::json!(["customerId"]));
    assert_eq!(swapped[2]["names"], serde_json::json!(["price", "p"]));
    let broken = metadata(FormatVersion::V2)
        .into_builder(None)
        .set_properties([(NAME_MAPPING.to_owned(), "{".to_owned())].into())
        .unwrap();
    let broken = broken.build().unwrap().metadata;
    let e = change_columns(&broken, &[rename("price", "p")]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Corrupt);
}

#[test]
fn properties_of_a_column_go_where_it_goes() {
    let metrics = "write.metadata.metrics.column.";
    let bloom = "write.parquet.bloom-filter-enabled.column.";
    let found = properties_after(
        &[
            (&format!("{metrics}price"), "none"),
            (&format!("{bloom}Point.x"), "true"),
            (&format!("{metrics}sorted"), "full"),
            (&format!("{metrics}customerId"), "counts"),
        ],
        &[
            ColumnChange::Rename(path("Point"), "place".to_owned()),
            ColumnChange::Drop(path("price")),
            ColumnChange::Rename(path("customerId"), "price".to_owned()),
        ],
    );
    let mut keys: Vec<_> = found.into_iter().filter(|(key, _)| key.starts_with("write.")).collect();
    keys.sort();
    let expected = [
        (format!("{metrics}price"), "counts".to_owned()),
        (format!("{metrics}sorted"), "full".to_owned()),
        (format!("{bloom}place.x"), "true".to_owned()),
    ];
    assert_eq!(keys, expected);
}

#[test]
fn the_inside_of_lists_and_maps_may_widen_but_is_not_a_field_like_others() {
    let list = |ty| {
        let element = NestedField::list_element(1, primitive(ty), false);
        Type::List(ListType::new(Arc::new(element)))
    };
    let added = add("n", list(PrimitiveType::Int));
    let set = |column, ty| ColumnChange::SetType(path(column), primitive(ty));
    let schema = changed(&[added.clone(), set("N.Element", PrimitiveType::Long)]);
    let element = schema.field_by_name("n.element").unwrap();
    assert_eq!(*element.field_type, primitive(PrimitiveType::Long));
    for change in [
        ColumnChange::Drop(path("n.element")),
        ColumnChange::Rename(path("n.element"), "inside".to_owned()),
        ColumnChange::Drop(path("tags.value")),
        ColumnChange::Move(path("tags.value"), ColumnPosition::First),
        ColumnChange::Comment(path("tags.key"), Some("no".to_owned())),
        set("n", PrimitiveType::Long),
    ] {
        let (kind, message) = refused(&[added.clone(), change.clone()]);
        assert_eq!(kind, ErrorKind::InvalidArgument, "{change:?}: {message}");
    }
    let comment = ColumnChange::Comment(path("tags.value"), Some("what it says".to_owned()));
    assert!(changed(&[comment]).field_by_name("tags.value").unwrap().doc.is_some());
}
