//! A session without catalogs or with one of ours, for the tests of this module.

use arrow::array::RecordBatch;
use fjord_catalog::storage::Storage;
use futures::TryStreamExt;

use crate::engine::{Engine, EngineOptions};
use crate::error::{Error, Result};
use crate::session::{Session, SessionOptions};

pub(crate) fn engine(memory_limit_bytes: usize) -> Engine {
    // The directory outlives the engine in tests; the system's temporary directory is its root.
    Engine::try_new(EngineOptions {
        memory_limit_bytes: Some(memory_limit_bytes),
        spill_dir: std::env::temp_dir().join("fjord-engine-tests"),
        target_partitions: Some(4),
        storage: Storage::local(),
        file_relations: fjord_connectors::file_relations(),
    })
    .unwrap()
}

pub(crate) fn session_with_memory(memory_limit_bytes: usize) -> Session {
    engine(memory_limit_bytes).session(SessionOptions::default())
}

pub(crate) fn session() -> Session {
    session_with_memory(1 << 30)
}

pub(crate) async fn run(session: &Session, sql: &str) -> Result<Vec<RecordBatch>> {
    let mut last = Vec::new();
    for statement in session.parse(sql)? {
        let result = session.execute(&statement).await?;
        last = result.stream.try_collect().await.map_err(Error::from)?;
    }
    Ok(last)
}

pub(crate) async fn rows(session: &Session, sql: &str) -> Vec<RecordBatch> {
    let shown: String = sql.chars().take(200).collect();
    run(session, sql).await.unwrap_or_else(|e| panic!("{shown}: {e:?}"))
}

pub(crate) async fn fails(session: &Session, sql: &str) -> Error {
    run(session, sql).await.map(drop).unwrap_err()
}
