//! Namespaces of a REST catalog.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use super::Rest;
use super::client::Call;
use super::contents::Wanted;
use super::endpoint::{encode_namespace, parent};
use super::names::{alike, pick};
use crate::error::{Error, ErrorKind, Result};
use crate::metastore::Entry;
use crate::name::Namespace;

/// Namespaces whose inner ones are asked for at once.
const LISTINGS_IN_FLIGHT_MAX: usize = 32;
/// Levels of a namespace.
const LEVELS_MAX: usize = 16;

fn what(namespace: &Namespace) -> String {
    format!("schema {:?}", namespace.to_string())
}

fn not_found(namespace: &Namespace) -> Error {
    Error::new(ErrorKind::NotFound, format!("{} not found", what(namespace)))
}

type Loaded = (Namespace, BTreeMap<String, String>);

impl Rest {
    pub(super) async fn all_namespaces(&self) -> Result<Vec<Namespace>> {
        if let Some(contents) = self.contents_of(Wanted::Namespaces).await? {
            return Ok(contents.namespaces);
        }
        let mut all = Vec::new();
        let mut level = self.inner_namespaces(None).await?;
        for _ in 0..LEVELS_MAX {
            if level.is_empty() {
                break;
            }
            all.extend(level.iter().cloned());
            let next: Vec<Vec<Namespace>> = stream::iter(level)
                .map(|outer| async move { self.inner_namespaces(Some(&outer)).await })
                .buffer_unordered(LISTINGS_IN_FLIGHT_MAX)
                .try_collect()
                .await?;
            level = next.into_iter().flatten().collect();
        }
        all.sort();
        all.dedup();
        Ok(all)
    }

    async fn inner_namespaces(&self, outer: Option<&Namespace>) -> Result<Vec<Namespace>> {
        let parent = outer.map(parent);
        let query: Vec<(&str, &str)> = parent.iter().map(|p| ("parent", p.as_str())).collect();
        let about = outer.map_or_else(|| "schemas".to_owned(), what);
        let listed = match self.pages("namespaces", &query, "namespaces", &about).await {
            // Dropped in between.
            Err(e) if outer.is_some() && e.kind() == ErrorKind::NotFound => Vec::new(),
            listed => listed?,
        };
        let namespaces = listed.iter().filter_map(|levels| {
            let levels = levels.as_array()?.iter().map(|level| level.as_str().map(str::to_owned));
            Namespace::new(levels.collect::<Option<Vec<String>>>()?).ok()
        });
        // A server that knows no parents lists the same again.
        let depth = outer.map_or(0, |outer| outer.levels().len());
        Ok(namespaces.filter(|namespace| namespace.levels().len() > depth).collect())
    }

    /// The namespace's stored spelling and properties.
    pub(super) async fn stored_namespace(&self, namespace: &Namespace) -> Result<Loaded> {
        match self.namespace_as_given(namespace).await {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            outcome => return outcome,
        }
        let dotted = namespace.to_string();
        let all = self.all_namespaces().await?;
        let all: Vec<(String, Namespace)> = all.into_iter().map(|n| (n.to_string(), n)).collect();
        match pick(all, &dotted, |(text, _)| text)? {
            Some((text, stored)) if text != dotted => self.namespace_as_given(&stored).await,
            _ => Err(not_found(namespace)),
        }
    }

    async fn namespace_as_given(&self, namespace: &Namespace) -> Result<Loaded> {
        let path = format!("namespaces/{}", encode_namespace(namespace));
        let url = self.endpoint().await?.url(&path)?;
        let answer = self.client.call(Call::read(url, &what(namespace))).await?;
        let properties = answer.get("properties").and_then(Value::as_object).into_iter().flatten();
        let properties = properties.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())));
        Ok((namespace.clone(), properties.collect()))
    }

    pub(super) async fn make_namespace(
        &self,
        namespace: &Namespace,
        properties: BTreeMap<String, String>,
    ) -> Result<()> {
        let dotted = namespace.to_string();
        let all = self.all_namespaces().await?;
        if let Some(taken) = all.iter().find(|n| alike(&n.to_string(), &dotted)) {
            let text = format!("{} already exists", what(taken));
            return Err(Error::new(ErrorKind::AlreadyExists, text));
        }
        let body = json!({"namespace": namespace.levels(), "properties": properties});
        let url = self.endpoint().await?.url("namespaces")?;
        let about = what(namespace);
        self.client.call(Call::change(Method::POST, url, Some(&body), &about)).await.map(drop)
    }

    pub(super) async fn change_namespace(
        &self,
        namespace: &Namespace,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        let stored = self.stored_namespace(namespace).await?.0;
        let removals: Vec<&String> =
            changes.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key).collect();
        let updates: BTreeMap<&String, &String> =
            changes.iter().filter_map(|(key, value)| Some((key, value.as_ref()?))).collect();
        let body = json!({"removals": removals, "updates": updates});
        let path = format!("namespaces/{}/properties", encode_namespace(&stored));
        let url = self.endpoint().await?.url(&path)?;
        let about = what(&stored);
        self.client.call(Call::change(Method::POST, url, Some(&body), &about)).await.map(drop)
    }

    pub(super) async fn remove_namespace(&self, namespace: &Namespace) -> Result<()> {
        let stored = self.stored_namespace(namespace).await?.0;
        let held = self.entries(&stored).await?;
        let inner = self.inner_namespaces(Some(&stored)).await?;
        let first = held.first().map(|entry| entry.name.to_string());
        if let Some(first) = first.or_else(|| inner.first().map(ToString::to_string)) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("{} is not empty: it holds {first:?}", what(&stored)),
            ));
        }
        let path = format!("namespaces/{}", encode_namespace(&stored));
        let url = self.endpoint().await?.url(&path)?;
        let about = what(&stored);
        let mut call = Call::change(Method::DELETE, url, None, &about);
        // Somebody was quicker to put something in.
        call.conflict = ErrorKind::InvalidArgument;
        self.client.call(call).await.map(drop)
    }

    pub(super) async fn list_entries(&self, namespace: &Namespace) -> Result<Vec<Entry>> {
        if let Some(contents) = self.contents_of(Wanted::Within(namespace)).await?
            && contents.namespaces.contains(namespace)
        {
            let mut entries = contents.entries;
            entries.retain(|entry| entry.name.namespace == *namespace);
            return Ok(entries);
        }
        match self.entries(namespace).await {
            Ok(entries) if !entries.is_empty() => return Ok(entries),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        // Spelt otherwise, or empty: Nessie lists what is not there as empty.
        match self.stored_namespace(namespace).await?.0 {
            stored if stored == *namespace => Ok(Vec::new()),
            stored => self.entries(&stored).await,
        }
    }
}
