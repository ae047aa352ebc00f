//! `read_json('…', compression => …, sample_size => …)`: newline-delimited JSON.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::error::Result;

use super::hive::hive_columns;
use super::infer::{Unification, file_schemas, unify};
use super::listing;
use super::options::Options;
use super::table::FileTable;
use super::types::parse_columns;
use crate::relation::{FileAccess, FileRelation, RelationArguments};

const EXTENSIONS: &[&str] = &[".json", ".ndjson", ".jsonl"];
const OPTIONS: &[&str] = &["columns", "compression", "hive_partitioning", "sample_size"];
/// Records that schema inference reads in each file unless told otherwise.
const SAMPLE_RECORDS: usize = 20_480;

/// The function `read_json`.
#[derive(Debug)]
pub struct ReadJson;

#[async_trait]
impl FileRelation for ReadJson {
    fn name(&self) -> &'static str {
        "read_json"
    }

    async fn open(
        &self,
        arguments: RelationArguments,
        access: &dyn FileAccess,
        session: &dyn Session,
    ) -> Result<Arc<dyn TableProvider>> {
        let options = Options::new(self.name(), OPTIONS, arguments.options)?;
        let hive_partitioning = options.hive_partitioning()?;
        let sample = options.sample_size()?.unwrap_or(SAMPLE_RECORDS);
        let columns = options.text("columns")?;
        let listing = listing::list(&arguments.paths, access, EXTENSIONS).await?;
        let format: Arc<dyn FileFormat> = Arc::new(
            JsonFormat::default()
                .with_options(session.default_table_options().json)
                .with_newline_delimited(true)
                .with_schema_infer_max_rec(sample)
                .with_file_compression_type(options.compression(&listing.files)?),
        );
        let schema: SchemaRef = match columns {
            Some(columns) => Arc::new(Schema::new(parse_columns(&columns)?)),
            None => {
                let schemas = file_schemas(format.as_ref(), session, &listing).await?;
                let unification = Unification { is_positional: false, falls_back_to_text: false };
                without_nulls(&unify(&listing.files, &schemas, unification)?)
            }
        };
        let hive = hive_columns(&listing.files, &schema, hive_partitioning)?;
        Ok(Arc::new(FileTable::new(&listing, hive, schema, format)))
    }
}

/// A column that is null in every sampled record holds text as far as anyone knows.
fn without_nulls(schema: &SchemaRef) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|f| f.as_ref().clone().with_data_type(known_type(f.data_type())))
        .collect();
    Arc::new(Schema::new(fields))
}

fn known_type(data_type: &DataType) -> DataType {
    let known = |f: &Arc<Field>| f.as_ref().clone().with_data_type(known_type(f.data_type()));
    match data_type {
        DataType::Null => DataType::Utf8,
        DataType::List(item) => DataType::List(Arc::new(known(item))),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(known).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Files, column};
    use super::*;

    #[tokio::test]
    async fn records_of_several_files_share_one_schema() {
        let files = Files::new();
        files.write("a.json", b"{\"id\": 1, \"tags\": [\"x\"], \"none\": null}\n{\"id\": 2}\n");
        files.write("b.json", b"{\"id\": 2.5, \"who\": {\"name\": \"Ann\"}}\n");
        let rows = files.rows(&ReadJson, &["a.json", "b.json"], &[]).await.unwrap();
        assert_eq!(column(&rows, "id"), ["1.0", "2.0", "2.5"]);
        assert_eq!(column(&rows, "tags"), ["[x]", "", ""]);
        assert_eq!(column(&rows, "who"), ["", "", "{name: Ann}"]);
        assert_eq!(column(&rows, "none"), ["", "", ""]);
    }

    #[tokio::test]
    async fn a_damaged_record_names_its_file() {
        let files = Files::new();
        files.write("ok.json", b"{\"id\": 1}\n");
        files.write("torn.json", b"{\"id\": 1}\n{\"id\": \n");
        let error = files.rows(&ReadJson, &["*.json"], &[]).await.unwrap_err();
        assert!(error.to_string().contains("torn.json"), "{error}");
        let error = files.rows(&ReadJson, &["torn.json"], &[("columns", "id bigint".into())]).await;
        assert!(error.unwrap_err().to_string().contains("torn.json"));
    }
}
