//! A batch cut into pieces that fit a message each.

use arrow::array::RecordBatch;
use fjord_engine::{Error, ErrorKind, Result};

use super::weight::weigh;

/// What a piece is cut to.
const PIECE_BYTES_TARGET: usize = 2 * 1024 * 1024;
/// What a message may weigh, unless it is one row: Grafana's client takes 4 MiB (P1).
pub(super) const MESSAGE_BYTES_MAX: usize = 3 * 1024 * 1024;
/// What one row may weigh: it is one message, and the stream promises to hold no more than this.
pub(super) const ROW_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A piece and its weight.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) batch: RecordBatch,
    pub(super) bytes: usize,
}

/// The pieces of a batch, in its order. Cutting copies nothing.
#[derive(Debug)]
pub(super) struct Pieces {
    /// What is left, the next one last.
    left: Vec<RecordBatch>,
}

impl Pieces {
    pub(super) fn of(batch: RecordBatch) -> Self {
        Self { left: vec![batch] }
    }

    /// Puts the equal parts of a batch that is too heavy in its place. Rows differ in weight, so
    /// each part is weighed again, and cut again if it must be.
    fn cut(&mut self, batch: &RecordBatch, bytes: usize) {
        let rows = batch.num_rows();
        let parts = bytes.div_ceil(PIECE_BYTES_TARGET).clamp(2, rows);
        let rows_each = rows.div_ceil(parts);
        let starts = (0..rows).step_by(rows_each);
        self.left.extend(starts.rev().map(|start| batch.slice(start, rows_each.min(rows - start))));
    }
}

impl Iterator for Pieces {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let batch = self.left.pop()?;
            let bytes = weigh(&batch);
            if bytes > MESSAGE_BYTES_MAX && batch.num_rows() > 1 {
                self.cut(&batch, bytes);
            } else if bytes > ROW_BYTES_MAX {
                self.left.clear();
                return Some(Err(too_heavy(bytes)));
            } else {
                return Some(Ok(Piece { batch, bytes }));
            }
        }
    }
}

fn too_heavy(bytes: usize) -> Error {
    const MIB: usize = 1024 * 1024;
    Error::new(
        ErrorKind::LimitExceeded,
        format!(
            "a row of {} MiB is larger than the {} MiB that one message may have: select fewer \
             columns, or parts of the value (substr, array_slice)",
            bytes.div_ceil(MIB),
            ROW_BYTES_MAX / MIB
        ),
    )
}
