//! Results for other programs: CSV and newline-delimited JSON.

use std::io::Write;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use arrow::record_batch::RecordBatch;

use super::cell::{Cells, Encoding};
use super::json_float::JsonFloats;

/// The line of column names.
pub(super) fn write_csv_header(out: &mut dyn Write, schema: &SchemaRef) -> Result<(), ArrowError> {
    let names: Vec<String> =
        schema.fields().iter().map(|f| csv_field(Some(f.name().clone()))).collect();
    writeln!(out, "{}", names.join(","))?;
    Ok(())
}

/// NULL is nothing, an empty string is `""`.
pub(super) fn write_csv(out: &mut dyn Write, batch: &RecordBatch) -> Result<(), ArrowError> {
    let encoding = Encoding::new(batch);
    let mut cells = Cells::try_new(batch, &encoding)?;
    let mut line = String::new();
    for row in 0..cells.rows() {
        line.clear();
        for column in 0..cells.columns() {
            if column > 0 {
                line.push(',');
            }
            line.push_str(&csv_field(cells.text(row, column)?));
        }
        line.push('\n');
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}

fn csv_field(value: Option<String>) -> String {
    match value {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(text) => text,
    }
}

/// One object a line, NULLs included.
pub(super) fn write_json(out: &mut dyn Write, batch: &RecordBatch) -> Result<(), ArrowError> {
    let mut bytes = Vec::new();
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_encoder_factory(Arc::new(JsonFloats))
        .build::<_, LineDelimited>(&mut bytes);
    writer.write(batch)?;
    writer.finish()?;
    out.write_all(&bytes)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Decimal128Array, Float32Array, Float64Array, StringArray};

    use super::*;

    fn batch() -> RecordBatch {
        let amounts = Decimal128Array::from(vec![Some(150_i128), None, Some(-1)])
            .with_precision_and_scale(38, 2)
            .unwrap();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("a, b", Arc::new(StringArray::from(vec![Some("x\"y"), Some(""), None]))),
            ("amount", Arc::new(amounts)),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn csv_tells_null_from_the_empty_string() {
        let mut out = Vec::new();
        write_csv_header(&mut out, &batch().schema()).unwrap();
        write_csv(&mut out, &batch()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"a, b\",amount\n\"x\"\"y\",1.50\n\"\",\n,-0.01\n"
        );
    }

    #[test]
    fn json_is_one_object_a_line_with_nulls_and_exact_decimals() {
        let mut out = Vec::new();
        write_json(&mut out, &batch()).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].contains("1.50") && lines[1].contains("null"), "{text}");
        assert!(lines.iter().all(|l| serde_json::from_str::<serde_json::Value>(l).is_ok()));
    }

    #[test]
    fn json_keeps_what_is_no_number_apart_from_null() {
        let values = vec![Some(f64::NAN), Some(f64::INFINITY), Some(-1e-300), None, Some(0.1)];
        let singles =
            Float32Array::from(vec![None, Some(f32::NEG_INFINITY), Some(0.1), None, None]);
        let columns: Vec<(&str, ArrayRef)> =
            vec![("d", Arc::new(Float64Array::from(values))), ("f", Arc::new(singles))];
        let mut out = Vec::new();
        write_json(&mut out, &RecordBatch::try_from_iter(columns).unwrap()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"d\":\"NaN\",\"f\":null}\n{\"d\":\"Infinity\",\"f\":\"-Infinity\"}\n\
             {\"d\":-1e-300,\"f\":0.1}\n{\"d\":null,\"f\":null}\n{\"d\":0.1,\"f\":null}\n"
        );
    }
}
