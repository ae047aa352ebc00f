//! Raw files as relations: `read_parquet`, `read_csv` and `read_json`.
//!
//! ```text
//! paths ─ pattern ─ listing ─ hive ─┐
//! options ─ read_csv | read_json | read_parquet ─ infer ─ FileTable ─ NamedSource(CsvSource | …)
//! ```

mod pattern;
mod listing;
mod hive;
mod options;
mod types;
mod infer;
mod records;
mod named_source;
mod proven_reader;
mod table;
mod read_csv;
mod read_json;
mod read_parquet;

pub use read_csv::ReadCsv;
pub use read_json::ReadJson;
pub use read_parquet::ReadParquet;

#[cfg(test)]
mod fixture;
