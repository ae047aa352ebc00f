//! Texts that were parsed before: a prepared statement comes back with every execution, and a panel of
//! a dashboard with every refresh.

use std::sync::Arc;

use moka::sync::Cache;

use super::parse::parse_script;
use super::statement::{Parsed, Statement};
use crate::error::Result;

/// A longer text takes so long to run that parsing it does not matter.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// Bytes of text. Trees are a few dozen times as large.
const CACHE_BYTES: u64 = 512 << 10;
/// What any statement takes.
const ENTRY_BYTES: u32 = 256;

/// Parsed texts. What a text means depends on nothing else.
pub(crate) struct Scripts(Cache<String, Arc<[Statement]>>);

impl Default for Scripts {
    fn default() -> Self {
        let weigh = |text: &String, _: &Arc<[Statement]>| {
            u32::try_from(text.len()).unwrap_or(u32::MAX).saturating_add(ENTRY_BYTES)
        };
        Self(Cache::builder().max_capacity(CACHE_BYTES).weigher(weigh).build())
    }
}

impl Scripts {
    /// The statements of a script.
    ///
    /// # Errors
    /// Those of [`parse_script`]; they are not kept.
    pub(crate) fn parse(&self, script: &str) -> Result<Vec<Statement>> {
        if let Some(statements) = self.0.get(script) {
            return Ok(statements.to_vec());
        }
        let statements = parse_script(script)?;
        // Definitions run once, and may hold a secret.
        let is_kept = |statement: &Statement| matches!(*statement.parsed, Parsed::Sql(_));
        if script.len() <= TEXT_BYTES_MAX && statements.iter().all(is_kept) {
            self.0.insert(script.to_owned(), statements.clone().into());
        }
        Ok(statements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_kept_and_definitions_and_long_texts_are_not() {
        let scripts = Scripts::default();
        let is_kept = |sql: &str| {
            let first = scripts.parse(sql).unwrap();
            let again = scripts.parse(sql).unwrap();
            assert_eq!(first[0].text, again[0].text);
            assert_eq!((first[0].parameters, first.len()), (again[0].parameters, again.len()));
            Arc::ptr_eq(&first[0].parsed, &again[0].parsed)
        };
        assert!(is_kept("SELECT * FROM t WHERE a = ? AND b = ?; SELECT 2"));
        assert!(is_kept("INSERT INTO t VALUES (?)"));
        assert!(!is_kept(
            "CREATE CATALOG c USING postgres WITH (url = 'postgres://me:secret@db/d')"
        ));
        assert!(!is_kept("SELECT 1; CREATE TABLE t (id int)"));
        assert!(!is_kept(&format!("SELECT '{}'", "x".repeat(TEXT_BYTES_MAX))));
        scripts.parse("SELEC 1").unwrap_err();
    }
}
