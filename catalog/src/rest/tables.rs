//! Tables of a REST catalog: loaded, committed, renamed, forgotten.

use std::borrow::Cow;
use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Map, Value, json};
use url::Url;

use super::Rest;
use super::client::Call;
use super::endpoint::{Endpoint, encode_namespace};
use super::failure::{Effect, unclear};
use super::names::{collection, path, what};
use super::told::Told;
use crate::error::{Error, ErrorKind, Result};
use crate::metadata::parse_table_metadata;
use crate::metastore::{EntryKind, TableCommit};
use crate::name::TableName;
use crate::spec::{
    PartitionSpec, Schema, SortOrder, TableMetadata, TableRequirement, TableUpdate,
    UnboundPartitionSpec,
};
use crate::table::Table;

/// How an update names what the one before it has added.
const LAST_ADDED: i32 = -1;
/// On Nessie: the commit that a loaded table was read at.
pub(super) const NESSIE_COMMIT: &str = "nessie.commit.id";
/// On Nessie: between a table's name and the reference that it is read at.
pub(super) const AT: char = '@';

impl Rest {
    pub(super) async fn read_table(&self, name: &TableName) -> Result<Table> {
        match self.table_as_given(name).await {
            // No listing has such a name; what is missing may be the reference, and the server says it.
            Err(e) if e.kind() == ErrorKind::NotFound && self.names_reference(name).await? => {
                return Err(e);
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            outcome => return outcome,
        }
        let stored = self.stored(EntryKind::Table, name).await?;
        self.table_as_given(&stored).await
    }

    async fn table_as_given(&self, name: &TableName) -> Result<Table> {
        let (endpoint, bare) = self.at_name(name).await?;
        let url = endpoint.url(&path(EntryKind::Table, &bare))?;
        let about = what(EntryKind::Table, name);
        let answer = self.client.call(Call::read(url, &about)).await?;
        self.table_of(name, answer)
    }

    /// Where a table is asked for, and by which name: on Nessie a name may carry a reference, or a
    /// commit of one (`t@dev`, `t@dev@<hash>`).
    pub(super) async fn at_name(&self, name: &TableName) -> Result<(Cow<'_, Endpoint>, TableName)> {
        let endpoint = self.endpoint().await?;
        match name.name.split_once(AT) {
            Some((bare, reference)) if endpoint.nessie.is_some() => {
                let bare = TableName::new(name.namespace.clone(), bare)?;
                Ok((Cow::Owned(endpoint.at(reference)?), bare))
            }
            _ => Ok((endpoint, name.clone())),
        }
    }

    async fn names_reference(&self, name: &TableName) -> Result<bool> {
        Ok(name.name.contains(AT) && self.endpoint().await?.nessie.is_some())
    }

    /// The table of a `LoadTableResult` or a `CommitTableResponse`.
    fn table_of(&self, name: &TableName, mut answer: Value) -> Result<Table> {
        let about = what(EntryKind::Table, name);
        let location = answer.get("metadata-location").and_then(Value::as_str).map(str::to_owned);
        let config = Told::of(&answer);
        let (Some(location), Some(metadata)) = (location, answer.get_mut("metadata")) else {
            let text = format!("{about}: the catalog's answer holds no table");
            return Err(Error::new(ErrorKind::Unavailable, text));
        };
        if let Some(vendor) = &self.vendor {
            vendor.accept(self, name, &location, metadata, &config, None)?;
        }
        let json = serde_json::to_vec(&metadata.take())
            .map_err(|e| Error::new(ErrorKind::Bug, "metadata cannot be written").with_source(e))?;
        let metadata = parse_table_metadata(&location, &json, self.metadata_bytes_max)?;
        Ok(Table::new(name.clone(), metadata, location))
    }

    pub(super) async fn apply_commit(&self, commit: TableCommit) -> Result<Table> {
        if commit.requirements.iter().any(|r| matches!(r, TableRequirement::NotExist)) {
            return self.create_table(commit).await;
        }
        if self.endpoint().await?.nessie.is_some() {
            return self.commit_pinned(commit).await;
        }
        match self.commit_as_given(&commit.name, &commit).await {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            outcome => return outcome,
        }
        let stored = self.stored(EntryKind::Table, &commit.name).await?;
        self.commit_as_given(&stored, &commit).await
    }

    async fn commit_as_given(&self, name: &TableName, commit: &TableCommit) -> Result<Table> {
        let url = self.endpoint().await?.url(&path(EntryKind::Table, name))?;
        self.send_commit(name, url, commit, None).await
    }

    /// A commit on Nessie: at the commit that the table was read at.
    ///
    /// Nessie does not enforce `assert-ref-snapshot-id` of null, so two first commits would
    /// both be taken, and the rows of one be gone. With the reference pinned by its hash, it refuses
    /// whatever was built on an older state of the table; and what is asserted is checked here.
    async fn commit_pinned(&self, commit: TableCommit) -> Result<Table> {
        let base = self.read_table(&commit.name).await?;
        let name = base.name().clone();
        for requirement in &commit.requirements {
            requirement.check(Some(base.metadata())).map_err(|e| stale(&name).with_source(e))?;
        }
        let (endpoint, bare) = self.at_name(&name).await?;
        let hash = pinned_at(&base)?;
        let reference = branch_of(&endpoint, &name)?;
        let url = endpoint.url_pinned(reference, hash, &path(EntryKind::Table, &bare))?;
        let base = Some(base.metadata().as_ref());
        let committed = self.send_commit(&name, url, &commit, base).await?;
        Ok(self.located(committed).await)
    }

    /// Makes a table of metadata that is there already.
    pub(super) async fn register(&self, name: &TableName, location: &str) -> Result<Table> {
        let endpoint = self.endpoint().await?;
        let offered = "POST /v1/{prefix}/namespaces/{namespace}/register";
        if !endpoint.offers(offered) {
            let about = what(EntryKind::Table, name);
            let text = format!("{about}: the catalog does not register tables");
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        let name = self.require_free(name, None).await?;
        let about = what(EntryKind::Table, &name);
        let path = format!("namespaces/{}/register", encode_namespace(&name.namespace));
        let url = endpoint.url(&path)?;
        let body = json!({"name": name.name, "metadata-location": location, "overwrite": false});
        let answer = self.client.call(Call::change(Method::POST, url, Some(&body), &about)).await?;
        let registered = self.table_of(&name, answer)?;
        Ok(self.located(registered).await)
    }

    async fn create_table(&self, commit: TableCommit) -> Result<Table> {
        let Some(staged) = &commit.staged else {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("{}: a create needs staged metadata", what(EntryKind::Table, &commit.name)),
            ));
        };
        let endpoint = self.endpoint().await?;
        if endpoint.nessie.is_some() && commit.name.name.contains(AT) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "{}: a table is made on the catalog's own reference; mount the catalog with `reference` to make it on another",
                    what(EntryKind::Table, &commit.name)
                ),
            ));
        }
        let metadata = staged.metadata();
        let mut whole = commit.clone();
        if !whole.updates.iter().any(|u| matches!(u, TableUpdate::AssignUuid { .. })) {
            let format_version = metadata.format_version();
            whole.updates.insert(0, TableUpdate::UpgradeFormatVersion { format_version });
            whole.updates.insert(0, TableUpdate::AssignUuid { uuid: metadata.uuid() });
        }
        let name = self.require_free(&commit.name, None).await?;
        let url = endpoint.url(&path(EntryKind::Table, &name))?;
        let created = self.send_commit(&name, url, &whole, None).await?;
        Ok(self.located(created).await)
    }

    async fn send_commit(
        &self,
        name: &TableName,
        url: Url,
        commit: &TableCommit,
        base: Option<&TableMetadata>,
    ) -> Result<Table> {
        let creates = commit.staged.is_some();
        let conflict = if creates { ErrorKind::AlreadyExists } else { ErrorKind::Stale };
        let about = what(EntryKind::Table, name);
        let body = json!({
            "identifier": {"namespace": name.namespace.levels(), "name": name.name},
            "requirements": commit.requirements,
            "updates": updates(commit, base)?,
        });
        let (method, effect) = (Method::POST, Effect::Commit);
        let call = Call { method, url, body: Some(&body), effect, what: &about, conflict };
        let answer = self.client.call(call).await?;
        self.table_of(name, answer).map_err(|e| {
            unclear(Effect::Commit, &format!("{about}: the answer to a commit cannot be read"))
                .with_source(e)
        })
    }

    /// A committed table with the location of its metadata file: Nessie answers with a page of its
    /// own. The commit is certain, so that a failure here is none of it.
    async fn located(&self, committed: Table) -> Table {
        if committed.metadata_location().is_none_or(|location| !location.starts_with("http")) {
            return committed;
        }
        match self.table_as_given(committed.name()).await {
            Ok(table) if table.metadata().uuid() == committed.metadata().uuid() => table,
            Ok(_) => committed,
            Err(error) => {
                tracing::warn!(table = %committed.name(), %error, "a committed table cannot be loaded again");
                committed
            }
        }
    }

    pub(super) async fn forget_table(&self, name: &TableName) -> Result<Option<Table>> {
        let stored = self.stored(EntryKind::Table, name).await?;
        let table = match self.table_as_given(&stored).await {
            Ok(table) => Some(table),
            Err(e) if is_unreadable(e.kind()) => {
                tracing::warn!(table = %stored, error = %e, "dropping a table whose metadata cannot be read");
                None
            }
            Err(e) => return Err(e),
        };
        let mut url = self.endpoint().await?.url(&path(EntryKind::Table, &stored))?;
        url.query_pairs_mut().append_pair("purgeRequested", "false");
        let about = what(EntryKind::Table, &stored);
        self.client.call(Call::change(Method::DELETE, url, None, &about)).await?;
        Ok(table)
    }

    pub(super) async fn move_entry(
        &self,
        kind: EntryKind,
        from: &TableName,
        to: &TableName,
    ) -> Result<()> {
        let from = self.stored(kind, from).await?;
        let to = self.require_free(to, Some(&from)).await?;
        let identifier =
            |name: &TableName| json!({"namespace": name.namespace.levels(), "name": name.name});
        let body = json!({"source": identifier(&from), "destination": identifier(&to)});
        let endpoint = self.endpoint().await?;
        let url = endpoint.url(&format!("{}/rename", collection(kind)))?;
        let about = what(kind, &from);
        self.client.call(Call::change(Method::POST, url, Some(&body), &about)).await.map(drop)
    }
}

/// The commit of Nessie's that a table was read at.
pub(super) fn pinned_at(table: &Table) -> Result<&str> {
    let hash = table.metadata().properties().get(NESSIE_COMMIT).map(String::as_str);
    hash.ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            format!(
                "{}: the server does not tell the commit that it was read at ({NESSIE_COMMIT}), without which changes of others could be lost",
                what(EntryKind::Table, table.name())
            ),
        )
    })
}

/// The reference of Nessie's that is committed to.
pub(super) fn branch_of<'e>(endpoint: &'e Endpoint, name: &TableName) -> Result<&'e str> {
    match &endpoint.nessie {
        None => Err(Error::new(ErrorKind::Bug, "a pinned commit is Nessie's")),
        Some(nessie) if nessie.reference.contains(AT) => Err(Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "{}: {:?} is one commit of a reference, which never changes; name the branch",
                what(EntryKind::Table, name),
                nessie.reference
            ),
        )),
        Some(nessie) => Ok(&nessie.reference),
    }
}

/// The updates as the protocol has them. Servers want `last-column-id` beside a new schema, which
/// the format library leaves out since the specification calls it obsolete; and Nessie takes the ids
/// of new schemas, specs and orders as they are, so that they must be new; what the table has already
/// is not added again, as Nessie does not count that as the last one added.
pub(super) fn updates(commit: &TableCommit, base: Option<&TableMetadata>) -> Result<Vec<Value>> {
    let staged = commit.staged.as_ref().map(|table| table.metadata().last_column_id());
    let asserted = commit.requirements.iter().filter_map(|requirement| match requirement {
        TableRequirement::LastAssignedFieldIdMatch { last_assigned_field_id } => {
            Some(*last_assigned_field_id)
        }
        _ => None,
    });
    let last = asserted.chain(staged).max().unwrap_or_default();
    let mut taken = base.map(Taken::of).unwrap_or_default();
    let (mut known_schema, mut known_spec, mut known_order) = (None, None, None);
    let mut written = Vec::with_capacity(commit.updates.len());
    for update in &commit.updates {
        let mut json = serde_json::to_value(update).map_err(|e| {
            Error::new(ErrorKind::Bug, "an update cannot be written").with_source(e)
        })?;
        let Some(object) = json.as_object_mut() else { continue };
        match update {
            TableUpdate::AddSchema { schema } => {
                known_schema = base.and_then(|base| known_schema_of(base, schema));
                if known_schema.is_some() {
                    continue;
                }
                let id = schema.highest_field_id().max(last);
                object.insert("last-column-id".to_owned(), json!(id));
                renumber(object, "schema", "schema-id", &mut taken.schemas);
            }
            TableUpdate::AddSpec { spec } => {
                known_spec = base.and_then(|base| known_spec_of(base, spec));
                if known_spec.is_some() {
                    continue;
                }
                renumber(object, "spec", "spec-id", &mut taken.specs);
            }
            TableUpdate::AddSortOrder { sort_order } => {
                known_order = base.and_then(|base| known_order_of(base, sort_order));
                if known_order.is_some() {
                    continue;
                }
                renumber(object, "sort-order", "order-id", &mut taken.orders);
            }
            TableUpdate::SetCurrentSchema { schema_id: LAST_ADDED } => {
                if let Some(id) = known_schema {
                    object.insert("schema-id".to_owned(), json!(id));
                }
            }
            TableUpdate::SetDefaultSpec { spec_id: LAST_ADDED } => {
                if let Some(id) = known_spec {
                    object.insert("spec-id".to_owned(), json!(id));
                }
            }
            TableUpdate::SetDefaultSortOrder { sort_order_id } => {
                if let Some(id) = known_order
                    && *sort_order_id == i64::from(LAST_ADDED)
                {
                    object.insert("sort-order-id".to_owned(), json!(id));
                }
            }
            _ => {}
        }
        written.push(json);
    }
    Ok(written)
}

/// The id by which a table has a schema already.
fn known_schema_of(base: &TableMetadata, schema: &Schema) -> Option<i32> {
    let known = base.schemas_iter().find(|known| {
        known.as_struct() == schema.as_struct()
            && known.identifier_field_ids().collect::<BTreeSet<_>>()
                == schema.identifier_field_ids().collect()
    });
    known.map(|known| known.schema_id())
}

/// The id by which a table has an order already.
fn known_order_of(base: &TableMetadata, order: &SortOrder) -> Option<i64> {
    let known = base.sort_orders_iter().find(|known| known.fields == order.fields);
    known.map(|known| known.order_id)
}

/// The id by which a table has a spec already.
fn known_spec_of(base: &TableMetadata, spec: &UnboundPartitionSpec) -> Option<i32> {
    let known = base.partition_spec_by_id(spec.spec_id()?)?;
    let is_same = PartitionSpec::clone(known).into_unbound() == *spec;
    is_same.then(|| known.spec_id())
}

/// The highest ids that a table has given out; `None` where they do not matter.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    schemas: Option<i64>,
    specs: Option<i64>,
    orders: Option<i64>,
}

impl Taken {
    fn of(metadata: &TableMetadata) -> Self {
        Self {
            schemas: metadata.schemas_iter().map(|s| i64::from(s.schema_id())).max(),
            specs: metadata.partition_specs_iter().map(|s| i64::from(s.spec_id())).max(),
            orders: metadata.sort_orders_iter().map(|o| o.order_id).max(),
        }
    }
}

/// Gives what is added the next id, unless its own is higher.
fn renumber(update: &mut Map<String, Value>, what: &str, key: &str, taken: &mut Option<i64>) {
    let (Some(highest), Some(added)) = (taken.as_mut(), update.get_mut(what)) else { return };
    let own = added.get(key).and_then(Value::as_i64).unwrap_or_default();
    // The order without fields has the id 0 everywhere.
    let is_unsorted = key == "order-id" && own == 0;
    if is_unsorted {
        return;
    }
    *highest = own.max(*highest + 1);
    if let Some(object) = added.as_object_mut() {
        object.insert(key.to_owned(), json!(*highest));
    }
}

pub(super) fn stale(name: &TableName) -> Error {
    let about = what(EntryKind::Table, name);
    Error::new(ErrorKind::Stale, format!("{about}: another commit was first"))
}

fn is_unreadable(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::LimitExceeded)
}

/// Whether Nessie put the property there.
pub(super) fn is_nessies(key: &str) -> bool {
    key.starts_with("nessie.") || key == "created-at"
}
