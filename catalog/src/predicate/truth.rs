//! Verdicts against the truth: random rows, metrics and partitions computed from them, random
//! predicates evaluated row by row by a second, naive evaluator.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use fastrand::Rng;
use iceberg::transform::create_transform_function;
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};

use super::{Comparison, FileFilter, Predicate};
use crate::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, FieldSummary, Literal,
    ManifestContentType, ManifestFile, NestedField, PartitionSpec, PrimitiveLiteral, PrimitiveType,
    Schema, Struct, StructType, Transform, Type,
};
use crate::transform::{to_datum, transform_literal, transform_values};

type Value = Option<Datum>;
type Row = [Value; 2];

const IDS: [i32; 2] = [1, 2];

fn types() -> Vec<PrimitiveType> {
    use PrimitiveType as P;
    vec![
        P::Boolean,
        P::Int,
        P::Long,
        P::Float,
        P::Double,
        P::Decimal { precision: 9, scale: 2 },
        P::Date,
        P::Time,
        P::Timestamp,
        P::Timestamptz,
        P::TimestampNs,
        P::TimestamptzNs,
        P::String,
        P::Binary,
        P::Uuid,
        P::Fixed(2),
    ]
}

/// Few distinct values, close to each other and to the edges, so that tests meet them.
fn value(rng: &mut Rng, ty: &PrimitiveType) -> Datum {
    use PrimitiveType as P;
    let near = |rng: &mut Rng, unit: i64| {
        let around = *rng.choice([-3, -2, -1, 0, 1, 2, 40].iter()).unwrap();
        let edge = rng.choice([-1, 0, 1, unit / 2].iter()).copied().unwrap();
        around * unit + edge
    };
    let float = |rng: &mut Rng| {
        *rng.choice(
            [0.0, -0.0, 1.5, -1.5, 7.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY]
                .iter(),
        )
        .unwrap()
    };
    match ty {
        P::Boolean => Datum::bool(rng.bool()),
        P::Int if rng.u8(..) < 8 => Datum::int(*rng.choice([i32::MIN, i32::MAX].iter()).unwrap()),
        P::Int => Datum::int(rng.i32(-12..12)),
        P::Long if rng.u8(..) < 8 => Datum::long(*rng.choice([i64::MIN, i64::MAX].iter()).unwrap()),
        P::Long => Datum::long(rng.i64(-12..12)),
        P::Float => Datum::float(float(rng) as f32),
        P::Double => Datum::double(float(rng)),
        P::Decimal { .. } => {
            to_datum(ty, &PrimitiveLiteral::Int128(i128::from(rng.i64(-120..120)))).unwrap()
        }
        P::Date => Datum::date(rng.i32(-800..800) / *rng.choice([1, 30].iter()).unwrap()),
        P::Time => Datum::time_micros(rng.i64(0..20)).unwrap(),
        P::Timestamp => Datum::timestamp_micros(timestamp(rng, near, 1)),
        P::Timestamptz => Datum::timestamptz_micros(timestamp(rng, near, 1)),
        P::TimestampNs => Datum::timestamp_nanos(timestamp(rng, near, 1000)),
        P::TimestamptzNs => Datum::timestamptz_nanos(timestamp(rng, near, 1000)),
        P::String => {
            let letters =
                ["", "a", "ab", "abc", "abd", "b", "é", "éa", "\u{10ffff}", "𝄞x", "abcdef"];
            Datum::string(rng.choice(letters.iter()).unwrap())
        }
        P::Binary => Datum::binary(
            (0..rng.usize(0..4)).map(|_| rng.choice([0u8, 7, 255]).unwrap()).collect::<Vec<_>>(),
        ),
        P::Uuid => Datum::uuid(uuid::Uuid::from_u128(
            u128::from(rng.u8(0..4)) << 126 | u128::from(rng.u8(0..3)),
        )),
        P::Fixed(_) => Datum::fixed([rng.u8(0..3), rng.choice([0u8, 255]).unwrap()]),
    }
}

fn timestamp(rng: &mut Rng, near: impl Fn(&mut Rng, i64) -> i64, unit: i64) -> i64 {
    let hour = 3_600_000_000 * unit;
    let span = *rng.choice([hour, 24 * hour, 24 * 31 * hour, 24 * 366 * hour].iter()).unwrap();
    near(rng, span)
}

fn rows(rng: &mut Rng, types: &[PrimitiveType; 2]) -> Vec<Row> {
    let nulls = [rng.u8(0..4), rng.u8(0..4)];
    let pool: Vec<[Datum; 2]> =
        (0..rng.usize(1..5)).map(|_| [value(rng, &types[0]), value(rng, &types[1])]).collect();
    (0..rng.usize(1..7))
        .map(|_| {
            let pick = |rng: &mut Rng, column: usize| {
                let is_null = nulls[column] == 3 || (nulls[column] == 1 && rng.bool());
                let datum = pool[rng.usize(..pool.len())][column].clone();
                (!is_null).then_some(datum)
            };
            [pick(rng, 0), pick(rng, 1)]
        })
        .collect()
}

fn predicate(rng: &mut Rng, types: &[PrimitiveType; 2], rows: &[Row], depth: u8) -> Predicate {
    if depth > 0 && rng.u8(0..3) > 0 {
        let parts = (0..rng.usize(0..4)).map(|_| predicate(rng, types, rows, depth - 1)).collect();
        return if rng.bool() { Predicate::And(parts) } else { Predicate::Or(parts) };
    }
    let column = rng.usize(0..2);
    let (id, ty) = (IDS[column], &types[column]);
    let literal = |rng: &mut Rng| match &rows[rng.usize(..rows.len())][column] {
        Some(datum) if rng.bool() => datum.clone(),
        _ => value(rng, ty),
    };
    let is_float = matches!(ty, PrimitiveType::Float | PrimitiveType::Double);
    match rng.u8(0..14) {
        0 => Predicate::IsNull(id),
        1 => Predicate::IsNotNull(id),
        2 if is_float => Predicate::IsNan(id),
        3 if is_float => Predicate::IsNotNan(id),
        4 => Predicate::In(id, (0..rng.usize(0..4)).map(|_| literal(rng)).collect()),
        5 => Predicate::NotIn(id, (0..rng.usize(0..4)).map(|_| literal(rng)).collect()),
        6 => match rng.u8(0..3) {
            0 => Predicate::True,
            1 => Predicate::False,
            _ => Predicate::Unknown,
        },
        7 if *ty == PrimitiveType::String => {
            Predicate::Compare(id, Comparison::StartsWith, literal(rng))
        }
        8 if *ty == PrimitiveType::String => {
            Predicate::Compare(id, Comparison::NotStartsWith, literal(rng))
        }
        _ => {
            use Comparison::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
            let comparison = rng.choice([Eq, NotEq, Lt, LtEq, Gt, GtEq]).unwrap();
            Predicate::Compare(id, comparison, literal(rng))
        }
    }
}

/// How the engine compares floats: by total order, or with zeros equal. Verdicts hold for both.
#[derive(Clone, Copy, Debug)]
enum Floats {
    Total,
    EqualZeros,
}

fn naive_order(a: &Datum, b: &Datum, floats: Floats) -> Ordering {
    use PrimitiveLiteral as L;
    let float = |a: f64, b: f64| match floats {
        Floats::EqualZeros if a == 0.0 && b == 0.0 => Ordering::Equal,
        _ => a.total_cmp(&b),
    };
    match (a.literal(), b.literal()) {
        (L::Float(a), L::Float(b)) => float(f64::from(a.0), f64::from(b.0)),
        (L::Double(a), L::Double(b)) => float(a.0, b.0),
        (L::Boolean(a), L::Boolean(b)) => a.cmp(b),
        (L::Int(a), L::Int(b)) => a.cmp(b),
        (L::Long(a), L::Long(b)) => a.cmp(b),
        (L::Int128(a), L::Int128(b)) => a.cmp(b),
        (L::UInt128(a), L::UInt128(b)) => a.cmp(b),
        (L::String(a), L::String(b)) => a.chars().cmp(b.chars()),
        (L::Binary(a), L::Binary(b)) => a.cmp(b),
        (a, b) => panic!("{a:?} meets {b:?}"),
    }
}

/// SQL's answer for a row; `unknown` stands in for what the predicate does not express.
fn matches(p: &Predicate, row: &Row, floats: Floats, unknown: bool) -> bool {
    let at = |id: &i32| row[usize::try_from(id - 1).unwrap()].as_ref();
    let eq = |a: &Datum, b: &Datum| naive_order(a, b, floats).is_eq();
    match p {
        Predicate::True => true,
        Predicate::False => false,
        Predicate::Unknown => unknown,
        Predicate::And(parts) => parts.iter().all(|p| matches(p, row, floats, unknown)),
        Predicate::Or(parts) => parts.iter().any(|p| matches(p, row, floats, unknown)),
        Predicate::IsNull(id) => at(id).is_none(),
        Predicate::IsNotNull(id) => at(id).is_some(),
        Predicate::IsNan(id) => at(id).is_some_and(Datum::is_nan),
        Predicate::IsNotNan(id) => at(id).is_some_and(|v| !v.is_nan()),
        Predicate::In(id, list) => at(id).is_some_and(|v| list.iter().any(|l| eq(v, l))),
        Predicate::NotIn(id, list) => at(id).is_some_and(|v| !list.iter().any(|l| eq(v, l))),
        Predicate::Compare(id, comparison, literal) => at(id).is_some_and(|v| {
            let text = |d: &Datum| match d.literal() {
                PrimitiveLiteral::String(s) => s.clone(),
                other => panic!("{other:?} has no prefix"),
            };
            match comparison {
                Comparison::StartsWith => text(v).starts_with(&text(literal)),
                Comparison::NotStartsWith => !text(v).starts_with(&text(literal)),
                Comparison::Eq => naive_order(v, literal, floats).is_eq(),
                Comparison::NotEq => naive_order(v, literal, floats).is_ne(),
                Comparison::Lt => naive_order(v, literal, floats).is_lt(),
                Comparison::LtEq => naive_order(v, literal, floats).is_le(),
                Comparison::Gt => naive_order(v, literal, floats).is_gt(),
                Comparison::GtEq => naive_order(v, literal, floats).is_ge(),
            }
        }),
    }
}

fn schema(types: &[PrimitiveType; 2]) -> Schema {
    let field = |i: usize| {
        Arc::new(NestedField::optional(IDS[i], format!("c{i}"), Type::Primitive(types[i].clone())))
    };
    Schema::builder().with_fields([field(0), field(1)]).build().unwrap()
}

/// Metrics as some writer would leave them: parts missing, text cut, narrower types, zeros of
/// either sign.
fn data_file(rng: &mut Rng, rows: &[Row], partition: Struct) -> DataFile {
    let mut builder = DataFileBuilder::default();
    let (mut values, mut nulls, mut nans) = (HashMap::new(), HashMap::new(), HashMap::new());
    let (mut lower, mut upper) = (HashMap::new(), HashMap::new());
    for (column, id) in IDS.into_iter().enumerate() {
        let present: Vec<&Datum> = rows.iter().filter_map(|row| row[column].as_ref()).collect();
        if rng.u8(0..5) > 0 {
            values.insert(id, rows.len() as u64);
        }
        if rng.u8(0..5) > 0 {
            nulls.insert(id, (rows.len() - present.len()) as u64);
        }
        if rng.u8(0..5) > 0 {
            nans.insert(id, present.iter().filter(|v| v.is_nan()).count() as u64);
        }
        let mut numbers: Vec<&Datum> = present.into_iter().filter(|v| !v.is_nan()).collect();
        numbers.sort_by(|a, b| naive_order(a, b, Floats::Total));
        if let (Some(low), Some(high)) = (numbers.first(), numbers.last()) {
            if rng.u8(0..6) > 0 {
                lower.insert(id, bound(rng, low, false));
            }
            if rng.u8(0..6) > 0 {
                upper.insert(id, bound(rng, high, true));
            }
        }
    }
    builder
        .content(DataContentType::Data)
        .file_path("f.parquet".to_owned())
        .file_format(DataFileFormat::Parquet)
        .partition(partition)
        .record_count(rows.len() as u64)
        .file_size_in_bytes(1)
        .value_counts(values)
        .null_value_counts(nulls)
        .nan_value_counts(nans)
        .lower_bounds(lower)
        .upper_bounds(upper);
    builder.build().unwrap()
}

fn bound(rng: &mut Rng, exact: &Datum, is_upper: bool) -> Datum {
    match exact.literal() {
        PrimitiveLiteral::Long(v) if *exact.data_type() == PrimitiveType::Long && rng.bool() => {
            i32::try_from(*v).map_or_else(|_| exact.clone(), Datum::int)
        }
        PrimitiveLiteral::Double(v) if v.0 == 0.0 && rng.bool() => Datum::double(-v.0),
        PrimitiveLiteral::Double(v) if rng.bool() && f64::from(v.0 as f32) == v.0 => {
            Datum::float(v.0 as f32)
        }
        PrimitiveLiteral::Float(v) if v.0 == 0.0 && rng.bool() => Datum::float(-v.0),
        PrimitiveLiteral::String(s) if s.chars().count() > 1 && rng.bool() => {
            let mut start: String = s.chars().take(1).collect();
            if is_upper {
                let next = start.pop().and_then(|c| char::from_u32(c as u32 + 1));
                start.extend(next.or(Some('\u{10ffff}')));
                if next.is_none() {
                    return exact.clone();
                }
            }
            Datum::string(start)
        }
        _ => exact.clone(),
    }
}

fn transforms() -> Vec<Transform> {
    vec![
        Transform::Identity,
        Transform::Bucket(3),
        Transform::Truncate(1),
        Transform::Truncate(2),
        Transform::Truncate(10),
        Transform::Year,
        Transform::Month,
        Transform::Day,
        Transform::Hour,
        Transform::Void,
    ]
}

/// The partition value that the library, or an old writer, gives to a row.
fn partition_value(by: Transform, value: &Value, is_old_writer: bool) -> Value {
    let Some(value) = value else { return None };
    let exact = match (by, value.literal()) {
        // Writers wrap around at the least numbers; the library does so in release builds only.
        (Transform::Truncate(w), PrimitiveLiteral::Int(v)) => {
            Datum::int(v.wrapping_sub(v.rem_euclid(w.cast_signed())))
        }
        (Transform::Truncate(w), PrimitiveLiteral::Long(v)) => {
            Datum::long(v.wrapping_sub(v.rem_euclid(i64::from(w))))
        }
        _ => transform_literal(&by, value).unwrap()?,
    };
    let is_time =
        matches!(by, Transform::Year | Transform::Month | Transform::Day | Transform::Hour);
    match exact.literal() {
        PrimitiveLiteral::Int(v)
            if is_time && is_old_writer && *v < 0 && *value.data_type() != PrimitiveType::Date =>
        {
            to_datum(exact.data_type(), &PrimitiveLiteral::Int(v + 1))
        }
        _ => Some(exact),
    }
}

struct Case {
    types: [PrimitiveType; 2],
    by: Transform,
    files: Vec<(Vec<Row>, DataFile)>,
    spec: PartitionSpec,
    manifest: ManifestFile,
}

fn case(rng: &mut Rng) -> Case {
    let pick = |rng: &mut Rng| rng.choice(types()).unwrap();
    let types = [pick(rng), pick(rng)];
    let fits: Vec<Transform> = transforms()
        .into_iter()
        .filter(|by| by.result_type(&Type::Primitive(types[0].clone())).is_ok())
        .collect();
    let by = rng.choice(fits).unwrap();
    let schema = Arc::new(schema(&types));
    let spec = PartitionSpec::builder(Arc::clone(&schema))
        .add_partition_field("c0", "p", by)
        .unwrap()
        .build()
        .unwrap();
    let is_old_writer = rng.u8(0..4) == 0;
    let mut groups: Vec<(Value, Vec<Row>)> = Vec::new();
    let all = rows(rng, &types);
    for row in all {
        let key = partition_value(by, &row[0], is_old_writer);
        match groups.iter_mut().find(|(value, _)| same(value, &key)) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((key, vec![row])),
        }
    }
    let manifest = manifest(rng, &groups);
    let files = groups
        .into_iter()
        .map(|(key, rows)| {
            let tuple = Struct::from_iter([key.map(Literal::from)]);
            let file = data_file(rng, &rows, tuple);
            (rows, file)
        })
        .collect();
    Case { types, by, files, spec, manifest }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => naive_order(a, b, Floats::Total).is_eq(),
        (None, None) => true,
        _ => false,
    }
}

fn manifest(rng: &mut Rng, groups: &[(Value, Vec<Row>)]) -> ManifestFile {
    let present: Vec<&Datum> = groups.iter().filter_map(|(value, _)| value.as_ref()).collect();
    let mut numbers: Vec<&Datum> = present.iter().copied().filter(|v| !v.is_nan()).collect();
    numbers.sort_by(|a, b| naive_order(a, b, Floats::Total));
    let summary = FieldSummary {
        contains_null: present.len() < groups.len(),
        contains_nan: (rng.u8(0..3) > 0).then(|| present.iter().any(|v| v.is_nan())),
        lower_bound: numbers.first().map(|v| v.to_bytes().unwrap()),
        upper_bound: numbers.last().map(|v| v.to_bytes().unwrap()),
    };
    ManifestFile {
        manifest_path: "m.avro".to_owned(),
        manifest_length: 1,
        partition_spec_id: 0,
        content: ManifestContentType::Data,
        sequence_number: 1,
        min_sequence_number: 1,
        added_snapshot_id: 1,
        added_files_count: Some(1),
        existing_files_count: Some(0),
        deleted_files_count: Some(0),
        added_rows_count: None,
        existing_rows_count: None,
        deleted_rows_count: None,
        partitions: Some(vec![summary]),
        key_metadata: None,
        first_row_id: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30_000, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn verdicts_never_contradict_the_rows(seed in any::<u64>()) {
        let rng = &mut Rng::with_seed(seed);
        let case = case(rng);
        let all_rows: Vec<Row> = case.files.iter().flat_map(|(rows, _)| rows.clone()).collect();
        let p = predicate(rng, &case.types, &all_rows, 2);
        let filter = FileFilter::new(&p, &schema(&case.types), &case.spec);
        let may_match_manifest = filter.may_match_manifest(&case.manifest);
        for (rows, file) in &case.files {
            let by_both = filter.judge_file(file);
            let by_partition = filter.judge_partition(file.partition().fields());
            for floats in [Floats::Total, Floats::EqualZeros] {
                let some = rows.iter().any(|row| matches(&p, row, floats, true));
                let every = rows.iter().all(|row| matches(&p, row, floats, false));
                for verdict in [by_both, by_partition] {
                    prop_assert!(verdict.may_match || !some, "skipped {rows:?}\nby {:?} of {file:?}\nfor {p:?}", case.by);
                    prop_assert!(!verdict.all_match || every, "proved {rows:?}\nby {:?} of {file:?}\nfor {p:?}", case.by);
                }
                prop_assert!(may_match_manifest || !some, "manifest skipped {rows:?} by {:?} {:?} for {p:?}", case.by, case.manifest);
            }
        }
    }

    #[test]
    fn simplify_keeps_the_rows(seed in any::<u64>()) {
        let rng = &mut Rng::with_seed(seed);
        let case = case(rng);
        let (rows, _) = &case.files[0];
        let p = predicate(rng, &case.types, rows, 3);
        let simple = p.clone().simplify();
        for row in rows {
            prop_assert!(matches(&p, row, Floats::Total, true) == matches(&simple, row, Floats::Total, true));
            // A row never passes a test and its negation.
            let not = p.clone().not();
            prop_assert!(!(matches(&p, row, Floats::Total, false) && matches(&not, row, Floats::Total, false)));
        }
    }
}

/// Random truth says nothing about usefulness: most cases must be decided.
#[test]
fn metrics_and_partitions_decide_most_files() {
    let (mut judged, mut skippable, mut skipped, mut provable, mut proved) = (0, 0, 0, 0, 0);
    for seed in 0..20_000 {
        let rng = &mut Rng::with_seed(seed);
        let case = case(rng);
        let (rows, file) = &case.files[0];
        let p = predicate(rng, &case.types, rows, 0);
        let verdict = FileFilter::new(&p, &schema(&case.types), &case.spec).judge_file(file);
        judged += 1;
        skippable += i32::from(!rows.iter().any(|row| matches(&p, row, Floats::Total, true)));
        provable += i32::from(rows.iter().all(|row| matches(&p, row, Floats::Total, false)));
        skipped += i32::from(!verdict.may_match);
        proved += i32::from(verdict.all_match);
    }
    assert!(skipped * 100 > skippable * 55, "{skipped} of {skippable} skipped, {judged} judged");
    assert!(proved * 100 > provable * 50, "{proved} of {provable} proved, {judged} judged");
}

#[test]
fn nested_columns_prove_nothing_when_counts_leave_out_null_structs() {
    let inner = NestedField::optional(2, "x", Type::Primitive(PrimitiveType::Int));
    let outer = StructType::new(vec![Arc::new(inner)]);
    let outer = NestedField::optional(1, "s", Type::Struct(outer));
    let schema = Schema::builder().with_fields([Arc::new(outer)]).build().unwrap();
    let spec = PartitionSpec::unpartition_spec();
    let file = |values: u64| {
        DataFileBuilder::default()
            .content(DataContentType::Data)
            .file_path("f".to_owned())
            .file_format(DataFileFormat::Parquet)
            .record_count(10)
            .file_size_in_bytes(1)
            .value_counts(HashMap::from([(2, values)]))
            .null_value_counts(HashMap::from([(2, 0)]))
            .lower_bounds(HashMap::from([(2, Datum::int(5))]))
            .upper_bounds(HashMap::from([(2, Datum::int(9))]))
            .build()
            .unwrap()
    };
    let filter =
        FileFilter::new(&Predicate::Compare(2, Comparison::Gt, Datum::int(4)), &schema, &spec);
    assert!(filter.judge_file(&file(10)).all_match);
    assert!(!filter.judge_file(&file(8)).all_match);
    let none = FileFilter::new(&Predicate::IsNull(2), &schema, &spec);
    assert!(none.judge_file(&file(8)).may_match);
    assert!(!none.judge_file(&file(10)).may_match);
}

#[test]
fn inverted_uuid_bounds_prove_nothing() {
    let schema = schema(&[PrimitiveType::Uuid, PrimitiveType::Int]);
    let spec = PartitionSpec::unpartition_spec();
    let (low, high) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(1 << 127));
    // Signed order puts the high bit first.
    let file = DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path("f".to_owned())
        .file_format(DataFileFormat::Parquet)
        .record_count(2)
        .file_size_in_bytes(1)
        .lower_bounds(HashMap::from([(1, Datum::uuid(high))]))
        .upper_bounds(HashMap::from([(1, Datum::uuid(low))]))
        .build()
        .unwrap();
    for literal in [low, high] {
        let p = Predicate::Compare(1, Comparison::Eq, Datum::uuid(literal));
        assert!(FileFilter::new(&p, &schema, &spec).judge_file(&file).may_match);
    }
}

/// What pruning expects must contain what writers on the bare library write, but for its days
/// before 1970, which count as those of an old writer. (Our own writer's kernels are held against
/// `transform_literal` in `engine`.)
#[test]
fn transforms_agree_with_the_library() {
    let mut compared = 0;
    for seed in 0..30_000 {
        let rng = &mut Rng::with_seed(seed);
        let ty = rng.choice(types()).unwrap();
        let by = rng.choice(transforms()).unwrap();
        let v = value(rng, &ty);
        let Some(ours) = transform_values(by, &ty, v.literal()) else { continue };
        if let Ok(Some(first)) = transform_literal(&by, &v) {
            assert_eq!(&ours[0], first.literal(), "{by:?} of {v:?}");
        }
        let library = create_transform_function(&by).unwrap();
        let Ok(Some(library)) = library.transform_literal(&v) else { continue };
        compared += 1;
        let is_late_day = match (by, &ours[0], library.literal()) {
            (Transform::Day, PrimitiveLiteral::Int(right), PrimitiveLiteral::Int(late)) => {
                *right < 0 && *late == right + 1
            }
            _ => false,
        };
        let is_known = is_late_day || ours.contains(library.literal());
        assert!(is_known, "{by:?} of {v:?}: {ours:?}, {library:?}");
    }
    assert!(compared > 10_000, "only {compared} values were compared");
}
