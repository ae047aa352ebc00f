//! Position deletes: a Parquet file of paths and positions, as sets of rows by path.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use fjord_catalog::deletes::DeletedRows;

use crate::error::{Error, ErrorKind};
use crate::iceberg::types::FIELD_ID;

/// What a path costs beside its text.
const PATH_BYTES: usize = 128;

/// The two columns of a file of position deletes, by the ids that the format reserves for them.
pub(super) static COLUMNS: LazyLock<[FieldRef; 2]> = LazyLock::new(|| {
    let column = |name: &str, ty: DataType, id: i32| {
        let metadata = [(FIELD_ID.to_owned(), id.to_string())].into();
        Arc::new(Field::new(name, ty, true).with_metadata(metadata))
    };
    [
        column("file_path", DataType::Utf8View, 2_147_483_546),
        column("pos", DataType::Int64, 2_147_483_545),
    ]
});

/// Gathers sets of rows, batch by batch.
#[derive(Debug)]
pub(super) struct PositionsBuilder {
    rows: HashMap<String, DeletedRows>,
    memory: MemoryReservation,
}

impl PositionsBuilder {
    pub(super) fn new(memory: MemoryReservation) -> Self {
        Self { rows: HashMap::new(), memory }
    }

    /// Adds the two columns of one batch.
    pub(super) fn add(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let corrupt = |what: &str| Error::new(ErrorKind::Corrupt, what);
        let [paths, positions] = columns else {
            return Err(Error::new(ErrorKind::Bug, "position deletes have two columns").into());
        };
        if paths.null_count() + positions.null_count() > 0 {
            return Err(corrupt("a path or position in it is NULL").into());
        }
        let (paths, positions) =
            (paths.as_string_view(), positions.as_primitive::<Int64Type>().values());
        let mut at = 0;
        while at < paths.len() {
            // Sorted by path: one look-up for many rows.
            let path = paths.value(at);
            let end = (at..paths.len()).find(|n| paths.value(*n) != path).unwrap_or(paths.len());
            let rows = match self.rows.get_mut(path) {
                Some(rows) => rows,
                None => self.rows.entry(path.to_owned()).or_default(),
            };
            for position in &positions[at..end] {
                let position = u64::try_from(*position)
                    .map_err(|_negative| corrupt("a position in it is negative"))?;
                rows.insert(position);
            }
            at = end;
        }
        // Before the sets are compressed, sixteen bits a row.
        self.memory.try_grow(positions.len().saturating_mul(2))
    }

    /// The sets, and the memory that they take.
    pub(super) fn finish(self) -> Result<(HashMap<String, Arc<DeletedRows>>, MemoryReservation)> {
        let bytes = self
            .rows
            .iter()
            .map(|(path, rows)| path.len() + rows.memory_bytes() + PATH_BYTES)
            .fold(0, usize::saturating_add);
        self.memory.try_resize(bytes)?;
        let rows = self.rows.into_iter().map(|(path, rows)| (path, Arc::new(rows))).collect();
        Ok((rows, self.memory))
    }
}
