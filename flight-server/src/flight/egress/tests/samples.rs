//! Arrays of every type, at random, and streams to send them with.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal256Array, FixedSizeBinaryArray, FixedSizeListArray,
    GenericListArray, Int32Array, Int64Array, MapArray, NullArray, OffsetSizeTrait, RecordBatch,
    StringArray, StructArray, UnionArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, IntervalUnit, Schema, SchemaRef, TimeUnit, UnionFields,
    UnionMode, i256,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow_flight::FlightData;
use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use tonic::Status;

use super::super::outgoing::Outgoing;
use super::super::{EgressSchema, EncodeOptions, Profile, encode};

pub(super) fn field(data_type: DataType) -> FieldRef {
    Arc::new(Field::new("item", data_type, true))
}

pub(super) fn dictionary(values: DataType) -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(values))
}

pub(super) fn run_ends(values: DataType) -> DataType {
    let ends = Field::new("run_ends", DataType::Int32, false);
    DataType::RunEndEncoded(Arc::new(ends), Arc::new(Field::new("values", values, true)))
}

pub(super) fn map(keys: DataType, values: DataType) -> DataType {
    let pair = vec![Field::new("key", keys, false), Field::new("value", values, true)];
    let entries = Field::new("entries", DataType::Struct(pair.into()), false);
    DataType::Map(Arc::new(entries), false)
}

pub(super) fn union(mode: UnionMode) -> DataType {
    let fields = [(0, field(DataType::Int64)), (1, field(DataType::Utf8View))];
    DataType::Union(fields.into_iter().collect(), mode)
}

/// The types that a query of ours, or a file, can bring.
pub(super) fn every_type() -> Vec<DataType> {
    let pair = Fields::from(vec![
        Field::new("a", DataType::Utf8View, false),
        Field::new("b", dictionary(DataType::Utf8), true),
    ]);
    vec![
        DataType::Null,
        DataType::Boolean,
        DataType::Int8,
        DataType::UInt64,
        DataType::Int64,
        DataType::Float16,
        DataType::Float64,
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Binary,
        DataType::BinaryView,
        DataType::FixedSizeBinary(16),
        DataType::Date32,
        DataType::Date64,
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(TimeUnit::Second, Some("UTC".into())),
        DataType::Duration(TimeUnit::Millisecond),
        DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Decimal32(9, 2),
        DataType::Decimal128(20, 3),
        DataType::Decimal256(30, 3),
        DataType::Decimal256(60, 3),
        dictionary(DataType::Utf8),
        dictionary(DataType::Int64),
        run_ends(DataType::Utf8),
        DataType::List(field(DataType::Utf8View)),
        DataType::LargeList(field(DataType::Int64)),
        DataType::ListView(field(DataType::Utf8)),
        DataType::FixedSizeList(field(DataType::Int32), 3),
        DataType::Struct(pair),
        map(DataType::Utf8, DataType::Int64),
        map(DataType::Int64, DataType::Utf8View),
        union(UnionMode::Sparse),
        union(UnionMode::Dense),
        DataType::List(field(DataType::List(field(DataType::Utf8)))),
    ]
}

/// Values of `data_type`, nulls among them where it has them.
pub(super) fn random(rng: &mut fastrand::Rng, data_type: &DataType, length: usize) -> ArrayRef {
    match data_type {
        DataType::Null => Arc::new(NullArray::new(length)),
        DataType::Boolean => Arc::new(BooleanArray::from_iter(
            (0..length).map(|_| rng.u8(..4).checked_sub(1).map(|b| b > 0)),
        )),
        DataType::Utf8 => Arc::new(StringArray::from_iter((0..length).map(|_| text(rng)))),
        DataType::FixedSizeBinary(16) => {
            let values = (0..length).map(|_| rng.bool().then(|| rng.u128(..).to_be_bytes()));
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, 16).expect("ids"))
        }
        DataType::Decimal256(precision, scale) => Arc::new(
            Decimal256Array::from_iter(
                (0..length)
                    .map(|_| rng.bool().then(|| i256::from_i128(rng.i128(-(1 << 80)..1 << 80)))),
            )
            .with_precision_and_scale(*precision, *scale)
            .expect("a decimal"),
        ),
        DataType::List(item) => Arc::new(random_list::<i32>(rng, item, length)),
        DataType::LargeList(item) => Arc::new(random_list::<i64>(rng, item, length)),
        DataType::FixedSizeList(item, size) => {
            let values = random(rng, item.data_type(), length * *size as usize);
            let nulls = nulls(rng, length);
            Arc::new(FixedSizeListArray::new(Arc::clone(item), *size, values, nulls))
        }
        DataType::Struct(fields) => {
            let nulls = nulls(rng, length);
            Arc::new(StructArray::new(fields.clone(), columns(rng, fields, length), nulls))
        }
        DataType::Map(entries, sorted) => {
            let DataType::Struct(pair) = entries.data_type() else { panic!("no map") };
            let (offsets, items) = offsets::<i32>(rng, length);
            let content = StructArray::new(pair.clone(), columns(rng, pair, items), None);
            let nulls = nulls(rng, length);
            Arc::new(MapArray::new(Arc::clone(entries), offsets, content, nulls, *sorted))
        }
        DataType::Union(fields, mode) => Arc::new(random_union(rng, fields, *mode, length)),
        DataType::Interval(_) | DataType::Duration(_) | DataType::Time64(_) => {
            let values = random_ints(rng, length, 1_000_000_000);
            let durations =
                cast(&values, &DataType::Duration(TimeUnit::Microsecond)).expect("cast");
            match data_type {
                DataType::Time64(_) => cast(&values, data_type),
                _ => cast(&durations, data_type),
            }
            .expect("a cast")
        }
        DataType::Date64 => cast(&random(rng, &DataType::Date32, length), data_type).expect("cast"),
        DataType::Date32 => {
            let days = cast(&random_ints(rng, length, 20_000), &DataType::Int32).expect("days");
            cast(&days, data_type).expect("dates")
        }
        DataType::ListView(item) => {
            let list = random(rng, &DataType::List(Arc::clone(item)), length);
            cast(&list, data_type).expect("a list view")
        }
        DataType::Dictionary(_, values) => {
            cast(&random(rng, values, length), data_type).expect("a dictionary")
        }
        DataType::RunEndEncoded(_, values) => {
            cast(&random(rng, values.data_type(), length), data_type).expect("runs")
        }
        text if text.is_string() || text.is_binary() => {
            cast(&random(rng, &DataType::Utf8, length), data_type).expect("text")
        }
        number => cast(&random_ints(rng, length, 100), number).expect("numbers"),
    }
}

fn text(rng: &mut fastrand::Rng) -> Option<String> {
    let length = rng.usize(..40);
    rng.bool().then(|| (0..length).map(|_| rng.char('a'..'λ')).collect())
}

fn random_ints(rng: &mut fastrand::Rng, length: usize, below: i64) -> ArrayRef {
    Arc::new(Int64Array::from_iter((0..length).map(|_| rng.bool().then(|| rng.i64(0..below)))))
}

fn nulls(rng: &mut fastrand::Rng, length: usize) -> Option<NullBuffer> {
    Some(NullBuffer::from_iter((0..length).map(|_| rng.u8(..4) > 0)))
}

fn columns(rng: &mut fastrand::Rng, fields: &Fields, length: usize) -> Vec<ArrayRef> {
    let columns = fields.iter().map(|field| {
        let column = random(rng, field.data_type(), length);
        match field.is_nullable() {
            true => column,
            // Anything but nulls.
            false => cast(
                &Int64Array::from_iter_values((0..length as i64).map(|i| i + rng.i64(0..2))),
                field.data_type(),
            )
            .expect("numbers"),
        }
    });
    columns.collect()
}

fn offsets<O: OffsetSizeTrait>(rng: &mut fastrand::Rng, length: usize) -> (OffsetBuffer<O>, usize) {
    let lengths = (0..length).map(|_| rng.usize(..4)).collect::<Vec<_>>();
    let items = lengths.iter().sum();
    (OffsetBuffer::from_lengths(lengths), items)
}

fn random_list<O: OffsetSizeTrait>(
    rng: &mut fastrand::Rng,
    item: &FieldRef,
    length: usize,
) -> GenericListArray<O> {
    let (offsets, items) = offsets::<O>(rng, length);
    let values = random(rng, item.data_type(), items);
    GenericListArray::new(Arc::clone(item), offsets, values, nulls(rng, length))
}

fn random_union(
    rng: &mut fastrand::Rng,
    fields: &UnionFields,
    mode: UnionMode,
    length: usize,
) -> UnionArray {
    let ids = (0..length).map(|_| rng.i8(0..2)).collect::<Vec<_>>();
    let children = fields.iter().map(|(_, f)| random(rng, f.data_type(), length)).collect();
    let offsets = match mode {
        UnionMode::Sparse => None,
        UnionMode::Dense => Some(ScalarBuffer::from_iter(0..length as i32)),
    };
    UnionArray::try_new(fields.clone(), ids.into(), offsets, children).expect("a union")
}

/// One column of each type.
pub(super) fn batch_of(rng: &mut fastrand::Rng, types: &[DataType], length: usize) -> RecordBatch {
    let fields = types.iter().enumerate();
    let fields = fields.map(|(i, dt)| Field::new(format!("c{i}"), dt.clone(), true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let columns = types.iter().map(|dt| random(rng, dt, length)).collect();
    RecordBatch::try_new(Arc::new(schema), columns).expect("a batch")
}

pub(super) fn strings(values: impl IntoIterator<Item = String>) -> RecordBatch {
    one(Arc::new(StringArray::from_iter_values(values)))
}

pub(super) fn ints(values: impl IntoIterator<Item = i32>) -> RecordBatch {
    one(Arc::new(Int32Array::from_iter_values(values)))
}

pub(super) fn one(column: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([("c", column, true)]).expect("a batch")
}

/// Each cell as text, so that rows can be compared across types.
pub(super) fn cells(batches: &[RecordBatch]) -> Result<Vec<Vec<String>>, ArrowError> {
    let options = FormatOptions::new().with_null("∅");
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|c| c.value(row).to_string()).collect());
        }
    }
    Ok(rows)
}

pub(super) fn stream_of(
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
) -> SendableRecordBatchStream {
    stream(schema, futures::stream::iter(batches.into_iter().map(Ok)))
}

pub(super) fn stream(
    schema: &SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, DataFusionError>> + Send + 'static,
) -> SendableRecordBatchStream {
    Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), batches))
}

pub(super) fn options() -> EncodeOptions {
    EncodeOptions { compression: None, status: Arc::new(|e| Status::unknown(e.to_string())) }
}

pub(super) fn send(rows: SendableRecordBatchStream, profile: Profile) -> Outgoing {
    let egress = EgressSchema::try_new(&rows.schema(), profile).expect("a schema");
    encode(rows, egress, options())
}

/// All messages of these batches.
pub(super) async fn messages(batches: Vec<RecordBatch>, profile: Profile) -> Vec<FlightData> {
    let schema = batches[0].schema();
    send(stream_of(&schema, batches), profile).try_collect().await.expect("messages")
}

/// The schema and the batches of these messages, as a client with Arrow's own library has them.
pub(super) fn decoded(messages: &[FlightData]) -> (SchemaRef, Vec<RecordBatch>) {
    let messages = messages.iter().cloned().map(Ok).collect::<Vec<_>>();
    let mut decoder = FlightDataDecoder::new(futures::stream::iter(messages));
    let (mut schema, mut batches) = (None, Vec::new());
    while let Some(message) = decoder.next().now_or_never().expect("all messages are there") {
        match message.expect("a message").payload {
            DecodedPayload::None => {}
            DecodedPayload::Schema(s) => schema = Some(s),
            DecodedPayload::RecordBatch(batch) => batches.push(batch),
        }
    }
    (schema.expect("a schema"), batches)
}

/// The types that a client may send.
pub(super) fn accepted_types() -> Vec<DataType> {
    let is_refused =
        |dt: &DataType| matches!(dt, DataType::Union(_, _) | DataType::RunEndEncoded(_, _));
    every_type().into_iter().filter(|dt| !is_refused(dt)).collect()
}
