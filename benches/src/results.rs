//! Whether two engines gave the same rows.

use anyhow::{Result, ensure};
use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// The number of rows.
pub fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// Fails unless both have the same rows, in any order.
pub fn ensure_equal(a: &[RecordBatch], b: &[RecordBatch]) -> Result<()> {
    ensure!(count(a) == count(b), "{} rows and {} rows", count(a), count(b));
    let (a, b) = (sorted(a)?, sorted(b)?);
    for (a, b) in a.iter().zip(&b) {
        ensure!(a == b, "rows differ: {a:?} and {b:?}");
    }
    Ok(())
}

/// The cells as text, one row a line.
pub fn shown(batches: &[RecordBatch]) -> Result<String> {
    Ok(rows(batches)?.into_iter().map(|row| row.join("\t") + "\n").collect())
}

fn sorted(batches: &[RecordBatch]) -> Result<Vec<Vec<String>>> {
    let mut rows = rows(batches)?;
    rows.sort();
    Ok(rows)
}

fn rows(batches: &[RecordBatch]) -> Result<Vec<Vec<String>>> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::with_capacity(count(batches));
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| column.value(row).to_string()).collect());
        }
    }
    Ok(rows)
}
