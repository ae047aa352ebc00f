//! Nessie's own log of commits: a table there shows its newest snapshot alone, so that this is where its
//! past is.
//!
//! Source: Nessie's API, version 2, `GET /v2/trees/{ref}/history`.

use serde_json::Value;

use super::Rest;
use super::client::Call;
use super::names::what;
use super::tables::{branch_of, pinned_at};
use crate::error::Result;
use crate::metastore::{EntryKind, History};
use crate::table::Table;

/// Commits of a page.
const PAGE_COMMITS: usize = 100;
/// Pages that are read in search of a state.
const PAGES_MAX: usize = 50;

impl Rest {
    /// The metadata files that commits put in place of `base`'s; `None` where the server keeps no
    /// such log.
    pub(super) async fn log_since(&self, base: &Table) -> Result<Option<History>> {
        let (endpoint, bare) = self.at_name(base.name()).await?;
        if endpoint.nessie.is_none() {
            return Ok(None);
        }
        let since = pinned_at(base)?;
        let Some(url) = endpoint.tree(branch_of(&endpoint, base.name())?, "/history")? else {
            return Ok(None);
        };
        let key: Vec<&str> = bare
            .namespace
            .levels()
            .iter()
            .map(String::as_str)
            .chain([bare.name.as_str()])
            .collect();
        let about = what(EntryKind::Table, base.name());
        let (mut history, mut token) = (History::default(), None::<String>);
        for _ in 0..PAGES_MAX {
            let mut url = url.clone();
            {
                let mut query = url.query_pairs_mut();
                query.append_pair("fetch", "ALL");
                query.append_pair("max-records", &PAGE_COMMITS.to_string());
                if let Some(token) = &token {
                    query.append_pair("page-token", token);
                }
            }
            let page = self.client.call(Call::read(url, &about)).await?;
            for commit in page.get("logEntries").and_then(Value::as_array).into_iter().flatten() {
                let hash = commit.pointer("/commitMeta/hash").and_then(Value::as_str);
                if hash == Some(since) {
                    history.is_complete = true;
                    return Ok(Some(history));
                }
                history.metadata_files.extend(put_by(commit, &key));
            }
            match page.get("token").and_then(Value::as_str) {
                Some(next) if !next.is_empty() => token = Some(next.to_owned()),
                _ => break,
            }
        }
        Ok(Some(history))
    }
}

/// The metadata files that a commit put under `key`.
fn put_by(commit: &Value, key: &[&str]) -> Vec<String> {
    let operations = commit.get("operations").and_then(Value::as_array).into_iter().flatten();
    operations
        .filter(|operation| {
            let elements = operation.pointer("/key/elements").and_then(Value::as_array);
            elements.is_some_and(|elements| {
                elements.iter().map(|e| e.as_str().unwrap_or_default()).eq(key.iter().copied())
            })
        })
        .filter_map(|put| put.pointer("/content/metadataLocation")?.as_str())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Hazard: a commit of another table, or of another schema's table of that name, is taken for one of ours.
    #[test]
    fn the_log_tells_what_was_put_under_a_name_and_nothing_else() {
        let put = |elements: Value, location: &str| json!({"type": "PUT", "key": {"elements": elements}, "content": {"metadataLocation": location}});
        let commit = json!({"operations": [
            put(json!(["a", "t"]), "one"),
            put(json!(["a", "u"]), "other table"),
            put(json!(["b", "t"]), "other schema"),
            put(json!(["a", "t", "x"]), "below"),
            put(json!(["a.t"]), "dotted"),
            {"type": "DELETE", "key": {"elements": ["a", "t"]}},
        ]});
        assert_eq!(put_by(&commit, &["a", "t"]), ["one"]);
        assert!(put_by(&json!({"operations": null}), &["a", "t"]).is_empty());
    }
}
