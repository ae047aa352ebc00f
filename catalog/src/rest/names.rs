//! Names in any case: a catalog knows one spelling.

use futures::future::try_join;
use serde_json::Value;

use super::Rest;
use super::client::Call;
use super::endpoint::{encode, encode_namespace};
use crate::error::{Error, ErrorKind, Result};
use crate::metastore::{Entry, EntryKind};
use crate::name::{Namespace, TableName};

/// Pages of one listing.
const PAGES_MAX: usize = 100_000;
/// Names of one listing.
const NAMES_MAX: usize = 1_000_000;

/// `table "a.t"`, for messages.
pub(super) fn what(kind: EntryKind, name: &TableName) -> String {
    match kind {
        EntryKind::Table => format!("table {:?}", name.to_string()),
        EntryKind::View => format!("view {:?}", name.to_string()),
    }
}

/// `tables` or `views`, as paths have them.
pub(super) fn collection(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Table => "tables",
        EntryKind::View => "views",
    }
}

pub(super) fn path(kind: EntryKind, name: &TableName) -> String {
    let namespace = encode_namespace(&name.namespace);
    format!("namespaces/{namespace}/{}/{}", collection(kind), encode(&name.name))
}

pub(super) fn alike(one: &str, other: &str) -> bool {
    one == other || one.to_lowercase() == other.to_lowercase()
}

impl Rest {
    /// Every entry of a page-wise listing.
    pub(super) async fn pages(
        &self,
        path: &str,
        query: &[(&str, &str)],
        entries: &str,
        what: &str,
    ) -> Result<Vec<Value>> {
        let endpoint = self.endpoint().await?;
        let (mut found, mut token) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let mut url = endpoint.url(path)?;
            {
                let mut pairs = url.query_pairs_mut();
                pairs.extend_pairs(query);
                // Empty asks a server that pages to begin; one that does not ignores it.
                pairs.append_pair("pageToken", &token);
            }
            let mut page = self.client.call(Call::read(url, what)).await?;
            if let Some(Value::Array(names)) = page.get_mut(entries).map(Value::take) {
                found.extend(names);
            }
            if found.len() > NAMES_MAX {
                break;
            }
            match page.get("next-page-token").and_then(Value::as_str) {
                Some(next) if !next.is_empty() && next != token => token = next.to_owned(),
                _ => return Ok(found),
            }
        }
        let text = format!("{what}: the catalog lists more than {NAMES_MAX} names");
        Err(Error::new(ErrorKind::LimitExceeded, text))
    }

    /// Names of one kind in a namespace whose stored spelling is given; none for a namespace that
    /// is not there, if the server does not say.
    pub(super) async fn names(&self, kind: EntryKind, namespace: &Namespace) -> Result<Vec<Entry>> {
        let endpoint = self.endpoint().await?;
        let offered = format!("GET /v1/{{prefix}}/namespaces/{{namespace}}/{}", collection(kind));
        if kind == EntryKind::View && !endpoint.offers(&offered) {
            return Ok(Vec::new());
        }
        let path = format!("namespaces/{}/{}", encode_namespace(namespace), collection(kind));
        let what = format!("schema {:?}", namespace.to_string());
        let listed = match self.pages(&path, &[], "identifiers", &what).await {
            Err(e) if kind == EntryKind::View && e.kind() == ErrorKind::Unsupported => Vec::new(),
            listed => listed?,
        };
        let named = listed.iter().filter_map(|json| json.get("name")?.as_str());
        // A name that could not be asked for again is not shown.
        let entries = named.filter_map(|name| {
            let name = TableName::new(namespace.clone(), name).ok()?;
            Some(Entry { name, kind })
        });
        Ok(entries.collect())
    }

    /// Tables and views of a namespace whose stored spelling is given, sorted by name.
    pub(super) async fn entries(&self, namespace: &Namespace) -> Result<Vec<Entry>> {
        let tables = self.names(EntryKind::Table, namespace);
        let (mut entries, views) = try_join(tables, self.names(EntryKind::View, namespace)).await?;
        entries.extend(views);
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// The entry that a name stands for, of either kind; the namespace's spelling is looked up too.
    ///
    /// # Errors
    /// `InvalidArgument` when several differ by case alone.
    pub(super) async fn find(&self, name: &TableName) -> Result<Option<Entry>> {
        let namespace = self.stored_namespace(&name.namespace).await?.0;
        let entries = self.entries(&namespace).await?;
        pick(entries, &name.name, |entry| &entry.name.name)
            .map_err(|e| e.with_context("name", name.to_string()))
    }

    /// A name, which must be free in any case, with the stored spelling of its namespace.
    pub(super) async fn require_free(
        &self,
        name: &TableName,
        except: Option<&TableName>,
    ) -> Result<TableName> {
        let namespace = self.stored_namespace(&name.namespace).await?.0;
        let entries = self.entries(&namespace).await?;
        let taken = entries
            .iter()
            .filter(|entry| except.is_none_or(|except| entry.name != *except))
            .find(|entry| alike(&entry.name.name, &name.name));
        match taken {
            None => Ok(TableName { namespace, name: name.name.clone() }),
            Some(entry) => Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("{} already exists", what(entry.kind, &entry.name)),
            )),
        }
    }

    /// The stored spelling of an entry of `kind`.
    ///
    /// # Errors
    /// `NotFound`, saying so when the name is of the other kind.
    pub(super) async fn stored(&self, kind: EntryKind, name: &TableName) -> Result<TableName> {
        match self.find(name).await? {
            Some(entry) if entry.kind == kind => Ok(entry.name),
            Some(entry) => {
                let is = if entry.kind == EntryKind::View { "a view" } else { "a table" };
                Err(Error::new(
                    ErrorKind::NotFound,
                    format!("{} not found: {:?} is {is}", what(kind, name), entry.name.to_string()),
                ))
            }
            None => {
                let text = format!("{} not found", what(kind, name));
                Err(Error::new(ErrorKind::NotFound, text))
            }
        }
    }
}

/// The one that is spelt so, or else the one that differs by case alone.
pub(super) fn pick<T>(all: Vec<T>, name: &str, of: impl Fn(&T) -> &str) -> Result<Option<T>> {
    let (mut exact, mut alike_ones) = (None, Vec::new());
    for one in all {
        if of(&one) == name {
            exact = Some(one);
        } else if alike(of(&one), name) {
            alike_ones.push(one);
        }
    }
    match (exact, alike_ones.len()) {
        (Some(one), _) => Ok(Some(one)),
        (None, 0 | 1) => Ok(alike_ones.pop()),
        (None, _) => {
            let names: Vec<&str> = alike_ones.iter().map(of).collect();
            Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "{name:?} is ambiguous: it may be {}; quote the one you mean",
                    names.join(" or ")
                ),
            ))
        }
    }
}
