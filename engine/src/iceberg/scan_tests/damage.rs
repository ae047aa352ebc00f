//! Files that are gone, cut or overwritten: the query fails, and says which file it was.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use fjord_catalog::spec::PrimitiveType;
use fjord_catalog::table::Table;
use serde_json::json;

use super::lake::{Lake, optional};
use crate::error::ErrorKind;

async fn two_files(lake: &Lake) -> Table {
    let fields =
        vec![optional(1, "k", PrimitiveType::Long), optional(2, "s", PrimitiveType::String)];
    let mut table = lake.create(fields, json!([])).await;
    for base in [0, 1_000] {
        let keys: ArrayRef = Arc::new((base..base + 1_000).collect::<Int64Array>());
        let texts: StringArray =
            (0..1_000).map(|i| Some(format!("text {}", i * 7 + base))).collect();
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("k", keys, true),
            ("s", Arc::new(texts) as _, true),
        ]);
        table = lake.write(&table, batch.unwrap()).await;
    }
    table
}

#[tokio::test]
async fn a_data_file_that_is_gone_is_named() {
    let lake = Lake::new().await;
    let table = two_files(&lake).await;
    let victim = lake.parquet_files().remove(0);
    std::fs::remove_file(&victim).unwrap();
    for sql in ["SELECT * FROM t", "SELECT s FROM t WHERE k % 2 = 0", "SELECT sum(k) FROM t"] {
        let error = lake.error(&table, sql).await;
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&format!("\"file://{}\"", victim.display())), "{text}");
    }
}

#[tokio::test]
async fn a_corrupt_page_is_an_error_that_names_the_file() {
    let lake = Lake::new().await;
    let table = two_files(&lake).await;
    let victim = lake.parquet_files().remove(0);
    let mut bytes = std::fs::read(&victim).unwrap();
    for byte in &mut bytes[40..200] {
        *byte ^= 0xa5;
    }
    std::fs::write(&victim, bytes).unwrap();
    let error = lake.error(&table, "SELECT * FROM t").await;
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(error.to_string().contains(victim.to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn a_cut_or_overwritten_footer_is_an_error_that_names_the_file() {
    for cut in [0, 3, 11, 200] {
        let lake = Lake::new().await;
        let table = two_files(&lake).await;
        let victim = lake.parquet_files().remove(0);
        let bytes = std::fs::read(&victim).unwrap();
        std::fs::write(&victim, &bytes[..cut]).unwrap();
        let error = lake.error(&table, "SELECT * FROM t").await;
        assert!(error.to_string().contains(victim.to_str().unwrap()), "{cut}: {error}");

        let mut bytes = bytes;
        let end = bytes.len();
        bytes[end - 200..end - 8].fill(0xff);
        std::fs::write(&victim, &bytes).unwrap();
        let error = lake.error(&table, "SELECT * FROM t").await;
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        assert!(error.to_string().contains(victim.to_str().unwrap()), "{error}");
    }
}

/// Whatever the bytes are, a query has an answer or an error that names the file: no panic.
#[tokio::test]
async fn flipped_bytes_anywhere_never_end_the_process() {
    let lake = Lake::new().await;
    let table = two_files(&lake).await;
    let victim = lake.parquet_files().remove(0);
    let good = std::fs::read(&victim).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut errors = 0;
    for round in 0..300 {
        let mut bytes = good.clone();
        // Half of the rounds damage the footer, where the decoder trusts most.
        let from = if round % 2 == 0 { 4 } else { bytes.len() - 900 };
        for _ in 0..=next(4) {
            let at = from + next(bytes.len() - from);
            bytes[at] ^= 1 << next(8);
        }
        std::fs::write(&victim, bytes).unwrap();
        let context = lake.sql(&table, 2);
        // Footers are kept for good, as files never change: a fresh cache for each round.
        let cache = Arc::new(crate::iceberg::footer::FooterCache::new(1 << 20));
        context.state_ref().write().config_mut().set_extension(cache);
        let frame = context.sql("SELECT * FROM t WHERE k >= 0 AND s <> 'x'").await.unwrap();
        if let Err(e) = frame.collect().await {
            errors += 1;
            let error = crate::error::Error::from(e);
            assert!(error.to_string().contains(victim.to_str().unwrap()), "{round}: {error:?}");
        }
    }
    assert!(errors > 50, "only {errors} of 300 rounds were noticed");
}
