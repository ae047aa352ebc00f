//! Column types as an option spells them: `columns => 'id bigint, amount decimal(10,2)'`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::error::Result;

use crate::error::{Error, ErrorKind};

/// Parses `name type, name type, …`; a name with blanks or commas stands in double quotes.
pub(super) fn parse_columns(text: &str) -> Result<Vec<FieldRef>> {
    let mut fields: Vec<FieldRef> = Vec::new();
    for item in split_items(text) {
        let (name, type_name) = split_name(item.trim()).ok_or_else(|| invalid(item))?;
        let data_type = parse_type(type_name).ok_or_else(|| invalid(item))?;
        if fields.iter().any(|f| f.name() == &name) {
            let message = format!("column {name:?} is named twice");
            return Err(Error::new(ErrorKind::Invalid, message).into());
        }
        fields.push(Arc::new(Field::new(name, data_type, true)));
    }
    Ok(fields)
}

fn invalid(item: &str) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format!(
            "cannot read {:?} as a column; expected a name and one of boolean, tinyint, smallint, int, bigint, real, double, decimal(p,s), varchar, date, time, timestamp, timestamptz",
            item.trim()
        ),
    )
}

/// Splits at commas outside parentheses and quotes.
fn split_items(text: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut start) = (0_usize, false, 0);
    let mut items = Vec::new();
    for (i, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                items.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    items.push(&text[start..]);
    items
}

fn split_name(item: &str) -> Option<(String, &str)> {
    if let Some(rest) = item.strip_prefix('"') {
        let (name, type_name) = rest.split_once('"')?;
        return (!name.is_empty()).then(|| (name.to_owned(), type_name.trim()));
    }
    let (name, type_name) = item.split_once(char::is_whitespace)?;
    Some((name.to_owned(), type_name.trim()))
}

fn parse_type(name: &str) -> Option<DataType> {
    let name = name.to_ascii_lowercase();
    if let Some(arguments) = ["decimal", "numeric"].iter().find_map(|p| name.strip_prefix(p)) {
        let inner = arguments.trim().strip_prefix('(')?.strip_suffix(')')?;
        let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
        let precision: u8 = precision.trim().parse().ok()?;
        let scale: i8 = scale.trim().parse().ok()?;
        let fits = (1..=38).contains(&precision) && scale >= 0 && scale.unsigned_abs() <= precision;
        return fits.then_some(DataType::Decimal128(precision, scale));
    }
    Some(match name.as_str() {
        "boolean" | "bool" => DataType::Boolean,
        "tinyint" => DataType::Int8,
        "smallint" => DataType::Int16,
        "int" | "integer" => DataType::Int32,
        "bigint" | "long" => DataType::Int64,
        "real" | "float" => DataType::Float32,
        "double" | "double precision" => DataType::Float64,
        "varchar" | "string" | "text" => DataType::Utf8,
        "date" => DataType::Date32,
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamptz" | "timestamp with time zone" => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_parsed_with_types_in_parentheses() {
        let fields = parse_columns("id bigint, amount decimal(10, 2), \"a, b\" varchar").unwrap();
        let shown: Vec<_> =
            fields.iter().map(|f| (f.name().as_str(), f.data_type().clone())).collect();
        assert_eq!(
            shown,
            [
                ("id", DataType::Int64),
                ("amount", DataType::Decimal128(10, 2)),
                ("a, b", DataType::Utf8)
            ]
        );
    }

    #[test]
    fn a_bad_column_is_named() {
        for bad in ["id", "id wat", "x decimal(50,2)", "x decimal(4,6)", "", "a int, a int"] {
            assert!(parse_columns(bad).is_err(), "{bad:?}");
        }
        assert!(parse_columns("id wat").unwrap_err().to_string().contains("id wat"));
    }
}
