//! From batches to Flight messages, beside Arrow's own encoder on the same batches.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow_flight::encode::FlightDataEncoderBuilder;
use criterion::{Criterion, Throughput};
use fjord_flight_server::bench::flight_messages;
use futures::{StreamExt, TryStreamExt};

const BATCHES: usize = 64;
const ROWS: i64 = 8_192;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = tokio::runtime::Runtime::new()?;
    let shapes = [
        ("20 ints and floats", numbers()?),
        ("5 strings", strings(|texts| Arc::new(StringArray::from_iter_values(texts)))?),
        ("5 string views", strings(|texts| Arc::new(StringViewArray::from_iter_values(texts)))?),
    ];
    for (name, batch) in shapes {
        let batches = vec![batch.clone(); BATCHES];
        let mut group = criterion.benchmark_group(format!("egress of {name}"));
        group.throughput(Throughput::Bytes((batch.get_array_memory_size() * BATCHES) as u64));
        group.bench_function("fjord", |b| {
            b.to_async(&runtime).iter(|| async {
                let messages = flight_messages(&batch.schema(), batches.clone())?;
                let bytes = messages.map_ok(|m| m.data_body.len());
                anyhow::Ok(bytes.try_fold(0, |sum, n| async move { Ok(sum + n) }).await?)
            });
        });
        group.bench_function("arrow", |b| {
            b.to_async(&runtime).iter(|| async {
                let rows = futures::stream::iter(batches.clone()).map(|batch| Ok(plain(&batch)?));
                let messages = FlightDataEncoderBuilder::new().build(rows);
                let bytes = messages.map_ok(|m| m.data_body.len());
                anyhow::Ok(bytes.try_fold(0, |sum, n| async move { Ok(sum + n) }).await?)
            });
        });
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}

/// Views as the strings that clients read, as a server of Arrow's parts would make them.
fn plain(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        let column = match field.data_type() {
            DataType::Utf8View => cast(column, &DataType::Utf8)?,
            _ => Arc::clone(column),
        };
        Ok((field.name().clone(), column))
    });
    RecordBatch::try_from_iter(columns.collect::<Result<Vec<_>, ArrowError>>()?)
}

fn numbers() -> Result<RecordBatch> {
    let column = |id: i64| -> ArrayRef {
        match id % 2 {
            0 => Arc::new(Int64Array::from_iter_values((0..ROWS).map(|i| i * id))),
            _ => Arc::new(Float64Array::from_iter_values((0..ROWS).map(|i| i as f64 / 7.0))),
        }
    };
    Ok(RecordBatch::try_from_iter((0..20).map(|id| (format!("c{id}"), column(id))))?)
}

fn strings(array: impl Fn(Vec<String>) -> ArrayRef) -> Result<RecordBatch> {
    let column = |id: i64| array((0..ROWS).map(|i| format!("value {i} of column {id}")).collect());
    Ok(RecordBatch::try_from_iter((0..5).map(|id| (format!("c{id}"), column(id))))?)
}
