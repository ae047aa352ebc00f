//! Real messages, damaged thousands of times: an error or rows that are valid, never a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use arrow_flight::FlightData;
use bytes::Bytes;

use super::super::decoder::{Decoded, Decoder};
use super::super::encoder::Encoder;
use super::super::{BodyCompression, EgressSchema, Profile};
use super::samples::{accepted_types, batch_of};

const MUTATIONS: u64 = 20_000;
/// What rows from a message of a few kilobytes may hold: a compressed one, as much as is allowed.
const HELD_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Streams of every type: all together, each alone, plain and compressed.
fn streams() -> Vec<Vec<FlightData>> {
    let mut rng = fastrand::Rng::with_seed(99);
    let mut kinds = vec![accepted_types()];
    kinds.extend(accepted_types().into_iter().map(|dt| vec![dt]));
    let mut streams = Vec::new();
    for types in kinds {
        for profile in [Profile::Native, Profile::Default] {
            for compression in [None, Some(BodyCompression::Zstd)] {
                let batch = batch_of(&mut rng, &types, 12);
                streams.push(encoded(&batch, profile, compression));
            }
        }
    }
    // As the engine has them, views, list views and all.
    for data_type in accepted_types() {
        let batch = batch_of(&mut rng, &[data_type], 12);
        let mut encoder = Encoder::try_new(None).expect("an encoder");
        let mut all = vec![encoder.schema(&batch.schema())];
        all.extend(encoder.batch(&batch, 0).expect("messages"));
        streams.push(all);
    }
    streams
}

fn encoded(
    batch: &RecordBatch,
    profile: Profile,
    compression: Option<BodyCompression>,
) -> Vec<FlightData> {
    let egress = EgressSchema::try_new(&batch.schema(), profile).expect("a schema");
    let mut encoder = Encoder::try_new(compression).expect("an encoder");
    let mut all = vec![encoder.schema(egress.wire())];
    let batch = egress.cast(batch).expect("a batch");
    all.extend(encoder.batch(&batch, 0).expect("messages"));
    all
}

fn damage(rng: &mut fastrand::Rng, bytes: &Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    if bytes.is_empty() {
        return vec![rng.u8(..); rng.usize(1..64)].into();
    }
    const EXTREMES: [i64; 10] =
        [0, 1, -1, i64::MIN, i64::MAX, i32::MAX as i64, i32::MIN as i64, 1 << 31, 255, 1 << 40];
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(..bytes.len());
        match rng.u8(..8) {
            0 => bytes.truncate(at.max(1)),
            1 => bytes[at] ^= 1 << rng.u8(..8),
            2 => bytes[at] = rng.u8(..),
            3 | 4 => put(&mut bytes, at & !7, &rng.choice(EXTREMES).expect("one").to_le_bytes()),
            5 => {
                put(&mut bytes, at & !3, &(rng.choice(EXTREMES).expect("one") as i32).to_le_bytes())
            }
            6 => put(&mut bytes, at & !1, &rng.u16(..).to_le_bytes()),
            _ => {
                let from = rng.usize(..bytes.len());
                let part = bytes[from..bytes.len().min(from + 16)].to_vec();
                put(&mut bytes, at & !3, &part);
            }
        }
    }
    bytes.into()
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    let end = bytes.len().min(at + value.len());
    if at < end {
        bytes[at..end].copy_from_slice(&value[..end - at]);
    }
}

/// Decodes all of it, and reads what came out.
fn decode(messages: &[FlightData]) -> Result<usize, String> {
    let mut decoder = Decoder::default();
    let mut rows = 0;
    for message in messages {
        match decoder.decode(message.clone()).map_err(|e| e.to_string())? {
            Decoded::Rows(batch) => {
                for column in batch.columns() {
                    column.to_data().validate_full().expect("valid rows");
                }
                assert!(batch.get_array_memory_size() <= HELD_BYTES_MAX);
                rows += batch.num_rows();
            }
            Decoded::Nothing | Decoded::Schema(_) => {}
        }
    }
    Ok(rows)
}

#[test]
fn g4_damaged_messages_are_errors_or_valid_rows_and_never_a_panic() {
    let streams = streams();
    let mut rng = fastrand::Rng::with_seed(20_261_126);
    let (mut refused, mut accepted) = (0, 0);
    let mut caught = std::collections::BTreeMap::<String, usize>::new();
    for round in 0..MUTATIONS {
        let stream = &streams[rng.usize(..streams.len())];
        let mut damaged = stream.clone();
        let message = &mut damaged[rng.usize(..stream.len())];
        match rng.u8(..4) {
            0 => message.data_body = damage(&mut rng, &message.data_body),
            _ => message.data_header = damage(&mut rng, &message.data_header),
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| decode(&damaged)));
        match outcome.unwrap_or_else(|_| panic!("a panic in round {round}")) {
            Ok(_) => accepted += 1,
            Err(why) => {
                refused += 1;
                assert!(why.len() > 20, "{why}");
                if why.ends_with("the message cannot be read") {
                    *caught.entry(why).or_default() += 1;
                }
            }
        }
    }
    // Damage that does nothing would test nothing.
    assert!(refused > MUTATIONS / 3 && accepted > MUTATIONS / 20, "{refused} {accepted}");
    // The net below the checks is for what nobody knew of.
    assert!(caught.is_empty(), "{caught:?}");
}

#[test]
fn g4_undamaged_messages_are_accepted() {
    for stream in streams() {
        assert_eq!(decode(&stream), Ok(12));
    }
}

#[test]
fn g3_claims_beyond_the_message_are_refused_by_what_they_claim() {
    let batch = batch_of(&mut fastrand::Rng::with_seed(4), &[DataType::Int64], 100);
    let all = encoded(&batch, Profile::Default, None);
    let header = all[1].data_header.to_vec();
    // The lengths of rows, nodes and buffers stand in the header as they are.
    let positions = header.windows(8).enumerate().filter(|(_, w)| *w == 100_i64.to_le_bytes());
    let positions = positions.map(|(at, _)| at).collect::<Vec<_>>();
    assert!(positions.len() >= 2);
    for at in positions {
        for claim in [-1, 1 << 31, i64::MAX, 1 << 60] {
            let mut damaged = all.clone();
            let mut header = header.clone();
            put(&mut header, at, &i64::to_le_bytes(claim));
            damaged[1].data_header = header.into();
            let why = decode(&damaged).expect_err("a claim");
            assert!(why.contains("is not possible for the bytes"), "{why}");
        }
    }
    let mut cut = all.clone();
    cut[1].data_body = cut[1].data_body.slice(..10);
    assert!(decode(&cut).expect_err("a claim").contains("the header claims a body of"));
}
