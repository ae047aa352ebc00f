//! Names on a server that complete a prefix in the shell.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, StringArray};
use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetTables, ProstMessageExt,
};
use futures::StreamExt;

use super::failure::Failure;
use super::session::RemoteSession;

/// Names offered at most.
const OFFERED_MAX: usize = 200;
/// Names looked at: nobody completes among more.
const LOOKED_AT_MAX: usize = 10_000;

impl RemoteSession {
    /// Catalogs, schemas and tables whose name begins with `prefix`, regardless of case.
    pub(crate) async fn complete(&self, prefix: &str) -> Vec<String> {
        let prefix = prefix.to_lowercase();
        // What cannot be listed completes nothing; the statement will say why.
        let current = self.session_options().await.unwrap_or_default();
        let (catalog, current_schema) = (current.get("catalog").cloned(), current.get("schema"));
        let schema = match prefix.rsplit_once('.') {
            Some((schema, _)) => Some(schema.to_owned()),
            None => current_schema.cloned(),
        };
        let schemas =
            CommandGetDbSchemas { catalog: catalog.clone(), db_schema_filter_pattern: None };
        let tables = CommandGetTables {
            catalog,
            db_schema_filter_pattern: schema.clone(),
            ..CommandGetTables::default()
        };
        let (catalogs, schemas, tables) = tokio::join!(
            self.list(&CommandGetCatalogs {}, &["catalog_name"]),
            self.list(&schemas, &["db_schema_name"]),
            self.list(&tables, &["db_schema_name", "table_name"]),
        );
        let mut names = BTreeSet::new();
        for list in [catalogs, schemas] {
            names.extend(list.unwrap_or_default().into_iter().flatten());
        }
        let is_qualified = prefix.contains('.');
        for row in tables.unwrap_or_default() {
            // In the pattern, `_` stands for any letter.
            if let [in_schema, table] = row.as_slice()
                && schema.as_ref().is_none_or(|s| s.eq_ignore_ascii_case(in_schema))
            {
                names.insert(if is_qualified {
                    format!("{in_schema}.{table}")
                } else {
                    table.clone()
                });
            }
        }
        let fits = |name: &String| name.to_lowercase().starts_with(&prefix);
        names.into_iter().filter(fits).take(OFFERED_MAX).collect()
    }

    /// Columns of text of a metadata command's rows.
    async fn list(
        &self,
        command: &impl ProstMessageExt,
        columns: &[&str],
    ) -> Result<Vec<Vec<String>>, Failure> {
        let info = self.info(command).await?;
        let schema = self.announced(&info)?;
        let mut batches = self.rows(info.endpoint, &schema, &Arc::default());
        let mut rows = Vec::new();
        while let Some(batch) = batches.next().await {
            rows.extend(texts(&batch?, columns));
            if rows.len() >= LOOKED_AT_MAX {
                break;
            }
        }
        Ok(rows)
    }
}

fn texts(batch: &RecordBatch, columns: &[&str]) -> Vec<Vec<String>> {
    let column = |name: &&str| batch.column_by_name(name)?.as_any().downcast_ref::<StringArray>();
    let Some(arrays) = columns.iter().map(column).collect::<Option<Vec<_>>>() else {
        return Vec::new();
    };
    let text = |array: &StringArray, row| {
        if array.is_null(row) { String::new() } else { array.value(row).to_owned() }
    };
    (0..batch.num_rows()).map(|row| arrays.iter().map(|array| text(array, row)).collect()).collect()
}
