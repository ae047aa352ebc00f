//! Takes keys out of a TOML table one by one; what is left over is an error.

use std::time::Duration;

use toml::{Table, Value};

use super::duration::parse_duration;
use super::error::ConfigError;

/// A section under reading.
#[derive(Debug)]
pub(super) struct Section<'a> {
    origin: &'a str,
    /// The section's own key; empty for the top of the file.
    path: String,
    table: Table,
    accepted: &'static [&'static str],
}

impl<'a> Section<'a> {
    /// # Errors
    /// For a key that is not in `accepted`.
    pub(super) fn new(
        origin: &'a str,
        path: impl Into<String>,
        table: Table,
        accepted: &'static [&'static str],
    ) -> Result<Self, ConfigError> {
        let path = path.into();
        if let Some(unknown) = table.keys().find(|k| !accepted.contains(&k.as_str())) {
            let kind = if table[unknown].is_table() { "section" } else { "key" };
            let problem = format!("unknown {kind}; accepted here: {}", accepted.join(", "));
            return Err(ConfigError::new(origin, join(&path, unknown), problem));
        }
        Ok(Self { origin, path, table, accepted })
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        debug_assert!(self.accepted.contains(&key));
        self.table.remove(key)
    }

    /// The key's value, whatever it is.
    pub(super) fn value(&mut self, key: &str) -> Option<Value> {
        self.take(key)
    }

    /// The same, left where it is.
    pub(super) fn peek(&self, key: &str) -> Option<&Value> {
        self.table.get(key)
    }

    pub(super) fn error(&self, key: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::new(self.origin, join(&self.path, key), problem)
    }

    pub(super) fn wrong_type(&self, key: &str, found: &Value, accepted: &str) -> ConfigError {
        self.error(key, format!("found {}; accepted: {accepted}", describe(found)))
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, ConfigError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(other) => Err(self.wrong_type(key, &other, "a string that is not empty")),
        }
    }

    /// A string, or an integer as its digits.
    pub(super) fn text_or_integer(&mut self, key: &str) -> Result<Option<String>, ConfigError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Integer(number)) => Ok(Some(number.to_string())),
            Some(other) => Err(self.wrong_type(key, &other, "a string or a whole number")),
        }
    }

    /// A whole number from `min` to `max`.
    pub(super) fn count(
        &mut self,
        key: &str,
        min: u64,
        max: u64,
    ) -> Result<Option<u64>, ConfigError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match value.as_integer().and_then(|n| u64::try_from(n).ok()) {
            Some(n) if (min..=max).contains(&n) => Ok(Some(n)),
            _ => {
                let accepted = format!("a whole number from {min} to {max}");
                Err(self.wrong_type(key, &value, &accepted))
            }
        }
    }

    pub(super) fn boolean(&mut self, key: &str) -> Result<Option<bool>, ConfigError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Boolean(value)) => Ok(Some(value)),
            Some(other) => Err(self.wrong_type(key, &other, "true or false")),
        }
    }

    /// A list of strings, or one string as a list of one.
    pub(super) fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, ConfigError> {
        const ACCEPTED: &str = "a list of strings that are not empty";
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(vec![text])),
            Some(Value::Array(values)) if !values.is_empty() => values
                .into_iter()
                .map(|value| match value {
                    Value::String(text) if !text.is_empty() => Ok(text),
                    other => Err(self.wrong_type(key, &other, ACCEPTED)),
                })
                .collect::<Result<Vec<_>, _>>()
                .map(Some),
            Some(other) => Err(self.wrong_type(key, &other, ACCEPTED)),
        }
    }

    /// A time such as `30s`, `10min`, `24h` or `7d`.
    pub(super) fn duration(&mut self, key: &str) -> Result<Option<Duration>, ConfigError> {
        match self.text_or_integer(key)? {
            None => Ok(None),
            Some(text) => parse_duration(&text).map(Some).map_err(|p| self.error(key, p)),
        }
    }

    /// A section of one: `[key]`.
    pub(super) fn table(&mut self, key: &str) -> Result<Option<Table>, ConfigError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(table)),
            Some(other) => {
                let accepted = format!("a section [{}]", join(&self.path, key));
                Err(self.wrong_type(key, &other, &accepted))
            }
        }
    }

    pub(super) fn tables(&mut self, key: &str) -> Result<Vec<(String, Table)>, ConfigError> {
        let sections = match self.take(key) {
            None => return Ok(Vec::new()),
            Some(Value::Table(sections)) => sections,
            Some(other) => {
                let accepted = format!("sections of the form [{key}.NAME]");
                return Err(self.wrong_type(key, &other, &accepted));
            }
        };
        sections
            .into_iter()
            .map(|(name, value)| match value {
                Value::Table(table) => Ok((name, table)),
                other => {
                    let accepted = format!("a section of the form [{key}.NAME]");
                    Err(self.wrong_type(&join(key, &name), &other, &accepted))
                }
            })
            .collect()
    }
}

pub(super) fn join(path: &str, key: &str) -> String {
    let shown: String = key.chars().take(80).collect();
    // A key that TOML would quote is quoted, so that it can be searched for in the file.
    let is_bare = !shown.is_empty()
        && shown.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let shown = if is_bare { shown } else { format!("{shown:?}") };
    if path.is_empty() { shown } else { format!("{path}.{shown}") }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Table(_) => "a section".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) => {
            let shown: String = text.chars().take(80).collect();
            format!("the string {shown:?}")
        }
        Value::Integer(n) => format!("the number {n}"),
        Value::Float(n) => format!("the number {n}"),
        Value::Boolean(b) => format!("{b}"),
        Value::Datetime(d) => format!("the date {d}"),
    }
}
