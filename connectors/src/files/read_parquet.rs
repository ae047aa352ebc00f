//! `read_parquet('…', hive_partitioning => …, union_by_name => …)`.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::error::Result;
use url::Url;

use super::hive::{hive_columns, partition_of};
use super::infer::{Unification, each_file, file_schemas, unify};
use super::listing::{self, ListedFile, Listing};
use super::options::Options;
use super::table::FileTable;
use crate::error::{Error, ErrorKind};
use crate::relation::{FileAccess, FileRelation, FoundFile, RelationArguments, StoreLocation};

const EXTENSIONS: &[&str] = &[".parquet", ".parq", ".pq"];
const OPTIONS: &[&str] = &["hive_partitioning", "union_by_name"];

/// The function `read_parquet`.
#[derive(Debug)]
pub struct ReadParquet;

#[async_trait]
impl FileRelation for ReadParquet {
    fn name(&self) -> &'static str {
        "read_parquet"
    }

    async fn open(
        &self,
        arguments: RelationArguments,
        access: &dyn FileAccess,
        session: &dyn Session,
    ) -> Result<Arc<dyn TableProvider>> {
        let options = Options::new(self.name(), OPTIONS, arguments.options)?;
        let hive_partitioning = options.hive_partitioning()?;
        let is_by_name = options.boolean("union_by_name")?.unwrap_or(true);
        let listing = listing::list(&arguments.paths, access, EXTENSIONS).await?;
        let parquet = session.default_table_options().parquet;
        let format: Arc<dyn FileFormat> = Arc::new(ParquetFormat::new().with_options(parquet));
        let schemas = file_schemas(format.as_ref(), session, &listing).await?;
        if !is_by_name {
            check_same_columns(&listing.files, &schemas)?;
        }
        let unification = Unification { is_positional: false, falls_back_to_text: false };
        let schema = unify(&listing.files, &schemas, unification)?;
        let statistics = footers(format.as_ref(), session, &listing, &schema).await?;
        let hive = hive_columns(&listing.files, &schema, hive_partitioning)?;
        Ok(Arc::new(FileTable::new(&listing, hive, schema, format).with_statistics(statistics)))
    }

    async fn files(&self, paths: &[String], access: &dyn FileAccess) -> Result<Vec<FoundFile>> {
        let listing = listing::list(paths, access, EXTENSIONS).await?;
        Ok(listing.files.iter().map(|file| found(&listing, file)).collect())
    }
}

fn found(listing: &Listing, file: &ListedFile) -> FoundFile {
    let store_url: &Url = listing.store_url.as_ref();
    // The name as the store has it: what a writer escaped in a directory's name stays so.
    let uri = match store_url.scheme() {
        "file" => format!("file:///{}", file.meta.location),
        _ => file.shown.clone(),
    };
    FoundFile {
        location: StoreLocation {
            store: Arc::clone(&listing.store),
            path: file.meta.location.clone(),
            store_url: store_url.clone(),
        },
        uri,
        shown: file.shown.clone(),
        size_bytes: file.meta.size,
        partition: partition_of(file),
    }
}

fn check_same_columns(files: &[ListedFile], schemas: &[SchemaRef]) -> Result<()> {
    let names = |schema: &SchemaRef| -> Vec<String> {
        schema.fields().iter().map(|f| f.name().clone()).collect()
    };
    let first = names(&schemas[0]);
    match files.iter().zip(schemas).find(|(_, schema)| names(schema) != first) {
        None => Ok(()),
        Some((file, schema)) => {
            let message = format!(
                "file {:?} has the columns {:?}, but {:?} has {first:?}; set union_by_name => true to read both",
                file.shown,
                names(schema),
                files[0].shown
            );
            Err(Error::new(ErrorKind::Invalid, message).into())
        }
    }
}

/// Row counts are exact. Bounds are hints only: a foreign writer may have truncated them, and
/// DataFusion would replace a column by a literal where exact bounds are equal.
async fn footers(
    format: &dyn FileFormat,
    session: &dyn Session,
    listing: &Listing,
    schema: &SchemaRef,
) -> Result<Vec<Statistics>> {
    each_file(listing, |file| async move {
        let statistics =
            format.infer_stats(session, &listing.store, Arc::clone(schema), &file.meta).await?;
        let num_rows = statistics.num_rows;
        let mut hints = statistics.to_inexact();
        hints.num_rows = num_rows;
        Ok(hints)
    })
    .await
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray};
    use datafusion::arrow::record_batch::RecordBatch;
    use datafusion::parquet::arrow::ArrowWriter;

    use super::super::fixture::{Files, column};
    use super::*;

    fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes
    }

    fn ids(values: Vec<i32>) -> ArrayRef {
        Arc::new(Int32Array::from(values))
    }

    #[tokio::test]
    async fn files_are_united_by_name_and_widened() {
        let files = Files::new();
        files.write("a.parquet", parquet(vec![("id", ids(vec![1, 2]))]));
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![3]));
        let name: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        files.write("b.parquet", parquet(vec![("Name", name), ("id", wide)]));
        let rows = files.rows(&ReadParquet, &["*.parquet"], &[]).await.unwrap();
        assert_eq!(column(&rows, "id"), ["1", "2", "3"]);
        assert_eq!(column(&rows, "Name"), ["", "", "x"]);
        let strict =
            files.rows(&ReadParquet, &["*.parquet"], &[("union_by_name", false.into())]).await;
        assert!(strict.unwrap_err().to_string().contains("b.parquet"));
    }

    #[tokio::test]
    async fn directories_become_columns() {
        let files = Files::new();
        files.write("t/year=2023/m=a b/x.parquet", parquet(vec![("id", ids(vec![1]))]));
        files.write(
            "t/year=2024/m=__HIVE_DEFAULT_PARTITION__/x.parquet",
            parquet(vec![("id", ids(vec![2]))]),
        );
        let rows = files.rows(&ReadParquet, &["t"], &[]).await.unwrap();
        assert_eq!(column(&rows, "year"), ["2023", "2024"]);
        assert_eq!(column(&rows, "m"), ["a b", ""]);
        let plain = files
            .rows(&ReadParquet, &["t/**/*.parquet"], &[("hive_partitioning", false.into())])
            .await;
        assert_eq!(plain.unwrap()[0].num_columns(), 1);
    }

    #[tokio::test]
    async fn a_damaged_file_is_named_whether_its_footer_or_its_pages_are_damaged() {
        let files = Files::new();
        let good = parquet(vec![("id", ids((0..10_000).collect()))]);
        files.write("good.parquet", good.clone());
        files.write("bad.parquet", &good[..good.len() / 2]);
        let error = files.rows(&ReadParquet, &["*.parquet"], &[]).await.unwrap_err();
        assert!(error.to_string().contains("bad.parquet"), "{error}");

        let mut pages = good;
        pages[4..200].fill(0xAB);
        files.write("pages/torn.parquet", pages);
        let error = files.rows(&ReadParquet, &["pages/*.parquet"], &[]).await.unwrap_err();
        assert!(error.to_string().contains("torn.parquet"), "{error}");
    }

    /// A file whose one column holds JSON, which the Parquet reader takes for proven text.
    fn json(value: &[u8]) -> Vec<u8> {
        use datafusion::parquet::basic::{
            ConvertedType, LogicalType, Repetition, Type as Physical,
        };
        use datafusion::parquet::data_type::{ByteArray, ByteArrayType};
        use datafusion::parquet::file::writer::SerializedFileWriter;
        use datafusion::parquet::schema::types::Type;

        let column = Type::primitive_type_builder("j", Physical::BYTE_ARRAY)
            .with_repetition(Repetition::REQUIRED)
            .with_converted_type(ConvertedType::JSON)
            .with_logical_type(Some(LogicalType::Json))
            .build()
            .unwrap();
        let schema = Type::group_type_builder("schema").with_fields(vec![Arc::new(column)]);
        let schema = Arc::new(schema.build().unwrap());
        let mut file = SerializedFileWriter::new(Vec::new(), schema, Default::default()).unwrap();
        let mut group = file.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let value = [ByteArray::from(value.to_vec())];
        column.typed::<ByteArrayType>().write_batch(&value, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        file.into_inner().unwrap()
    }

    /// Hazard: bytes that are no UTF-8 in a column that is read as text are undefined behaviour.
    #[tokio::test]
    async fn json_that_is_no_text_is_an_error() {
        let files = Files::new();
        files.write("good.parquet", json(b"{\"a\": 1}"));
        let rows = files.rows(&ReadParquet, &["good.parquet"], &[]).await.unwrap();
        assert_eq!(column(&rows, "j"), ["{\"a\": 1}"]);
        files.write("bad.parquet", json(b"{\"a\": \"\xff\xfe and more than a view holds\"}"));
        let error = files.rows(&ReadParquet, &["bad.parquet"], &[]).await.unwrap_err();
        assert!(error.to_string().contains("bad.parquet"), "{error}");
    }

    #[tokio::test]
    async fn an_unknown_option_is_refused_with_the_accepted_ones() {
        let files = Files::new();
        let error = files.rows(&ReadParquet, &["x"], &[("hive", true.into())]).await.unwrap_err();
        assert!(error.to_string().contains("hive_partitioning, union_by_name"), "{error}");
    }

    #[tokio::test]
    async fn a_path_without_files_is_named() {
        let files = Files::new();
        for path in ["*.parquet", "missing.parquet", "no/such/dir"] {
            let error = files.rows(&ReadParquet, &[path], &[]).await.unwrap_err();
            assert!(error.to_string().contains(path), "{error}");
        }
    }
}
