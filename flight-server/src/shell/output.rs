//! Where a result's batches go: standard output, in the chosen format, as they come.

use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::cell::with_text_keys;
use super::records::{write_csv, write_csv_header, write_json};
use super::table::{Layout, render_table};
use crate::cli::Format;

/// Rows that a terminal is shown of one result.
const TERMINAL_ROWS_MAX: usize = 1_000;
/// Rows that are aligned together: memory is bounded, and a pipe sees results early.
const ALIGNED_ROWS: usize = 10_000;

/// One result on its way out.
pub(super) struct Output {
    format: Format,
    layout: Layout,
    schema: SchemaRef,
    /// Rows of a table that wait for their neighbours to be aligned with.
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    rows_max: usize,
    rows_seen: usize,
    is_table_begun: bool,
}

impl Output {
    pub(super) fn begin(
        format: Format,
        schema: SchemaRef,
        is_interactive: bool,
        is_expanded: bool,
    ) -> Result<Self> {
        let width = if io::stdout().is_terminal() { terminal_width() } else { None };
        if format == Format::Csv {
            write_csv_header(&mut io::stdout().lock(), &schema)?;
        }
        Ok(Self {
            format,
            layout: Layout { width, is_expanded },
            schema,
            waiting: Vec::new(),
            waiting_rows: 0,
            rows_max: if is_interactive { TERMINAL_ROWS_MAX } else { usize::MAX },
            rows_seen: 0,
            is_table_begun: false,
        })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let batch = &with_text_keys(batch)?;
        let seen = self.rows_seen;
        self.rows_seen += batch.num_rows();
        match self.format {
            Format::Csv => write_csv(&mut io::stdout().lock(), batch)?,
            Format::Json => write_json(&mut io::stdout().lock(), batch)?,
            Format::Table => {
                let shown = batch.num_rows().min(self.rows_max.saturating_sub(seen));
                if shown > 0 {
                    self.waiting.push(batch.slice(0, shown));
                    self.waiting_rows += shown;
                }
                if self.waiting_rows >= ALIGNED_ROWS {
                    self.flush_table()?;
                }
            }
        }
        Ok(())
    }

    fn flush_table(&mut self) -> Result<()> {
        let text = render_table(&self.schema, &self.waiting, self.layout)?;
        self.waiting.clear();
        self.waiting_rows = 0;
        self.is_table_begun = true;
        writeln!(io::stdout().lock(), "{text}")?;
        Ok(())
    }

    /// Writes what waits; returns the rows of the result, and how many of them were not shown.
    pub(super) fn finish(mut self) -> Result<(usize, usize)> {
        if self.format == Format::Table && (!self.waiting.is_empty() || !self.is_table_begun) {
            self.flush_table()?;
        }
        io::stdout().lock().flush()?;
        Ok((self.rows_seen, self.rows_seen.saturating_sub(self.rows_max)))
    }
}

fn terminal_width() -> Option<u16> {
    comfy_table::Table::new().width()
}

/// Whether the reader of standard output has gone: the end of the work, not a failure.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let direct = cause.downcast_ref::<io::Error>();
        let through_arrow =
            cause.downcast_ref::<arrow::error::ArrowError>().and_then(|e| match e {
                arrow::error::ArrowError::IoError(_, io) => Some(io),
                _ => None,
            });
        direct.or(through_arrow).is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}
