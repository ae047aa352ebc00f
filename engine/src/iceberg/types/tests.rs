//! Iceberg types and Arrow types, in both directions and back.

use arrow::datatypes::IntervalUnit;
use fjord_catalog::spec::{FormatVersion, ListType, MapType};
use parquet::basic::LogicalType;

use super::*;

fn every_type() -> Schema {
    use PrimitiveType as T;
    let primitives = [
        T::Boolean,
        T::Int,
        T::Long,
        T::Float,
        T::Double,
        T::Decimal { precision: 38, scale: 10 },
        T::Date,
        T::Time,
        T::Timestamp,
        T::Timestamptz,
        T::TimestampNs,
        T::TimestamptzNs,
        T::String,
        T::Uuid,
        T::Fixed(16),
        T::Binary,
    ];
    let mut fields: Vec<_> = (1..)
        .zip(primitives)
        .map(|(id, ty)| Arc::new(NestedField::optional(id, format!("c{id}"), ty.into())))
        .collect();
    let uuid = || Type::Primitive(T::Uuid);
    let inner =
        StructType::new(vec![Arc::new(NestedField::required(102, "u", uuid()).with_doc("who"))]);
    fields.push(Arc::new(NestedField::required(
        100,
        "l",
        ListType::new(Arc::new(NestedField::list_element(101, inner.into(), true))).into(),
    )));
    fields.push(Arc::new(NestedField::optional(
        103,
        "m",
        MapType::optional(104, T::String.into(), 105, uuid()).into(),
    )));
    Schema::builder().with_fields(fields).build().unwrap()
}

#[test]
fn every_iceberg_type_survives_the_round_trip_through_arrow() {
    let before = every_type();
    let arrow = to_arrow_schema(&before).unwrap();
    let after = to_iceberg_schema(&arrow, FormatVersion::V3).unwrap();
    for (old, new) in before.as_struct().fields().iter().zip(after.as_struct().fields()) {
        let expected = match &*old.field_type {
            // Only a declared column keeps nanoseconds.
            Type::Primitive(PrimitiveType::TimestampNs) => PrimitiveType::Timestamp.into(),
            Type::Primitive(PrimitiveType::TimestamptzNs) => PrimitiveType::Timestamptz.into(),
            other => other.clone(),
        };
        let (expected, actual) =
            (to_arrow_type(&expected).unwrap(), to_arrow_type(&new.field_type).unwrap());
        assert!(expected.equals_datatype(&actual) || expected.is_nested(), "{}", old.name);
        assert_eq!(old.name, new.name);
    }
}

#[test]
fn field_ids_and_docs_are_kept_at_every_level() {
    let arrow = to_arrow_schema(&every_type()).unwrap();
    let DataType::List(element) = arrow.field_with_name("l").unwrap().data_type() else { panic!() };
    assert_eq!((element.name().as_str(), field_id(element)), ("element", Some(101)));
    let DataType::Struct(fields) = element.data_type() else { panic!() };
    assert_eq!(field_id(&fields[0]), Some(102));
    assert_eq!(fields[0].metadata()[COMMENT], "who");
    assert_eq!(fields[0].metadata()[EXTENSION_NAME], UUID_EXTENSION);
    assert!(!fields[0].is_nullable());
    let DataType::Map(entries, false) = arrow.field_with_name("m").unwrap().data_type() else {
        panic!()
    };
    let DataType::Struct(entries) = entries.data_type() else { panic!() };
    assert_eq!((field_id(&entries[0]), field_id(&entries[1])), (Some(104), Some(105)));
    assert!(!entries[0].is_nullable() && entries[1].is_nullable());
}

#[test]
fn uuid_columns_become_parquet_uuids_at_every_level_and_fixed_ones_do_not() {
    let descriptor = to_parquet_schema(&every_type()).unwrap();
    let of = |path: &str| {
        let column = descriptor.columns().iter().find(|c| c.path().string() == path).unwrap();
        (
            column.logical_type_ref().cloned(),
            column.type_length(),
            column.self_type().get_basic_info().id(),
        )
    };
    assert_eq!(of("c14"), (Some(LogicalType::Uuid), 16, 14));
    assert_eq!(of("c15"), (None, 16, 15));
    assert_eq!(of("l.list.element.u"), (Some(LogicalType::Uuid), 16, 102));
    assert_eq!(of("m.key_value.value"), (Some(LogicalType::Uuid), 16, 105));
    assert_eq!(of("m.key_value.key").2, 104);
}

#[test]
fn a_ctas_maps_every_arrow_type_as_the_design_says() {
    let check = |arrow: DataType, expected: &str| {
        let ty = to_iceberg_type(&Field::new("c", arrow.clone(), true)).unwrap();
        assert_eq!(ty.to_string(), expected, "{arrow}");
    };
    for (arrow, expected) in [
        (DataType::Int8, "int"),
        (DataType::UInt16, "int"),
        (DataType::UInt32, "long"),
        (DataType::UInt64, "decimal(20, 0)"),
        (DataType::Float16, "float"),
        (DataType::Decimal256(38, 2), "decimal(38, 2)"),
        (DataType::Timestamp(TimeUnit::Second, None), "timestamp"),
        (DataType::Timestamp(TimeUnit::Nanosecond, None), "timestamp"),
        (DataType::Timestamp(TimeUnit::Nanosecond, Some("+02:00".into())), "timestamptz"),
        (DataType::Time32(TimeUnit::Second), "time"),
        (DataType::LargeUtf8, "string"),
        (DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)), "string"),
        (DataType::LargeBinary, "binary"),
        (DataType::FixedSizeBinary(16), "fixed(16)"),
    ] {
        check(arrow, expected);
    }
    let uuid = Field::new("u", DataType::FixedSizeBinary(16), true)
        .with_metadata(HashMap::from([(EXTENSION_NAME.to_owned(), UUID_EXTENSION.to_owned())]));
    assert_eq!(to_iceberg_type(&uuid).unwrap().to_string(), "uuid");
}

#[test]
fn types_without_a_mapping_are_refused_naming_the_column() {
    let refused = [
        DataType::Null,
        DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Duration(TimeUnit::Second),
        DataType::Decimal256(39, 2),
        DataType::Decimal128(5, -2),
        DataType::Struct(Fields::empty()),
        DataType::Union(
            arrow::datatypes::UnionFields::empty(),
            arrow::datatypes::UnionMode::Sparse,
        ),
        DataType::RunEndEncoded(
            Arc::new(Field::new("run_ends", DataType::Int32, false)),
            Arc::new(Field::new("values", DataType::Utf8, true)),
        ),
    ];
    for ty in refused {
        let list = DataType::List(Arc::new(Field::new("item", ty.clone(), true)));
        let nested = Fields::from(vec![Field::new("inner", list, true)]);
        let schema = ArrowSchema::new(vec![Field::new("outer", DataType::Struct(nested), true)]);
        let error = to_iceberg_schema(&schema, FormatVersion::V2).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
        assert!(error.to_string().contains("\"outer.inner.element\""), "{ty}: {error}");
    }
}
