//! Rows deleted by position as rows themselves, for `$position_deletes`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringViewArray, new_null_array};
use arrow::datatypes::FieldRef;
use datafusion::error::Result;
use fjord_catalog::deletes::read_vector;
use fjord_catalog::spec::{DataFile, DataFileFormat};
use fjord_catalog::storage::Storage;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use super::attach::stored;
use super::positions;
use super::reader::{DeleteReader, named};
use crate::error::{Error, ErrorKind};
use crate::iceberg::adapter::FieldIdAdapterFactory;
use crate::iceberg::footer::FooterCache;

/// Rows of a batch that a deletion vector makes.
const BATCH_ROWS: usize = 8192;

/// Deleted rows of one file: paths, positions, and the rows themselves where a writer kept them.
pub(in crate::iceberg) struct Listed {
    pub(in crate::iceberg) paths: ArrayRef,
    pub(in crate::iceberg) positions: ArrayRef,
    pub(in crate::iceberg) rows: ArrayRef,
}

/// Lists the rows that files of deletes name by position.
#[derive(Debug)]
pub(in crate::iceberg) struct PositionLister {
    storage: Storage,
    reader: DeleteReader,
    /// The column in which a writer may have kept the deleted row.
    row: FieldRef,
}

impl PositionLister {
    pub(in crate::iceberg) fn new(
        storage: Storage,
        adapters: FieldIdAdapterFactory,
        footers: FooterCache,
        row: FieldRef,
    ) -> Self {
        Self { storage, reader: DeleteReader { adapters, footers }, row }
    }

    /// The rows of one file of position deletes, or of one deletion vector, whose data file has
    /// `data_rows`; batch by batch, in the file's order.
    ///
    /// # Errors
    /// Naming the file: those of reading it.
    pub(in crate::iceberg) async fn list(
        &self,
        file: Arc<DataFile>,
        data_rows: u64,
    ) -> Result<BoxStream<'static, Result<Listed>>> {
        let at = Arc::new(stored(&self.storage, &file)?);
        if file.file_format() == DataFileFormat::Puffin {
            let Some(path) = file.referenced_data_file() else {
                let text = "the manifest does not say which file its deletion vector is of";
                return Err(named(&at, Error::new(ErrorKind::Corrupt, text).into()));
            };
            let blob = self.reader.blob(&at).await?;
            let deleted =
                read_vector(&blob, data_rows).map_err(|e| named(&at, Error::from(e).into()))?;
            let positions: Vec<(u64, u64)> = deleted.runs().collect();
            let row = Arc::clone(&self.row);
            let all = positions.into_iter().flat_map(|(first, length)| first..first + length);
            let batches = stream::iter(all).chunks(BATCH_ROWS).map(move |positions| {
                let paths: StringViewArray = positions.iter().map(|_| Some(&path)).collect();
                let count = positions.len();
                let positions = positions.into_iter().map(|at| i64::try_from(at).ok());
                Ok(Listed {
                    paths: Arc::new(paths),
                    positions: Arc::new(positions.collect::<Int64Array>()),
                    rows: new_null_array(row.data_type(), count),
                })
            });
            return Ok(batches.boxed());
        }
        let row = [Arc::clone(&self.row)];
        let batches = self.reader.open(&at, positions::COLUMNS.as_slice(), &row).await;
        let batches = batches.map_err(|e| named(&at, e))?;
        let listed = batches.map_err(move |e| named(&at, e)).map(|arrays| {
            let [paths, positions, rows] = <[ArrayRef; 3]>::try_from(arrays?)
                .map_err(|_more| Error::new(ErrorKind::Bug, "a delete file has other columns"))?;
            Ok(Listed { paths, positions, rows })
        });
        Ok(listed.boxed())
    }
}
