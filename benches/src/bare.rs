//! DataFusion on bare Parquet files, with what Fjord's sessions set too.

use std::sync::Arc;

use anyhow::Result;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use fjord_engine::engine::machine_memory_bytes;

/// Operators' share of the machine's memory, as by Fjord's default.
const MEMORY_SHARE_PERCENT: u64 = 70;

/// A session whose options and memory are those of a Fjord session.
pub fn context(threads: usize) -> Result<SessionContext> {
    let limit = usize::try_from(machine_memory_bytes() / 100 * MEMORY_SHARE_PERCENT)?;
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(limit)))
        .build_arc()?;
    let mut config = SessionConfig::new().with_target_partitions(threads);
    let options = config.options_mut();
    options.execution.collect_statistics = true;
    options.execution.parquet.pushdown_filters = true;
    options.execution.time_zone = Some("UTC".to_owned());
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.default_null_ordering = "nulls_last".to_owned();
    options.sql_parser.map_string_types_to_utf8view = true;
    Ok(SessionContext::new_with_config_rt(config, runtime))
}

/// Registers the Parquet files of a folder as a table.
pub async fn register(context: &SessionContext, table: &str, folder: &str) -> Result<()> {
    context.register_parquet(table, folder, ParquetReadOptions::default()).await?;
    Ok(())
}
