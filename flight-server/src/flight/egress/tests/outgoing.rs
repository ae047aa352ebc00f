//! Tests of the stream as a whole: its order, its patience, its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Schema};
use datafusion::error::DataFusionError;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::{mpsc, oneshot};
use tonic::{Code, Status};

use super::super::conduit::READ_AHEAD_BYTES_MAX;
use super::super::{BodyCompression, EgressSchema, Profile, encode};
use super::samples::{
    batch_of, cells, decoded, dictionary, every_type, ints, messages, one, options, send, stream,
    stream_of, strings,
};

/// Longer than anything here takes, shorter than a patient reader.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn p03_an_empty_result_has_its_schema_and_no_batch() {
    let schema = Arc::new(Schema::new(vec![arrow::datatypes::Field::new(
        "tag",
        dictionary(DataType::Utf8),
        true,
    )]));
    let empty = RecordBatch::new_empty(Arc::clone(&schema));
    for profile in [Profile::Default, Profile::Native, Profile::Grafana, Profile::Jdbc] {
        for batches in [vec![], vec![empty.clone()]] {
            let all = send(stream_of(&schema, batches), profile);
            let all = all.try_collect::<Vec<_>>().await.expect("messages");
            let (sent, batches) = decoded(&all);
            let announced = EgressSchema::try_new(&schema, profile).expect("a schema");
            assert_eq!(&sent, announced.wire());
            // A batch without rows panics Grafana's plugin (GRAF-06).
            assert!(batches.is_empty());
        }
    }
}

#[tokio::test]
async fn p02_the_stream_has_the_schema_that_was_announced_for_every_type_and_profile() {
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..5 {
        let batch = batch_of(&mut rng, &every_type(), 40);
        for profile in [Profile::Default, Profile::Native, Profile::Grafana, Profile::Jdbc] {
            let egress = EgressSchema::try_new(&batch.schema(), profile).expect("a schema");
            let (schema, batches) = decoded(&messages(vec![batch.clone()], profile).await);
            assert_eq!(&schema, egress.wire());
            let expected = cells(&[egress.cast(&batch).expect("a batch")]).expect("text");
            assert_eq!(cells(&batches).expect("text"), expected);
        }
    }
}

#[tokio::test]
async fn adbc_29_compressed_bodies_decode_to_the_same_rows() {
    let batch = strings((0..50_000).map(|i| format!("value {}", i % 100)));
    let plain = messages(vec![batch.clone()], Profile::Native).await;
    for compression in [BodyCompression::Lz4, BodyCompression::Zstd] {
        let egress = EgressSchema::try_new(&batch.schema(), Profile::Native).expect("a schema");
        let options = super::super::EncodeOptions { compression: Some(compression), ..options() };
        let rows = stream_of(&batch.schema(), vec![batch.clone()]);
        let all = encode(rows, egress, options).try_collect::<Vec<_>>().await.expect("messages");
        let bytes =
            |all: &[arrow_flight::FlightData]| all.iter().map(|m| m.data_body.len()).sum::<usize>();
        assert!(bytes(&all) < bytes(&plain) / 2);
        let batches = decoded(&all).1;
        assert_eq!(
            cells(&batches).expect("text"),
            cells(std::slice::from_ref(&batch)).expect("text")
        );
    }
}

#[tokio::test]
async fn adbc_06_the_schema_and_the_first_batch_leave_before_the_query_ends() {
    let batch = ints(0..3);
    let (batches, receiver) = mpsc::channel::<RecordBatch>(1);
    let source = tokio_stream::wrappers::ReceiverStream::new(receiver).map(Ok);
    let mut sent = send(stream(&batch.schema(), source), Profile::Default);
    // Before any batch is there.
    let schema = tokio::time::timeout(SOON, sent.next()).await.expect("in time");
    assert!(schema.expect("a message").expect("a schema").data_body.is_empty());
    for _ in 0..3 {
        batches.send(batch.clone()).await.expect("a reader");
        let rows = tokio::time::timeout(SOON, sent.next()).await.expect("in time");
        assert!(!rows.expect("a message").expect("rows").data_body.is_empty());
    }
    drop(batches);
    assert!(sent.next().await.is_none());
}

#[tokio::test]
async fn small_batches_that_are_there_at_once_travel_together() {
    let batches = (0..1_000).map(|i| ints(i * 10..i * 10 + 10)).collect::<Vec<_>>();
    let all = messages(batches.clone(), Profile::Default).await;
    assert!(all.len() < 10, "{} messages", all.len());
    let (_, sent) = decoded(&all);
    assert_eq!(sent[0].num_rows(), 10, "the first batch waits for none");
    assert_eq!(cells(&sent).expect("text"), cells(&batches).expect("text"));
}

#[tokio::test]
async fn p10_a_reader_who_sleeps_holds_a_bounded_number_of_bytes() {
    let batch = strings((0..1_000).map(|i| format!("{i:01000}")));
    let pulled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&pulled);
    let schema = batch.schema();
    let endless = futures::stream::repeat_with(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(batch.clone())
    });
    let mut sent = send(stream(&schema, endless), Profile::Default);
    sent.next().await.expect("a schema").expect("a schema");
    // Until the producer pulls no more.
    let mut before = usize::MAX;
    while before != pulled.load(Ordering::SeqCst) {
        before = pulled.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let held = before * 1_000_000;
    assert!(held <= READ_AHEAD_BYTES_MAX as usize + 2_100_000, "{held} bytes");
    assert!(held >= READ_AHEAD_BYTES_MAX as usize / 2, "{held} bytes");
    // And goes on when the reader does.
    for _ in 0..20 {
        sent.next().await.expect("endless").expect("rows");
    }
    assert!(pulled.load(Ordering::SeqCst) > before);
}

#[tokio::test]
async fn p09_adbc_20_dropping_the_stream_stops_the_query() {
    for waits in [true, false] {
        // Dropped with the source, which the other end sees.
        let (guard, stopped) = oneshot::channel::<()>();
        let batch = strings((0..1_000).map(|i| format!("{i:01000}")));
        let schema = batch.schema();
        let source = futures::stream::unfold((guard, batch), move |(guard, batch)| async move {
            if waits {
                futures::future::pending::<()>().await;
            }
            Some((Ok(batch.clone()), (guard, batch)))
        });
        let mut sent = send(stream(&schema, source), Profile::Default);
        sent.next().await.expect("a schema").expect("a schema");
        drop(sent);
        tokio::time::timeout(SOON, stopped).await.expect("in time").expect_err("a drop");
    }
}

#[tokio::test]
async fn adbc_30_an_error_of_the_engine_follows_its_rows_as_the_status_it_was_made() {
    let batch = ints(0..3);
    let failing = futures::stream::iter([
        Ok(batch.clone()),
        Ok(batch.clone()),
        Err(DataFusionError::ResourcesExhausted("no memory".into())),
        Ok(batch.clone()),
    ]);
    let rows = stream(&batch.schema(), failing);
    let egress = EgressSchema::try_new(&batch.schema(), Profile::Default).expect("a schema");
    let options = super::super::EncodeOptions {
        compression: None,
        status: Arc::new(|e| match e.kind() {
            fjord_engine::ErrorKind::LimitExceeded => Status::resource_exhausted(e.to_string()),
            _ => Status::unknown(e.to_string()),
        }),
    };
    let all = encode(rows, egress, options).collect::<Vec<_>>().await;
    let (last, before) = all.split_last().expect("items");
    assert_eq!(last.as_ref().expect_err("an error").code(), Code::ResourceExhausted);
    let before = before.iter().map(|m| m.clone().expect("rows")).collect::<Vec<_>>();
    let rows = decoded(&before).1.iter().map(RecordBatch::num_rows).sum::<usize>();
    assert_eq!(rows, 6);
}

#[tokio::test]
async fn a_panic_below_is_an_error_and_not_the_end_of_the_rows() {
    let batch = ints(0..3);
    let schema = batch.schema();
    let source = futures::stream::iter([0, 1]).map(move |i| {
        assert!(i == 0, "a bug");
        Ok(batch.clone())
    });
    let all = send(stream(&schema, source), Profile::Default).collect::<Vec<_>>().await;
    assert!(all.last().expect("items").is_err());
}

#[tokio::test]
async fn p03_a_native_dictionary_is_sent_once_for_all_pieces_of_its_rows() {
    let values: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..100).map(|i| format!("{i:0100}"))));
    let keys = Int32Array::from_iter_values((0..100_000).map(|i| i % 100));
    let batch = one(Arc::new(DictionaryArray::<Int32Type>::new(keys, values)));
    let all = messages(vec![batch.clone(), batch.slice(0, 5)], Profile::Native).await;
    let kinds = all
        .iter()
        .map(|m| arrow_ipc::root_as_message(&m.data_header).expect("a message").header_type());
    let dictionaries = kinds.filter(|k| *k == arrow_ipc::MessageHeader::DictionaryBatch).count();
    assert_eq!(dictionaries, 1);
    assert!(all.len() > 4);
    let batches = decoded(&all).1;
    let text = |b: &RecordBatch| cast(b.column(0), &DataType::Utf8).expect("text");
    let rows = batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    assert_eq!(rows, 100_005);
    assert_eq!(
        text(&batches[0]).as_string::<i32>().value(7),
        text(&batch).as_string::<i32>().value(7)
    );
}

#[tokio::test]
async fn app_metadata_is_empty() {
    let all = messages(vec![ints(0..3)], Profile::Default).await;
    assert!(all.iter().all(|m| m.app_metadata.is_empty() && m.flight_descriptor.is_none()));
}
