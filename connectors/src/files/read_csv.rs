//! `read_csv('…', header => …, delimiter => …, …)`.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, cast, lit, when};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;

use super::hive::{HivePartitioning, hive_columns};
use super::infer::{Unification, each_file, unify};
use super::listing::{self, ListedFile, Listing};
use super::options::Options;
use super::records::{CsvDialect, whole_records};
use super::table::{Conversion, FileTable};
use super::types::parse_columns;
use crate::error::{Error, ErrorKind};
use crate::relation::{FileAccess, FileRelation, RelationArguments};

const EXTENSIONS: &[&str] = &[".csv", ".tsv", ".txt"];
const OPTIONS: &[&str] = &[
    "all_varchar",
    "columns",
    "comment",
    "compression",
    "delim",
    "delimiter",
    "escape",
    "header",
    "hive_partitioning",
    "newlines_in_values",
    "null_padding",
    "null_value",
    "nullstr",
    "quote",
    "sample_size",
    "sep",
    "types",
];
/// Records that type inference reads in each file unless told otherwise.
const SAMPLE_RECORDS: usize = 20_480;
/// Files, and bytes at both ends of each, that are searched for quotes.
const QUOTE_SAMPLE_FILES: usize = 16;
const QUOTE_SAMPLE_BYTES: u64 = 512 * 1024;

/// The function `read_csv`.
#[derive(Debug)]
pub struct ReadCsv;

/// The options, checked.
#[derive(Debug)]
struct CsvRead {
    format: CsvFormat,
    header: bool,
    dialect: CsvDialect,
    sample: usize,
    newlines_in_values: Option<bool>,
    hive_partitioning: HivePartitioning,
    all_varchar: bool,
    columns: Option<String>,
    types: Option<String>,
    null_values: Vec<String>,
}

#[async_trait]
impl FileRelation for ReadCsv {
    fn name(&self) -> &'static str {
        "read_csv"
    }

    async fn open(
        &self,
        arguments: RelationArguments,
        access: &dyn FileAccess,
        session: &dyn Session,
    ) -> Result<Arc<dyn TableProvider>> {
        let options = Options::new(self.name(), OPTIONS, arguments.options)?;
        let mut read = CsvRead::parse(&options, session)?;
        let listing = listing::list(&arguments.paths, access, EXTENSIONS).await?;
        let compression = options.compression(&listing.files)?;
        let is_splittable = !compression.is_compressed();
        read.format = read.format.with_file_compression_type(compression);
        // A split that begins inside a quoted value would be read wrong, so files with quotes
        // are read whole unless the statement says that no value holds a line break.
        let newlines = match read.newlines_in_values {
            Some(said) => said,
            None => is_splittable && samples_hold_quotes(&listing, read.dialect.quote).await?,
        };
        read.format = read.format.with_newlines_in_values(newlines);
        let schema = read.schema(session, &listing).await?;
        let hive = hive_columns(&listing.files, &schema, read.hive_partitioning)?;
        if read.null_values.is_empty() {
            return Ok(Arc::new(FileTable::new(&listing, hive, schema, Arc::new(read.format))));
        }
        // The reader knows no NULL but the empty value: read text and convert it afterwards.
        let conversion = conversion(&schema, &hive.fields, &read.null_values)?;
        let text: Vec<Field> =
            schema.fields().iter().map(|f| Field::new(f.name(), DataType::Utf8, true)).collect();
        let text = Arc::new(Schema::new(text));
        let table = FileTable::new(&listing, hive, text, Arc::new(read.format));
        Ok(Arc::new(table.with_conversion(Some(conversion))))
    }
}

impl CsvRead {
    fn parse(options: &Options, session: &dyn Session) -> Result<Self> {
        let header = options.boolean("header")?.unwrap_or(true);
        let mut delimiter = None;
        for name in ["delimiter", "delim", "sep"] {
            delimiter = delimiter.or(options.character(name)?);
        }
        let dialect = CsvDialect {
            delimiter: delimiter.unwrap_or(b','),
            quote: options.character("quote")?.unwrap_or(b'"'),
            escape: options.character("escape")?,
            comment: options.character("comment")?,
        };
        let mut null_values = options.texts("null_value")?;
        null_values.extend(options.texts("nullstr")?);
        // Empty values are NULL anyway.
        null_values.retain(|v| !v.is_empty());
        let all_varchar = options.boolean("all_varchar")?.unwrap_or(false);
        let sample = options.sample_size()?.unwrap_or(SAMPLE_RECORDS);
        let columns = options.text("columns")?;
        let types = options.text("types")?;
        if columns.is_some() && (types.is_some() || all_varchar) {
            let message = "read_csv: columns names every column and its type; drop types and all_varchar, or columns";
            return Err(Error::new(ErrorKind::Invalid, message).into());
        }
        let nulls: Vec<String> = null_values.iter().map(|v| escape_regex(v)).collect();
        let null_regex = (!nulls.is_empty()).then(|| format!("^(|{})$", nulls.join("|")));
        let format = CsvFormat::default()
            .with_options(session.default_table_options().csv)
            .with_has_header(header)
            .with_delimiter(dialect.delimiter)
            .with_quote(dialect.quote)
            .with_escape(dialect.escape)
            .with_comment(dialect.comment)
            .with_truncated_rows(options.boolean("null_padding")?.unwrap_or(false))
            .with_null_regex(null_regex);
        Ok(Self {
            format,
            header,
            dialect,
            sample: if all_varchar { 1 } else { sample },
            newlines_in_values: options.boolean("newlines_in_values")?,
            hive_partitioning: options.hive_partitioning()?,
            all_varchar,
            columns,
            types,
            null_values,
        })
    }

    /// One file's schema, from its first records.
    async fn file_schema(
        &self,
        session: &dyn Session,
        listing: &Listing,
        file: ListedFile,
    ) -> Result<SchemaRef> {
        let object = listing.store.get(&file.meta.location).await?;
        let bytes = object.into_stream().map_err(DataFusionError::from).boxed();
        let compression = FileCompressionType::from(self.format.options().compression);
        let records = whole_records(compression.convert_stream(bytes)?, self.dialect);
        let (schema, _) =
            self.format.infer_schema_from_stream(session, self.sample, records).await?;
        Ok(Arc::new(schema))
    }

    /// The files' schema: given, or inferred and then overridden column by column.
    async fn schema(&self, session: &dyn Session, listing: &Listing) -> Result<SchemaRef> {
        if let Some(columns) = &self.columns {
            return Ok(Arc::new(Schema::new(parse_columns(columns)?)));
        }
        let schemas = each_file(listing, |file| self.file_schema(session, listing, file)).await?;
        let unification = Unification { is_positional: true, falls_back_to_text: true };
        let inferred = unify(&listing.files, &schemas, unification)?;
        if inferred.fields().is_empty() {
            let message = format!(
                "file {:?} is empty{}; name its columns with columns => 'name type, …'",
                listing.files[0].shown,
                if self.header { " and has no header" } else { "" }
            );
            return Err(Error::new(ErrorKind::Invalid, message).into());
        }
        let overrides = parse_columns_opt(self.types.as_deref())?;
        if let Some(unknown) =
            overrides.iter().find(|o| inferred.field_with_name(o.name()).is_err())
        {
            let message = format!(
                "read_csv option \"types\": no column {:?} in {:?}; its columns are {}",
                unknown.name(),
                listing.files[0].shown,
                inferred.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ")
            );
            return Err(Error::new(ErrorKind::Invalid, message).into());
        }
        let fields: Vec<Field> = inferred
            .fields()
            .iter()
            .map(|field| {
                let overridden = overrides.iter().find(|o| o.name() == field.name());
                let data_type = match overridden {
                    Some(o) => o.data_type().clone(),
                    None if self.all_varchar => DataType::Utf8,
                    None => settled(field.data_type()),
                };
                Field::new(field.name(), data_type, true)
            })
            .collect();
        Ok(Arc::new(Schema::new(fields)))
    }
}

fn parse_columns_opt(text: Option<&str>) -> Result<Vec<Arc<Field>>> {
    text.map_or(Ok(Vec::new()), parse_columns)
}

/// Inference sees a sample: a later timestamp may be finer than those in it, and a column that
/// is empty throughout may yet hold anything.
fn settled(inferred: &DataType) -> DataType {
    match inferred {
        DataType::Null => DataType::Utf8,
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, zone) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        other => other.clone(),
    }
}

/// Whether the beginning or the end of any of the first files holds the quote character.
async fn samples_hold_quotes(listing: &Listing, quote: u8) -> Result<bool> {
    for file in listing.files.iter().take(QUOTE_SAMPLE_FILES) {
        let size = file.meta.size;
        let head = 0..size.min(QUOTE_SAMPLE_BYTES);
        let tail = size.saturating_sub(QUOTE_SAMPLE_BYTES).max(head.end)..size;
        for range in [head, tail] {
            if range.is_empty() {
                continue;
            }
            let bytes = listing
                .store
                .get_range(&file.meta.location, range)
                .await
                .map_err(|e| Error::reading(&file.shown, e.into()))?;
            if bytes.contains(&quote) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// `CASE WHEN column IN (null values) THEN NULL ELSE CAST(column AS type) END` for each column.
fn conversion(
    schema: &SchemaRef,
    hive: &[Arc<Field>],
    null_values: &[String],
) -> Result<Conversion> {
    let nulls: Vec<Expr> = null_values.iter().map(|v| lit(v.as_str())).collect();
    let mut expressions = Vec::new();
    for field in schema.fields() {
        let column = Expr::Column(Column::from_name(field.name()));
        let is_null = column.clone().in_list(nulls.clone(), false);
        let text = when(is_null, lit(ScalarValue::Utf8(None))).otherwise(column)?;
        expressions.push(cast(text, field.data_type().clone()));
    }
    expressions.extend(hive.iter().map(|f| Expr::Column(Column::from_name(f.name()))));
    let fields = schema.fields().iter().chain(hive).cloned().collect::<Vec<_>>();
    Ok(Conversion { schema: Arc::new(Schema::new(fields)), expressions })
}

fn escape_regex(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::super::fixture::{Files, column};
    use super::*;

    #[tokio::test]
    async fn types_are_inferred_and_names_kept() {
        let files = Files::new();
        files.write(
            "a.csv",
            "Id,when,Price,ok,note\n1,2024-01-02,1.5,true,\n2,2024-01-03,,false,x\n",
        );
        let rows = files.rows(&ReadCsv, &["a.csv"], &[]).await.unwrap();
        let types: Vec<_> =
            rows[0].schema().fields().iter().map(|f| f.data_type().clone()).collect();
        assert_eq!(
            types,
            [
                DataType::Int64,
                DataType::Date32,
                DataType::Float64,
                DataType::Boolean,
                DataType::Utf8
            ]
        );
        assert_eq!(column(&rows, "Price"), ["1.5", ""]);
        let text = files.rows(&ReadCsv, &["a.csv"], &[("all_varchar", true.into())]).await.unwrap();
        assert!(text[0].schema().fields().iter().all(|f| f.data_type() == &DataType::Utf8));
    }

    #[tokio::test]
    async fn options_change_the_dialect() {
        let files = Files::new();
        files.write("a.txt", "# made by hand\n1;'a;b';NA\n2;'it''s';-\n");
        let options: Vec<(&str, ScalarValue)> = vec![
            ("header", false.into()),
            ("sep", ";".into()),
            ("quote", "'".into()),
            ("comment", "#".into()),
            (
                "null_value",
                ScalarValue::List(ScalarValue::new_list_nullable(
                    &["NA".into(), "-".into()],
                    &DataType::Utf8,
                )),
            ),
            ("columns", "id int, name varchar, amount decimal(10,2)".into()),
        ];
        let rows = files.rows(&ReadCsv, &["a.txt"], &options).await.unwrap();
        assert_eq!(column(&rows, "name"), ["a;b", "it's"]);
        assert_eq!(column(&rows, "amount"), ["", ""]);
        assert_eq!(rows[0].schema().field(2).data_type(), &DataType::Decimal128(10, 2));
    }

    #[tokio::test]
    async fn null_values_do_not_spoil_inference() {
        let files = Files::new();
        files.write("a.csv", "a,b\n1,NA\n2,(none)\n3,7\n");
        let nulls = ScalarValue::List(ScalarValue::new_list_nullable(
            &["NA".into(), "(none)".into()],
            &DataType::Utf8,
        ));
        let rows = files.rows(&ReadCsv, &["a.csv"], &[("null_value", nulls)]).await.unwrap();
        assert_eq!(column(&rows, "b"), ["", "", "7"]);
        assert_eq!(rows[0].schema().field(1).data_type(), &DataType::Int64);
    }

    #[tokio::test]
    async fn types_override_the_inferred_ones() {
        let files = Files::new();
        files.write("a.csv", "id,amount\n001,1.10\n");
        let types: ScalarValue = "id varchar, amount decimal(10,2)".into();
        let rows = files.rows(&ReadCsv, &["a.csv"], &[("types", types)]).await.unwrap();
        assert_eq!(
            (column(&rows, "id"), column(&rows, "amount")),
            (vec!["001".to_owned()], vec!["1.10".to_owned()])
        );
        let error =
            files.rows(&ReadCsv, &["a.csv"], &[("types", "x int".into())]).await.unwrap_err();
        assert!(error.to_string().contains("its columns are id, amount"), "{error}");
    }

    #[tokio::test]
    async fn a_large_file_is_split_and_every_row_read_once() {
        let files = Files::new();
        let mut text = String::from("id,name\n");
        for i in 0..50_000 {
            writeln!(text, "{i},n{i}").unwrap();
        }
        files.write("a.csv", text);
        let rows = files.rows(&ReadCsv, &["a.csv"], &[]).await.unwrap();
        let ids: Vec<String> = (0..50_000).map(|i| i.to_string()).collect();
        assert!(column(&rows, "id") == ids);
    }

    #[tokio::test]
    async fn quoted_line_breaks_survive() {
        let files = Files::new();
        let mut text = String::from("id,name\n");
        for i in 0..500 {
            writeln!(text, "{i},\"line\n{i},x\n\"").unwrap();
        }
        files.write("a.csv", text);
        let rows = files.rows(&ReadCsv, &["a.csv"], &[]).await.unwrap();
        assert_eq!(column(&rows, "id").len(), 500);
        assert_eq!(column(&rows, "name")[7], "line\n7,x\n");
    }

    #[tokio::test]
    async fn files_whose_columns_differ_are_refused() {
        let files = Files::new();
        files.write("a.csv", "a,b\n1,2\n");
        files.write("b.csv", "b,a\n3,4\n");
        let error = files.rows(&ReadCsv, &["*.csv"], &[]).await.unwrap_err();
        assert!(error.to_string().contains("b.csv"), "{error}");
    }

    #[tokio::test]
    async fn a_record_that_does_not_fit_names_file_and_line() {
        let files = Files::new();
        files.write("a.csv", "a,b\n1,2\nx,3\n");
        let error =
            files.rows(&ReadCsv, &["a.csv"], &[("sample_size", 1_i64.into())]).await.unwrap_err();
        assert!(error.to_string().contains("a.csv") && error.to_string().contains('x'), "{error}");
        files.write("b.csv", "a,b\n1,2\n1,2,3\n");
        let error = files.rows(&ReadCsv, &["b.csv"], &[]).await.unwrap_err();
        assert!(error.to_string().contains("b.csv"), "{error}");
    }

    #[tokio::test]
    async fn an_empty_file_and_a_bad_option_say_what_helps() {
        let files = Files::new();
        files.write("a.csv", "");
        let error = files.rows(&ReadCsv, &["a.csv"], &[]).await.unwrap_err();
        assert!(error.to_string().contains("columns =>"), "{error}");
        for (name, value, expected) in [
            ("delimiter", ScalarValue::from(";;"), "single ASCII character"),
            ("header", ScalarValue::from("perhaps"), "true or false"),
            ("compression", ScalarValue::from("rar"), "gzip"),
            ("sample_size", ScalarValue::from(0_i64), "positive number"),
            ("hedaer", ScalarValue::from(true), "header"),
        ] {
            let error = files.rows(&ReadCsv, &["a.csv"], &[(name, value)]).await.unwrap_err();
            assert!(error.to_string().contains(expected), "{name}: {error}");
        }
    }
}
