//! What the options of a COPY say; an unknown one is an error that lists those there are.

use sqlparser::ast::{Expr, UnaryOperator, Value};

use super::CopyTo;
use crate::error::{Error, Result};

/// The file formats that COPY writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Parquet,
    Csv,
    Json,
}

/// The options of one COPY.
#[derive(Clone, Debug)]
pub(super) struct CopyOptions {
    pub(super) format: Format,
    pub(super) header: bool,
    pub(super) delimiter: u8,
    pub(super) null: String,
    /// Parquet: the codec; zstd when not said.
    pub(super) compression: String,
}

impl CopyOptions {
    pub(super) fn try_new(copy: &CopyTo) -> Result<Self> {
        let named = copy.options.iter().find(|(name, _)| name == "format");
        let format = match named {
            Some((_, value)) => text(value, "format")?.to_lowercase(),
            None => copy.target.rsplit('.').next().unwrap_or_default().to_lowercase(),
        };
        let format = match format.as_str() {
            "parquet" => Format::Parquet,
            "csv" => Format::Csv,
            "json" | "ndjson" | "jsonl" => Format::Json,
            other => {
                return Err(Error::unsupported(format!(
                    "COPY to {:?}: format {other:?} is not supported; write (FORMAT parquet), \
                     (FORMAT csv) or (FORMAT json)",
                    copy.target
                )));
            }
        };
        let mut options = Self {
            format,
            header: true,
            delimiter: b',',
            null: String::new(),
            compression: "zstd".to_owned(),
        };
        for (name, value) in copy.options.iter().filter(|(name, _)| name != "format") {
            options.set(name, value)?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &Expr) -> Result<()> {
        match (self.format, name) {
            (Format::Csv, "header") => self.header = boolean(value, name)?,
            (Format::Csv, "delimiter" | "sep") => {
                let given = text(value, name)?;
                let [byte] = given.as_bytes() else {
                    return Err(Error::invalid(format!(
                        "COPY option {name} is {given:?}; one ASCII character is wanted"
                    )));
                };
                self.delimiter = *byte;
            }
            (Format::Csv, "null" | "null_value") => self.null = text(value, name)?,
            (Format::Parquet, "compression" | "codec") => {
                self.compression = text(value, name)?.to_lowercase();
            }
            (format, _) => {
                let known = match format {
                    Format::Csv => "format, header, delimiter, null",
                    Format::Parquet => "format, compression",
                    Format::Json => "format",
                };
                return Err(Error::invalid(format!(
                    "COPY has no option {name:?} for this format; it has {known}"
                )));
            }
        }
        Ok(())
    }
}

fn text(value: &Expr, name: &str) -> Result<String> {
    match value {
        Expr::Identifier(ident) => Ok(ident.value.clone()),
        Expr::Value(v) => match &v.value {
            Value::SingleQuotedString(s) => Ok(s.clone()),
            other => Ok(other.to_string()),
        },
        _ => Err(wanted(value, name, "a text")),
    }
}

fn boolean(value: &Expr, name: &str) -> Result<bool> {
    match value {
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => boolean(expr, name).map(|b| !b),
        _ => match text(value, name)?.to_lowercase().as_str() {
            "true" | "on" | "1" => Ok(true),
            "false" | "off" | "0" => Ok(false),
            _ => Err(wanted(value, name, "true or false")),
        },
    }
}

fn wanted(value: &Expr, name: &str, what: &str) -> Error {
    Error::invalid(format!("COPY option {name} is {value}; {what} is wanted"))
}
