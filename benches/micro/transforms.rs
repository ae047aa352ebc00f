//! The partition transforms over one batch of values.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, StringViewArray, TimestampMicrosecondArray};
use criterion::{Criterion, Throughput};
use fjord_catalog::spec::Transform;
use fjord_engine::iceberg::transform::transform;

const ROWS: i32 = 8_192;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let longs: ArrayRef = Arc::new(Int64Array::from_iter_values((0..ROWS).map(|i| scatter(i))));
    let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values(
        (0..ROWS).map(|i| format!("customer {:016x}", scatter(i))),
    ));
    let dates: ArrayRef = Arc::new(Date32Array::from_iter_values(0..ROWS));
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(
        (0..ROWS).map(|i| scatter(i) % 4_000_000_000_000_000),
    ));
    let cases = [
        ("bucket(16) of long", Transform::Bucket(16), &longs),
        ("bucket(16) of string", Transform::Bucket(16), &texts),
        ("truncate(10) of long", Transform::Truncate(10), &longs),
        ("truncate(10) of string", Transform::Truncate(10), &texts),
        ("month of date", Transform::Month, &dates),
        ("day of timestamp", Transform::Day, &times),
        ("hour of timestamp", Transform::Hour, &times),
    ];
    let mut group = criterion.benchmark_group("transform");
    group.throughput(Throughput::Elements(ROWS.unsigned_abs().into()));
    for (name, by, values) in cases {
        group.bench_function(name, |b| b.iter(|| transform(&by, black_box(values))));
    }
    group.finish();
    criterion.final_summary();
}

/// Numbers without order, the same in every run.
fn scatter(i: i32) -> i64 {
    (i64::from(i) * 0x9E37_79B9 + 12_345).wrapping_mul(0x5DEE_CE66D) & i64::MAX
}
