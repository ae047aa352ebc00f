//! From a finished file's footer to the metrics of its manifest entry.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringViewArray};
use criterion::{Criterion, Throughput};
use fjord_catalog::spec::{DataFileBuilder, NestedField, PrimitiveType, Schema, Type};
use fjord_engine::iceberg::metrics::MetricsModes;
use parquet::arrow::ArrowWriter;

const COLUMNS: i32 = 30;
const ROWS: i32 = 8_192;
const ROW_GROUPS: usize = 8;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let types = [PrimitiveType::Long, PrimitiveType::Double, PrimitiveType::String];
    let fields = (1..=COLUMNS).zip(types.iter().cycle()).map(|(id, ty)| {
        Arc::new(NestedField::optional(id, format!("c{id}"), Type::Primitive(ty.clone())))
    });
    let modes =
        MetricsModes::try_new(&Schema::builder().with_fields(fields).build()?, &HashMap::new())?;
    let batch = batch()?;

    let mut group = criterion.benchmark_group("metrics");
    let values = u64::from((ROWS * COLUMNS / 3).unsigned_abs());
    group.throughput(Throughput::Elements(values));
    group.bench_function("NaN values of ten float columns", |b| {
        let mut nans = modes.nan_counter();
        b.iter(|| nans.add(&modes, &batch));
    });

    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None)?;
    for _ in 0..ROW_GROUPS {
        writer.write(&batch)?;
        writer.flush()?;
    }
    let footer = writer.finish()?;
    let nans = modes.nan_counter();
    group.throughput(Throughput::Elements((ROW_GROUPS as u64) * u64::from(COLUMNS.unsigned_abs())));
    group.bench_function("a footer of 30 columns in 8 row groups", |b| {
        b.iter(|| {
            let mut file = DataFileBuilder::default();
            modes.fill(&mut file, &footer, &nans).map(|()| file)
        });
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}

fn batch() -> Result<RecordBatch> {
    let column = |id: i32| -> ArrayRef {
        match id % 3 {
            1 => Arc::new(Int64Array::from_iter_values((0..ROWS).map(|i| i64::from(i * id)))),
            2 => Arc::new(Float64Array::from_iter_values((0..ROWS).map(|i| f64::from(i) / 7.0))),
            _ => {
                let texts = (0..ROWS).map(|i| format!("value {} of column {id}", i % 500));
                Arc::new(StringViewArray::from_iter_values(texts))
            }
        }
    };
    Ok(RecordBatch::try_from_iter((1..=COLUMNS).map(|id| (format!("c{id}"), column(id))))?)
}
