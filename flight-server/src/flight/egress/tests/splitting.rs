//! Tests of how batches are cut: by the bytes of their rows, whatever their buffers hold.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, DictionaryArray, Int32Array, ListArray, RecordBatch, StringArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type};

use super::super::pieces::{MESSAGE_BYTES_MAX, Pieces, ROW_BYTES_MAX};
use super::super::weight::weigh;
use super::super::{EgressSchema, Profile};
use super::samples::{
    batch_of, cells, decoded, every_type, field, messages, one, send, stream_of, strings,
};
use arrow_flight::FlightData;
use futures::StreamExt;

/// What Grafana's client takes, less what gRPC adds.
const CLIENT_BYTES_MAX: usize = 4 * 1024 * 1024 - 1024;

fn sizes(messages: &[FlightData]) -> Vec<usize> {
    messages.iter().map(|m| m.data_header.len() + m.data_body.len()).collect()
}

async fn sent(batch: RecordBatch, profile: Profile) -> Vec<FlightData> {
    let all = messages(vec![batch.clone()], profile).await;
    let (_, batches) = decoded(&all);
    let rows = batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    assert_eq!(rows, batch.num_rows());
    all
}

#[tokio::test]
async fn p01_20_000_strings_of_1_kb_leave_in_messages_that_every_client_takes() {
    let batch = strings((0..20_000).map(|i| format!("{i:01000}")));
    let all = sent(batch.clone(), Profile::Default).await;
    assert!(sizes(&all).iter().all(|size| *size <= MESSAGE_BYTES_MAX), "{:?}", sizes(&all));
    // And in no more than it takes.
    assert!(all.len() <= 12, "{} messages", all.len());
    let (_, batches) = decoded(&all);
    assert_eq!(cells(&batches).expect("text"), cells(&[batch]).expect("text"));
}

#[tokio::test]
async fn p01_graf_05_fat_dictionary_values_and_views_are_measured_as_they_are_sent() {
    let values: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..10).map(|i| format!("{i}").repeat(5_000))));
    let keys = Int32Array::from_iter_values((0..4_000).map(|i| i % 10));
    let dictionary: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(keys, values));
    let views = cast(&dictionary, &DataType::Utf8View).expect("views");
    let runs = super::samples::run_ends(DataType::Utf8);
    let runs = cast(&cast(&dictionary, &DataType::Utf8).expect("text"), &runs).expect("runs");
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(4, 1_000));
    let lists: ArrayRef =
        Arc::new(ListArray::new(field(DataType::Utf8View), offsets, Arc::clone(&views), None));
    for column in [dictionary, views, runs, lists] {
        for profile in [Profile::Default, Profile::Native, Profile::Grafana] {
            let all = sent(one(Arc::clone(&column)), profile).await;
            let largest = sizes(&all).into_iter().max();
            assert!(
                largest <= Some(CLIENT_BYTES_MAX),
                "{} {profile:?}: {largest:?}",
                column.data_type()
            );
        }
    }
}

#[tokio::test]
async fn p01_rows_of_different_weight_are_cut_where_the_weight_is() {
    let mut rng = fastrand::Rng::with_seed(5);
    let batch = strings((0..30_000).map(|i| {
        let length = if i % 1_000 == 0 { 900_000 } else { rng.usize(..50) };
        "x".repeat(length)
    }));
    let all = sent(batch, Profile::Default).await;
    assert!(sizes(&all).iter().all(|size| *size <= MESSAGE_BYTES_MAX), "{:?}", sizes(&all));
}

#[tokio::test]
async fn p01_a_row_that_is_too_large_for_a_message_goes_alone() {
    let long = 6 * 1024 * 1024;
    let batch = strings([1, 1, long, 1, 1].map(|length| "x".repeat(length)));
    let (_, batches) = decoded(&sent(batch, Profile::Default).await);
    let rows = batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>();
    assert!(rows.contains(&1), "{rows:?}");
    for batch in batches {
        assert!(batch.num_rows() == 1 || weigh(&batch) <= MESSAGE_BYTES_MAX);
    }
}

#[tokio::test]
async fn a_row_beyond_the_limit_is_an_error_that_says_what_to_do() {
    let batch = strings(["x".repeat(ROW_BYTES_MAX + 1)]);
    let all = send(stream_of(&batch.schema(), vec![batch]), Profile::Default);
    let last = all.collect::<Vec<_>>().await.pop().expect("an item").expect_err("an error");
    assert!(last.message().contains("select fewer columns"), "{last}");
}

#[tokio::test]
async fn a_slice_weighs_what_it_holds_and_not_what_it_shares() {
    let batch = strings((0..100_000).map(|i| format!("{i:0200}")));
    let slice = batch.slice(50_000, 3);
    assert!(weigh(&slice) < 2_000, "{}", weigh(&slice));
    for profile in [Profile::Default, Profile::Native] {
        let views = cast(slice.column(0), &DataType::Utf8View).expect("views");
        let wide = cast(batch.column(0), &DataType::Utf8View).expect("views").slice(50_000, 3);
        for column in [views, wide] {
            let all = sent(one(column), profile).await;
            assert!(sizes(&all).iter().sum::<usize>() < 200_000, "{:?}", sizes(&all));
        }
    }
}

#[tokio::test]
async fn what_is_sent_weighs_no_more_than_was_measured() {
    let mut rng = fastrand::Rng::with_seed(17);
    for data_type in every_type() {
        for _ in 0..5 {
            let rows = rng.usize(1..500);
            let batch = batch_of(&mut rng, std::slice::from_ref(&data_type), rows);
            let start = rng.usize(..rows);
            let batch = batch.slice(start, rng.usize(1..=rows - start));
            let egress = EgressSchema::try_new(&batch.schema(), Profile::Default);
            let egress = egress.expect("a schema");
            let all = messages(vec![batch.clone()], Profile::Default).await;
            // The header of a record batch has parts of its own.
            let size = sizes(&all[1..]).iter().sum::<usize>();
            let wire = egress.cast(&batch).expect("a batch");
            assert!(size <= weigh(&wire), "{data_type}: {size} of {}", weigh(&wire));
        }
    }
}

#[test]
fn pieces_are_the_rows_in_order() {
    let batch = strings((0..9_000).map(|i| format!("{i:02000}")));
    let pieces = Pieces::of(batch.clone()).map(|p| p.expect("a piece").batch).collect::<Vec<_>>();
    assert!(pieces.len() > 5);
    assert_eq!(cells(&pieces).expect("text"), cells(&[batch]).expect("text"));
}

#[test]
fn a_batch_without_rows_or_without_columns_is_one_piece() {
    let empty = strings([]);
    assert_eq!(Pieces::of(empty).count(), 1);
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1_000_000));
    let schema = Arc::new(arrow::datatypes::Schema::empty());
    let bare = RecordBatch::try_new_with_options(schema, vec![], &options).expect("a batch");
    assert_eq!(Pieces::of(bare).count(), 1);
}
