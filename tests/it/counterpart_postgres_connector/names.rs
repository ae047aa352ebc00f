//! Hostile names and texts: a canary table survives all of them, and each comes back as it went.

use std::sync::Arc;

use arrow::array::StringArray;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};
use datafusion::physical_plan::collect;
use fjord_connectors::connector::RemoteTable;

use super::random::Random;
use super::world::{Remote, public, session, shown};

const NAMES: usize = 4000;
const TEXTS: usize = 6000;
const PIECES: &[&str] = &[
    "'",
    "\"",
    "''",
    "\"\"",
    "\\",
    "\\'",
    ";",
    "--",
    "/*",
    "*/",
    "$$",
    "$1",
    "E'",
    "U&",
    " ",
    "\n",
    "\t",
    ".",
    "%",
    "_",
    "DROP TABLE canary",
    "); DELETE FROM canary; --",
    "SELECT",
    "c0",
    "q",
    "ctid",
    "Ü",
    "日本",
    "😀",
    "\u{200b}",
    "\u{7f}",
    "a",
    "B",
    "1",
    "NULL",
    "public",
    "\r",
    "(",
    ")",
    ",",
];

fn hostile(random: &mut Random, bytes_max: usize) -> String {
    let mut text = String::new();
    for _ in 0..=random.below(7) {
        let piece = random.pick(PIECES);
        if text.len() + piece.len() <= bytes_max {
            text.push_str(piece);
        }
    }
    // Columns of the system's own are called so, and no others.
    if text.is_empty() || text == "ctid" { "x".to_owned() } else { text }
}

/// Hazard: identifiers and literals that would end their quotes.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_hostile_names_and_texts_stay_what_they_are() {
    let Some(remote) = Remote::new() else { return };
    remote.sql("CREATE TABLE canary (i int); INSERT INTO canary VALUES (1)");
    let connector = remote.open(&[("metadata_ttl_seconds", "0")]);
    let mut random = Random::new(7);
    let mut last = None;
    for n in 0..NAMES {
        let table = format!("{n}{}", hostile(&mut random, 50));
        let columns = [hostile(&mut random, 60), format!("{}!", hostile(&mut random, 60))];
        let schema =
            Schema::new(columns.clone().map(|c| Field::new(c, DataType::Utf8, true)).to_vec());
        let name = public(&table);
        let made =
            RemoteTable { name: name.clone(), schema: Arc::new(schema), if_not_exists: false };
        connector.create_table(&made).await.unwrap();
        let provider = connector.table(&name).await.unwrap().unwrap();
        let found: Vec<String> =
            provider.schema().fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(found, columns);
        // Read it, with both names in the query.
        if n % 8 == 0 {
            let ctx = session(connector.as_ref(), &[]).await;
            let plan = LogicalPlanBuilder::scan("t", provider_as_source(provider), None).unwrap();
            let column = datafusion::common::Column::new(Some("t"), &columns[0]);
            let plan =
                plan.filter(datafusion::logical_expr::Expr::Column(column).eq(lit("x"))).unwrap();
            let frame = ctx.execute_logical_plan(plan.build().unwrap()).await.unwrap();
            assert_eq!(frame.count().await.unwrap(), 0);
        }
        if n % 500 == 499 {
            let listed = connector.relations("public").await.unwrap();
            assert!(listed.iter().any(|entry| entry.name == table), "{table:?}");
        }
        if let Some(last) = last.replace(name) {
            assert!(connector.drop_relation(&last, false).await.unwrap());
        }
    }
    let texts: Vec<String> =
        (0..TEXTS).map(|n| format!("{n} {}", hostile(&mut random, 500))).collect();
    let schema = Arc::new(Schema::new(vec![Field::new("t", DataType::Utf8, true)]));
    let batch =
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(StringArray::from(texts.clone()))])
            .unwrap();
    let ctx = session(connector.as_ref(), &[]).await;
    ctx.register_table("source", Arc::new(MemTable::try_new(schema, vec![vec![batch]]).unwrap()))
        .unwrap();
    let input =
        ctx.sql("SELECT t FROM source").await.unwrap().create_physical_plan().await.unwrap();
    let table = RemoteTable { name: public("texts"), schema: input.schema(), if_not_exists: false };
    let plan = connector.create_table_as(table, input).unwrap();
    assert_eq!(
        shown(&collect(plan, Arc::new(TaskContext::default())).await.unwrap()),
        [TEXTS.to_string()]
    );
    let ctx = session(connector.as_ref(), &["texts"]).await;
    for text in &texts {
        let frame = ctx.table("texts").await.unwrap().filter(col("t").eq(lit(text))).unwrap();
        let found = frame.collect().await.unwrap();
        let rows: usize = found.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, 1, "{text:?}");
        let back: &StringArray = found
            .iter()
            .find(|b| b.num_rows() > 0)
            .unwrap()
            .column(0)
            .as_any()
            .downcast_ref()
            .unwrap();
        assert_eq!(back.value(0), text);
    }
    assert_eq!(remote.sql("SELECT i FROM canary"), "1");
}
