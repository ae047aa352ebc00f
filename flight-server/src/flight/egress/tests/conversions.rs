//! Tests of types and values under each profile.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Date64Array, Decimal256Array, FixedSizeBinaryArray,
    Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, IntervalUnit, Schema, TimeUnit, TimestampNanosecondType, UnionMode, i256,
};

use super::super::{EgressSchema, Profile};
use super::samples::{
    batch_of, cells, dictionary, every_type, field, map, one, random, run_ends, union,
};

const PROFILES: [Profile; 4] = [Profile::Default, Profile::Native, Profile::Grafana, Profile::Jdbc];

fn wire(data_type: DataType, profile: Profile) -> DataType {
    let schema = Schema::new(vec![Field::new("c", data_type, false)]);
    let egress = EgressSchema::try_new(&Arc::new(schema), profile).expect("a schema");
    egress.wire().field(0).data_type().clone()
}

fn sent(column: ArrayRef, profile: Profile) -> ArrayRef {
    let batch = one(column);
    let egress = EgressSchema::try_new(&batch.schema(), profile).expect("a schema");
    Arc::clone(egress.cast(&batch).expect("a batch").column(0))
}

fn visit(data_type: &DataType, see: &mut dyn FnMut(&DataType)) {
    see(data_type);
    match data_type {
        DataType::List(f)
        | DataType::LargeList(f)
        | DataType::ListView(f)
        | DataType::LargeListView(f)
        | DataType::FixedSizeList(f, _)
        | DataType::Map(f, _) => visit(f.data_type(), see),
        DataType::Struct(fields) => fields.iter().for_each(|f| visit(f.data_type(), see)),
        DataType::Union(fields, _) => fields.iter().for_each(|(_, f)| visit(f.data_type(), see)),
        DataType::Dictionary(_, values) => visit(values, see),
        DataType::RunEndEncoded(_, values) => visit(values.data_type(), see),
        _ => {}
    }
}

#[test]
fn p04_jdbc_14_no_view_dictionary_run_or_wide_decimal_reaches_a_common_client_at_any_depth() {
    for data_type in every_type() {
        for profile in [Profile::Default, Profile::Jdbc, Profile::Grafana] {
            visit(&wire(data_type.clone(), profile), &mut |dt| {
                let is_refused = matches!(
                    dt,
                    DataType::Utf8View
                        | DataType::BinaryView
                        | DataType::Dictionary(_, _)
                        | DataType::RunEndEncoded(_, _)
                        | DataType::ListView(_)
                        | DataType::LargeListView(_)
                        | DataType::Decimal32(_, _)
                        | DataType::Decimal64(_, _)
                        | DataType::Decimal256(_, _)
                        | DataType::Float16
                );
                assert!(!is_refused, "{data_type} became {dt} under {profile:?}");
            });
        }
    }
}

#[test]
fn p04_large_types_and_uuids_stay_by_default() {
    for data_type in [
        DataType::LargeUtf8,
        DataType::LargeBinary,
        DataType::FixedSizeBinary(16),
        DataType::Null,
        DataType::Duration(TimeUnit::Millisecond),
        DataType::Interval(IntervalUnit::MonthDayNano),
    ] {
        assert_eq!(wire(data_type.clone(), Profile::Default), data_type);
    }
}

#[test]
fn p14_a_wide_decimal_is_narrow_if_its_type_allows_it_and_text_if_not() {
    assert_eq!(wire(DataType::Decimal256(38, 4), Profile::Default), DataType::Decimal128(38, 4));
    assert_eq!(wire(DataType::Decimal256(39, 4), Profile::Default), DataType::Utf8);
    assert_eq!(wire(DataType::Decimal64(18, 4), Profile::Jdbc), DataType::Decimal128(18, 4));

    let digits = "123456789012345678901234567890123456789012345.678";
    let value = i256::from_string(&digits.replace('.', "")).expect("digits");
    let wide = Decimal256Array::from(vec![Some(value), None]);
    let wide = wide.with_precision_and_scale(50, 3).expect("a decimal");
    let text = sent(Arc::new(wide), Profile::Default);
    assert_eq!(text.as_string::<i32>().value(0), digits);
    assert!(text.is_null(1));
}

#[test]
fn native_keeps_the_columns_of_the_engine() {
    for data_type in [
        DataType::Utf8View,
        DataType::Decimal256(60, 2),
        DataType::Float16,
        dictionary(DataType::Utf8),
        run_ends(DataType::Utf8),
    ] {
        assert_eq!(wire(data_type.clone(), Profile::Native), data_type);
    }
}

#[test]
fn graf_09_each_type_becomes_one_that_the_plugin_shows() {
    let nanoseconds =
        |zone: Option<&str>| DataType::Timestamp(TimeUnit::Nanosecond, zone.map(Into::into));
    let expected = [
        (DataType::Timestamp(TimeUnit::Second, None), nanoseconds(None)),
        (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), nanoseconds(Some("UTC"))),
        (DataType::Date32, nanoseconds(None)),
        (DataType::Date64, nanoseconds(None)),
        (DataType::Decimal128(10, 2), DataType::Float64),
        (DataType::Decimal256(60, 2), DataType::Float64),
        (DataType::Decimal32(5, 2), DataType::Float64),
        (DataType::Utf8View, DataType::Utf8),
        (DataType::LargeUtf8, DataType::Utf8),
        (dictionary(DataType::Utf8), DataType::Utf8),
        (run_ends(DataType::Int64), DataType::Int64),
        (DataType::Time64(TimeUnit::Microsecond), DataType::Utf8),
        (DataType::Binary, DataType::Utf8),
        (DataType::Null, DataType::Utf8),
        (DataType::Interval(IntervalUnit::DayTime), DataType::Utf8),
        (DataType::List(field(DataType::Int64)), DataType::Utf8),
        (map(DataType::Int64, DataType::Utf8), DataType::Utf8),
        (DataType::Int8, DataType::Int8),
        (DataType::Float64, DataType::Float64),
        (DataType::Boolean, DataType::Boolean),
        (DataType::Duration(TimeUnit::Second), DataType::Duration(TimeUnit::Second)),
    ];
    for (from, to) in expected {
        assert_eq!(wire(from.clone(), Profile::Grafana), to, "{from}");
    }
}

#[test]
fn graf_09_nested_values_are_json_and_bytes_are_hexadecimal() {
    let pair = Arc::new(Field::new(
        "entries",
        DataType::Struct(
            vec![
                Field::new("key", DataType::Int64, false),
                Field::new("value", DataType::Utf8, true),
            ]
            .into(),
        ),
        false,
    ));
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![7, 8]));
    let values: ArrayRef = Arc::new(arrow::array::StringArray::from(vec![Some("a\"b"), None]));
    let DataType::Struct(fields) = pair.data_type().clone() else { panic!("no struct") };
    let entries = arrow::array::StructArray::new(fields, vec![keys, values], None);
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([1, 1]);
    let maps = arrow::array::MapArray::new(pair, offsets, entries, None, false);
    let text = sent(Arc::new(maps), Profile::Grafana);
    assert_eq!(text.as_string::<i32>().value(0), r#"[{"key":7,"value":"a\"b"}]"#);
    assert_eq!(text.as_string::<i32>().value(1), r#"[{"key":8,"value":null}]"#);

    let bytes = arrow::array::BinaryArray::from(vec![Some(&[0_u8, 0xab, 0xff][..]), None]);
    let text = sent(Arc::new(bytes), Profile::Grafana);
    assert_eq!(text.as_string::<i32>().value(0), "00abff");
    assert!(text.is_null(1));
}

#[test]
fn graf_09_a_union_inside_a_list_is_refused_with_a_way_out() {
    let nested = DataType::List(field(union(UnionMode::Dense)));
    let schema = Arc::new(Schema::new(vec![Field::new("u", nested, true)]));
    let e = EgressSchema::try_new(&schema, Profile::Grafana).expect_err("a union");
    assert!(e.to_string().contains("column \"item\"") || e.to_string().contains("column \"u\""));
    assert!(e.to_string().contains("profile"), "{e}");
}

#[test]
fn p13_timestamps_keep_their_unit_by_default_and_their_instant_under_grafana() {
    let micros: ArrayRef = Arc::new(
        TimestampMicrosecondArray::from(vec![Some(1_700_000_000_123_456), None, Some(-1)])
            .with_timezone("UTC"),
    );
    assert_eq!(sent(Arc::clone(&micros), Profile::Default).data_type(), micros.data_type());
    let nanos = sent(micros, Profile::Grafana);
    let nanos = nanos.as_primitive::<TimestampNanosecondType>();
    assert_eq!(nanos.value(0), 1_700_000_000_123_456_000);
    assert!(nanos.is_null(1));
    assert_eq!(nanos.value(2), -1_000);
}

#[test]
fn p13_a_value_that_does_not_fit_is_an_error_and_never_a_null() {
    let far: [ArrayRef; 3] = [
        Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX / 2])),
        Arc::new(Date32Array::from(vec![2_900_000])),
        Arc::new(Date64Array::from(vec![253_402_300_799_000_i64])),
    ];
    for column in far {
        let batch = one(column);
        let egress = EgressSchema::try_new(&batch.schema(), Profile::Grafana).expect("a schema");
        let e = egress.cast(&batch).expect_err("the year 9999 in nanoseconds");
        assert!(e.to_string().contains("column \"c\""), "{e}");
    }
}

#[test]
fn p02_every_field_is_nullable_at_any_depth_but_where_arrow_forbids_it() {
    fn check(field: &Field) {
        assert!(field.is_nullable(), "{field:?}");
        match field.data_type() {
            DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => check(f),
            DataType::Struct(fields) => fields.iter().for_each(|f| check(f)),
            DataType::Map(entries, _) => {
                let DataType::Struct(pair) = entries.data_type() else { panic!("no map") };
                assert!(!entries.is_nullable() && !pair[0].is_nullable());
                check(&pair[1]);
            }
            _ => {}
        }
    }
    let strict = |dt: DataType| Arc::new(Field::new("x", dt, false));
    let inner = DataType::Struct(vec![Field::new("s", DataType::Int64, false)].into());
    let types = [
        DataType::Int64,
        DataType::List(strict(inner.clone())),
        DataType::FixedSizeList(strict(DataType::Utf8), 2),
        map(DataType::Utf8, inner),
    ];
    for profile in [Profile::Default, Profile::Native, Profile::Jdbc] {
        for data_type in types.clone() {
            let schema = Arc::new(Schema::new(vec![Field::new("c", data_type, false)]));
            let egress = EgressSchema::try_new(&schema, profile).expect("a schema");
            check(egress.wire().field(0));
        }
    }
}

#[test]
fn p02_a_batch_that_differs_from_the_plan_in_nullability_or_layout_is_sent_as_announced() {
    let planned = Arc::new(Schema::new(vec![Field::new("c", DataType::Utf8View, true)]));
    let egress = EgressSchema::try_new(&planned, Profile::Default).expect("a schema");
    let mut rng = fastrand::Rng::with_seed(2);
    for layout in
        [DataType::Utf8, DataType::Utf8View, dictionary(DataType::Utf8), DataType::LargeUtf8]
    {
        let text = random(&mut rng, &DataType::Utf8, 50);
        let batch = one(cast(&text, &layout).expect("a layout"));
        let sent = egress.cast(&batch).expect("a batch");
        assert_eq!(&sent.schema(), egress.wire());
        assert_eq!(sent.column(0).as_string::<i32>(), text.as_string::<i32>());
    }
}

#[test]
fn values_survive_every_profile_and_slice() {
    let mut rng = fastrand::Rng::with_seed(42);
    for _ in 0..20 {
        let batch = batch_of(&mut rng, &every_type(), 60);
        let start = rng.usize(..60);
        let batch = batch.slice(start, rng.usize(..=60 - start));
        for profile in PROFILES {
            let egress = EgressSchema::try_new(&batch.schema(), profile).expect("a schema");
            let sent = egress.cast(&batch).expect("a batch");
            assert_eq!(&sent.schema(), egress.wire());
            for (before, after) in batch.columns().iter().zip(sent.columns()) {
                assert_eq!(
                    before.logical_null_count(),
                    after.logical_null_count(),
                    "{before:?} {after:?}"
                );
                // Text of a half float, and of JSON, is another text.
                if profile == Profile::Grafana || *before.data_type() == DataType::Float16 {
                    continue;
                }
                let text = |column: &ArrayRef| cells(&[one(Arc::clone(column))]).expect("text");
                assert_eq!(text(before), text(after), "{}", before.data_type());
            }
        }
    }
}

#[test]
fn a_batch_that_needs_no_cast_keeps_its_columns() {
    let batch = one(Arc::new(Int64Array::from_iter_values(0..10)));
    let egress = EgressSchema::try_new(&batch.schema(), Profile::Default).expect("a schema");
    let sent = egress.cast(&batch).expect("a batch");
    assert!(Arc::ptr_eq(batch.column(0), sent.column(0)));
}

fn uuid_batch() -> RecordBatch {
    let metadata = HashMap::from([
        (String::from("ARROW:extension:name"), String::from("arrow.uuid")),
        (String::from("PARQUET:field_id"), String::from("7")),
        (String::from("comment"), String::from("kept")),
    ]);
    let field = Field::new("id", DataType::FixedSizeBinary(16), false).with_metadata(metadata);
    let id = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes();
    let ids = FixedSizeBinaryArray::try_from_iter([id].iter()).expect("ids");
    RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(ids)]).expect("a batch")
}

#[test]
fn jdbc_14_a_uuid_stays_one_and_internal_metadata_stays_inside() {
    let batch = uuid_batch();
    let egress = EgressSchema::try_new(&batch.schema(), Profile::Default).expect("a schema");
    let sent = egress.wire().field(0);
    assert_eq!(sent.data_type(), &DataType::FixedSizeBinary(16));
    let said = |key: &str| sent.metadata().get(key).map(String::as_str);
    assert_eq!(said("ARROW:extension:name"), Some("arrow.uuid"));
    assert_eq!(said("comment"), Some("kept"));
    assert_eq!(said("PARQUET:field_id"), None);
}

#[test]
fn graf_09_a_uuid_is_its_usual_text_and_no_longer_an_extension() {
    let batch = uuid_batch();
    let egress = EgressSchema::try_new(&batch.schema(), Profile::Grafana).expect("a schema");
    assert!(!egress.wire().field(0).metadata().contains_key("ARROW:extension:name"));
    let sent = egress.cast(&batch).expect("a batch");
    let text = sent.column(0).as_string::<i32>().value(0).to_owned();
    assert_eq!(text, "01234567-89ab-cdef-0123-456789abcdef");
}
