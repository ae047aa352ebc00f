//! Tests of what clients send: in the shapes they send it in, and in some that they should not.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema};
use arrow_flight::{FlightData, FlightDescriptor};
use futures::{StreamExt, TryStreamExt};
use tonic::{Code, Status};

use super::super::incoming::PARAMETERS_BYTES_MAX;
use super::super::{Incoming, Profile};
use super::samples::{
    accepted_types, batch_of, cells, dictionary, every_type, ints, messages, one, random, strings,
};

/// These messages as a client puts them, the first with the command.
async fn put(mut messages: Vec<FlightData>) -> Incoming {
    if let Some(first) = messages.first_mut() {
        first.flight_descriptor = Some(FlightDescriptor::new_cmd("the command"));
    }
    open(messages, PARAMETERS_BYTES_MAX).await.expect("a first message")
}

async fn open(messages: Vec<FlightData>, bytes_max: u64) -> Result<Incoming, Status> {
    Incoming::open(futures::stream::iter(messages.into_iter().map(Ok)), bytes_max).await
}

async fn refused(messages: Vec<FlightData>) -> Status {
    let incoming = open(messages, PARAMETERS_BYTES_MAX).await.expect("a first message");
    match incoming.rows().await {
        Err(status) => status,
        Ok(rows) => rows.expect("a schema").collect().await.expect_err("an error"),
    }
}

#[tokio::test]
async fn adbc_09_a_first_message_without_a_schema_is_a_command_alone() {
    let incoming = put(vec![FlightData::default()]).await;
    assert_eq!(incoming.command().expect("a command").as_ref(), b"the command");
    assert!(incoming.rows().await.expect("no failure").is_none());
}

#[tokio::test]
async fn adbc_09_the_schema_may_follow_in_a_later_message() {
    let mut all = messages(vec![ints(0..5)], Profile::Default).await;
    all.insert(0, FlightData::default());
    let rows = put(all).await.rows().await.expect("no failure").expect("rows");
    assert_eq!(rows.collect().await.expect("batches")[0].num_rows(), 5);
}

#[tokio::test]
async fn adbc_08_one_batch_of_parameters_arrives_whole() {
    let incoming = put(messages(vec![ints(0..5)], Profile::Default).await).await;
    assert_eq!(incoming.command().expect("a command").as_ref(), b"the command");
    let rows = incoming.rows().await.expect("no failure").expect("rows");
    assert_eq!(rows.schema().field(0).data_type(), &DataType::Int32);
    let batches = rows.collect().await.expect("batches");
    assert_eq!(cells(&batches).expect("text"), cells(&[ints(0..5)]).expect("text"));
}

#[tokio::test]
async fn jdbc_05_a_batch_without_columns_is_accepted() {
    for count in [0, 1] {
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let bare = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options);
        let mut all = messages(vec![ints(0..1)], Profile::Default).await;
        all.clear();
        let mut encoder = super::super::encoder::Encoder::try_new(None).expect("an encoder");
        all.push(encoder.schema(&Schema::empty()));
        all.extend(encoder.batch(&bare.expect("a batch"), 0).expect("messages"));
        let rows = put(all).await.rows().await.expect("no failure").expect("rows");
        assert!(rows.schema().fields().is_empty());
        let batches = rows.collect().await.expect("batches");
        assert_eq!(batches[0].num_rows(), count);
    }
}

#[tokio::test]
async fn adbc_11_every_type_and_dictionary_arrives_as_it_was_sent() {
    let mut rng = fastrand::Rng::with_seed(8);
    for profile in [Profile::Native, Profile::Default] {
        let batches = (0..3).map(|_| batch_of(&mut rng, &accepted_types(), 30)).collect::<Vec<_>>();
        let egress = super::super::EgressSchema::try_new(&batches[0].schema(), profile);
        let egress = egress.expect("a schema");
        let sent = batches.iter().map(|b| egress.cast(b).expect("a batch")).collect::<Vec<_>>();
        let rows = put(messages(batches, profile).await).await.rows().await;
        let mut arrived = rows.expect("no failure").expect("rows").into_stream();
        assert_eq!(&arrived.schema(), egress.wire());
        let arrived = arrived.by_ref().try_collect::<Vec<_>>().await.expect("batches");
        assert_eq!(cells(&arrived).expect("text"), cells(&sent).expect("text"));
    }
}

#[tokio::test]
async fn a_stream_without_a_message_or_a_descriptor_says_so() {
    let e = open(vec![], 10).await.expect_err("no message");
    assert_eq!(e.code(), Code::InvalidArgument);
    let bare = open(vec![FlightData::default()], 10).await.expect("a message");
    assert!(bare.command().expect_err("no descriptor").message().contains("descriptor"));
}

#[tokio::test]
async fn a_failure_of_the_transport_is_passed_on() {
    let first = FlightData::default();
    let items = [Ok(first), Err(Status::cancelled("the client is gone"))];
    let incoming = Incoming::open(futures::stream::iter(items), 10).await.expect("a message");
    assert_eq!(incoming.rows().await.expect_err("gone").code(), Code::Cancelled);
}

#[tokio::test]
async fn more_bytes_than_allowed_are_refused_also_when_they_were_compressed() {
    let all =
        messages(vec![strings((0..1_000).map(|i| format!("{i:0100}")))], Profile::Default).await;
    let incoming = open(all.clone(), 50_000).await.expect("a first message");
    let rows = incoming.rows().await.expect("no failure").expect("rows");
    assert_eq!(rows.collect().await.expect_err("too much").code(), Code::ResourceExhausted);
    let incoming = open(all, 50_000).await.expect("a message").with_bytes_max(1 << 20);
    assert!(incoming.rows().await.expect("no failure").expect("rows").collect().await.is_ok());

    let mut encoder =
        super::super::encoder::Encoder::try_new(Some(super::super::BodyCompression::Zstd))
            .expect("one");
    let batch = strings((0..1_000).map(|_| "a".repeat(1_000)));
    let mut all = vec![encoder.schema(&batch.schema())];
    all.extend(encoder.batch(&batch, 0).expect("messages"));
    let incoming = open(all, 100_000).await.expect("a first message");
    let rows = incoming.rows().await.expect("no failure").expect("rows");
    assert_eq!(rows.collect().await.expect_err("too much").code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn lz4_bodies_are_refused_because_nothing_bounds_them() {
    let mut encoder =
        super::super::encoder::Encoder::try_new(Some(super::super::BodyCompression::Lz4))
            .expect("one");
    let batch = strings((0..100).map(|_| "a".repeat(100)));
    let mut all = vec![encoder.schema(&batch.schema())];
    all.extend(encoder.batch(&batch, 0).expect("messages"));
    let status = refused(all).await;
    assert!(status.message().contains("zstd"), "{status}");
}

#[tokio::test]
async fn messages_out_of_order_are_named() {
    let all = messages(vec![ints(0..5)], Profile::Default).await;
    let e = refused(vec![all[1].clone()]).await;
    assert!(e.message().contains("before the schema"), "{e}");
    let e = refused(vec![all[0].clone(), all[0].clone()]).await;
    assert!(e.message().contains("second schema"), "{e}");
    let body = FlightData { data_body: vec![1].into(), ..FlightData::default() };
    assert!(refused(vec![body]).await.message().contains("without a header"));
    let noise = FlightData {
        data_header: b"ARROW1\0\0 not a message".to_vec().into(),
        ..FlightData::default()
    };
    let e = refused(vec![noise]).await;
    assert_eq!(e.code(), Code::InvalidArgument);
    assert!(e.message().contains("the header is not a message"), "{e}");
}

#[tokio::test]
async fn text_that_is_not_utf8_is_refused() {
    let mut all = messages(vec![strings(["abcdefgh".to_owned()])], Profile::Default).await;
    let mut body = all[1].data_body.to_vec();
    let at = body.windows(8).position(|w| w == b"abcdefgh").expect("the text");
    body[at] = 0xff;
    all[1].data_body = body.into();
    let e = refused(all).await;
    assert_eq!(e.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn types_that_nest_without_end_are_refused() {
    let mut deep = DataType::Int64;
    for _ in 0..40 {
        deep = DataType::List(super::samples::field(deep));
    }
    let mut encoder = super::super::encoder::Encoder::try_new(None).expect("an encoder");
    let schema = Schema::new(vec![arrow::datatypes::Field::new("deep", deep, true)]);
    let e = refused(vec![encoder.schema(&schema)]).await;
    assert_eq!(e.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn dictionaries_grow_and_are_replaced_between_batches() {
    let mut rng = fastrand::Rng::with_seed(1);
    let batches =
        (0..4).map(|_| one(random(&mut rng, &dictionary(DataType::Utf8), 20))).collect::<Vec<_>>();
    let all = messages(batches.clone(), Profile::Native).await;
    let rows = put(all).await.rows().await.expect("no failure").expect("rows");
    let arrived = rows.collect().await.expect("batches");
    assert!(arrived[0].column(0).as_any_dictionary_opt().is_some());
    assert_eq!(cells(&arrived).expect("text"), cells(&batches).expect("text"));
}

#[tokio::test]
async fn types_that_nothing_can_take_are_refused_by_name() {
    let mut rng = fastrand::Rng::with_seed(1);
    for data_type in every_type() {
        if accepted_types().contains(&data_type) {
            continue;
        }
        let batch = batch_of(&mut rng, &[data_type], 5);
        let mut encoder = super::super::encoder::Encoder::try_new(None).expect("an encoder");
        let e = refused(vec![encoder.schema(&batch.schema())]).await;
        assert_eq!(e.code(), Code::InvalidArgument);
        assert!(e.message().contains("\"c0\"") && e.message().contains("not accepted"), "{e}");
    }
}
