//! Names as statements spell them, found among the names that a database has.

use sqlparser::ast::Ident;

use crate::error::{Error, Result};
use crate::sql::quote::quote_name;

/// Names shown where several match.
const SHOWN_MAX: usize = 5;

/// How a part of a name was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Quoted,
    Plain,
    /// Not known: DDL's own parser has folded it.
    Folded,
}

/// One part of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) text: String,
    written: Written,
}

impl Part {
    pub(crate) fn of(ident: &Ident) -> Self {
        let written = if ident.quote_style.is_some() { Written::Quoted } else { Written::Plain };
        Self { text: ident.value.clone(), written }
    }

    /// What DDL's parser made of it: quoted as it was, unquoted in lower case.
    pub(crate) fn folded(text: &str) -> Self {
        Self { text: text.to_owned(), written: Written::Folded }
    }

    /// What the session's current catalog or schema is called, in stored spelling.
    pub(crate) fn stored(text: &str) -> Self {
        Self { text: text.to_owned(), written: Written::Quoted }
    }

    /// The spelling that a database would give a new object of this name.
    pub(crate) fn for_new(&self) -> String {
        match self.written {
            Written::Plain => self.text.to_lowercase(),
            Written::Quoted | Written::Folded => self.text.clone(),
        }
    }

    /// Which of `names` it means: the only one that is equal but for case; of several, the one that
    /// is spelt alike, if it was quoted.
    ///
    /// # Errors
    /// `Invalid` where several would do, naming them.
    pub(crate) fn choose<'n>(
        &self,
        what: &str,
        names: impl Iterator<Item = &'n str>,
    ) -> Result<Option<&'n str>> {
        let lower = self.text.to_lowercase();
        let alike: Vec<&str> = names.filter(|name| name.to_lowercase() == lower).collect();
        match alike.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            many => {
                let exact = many.iter().find(|name| **name == self.text);
                if let (Some(exact), true) = (exact, self.written != Written::Plain) {
                    return Ok(Some(exact));
                }
                let shown: Vec<String> =
                    many.iter().take(SHOWN_MAX).map(|name| format!("\"{name}\"")).collect();
                Err(Error::invalid(format!(
                    "{what} {} is ambiguous: it may be {}; quote the one you mean",
                    quote_name(&self.text),
                    shown.join(" or ")
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_regardless_of_case_and_two_that_differ_by_case_need_quotes() {
        let names = ["Orders", "orders", "Customers"];
        let chosen =
            |part: &Part| part.choose("table", names.into_iter()).map_err(|e| e.to_string());
        let plain = |text: &str| Part::of(&Ident::new(text));
        assert_eq!(chosen(&plain("CUSTOMERS")), Ok(Some("Customers")));
        assert_eq!(chosen(&Part::stored("customers")), Ok(Some("Customers")));
        assert_eq!(chosen(&Part::stored("Orders")), Ok(Some("Orders")));
        assert_eq!(chosen(&Part::folded("orders")), Ok(Some("orders")));
        assert_eq!(chosen(&plain("items")), Ok(None));
        let e = chosen(&plain("orders")).unwrap_err();
        assert!(e.contains("\"Orders\" or \"orders\""), "{e}");
        assert!(chosen(&Part::stored("ORDERS")).is_err());
    }
}
