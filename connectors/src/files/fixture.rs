//! A directory of files and a session that reads them, for this module's tests.

use std::path::Path as FilePath;
use std::sync::Arc;

use datafusion::arrow::array::Array;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::prelude::{SessionConfig, SessionContext};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use tempfile::TempDir;
use url::Url;

use crate::relation::{FileAccess, FileRelation, RelationArguments, StoreLocation};

#[derive(Debug)]
pub(super) struct Files {
    directory: TempDir,
}

impl FileAccess for Files {
    fn resolve(&self, uri: &str) -> Result<StoreLocation> {
        let mut absolute = self.directory.path().to_owned();
        if uri != "." {
            absolute.push(uri);
        }
        let path = Path::parse(absolute.to_str().unwrap())?;
        let store_url = Url::parse("file:///").unwrap();
        Ok(StoreLocation { store: Arc::new(LocalFileSystem::new()), path, store_url })
    }

    fn check_listed(&self, _: &Url, _: &Path) -> Result<()> {
        Ok(())
    }
}

impl Files {
    pub(super) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(super) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(FilePath::new("/"))).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Reads `paths` with `relation` in two partitions, splitting files of any size.
    pub(super) async fn rows(
        &self,
        relation: &dyn FileRelation,
        paths: &[&str],
        options: &[(&str, ScalarValue)],
    ) -> Result<Vec<RecordBatch>> {
        let config = SessionConfig::new()
            .with_target_partitions(2)
            .with_repartition_file_min_size(1)
            .set_bool("datafusion.explain.show_sizes", false);
        let context = SessionContext::new_with_config(config);
        let arguments = RelationArguments {
            paths: paths.iter().map(|p| (*p).to_owned()).collect(),
            options: options.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
        };
        let table = relation.open(arguments, self, &context.state()).await?;
        let first = table.schema().field(0).name().clone();
        let frame = context.read_table(table)?;
        // Splits finish in any order; the tests' rows are written in the order of column one.
        let ident = datafusion::prelude::ident(first);
        let rows = frame.sort(vec![ident.sort(true, false)])?.collect().await?;
        Ok(rows)
    }
}

/// The values of a column as text, NULL as nothing.
pub(super) fn column(rows: &[RecordBatch], name: &str) -> Vec<String> {
    let options = FormatOptions::default();
    let mut values = Vec::new();
    for batch in rows {
        let array = batch.column_by_name(name).unwrap();
        let formatter = ArrayFormatter::try_new(array.as_ref(), &options).unwrap();
        values.extend((0..array.len()).map(|i| formatter.value(i).to_string()));
    }
    values
}
