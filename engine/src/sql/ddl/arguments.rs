//! The arguments of CALL, by position or by name: every one is known, given once, and taken.

use std::collections::BTreeMap;

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;

use crate::error::{Error, Result};
use crate::sql::ddl::ast::ObjectPath;
use crate::sql::ddl::cursor::Cursor;
use crate::sql::ddl::parse_call::argument;

/// What a procedure takes. Positions go through `required`, then `optional`; one argument more than
/// that, where the first is a table, begins with the table's schema (Trino).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signature {
    pub(crate) required: &'static [&'static str],
    pub(crate) optional: &'static [&'static str],
    /// What may be given besides, by name alone.
    pub(crate) named: &'static [&'static str],
}

impl Signature {
    fn takes_table(&self) -> bool {
        self.required.first() == Some(&"table")
    }

    /// Positions that may be filled: of alternatives, the first.
    fn positions(&self) -> Vec<&'static str> {
        self.required.iter().chain(self.optional.first()).copied().collect()
    }

    fn knows(&self, name: &str) -> bool {
        (name == "schema" && self.takes_table())
            || self.required.contains(&name)
            || self.optional.contains(&name)
            || self.named.contains(&name)
    }
}

/// The arguments of one call.
#[derive(Debug)]
pub(crate) struct Arguments {
    procedure: String,
    signature: Signature,
    given: BTreeMap<String, String>,
}

impl Arguments {
    /// Reads the list in parentheses.
    pub(crate) fn read(
        cursor: &mut Cursor<'_, '_, '_>,
        procedure: &ObjectPath,
        signature: Signature,
    ) -> Result<Self> {
        let list = cursor.list(argument)?;
        let mut arguments =
            Self { procedure: procedure.to_string(), signature, given: BTreeMap::new() };
        let mut positions = signature.positions();
        if signature.takes_table() && list.len() == positions.len() + 1 {
            positions.insert(0, "schema");
        }
        let mut by_name = false;
        for (i, (name, text)) in list.into_iter().enumerate() {
            by_name |= name.is_some();
            if by_name && name.is_none() {
                return Err(arguments.usage("arguments by position come first"));
            }
            let name = name.or_else(|| positions.get(i).map(|&name| name.to_owned()));
            // Another word for it.
            let name = name.map(|name| match name.as_str() {
                "source" if signature.knows("source_table") => "source_table".to_owned(),
                _ => name,
            });
            let Some(name) = name.filter(|name| signature.knows(name)) else {
                return Err(arguments.usage("there is one that it does not take"));
            };
            if arguments.given.insert(name, text).is_some() {
                return Err(arguments.usage("one is given twice"));
            }
        }
        match signature.required.iter().find(|name| !arguments.has(name)) {
            Some(_) => Err(arguments.usage("some are missing")),
            None => Ok(arguments),
        }
    }

    /// The procedure, for errors.
    pub(crate) fn procedure(&self) -> &str {
        &self.procedure
    }

    /// Whether the argument was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// An argument, if it was given.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.given.remove(name)
    }

    /// An argument that must be there.
    pub(crate) fn text(&mut self, name: &str) -> Result<String> {
        self.take(name).ok_or_else(|| self.usage("some are missing"))
    }

    /// An argument that is a whole number.
    pub(crate) fn integer(&mut self, name: &str) -> Result<i64> {
        let text = self.text(name)?;
        text.parse().map_err(|e| self.usage(&format!("{name} is a whole number")).with_source(e))
    }

    /// An argument that is true or false, if it was given.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        match self.take(name).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(self.usage(&format!("{name} is true or false"))),
        }
    }

    /// A point in time as milliseconds; without an offset it is in UTC. Part of a millisecond
    /// counts as one more, for "before" must include the millisecond itself.
    pub(crate) fn millis(&mut self, name: &str) -> Result<i64> {
        let text = self.text(name)?;
        let nanos = string_to_timestamp_nanos(&text).map_err(|e| {
            self.usage(&format!("{text:?} is not a point in time such as '2026-01-31 12:00:00'"))
                .with_source(e)
        })?;
        let millis = nanos.div_euclid(1_000_000);
        Ok(if nanos.rem_euclid(1_000_000) == 0 { millis } else { millis.saturating_add(1) })
    }

    /// The error that says what the procedure takes.
    pub(crate) fn usage(&self, problem: &str) -> Error {
        let Signature { required, optional, named } = self.signature;
        let named = match named {
            [] => String::new(),
            names => format!(", and by name {}", names.join(", ")),
        };
        let optional = match optional {
            [] => String::new(),
            names => format!(", and of {} one", names.join(" and ")),
        };
        let table = if self.signature.takes_table() {
            "; table is 'schema.table', or two strings 'schema', 'table'"
        } else {
            ""
        };
        Error::invalid(format!(
            "CALL {}: {problem}; it takes {}{optional}, in this order or each with its name and =>{named}{table}",
            self.procedure,
            required.join(", ")
        ))
    }
}
