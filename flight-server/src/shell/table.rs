//! Results as aligned columns, or one value a line where a row is too wide for the terminal.

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

use super::cell::{Cells, Encoding, is_number};

/// What a NULL looks like.
const NULL: &str = "NULL";
/// Below so many characters a column says nothing any more.
const COLUMN_WIDTH_MIN: usize = 6;

/// How a table is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The terminal's width; `None` for a file or a pipe, where nothing is wrapped.
    pub(crate) width: Option<u16>,
    /// One value a line, whatever fits.
    pub(crate) is_expanded: bool,
}

/// Renders `batches` as one table, without a final line break.
pub(crate) fn render_table(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    layout: Layout,
) -> Result<String, ArrowError> {
    let columns = schema.fields().len();
    let is_too_wide =
        layout.width.is_some_and(|width| columns * (COLUMN_WIDTH_MIN + 3) + 1 > usize::from(width));
    if layout.is_expanded || is_too_wide {
        return render_expanded(schema, batches);
    }
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::ASCII_MARKDOWN);
    if let Some(width) = layout.width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    } else {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    let is_right: Vec<bool> = schema.fields().iter().map(|f| is_number(f.data_type())).collect();
    let align = |i: usize| if is_right[i] { CellAlignment::Right } else { CellAlignment::Left };
    table.set_header(
        schema
            .fields()
            .iter()
            .enumerate()
            .map(|(i, f)| Cell::new(printable(f.name())).set_alignment(align(i))),
    );
    for batch in batches {
        let encoding = Encoding::new(batch);
        let mut cells = Cells::try_new(batch, &encoding)?;
        for row in 0..cells.rows() {
            let mut line = Vec::with_capacity(columns);
            for column in 0..cells.columns() {
                let text = shown(cells.text(row, column)?);
                line.push(Cell::new(text).set_alignment(align(column)));
            }
            table.add_row(line);
        }
    }
    let text: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    Ok(text.join("\n"))
}

fn render_expanded(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<String, ArrowError> {
    let names: Vec<String> = schema.fields().iter().map(|f| printable(f.name())).collect();
    let width = names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
    let mut lines = Vec::new();
    let mut number = 0_usize;
    for batch in batches {
        let encoding = Encoding::new(batch);
        let mut cells = Cells::try_new(batch, &encoding)?;
        for row in 0..cells.rows() {
            number += 1;
            lines.push(format!("-[ row {number} ]-"));
            for (column, name) in names.iter().enumerate() {
                let pad = " ".repeat(width - name.chars().count());
                lines.push(format!("{name}{pad} | {}", shown(cells.text(row, column)?)));
            }
        }
    }
    Ok(lines.join("\n"))
}

/// NULL is bare, and a text that reads NULL is quoted, so that the two can be told apart.
fn shown(value: Option<String>) -> String {
    match value {
        None => NULL.to_owned(),
        Some(text) if text == NULL => format!("'{NULL}'"),
        Some(text) => printable(&text),
    }
}

/// Values come from anywhere: control characters must not steer the reader's terminal.
fn printable(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => clean.push_str("\\n"),
            '\r' => clean.push_str("\\r"),
            '\t' => clean.push_str("\\t"),
            c if c.is_control() => clean.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => clean.push(c),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, Decimal128Array, Int64Array, ListArray, StringArray,
        TimestampMicrosecondArray,
    };
    use arrow::datatypes::Int32Type;

    use super::*;

    fn batch() -> RecordBatch {
        let amounts = Decimal128Array::from(vec![Some(1234_i128), None])
            .with_precision_and_scale(10, 2)
            .unwrap();
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
            Some(vec![Some(1), None]),
            None,
        ]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from(vec![1, 22]))),
            ("name", Arc::new(StringArray::from(vec![Some("NULL"), None]))),
            ("amount", Arc::new(amounts)),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(1_500_000), None]))),
            ("raw", Arc::new(BinaryArray::from_vec(vec![b"\x00\xff", b"a"]))),
            ("list", Arc::new(lists)),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn every_kind_of_value_reads_exactly() {
        let batch = batch();
        let layout = Layout { width: None, is_expanded: false };
        let text = render_table(&batch.schema(), &[batch], layout).unwrap();
        let expected = "\
| id | name   | amount | at                      | raw  | list     |
|----|--------|--------|-------------------------|------|----------|
|  1 | 'NULL' |  12.34 | 1970-01-01T00:00:01.500 | 00ff | [1,null] |
| 22 | NULL   |   NULL | NULL                    | 61   | NULL     |";
        assert_eq!(text, expected, "\n{text}");
    }

    #[test]
    fn a_row_too_wide_for_the_terminal_is_expanded() {
        let batch = batch();
        let layout = Layout { width: Some(40), is_expanded: false };
        let text = render_table(&batch.schema(), &[batch], layout).unwrap();
        assert!(text.contains("-[ row 2 ]-\nid     | 22\nname   | NULL"), "{text}");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let names: ArrayRef = Arc::new(StringArray::from(vec!["a\u{1b}[31m\nb"]));
        let batch = RecordBatch::try_from_iter([("x", names)]).unwrap();
        let text =
            render_table(&batch.schema(), &[batch], Layout { width: None, is_expanded: false });
        assert!(text.unwrap().contains("a\\u{1b}[31m\\nb"));
    }
}
