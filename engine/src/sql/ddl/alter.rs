//! ALTER TABLE: one commit of metadata, whatever number of actions it has.

use std::collections::HashMap;

use fjord_catalog::catalog::Committed;
use fjord_catalog::evolve::{ColumnChange, change_columns};
use fjord_catalog::metastore::EntryKind;
use fjord_catalog::name::TableName;
use fjord_catalog::references::ReferenceChange;
use fjord_catalog::spec::{
    FormatVersion, TableMetadata, TableUpdate, Transform, UnboundPartitionField,
};

use crate::error::{Error, ErrorKind, Result};
use crate::sql::ddl::ast::{AlterAction, ObjectPath, PartitionDef};
use crate::sql::ddl::columns::{field_at, partition_field, partition_spec, sort_order, spec_of};
use crate::sql::ddl::settings::name_columns;
use crate::sql::literal::literal_of_type;
use crate::sql::scope::{
    Found, Resolved, SqlScope, find, not_found, refuse_versioned_name, wrong_kind,
};

/// Refers to what the same commit has just added.
const LAST_ADDED: i32 = -1;

/// Changes a table. Returns what was done.
pub(crate) async fn run_alter_table(
    name: &ObjectPath,
    if_exists: bool,
    actions: &[AlterAction],
    scope: &SqlScope,
) -> Result<String> {
    let mut target = scope.resolve_for_change(name)?;
    match find(&target).await? {
        Found::Table(table) => target.name = table.name().clone(),
        Found::View(_) => return Err(wrong_kind(&target, "view", "ALTER VIEW")),
        Found::Nothing if if_exists => {
            return Ok(format!("table {target} does not exist, skipped"));
        }
        Found::Nothing => return Err(not_found("table", &target)),
    }
    match actions {
        [AlterAction::RenameTo(to)] => rename(EntryKind::Table, &target, to, scope).await,
        [AlterAction::References(change)] => {
            let committed = target.catalog.change_references(&target.name, change).await?;
            Ok(changed(&target, change, &committed))
        }
        [AlterAction::CherryPick(snapshot_id)] => {
            let committed = target.catalog.cherry_pick(&target.name, *snapshot_id).await?;
            Ok(format!("picked snapshot {snapshot_id} into {target}{}", now(&committed)))
        }
        _ => {
            let shown = target.to_string();
            let edit = |metadata: &TableMetadata| {
                updates(metadata, actions).map_err(|e| into_catalog(e, &shown))
            };
            target.catalog.commit_metadata(&target.name, edit).await?;
            Ok(format!("altered table {target}"))
        }
    }
}

/// What a change of references came to.
fn changed(target: &Resolved, change: &ReferenceChange, committed: &Committed) -> String {
    match change {
        ReferenceChange::RollbackTo(id) => format!("rolled table {target} back to snapshot {id}"),
        ReferenceChange::RollbackToTime(_) => {
            format!("rolled table {target} back{}", now(committed))
        }
        ReferenceChange::SetCurrent(_) => format!("altered table {target}{}", now(committed)),
        ReferenceChange::Put { .. }
        | ReferenceChange::Drop { .. }
        | ReferenceChange::FastForward { .. } => format!("altered table {target}"),
    }
}

fn now(committed: &Committed) -> String {
    let current = committed.table.metadata().current_snapshot_id();
    current.map_or_else(String::new, |id| format!(", whose current snapshot is {id} now"))
}

/// Renames a table or view; a target without a schema stays in its own.
pub(crate) async fn rename(
    kind: EntryKind,
    from: &Resolved,
    to: &ObjectPath,
    scope: &SqlScope,
) -> Result<String> {
    let to = if let [name] = to.0.as_slice() {
        Resolved {
            catalog: from.catalog.clone(),
            name: TableName::new(from.name.namespace.clone(), name)?,
        }
    } else {
        let mut path = to.clone();
        if path.0.len() == 2 {
            path.0.insert(0, from.catalog.name().to_owned());
        }
        scope.resolve_for_change(&path)?
    };
    let what = match kind {
        EntryKind::Table => "table",
        EntryKind::View => "view",
    };
    if to.catalog.name() != from.catalog.name() {
        return Err(Error::unsupported(format!(
            "{what} \"{from}\" cannot move to catalog \"{}\": create it there from a query",
            to.catalog.name()
        )));
    }
    let metastore = from.catalog.metastore();
    if !metastore.capabilities().rename {
        return Err(Error::unsupported(format!(
            "catalog \"{}\" cannot rename",
            from.catalog.name()
        )));
    }
    let (namespace, _) = metastore.load_namespace(&to.name.namespace).await?;
    let to = Resolved { name: TableName::new(namespace, to.name.name)?, ..to };
    refuse_versioned_name(&to.catalog, &to.name).await?;
    metastore.rename(kind, &from.name, &to.name).await?;
    Ok(format!("renamed {what} {from} to {to}"))
}

/// An error of an edit, as the commit loop passes it on.
fn into_catalog(e: Error, table: &str) -> fjord_catalog::Error {
    use fjord_catalog::ErrorKind as C;
    let kind = match e.kind() {
        ErrorKind::NotFound => C::NotFound,
        ErrorKind::AlreadyExists => C::AlreadyExists,
        ErrorKind::Unsupported => C::Unsupported,
        ErrorKind::Corrupt => C::Corrupt,
        ErrorKind::Bug => C::Bug,
        _ => C::InvalidArgument,
    };
    fjord_catalog::Error::new(kind, format!("table \"{table}\": {e}")).with_source(e)
}

/// The updates of all actions: each sees the metadata as the ones before it leave it.
fn updates(metadata: &TableMetadata, actions: &[AlterAction]) -> Result<Vec<TableUpdate>> {
    let mut all = Vec::new();
    let mut current = metadata.clone();
    for (i, action) in actions.iter().enumerate() {
        let more = updates_of(&current, action)?;
        if i + 1 < actions.len() && !more.is_empty() {
            let mut builder = current.into_builder(None);
            for update in &more {
                builder = update.clone().apply(builder).map_err(fjord_catalog::Error::from)?;
            }
            current = builder.build().map_err(fjord_catalog::Error::from)?.metadata;
        }
        all.extend(more);
    }
    Ok(all)
}

fn updates_of(metadata: &TableMetadata, action: &AlterAction) -> Result<Vec<TableUpdate>> {
    match action {
        AlterAction::Properties { changes, must_exist } => {
            properties(metadata, changes, *must_exist)
        }
        AlterAction::UpgradeFormat(version) => upgrade(metadata, *version),
        AlterAction::SetPartitioning(_)
        | AlterAction::AddPartitionField(_)
        | AlterAction::DropPartitionField(_)
        | AlterAction::ReplacePartitionField(..) => repartition(metadata, action),
        AlterAction::SetSortOrder(defs) => {
            let order = sort_order(metadata.current_schema(), defs)?;
            Ok(vec![
                TableUpdate::AddSortOrder { sort_order: order },
                TableUpdate::SetDefaultSortOrder { sort_order_id: i64::from(LAST_ADDED) },
            ])
        }
        AlterAction::RenameTo(_) | AlterAction::References(_) | AlterAction::CherryPick(_) => {
            Err(Error::new(ErrorKind::Bug, "what stands alone reached the edit of metadata"))
        }
        _ => match column_change(metadata, action)? {
            Some(change) => Ok(change_columns(metadata, &[change])?),
            None => Ok(Vec::new()),
        },
    }
}

/// The change of columns that an action asks for; `None` when it is so already.
fn column_change(metadata: &TableMetadata, action: &AlterAction) -> Result<Option<ColumnChange>> {
    let schema = metadata.current_schema();
    let exists = |path: &[String]| match field_at(schema, path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    };
    Ok(match action {
        AlterAction::AddColumn { column, if_not_exists, position } => {
            if *if_not_exists && exists(&column.path)? {
                return Ok(None);
            }
            refuse_v3(metadata, column.default.is_some())?;
            Some(ColumnChange::Add {
                path: column.path.clone(),
                ty: column.ty.clone(),
                required: column.required,
                doc: column.comment.clone(),
                default: column.default.clone(),
                position: position.clone(),
            })
        }
        AlterAction::MoveColumn(path, position) => {
            Some(ColumnChange::Move(path.clone(), position.clone()))
        }
        AlterAction::SetDefault(path, written) => {
            refuse_v3(metadata, written.is_some())?;
            let field = field_at(schema, path)?;
            let default = written.as_ref().map(|w| literal_of_type(w, &field.field_type));
            let default = default.transpose().map_err(|e| {
                let message = format!("column {:?}: {e}", path.join("."));
                Error::new(e.kind(), message).with_source(e)
            })?;
            Some(ColumnChange::SetDefault(path.clone(), default))
        }
        AlterAction::DropColumn { path, if_exists } => {
            if *if_exists && !exists(path)? {
                return Ok(None);
            }
            Some(ColumnChange::Drop(path.clone()))
        }
        AlterAction::RenameColumn { path, to, if_exists } => {
            if *if_exists && !exists(path)? {
                return Ok(None);
            }
            Some(ColumnChange::Rename(path.clone(), to.clone()))
        }
        AlterAction::SetType(path, ty) => {
            let same = field_at(schema, path)?.field_type.as_ref() == ty;
            (!same).then(|| ColumnChange::SetType(path.clone(), ty.clone()))
        }
        AlterAction::DropNotNull(path) => Some(ColumnChange::DropNotNull(path.clone())),
        AlterAction::CommentColumn(path, comment) => {
            Some(ColumnChange::Comment(path.clone(), comment.clone()))
        }
        _ => None,
    })
}

fn refuse_v3(metadata: &TableMetadata, has_default: bool) -> Result<()> {
    if has_default && metadata.format_version() < FormatVersion::V3 {
        return Err(Error::unsupported(
            "DEFAULT needs format version 3: ALTER TABLE … SET PROPERTIES format_version = 3",
        ));
    }
    Ok(())
}

fn properties(
    metadata: &TableMetadata,
    changes: &[(String, Option<String>)],
    must_exist: bool,
) -> Result<Vec<TableUpdate>> {
    let mut set = HashMap::new();
    let mut removed = Vec::new();
    for (key, value) in changes {
        match value {
            Some(value) => {
                set.insert(key.clone(), value.clone());
            }
            None if metadata.properties().contains_key(key) => removed.push(key.clone()),
            None if must_exist => {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!(
                        "table property \"{key}\" is not set; UNSET TBLPROPERTIES IF EXISTS skips it"
                    ),
                ));
            }
            None => {}
        }
    }
    let mut updates = Vec::new();
    if !set.is_empty() {
        let set = name_columns(set, metadata.current_schema())?;
        updates.push(TableUpdate::SetProperties { updates: set });
    }
    if !removed.is_empty() {
        updates.push(TableUpdate::RemoveProperties { removals: removed });
    }
    Ok(updates)
}

fn upgrade(metadata: &TableMetadata, version: u8) -> Result<Vec<TableUpdate>> {
    let wanted = if version == 3 { FormatVersion::V3 } else { FormatVersion::V2 };
    if wanted < metadata.format_version() {
        return Err(Error::invalid(format!(
            "format version {version} is older than the table's, and a format cannot be taken back"
        )));
    }
    if wanted == metadata.format_version() {
        return Ok(Vec::new());
    }
    Ok(vec![TableUpdate::UpgradeFormatVersion { format_version: wanted }])
}

fn repartition(metadata: &TableMetadata, action: &AlterAction) -> Result<Vec<TableUpdate>> {
    if metadata.format_version() < FormatVersion::V2 {
        return Err(Error::unsupported(
            "partitioning of a table of format version 1 cannot change: upgrade it first with \
             SET PROPERTIES format_version = 2",
        ));
    }
    let schema = metadata.current_schema();
    let mut fields: Vec<UnboundPartitionField> = metadata
        .default_partition_spec()
        .fields()
        .iter()
        .map(|field| field.clone().into_unbound())
        .collect();
    let spec = match action {
        AlterAction::SetPartitioning(defs) => partition_spec(schema, defs)?,
        AlterAction::AddPartitionField(def) => {
            fields.push(partition_field(schema, def)?);
            spec_of(fields)?
        }
        AlterAction::DropPartitionField(def) => {
            let at = position(metadata, &fields, def)?;
            fields.remove(at);
            spec_of(fields)?
        }
        AlterAction::ReplacePartitionField(old, new) => {
            let at = position(metadata, &fields, old)?;
            fields[at] = partition_field(schema, new)?;
            spec_of(fields)?
        }
        _ => return Ok(Vec::new()),
    };
    Ok(vec![TableUpdate::AddSpec { spec }, TableUpdate::SetDefaultSpec { spec_id: LAST_ADDED }])
}

/// Which partition field a statement means: by its own name, else by column and transform.
fn position(
    metadata: &TableMetadata,
    fields: &[UnboundPartitionField],
    def: &PartitionDef,
) -> Result<usize> {
    let is_name = def.transform == Transform::Identity && def.column.len() == 1;
    if is_name
        && let Some(at) = fields.iter().position(|f| f.name.eq_ignore_ascii_case(&def.column[0]))
    {
        return Ok(at);
    }
    let source_id = field_at(metadata.current_schema(), &def.column).map(|field| field.id);
    let at = fields.iter().position(|f| {
        Some(f.source_id) == source_id.as_ref().ok().copied() && f.transform == def.transform
    });
    at.ok_or_else(|| {
        let known: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message =
            format!("partition field \"{}\" not found; there are {known}", def.column.join("."));
        let error = Error::new(ErrorKind::NotFound, message);
        match source_id {
            Ok(_) => error,
            Err(cause) => error.with_source(cause),
        }
    })
}
