//! Views of a REST catalog.
//!
//! Source: the Iceberg view specification, version 1. Ours are of the dialect `fjord`; of others' the
//! text is taken as it is. Names that `CREATE VIEW v (a, b)` gave are kept in a property: the schema
//! of a view is not known here, and an empty one is stored.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use super::Rest;
use super::client::Call;
use super::names::{path, what};
use super::tables::is_nessies;
use crate::error::{Error, ErrorKind, Result};
use crate::metastore::{EntryKind, View};
use crate::name::{Namespace, TableName};

const DIALECT: &str = "fjord";
/// The property that holds the names of columns, as a JSON array.
const COLUMNS: &str = "fjord.columns";

impl Rest {
    pub(super) async fn read_view(&self, name: &TableName) -> Result<View> {
        let (name, metadata) = self.stored_view(name).await?;
        view_of(name, &metadata)
    }

    /// A view's stored spelling and metadata.
    async fn stored_view(&self, name: &TableName) -> Result<(TableName, Value)> {
        match self.view_as_given(name).await {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            outcome => return outcome.map(|metadata| (name.clone(), metadata)),
        }
        let stored = self.stored(EntryKind::View, name).await?;
        let metadata = self.view_as_given(&stored).await?;
        Ok((stored, metadata))
    }

    async fn view_as_given(&self, name: &TableName) -> Result<Value> {
        let url = self.endpoint().await?.url(&path(EntryKind::View, name))?;
        let about = what(EntryKind::View, name);
        let mut answer = self.client.call(Call::read(url, &about)).await?;
        match answer.get_mut("metadata").map(Value::take) {
            Some(metadata) if metadata.is_object() => Ok(metadata),
            _ => Err(Error::new(
                ErrorKind::Unavailable,
                format!("{about}: the catalog's answer holds no view"),
            )),
        }
    }

    pub(super) async fn store_view(&self, view: View, replace: bool) -> Result<()> {
        let found = self.find(&view.name).await?;
        match found {
            Some(entry) if entry.kind == EntryKind::View && replace => {
                self.replace_view(&entry.name, &view).await
            }
            Some(entry) => Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("{} already exists", what(entry.kind, &entry.name)),
            )),
            None => self.create_view(&view).await,
        }
    }

    async fn create_view(&self, view: &View) -> Result<()> {
        let namespace = self.stored_namespace(&view.name.namespace).await?.0;
        let name = TableName { namespace, name: view.name.name.clone() };
        let body = json!({
            "name": name.name,
            "schema": {"type": "struct", "schema-id": 0, "fields": []},
            "view-version": version(view, 1),
            "properties": properties(view)?,
        });
        let all = path(EntryKind::View, &name);
        let collection = all.rsplit_once('/').map_or(all.as_str(), |(collection, _)| collection);
        let url = self.endpoint().await?.url(collection)?;
        let about = what(EntryKind::View, &name);
        self.client.call(Call::change(Method::POST, url, Some(&body), &about)).await.map(drop)
    }

    async fn replace_view(&self, name: &TableName, view: &View) -> Result<()> {
        let metadata = self.view_as_given(name).await?;
        let uuid = metadata.get("view-uuid").cloned().unwrap_or_default();
        let versions = metadata.get("versions").and_then(Value::as_array).into_iter().flatten();
        let last = versions.filter_map(|v| v.get("version-id")?.as_i64()).max().unwrap_or(0);
        let wanted = properties(view)?;
        let current = metadata.get("properties").and_then(Value::as_object).into_iter().flatten();
        let removals: Vec<&String> = current
            .map(|(key, _)| key)
            .filter(|key| !wanted.contains_key(*key) && !is_nessies(key))
            .collect();
        let mut updates = vec![
            json!({"action": "add-view-version", "view-version": version(view, last + 1)}),
            json!({"action": "set-current-view-version", "view-version-id": -1}),
        ];
        if !wanted.is_empty() {
            updates.push(json!({"action": "set-properties", "updates": wanted}));
        }
        if !removals.is_empty() {
            updates.push(json!({"action": "remove-properties", "removals": removals}));
        }
        let body = json!({
            "identifier": {"namespace": name.namespace.levels(), "name": name.name},
            "requirements": [{"type": "assert-view-uuid", "uuid": uuid}],
            "updates": updates,
        });
        let url = self.endpoint().await?.url(&path(EntryKind::View, name))?;
        let about = what(EntryKind::View, name);
        let mut call = Call::change(Method::POST, url, Some(&body), &about);
        call.conflict = ErrorKind::Stale;
        self.client.call(call).await.map(drop)
    }

    pub(super) async fn forget_view(&self, name: &TableName) -> Result<()> {
        let stored = self.stored(EntryKind::View, name).await?;
        let url = self.endpoint().await?.url(&path(EntryKind::View, &stored))?;
        let about = what(EntryKind::View, &stored);
        self.client.call(Call::change(Method::DELETE, url, None, &about)).await.map(drop)
    }
}

fn version(view: &View, id: i64) -> Value {
    json!({
        "version-id": id,
        "timestamp-ms": chrono::Utc::now().timestamp_millis(),
        "schema-id": 0,
        "summary": {"engine-name": DIALECT},
        "default-catalog": view.default_catalog,
        "default-namespace": view.default_namespace.levels(),
        "representations": [{"type": "sql", "sql": view.sql, "dialect": DIALECT}],
    })
}

fn properties(view: &View) -> Result<BTreeMap<String, String>> {
    let mut properties = view.properties.clone();
    if !view.columns.is_empty() {
        let columns = serde_json::to_string(&view.columns)
            .map_err(|e| Error::new(ErrorKind::Bug, "names cannot be written").with_source(e))?;
        properties.insert(COLUMNS.to_owned(), columns);
    }
    Ok(properties)
}

fn view_of(name: TableName, metadata: &Value) -> Result<View> {
    let broken = |problem: &str| {
        let text = format!("{}: its metadata {problem}", what(EntryKind::View, &name));
        Error::new(ErrorKind::Corrupt, text)
    };
    let current = metadata.get("current-version-id");
    let versions = metadata.get("versions").and_then(Value::as_array).into_iter().flatten();
    let version = versions.into_iter().find(|v| v.get("version-id") == current);
    let version = version.ok_or_else(|| broken("holds no current version"))?;
    let representations = version.get("representations").and_then(Value::as_array);
    let texts: Vec<(&str, &str)> = representations
        .into_iter()
        .flatten()
        .filter_map(|r| Some((r.get("dialect")?.as_str()?, r.get("sql")?.as_str()?)))
        .collect();
    let ours = texts.iter().find(|(dialect, _)| dialect.eq_ignore_ascii_case(DIALECT));
    let (_, sql) = ours.or_else(|| texts.first()).ok_or_else(|| broken("holds no SQL"))?;
    let levels = version.get("default-namespace").and_then(Value::as_array).into_iter().flatten();
    let levels: Vec<&str> = levels.filter_map(Value::as_str).collect();
    let default_namespace = match levels.is_empty() {
        true => name.namespace.clone(),
        false => Namespace::new(levels)?,
    };
    let catalog = version.get("default-catalog").and_then(Value::as_str).unwrap_or_default();
    let stored = metadata.get("properties").and_then(Value::as_object).into_iter().flatten();
    let mut properties: BTreeMap<String, String> = stored
        .filter(|(key, _)| !is_nessies(key))
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    let columns = match properties.remove(COLUMNS) {
        Some(json) => serde_json::from_str(&json).map_err(|_| broken("names no columns"))?,
        None => Vec::new(),
    };
    Ok(View {
        sql: (*sql).to_owned(),
        columns,
        default_catalog: catalog.to_owned(),
        default_namespace,
        properties,
        name,
    })
}
