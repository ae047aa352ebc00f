//! What a reference of Nessie's holds, by its own API: all names in one request, where the REST protocol
//! takes several for each namespace.
//!
//! Source: Nessie's API, version 2, `GET /v2/trees/{ref}/entries`.

use serde_json::Value;

use super::Rest;
use super::client::Call;
use crate::error::{Error, ErrorKind, Result};
use crate::metastore::{Entry, EntryKind};
use crate::name::{Namespace, TableName};

/// Entries of a page.
const PAGE_ENTRIES: usize = 100_000;
/// Pages of one listing.
const PAGES_MAX: usize = 100;

/// Which names are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'n> {
    Everything,
    Namespaces,
    /// A namespace and what is in it.
    Within(&'n Namespace),
}

/// Names of a reference.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Sorted.
    pub(super) namespaces: Vec<Namespace>,
    /// Tables and views, sorted by name.
    pub(super) entries: Vec<Entry>,
}

impl Rest {
    /// The names that are `wanted`; `None` where the server is no Nessie, tells no address of its
    /// own API, or would need a name in another spelling than it is known by here.
    pub(super) async fn contents_of(&self, wanted: Wanted<'_>) -> Result<Option<Contents>> {
        let endpoint = self.endpoint().await?;
        let Some(nessie) = &endpoint.nessie else { return Ok(None) };
        let Some(root) = endpoint.tree(&nessie.reference, "/entries")? else { return Ok(None) };
        let filter = match wanted {
            Wanted::Everything => None,
            Wanted::Namespaces => Some(("filter", "entry.contentType in ['NAMESPACE']".to_owned())),
            Wanted::Within(namespace) if namespace.levels().iter().all(|level| is_plain(level)) => {
                Some(("prefix-key", namespace.levels().join(".")))
            }
            // How other characters are escaped in a key is Nessie's own affair.
            Wanted::Within(_) => return Ok(None),
        };
        let (mut contents, mut token) = (Contents::default(), None::<String>);
        for _ in 0..PAGES_MAX {
            let mut url = root.clone();
            {
                let mut query = url.query_pairs_mut();
                query.append_pair("max-records", &PAGE_ENTRIES.to_string());
                query.extend_pairs(filter.iter().map(|(key, value)| (*key, value.as_str())));
                if let Some(token) = &token {
                    query.append_pair("page-token", token);
                }
            }
            let page = self.client.call(Call::read(url, "the catalog's names")).await?;
            for entry in page.get("entries").and_then(Value::as_array).into_iter().flatten() {
                contents.add(entry);
            }
            match page.get("token").and_then(Value::as_str) {
                Some(next) if !next.is_empty() => token = Some(next.to_owned()),
                _ => {
                    contents.namespaces.sort();
                    contents.entries.sort_by(|a, b| a.name.cmp(&b.name));
                    return Ok(Some(contents));
                }
            }
        }
        let text = format!("the catalog lists more than {} names", PAGES_MAX * PAGE_ENTRIES);
        Err(Error::new(ErrorKind::LimitExceeded, text))
    }
}

impl Contents {
    /// Adds an entry; a name that could not be asked for again is not shown.
    fn add(&mut self, entry: &Value) {
        let elements = entry.pointer("/name/elements").and_then(Value::as_array);
        let elements = elements.into_iter().flatten().map(|e| e.as_str().map(str::to_owned));
        let Some(mut elements) = elements.collect::<Option<Vec<String>>>() else { return };
        let kind = match entry.get("type").and_then(Value::as_str) {
            Some("NAMESPACE") => {
                self.namespaces.extend(Namespace::new(elements));
                return;
            }
            Some("ICEBERG_TABLE") => EntryKind::Table,
            Some("ICEBERG_VIEW") => EntryKind::View,
            _ => return,
        };
        let Some(name) = elements.pop() else { return };
        let name = Namespace::new(elements).and_then(|namespace| TableName::new(namespace, name));
        self.entries.extend(name.map(|name| Entry { name, kind }));
    }
}

fn is_plain(level: &str) -> bool {
    !level.is_empty() && level.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_told_apart_by_what_they_are() {
        let mut contents = Contents::default();
        for (kind, elements) in [
            ("NAMESPACE", json!(["a"])),
            ("NAMESPACE", json!(["a", "b"])),
            ("ICEBERG_TABLE", json!(["a", "t"])),
            ("ICEBERG_VIEW", json!(["a", "b", "v"])),
            ("UDF", json!(["a", "f"])),
            ("DELTA_LAKE_TABLE", json!(["a", "d"])),
            ("ICEBERG_TABLE", json!(["a", "../x"])),
            ("ICEBERG_TABLE", json!([])),
            ("ICEBERG_TABLE", json!([1])),
        ] {
            contents.add(&json!({"type": kind, "name": {"elements": elements}}));
        }
        let namespaces: Vec<String> = contents.namespaces.iter().map(ToString::to_string).collect();
        assert_eq!(namespaces, ["a", "a.b"]);
        let entries: Vec<(String, EntryKind)> =
            contents.entries.iter().map(|e| (e.name.to_string(), e.kind)).collect();
        assert_eq!(
            entries,
            [("a.t".to_owned(), EntryKind::Table), ("a.b.v".to_owned(), EntryKind::View)]
        );
    }
}
