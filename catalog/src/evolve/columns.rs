//! Column changes, applied one after the other to the current schema.

use std::sync::Arc;

use super::default::{check_default, set_default, widen_defaults};
use super::ids::{Ids, ids_of};
use super::keys::follow_columns;
use super::name_mapping::{NAME_MAPPING, mapping_after};
use super::path::{Fields, edit_struct, find, invalid, is_same};
use super::position::{insert, move_to};
use super::{ColumnChange, ColumnPosition};
use crate::error::{Error, ErrorKind, Result};
use crate::name::check_name;
use crate::spec::{
    FormatVersion, Literal, NestedField, PrimitiveType, Schema, TableMetadata, TableUpdate,
    Transform, Type,
};

/// The updates that apply `changes` to the current schema, in order; none when nothing changes.
///
/// # Errors
/// `NotFound` for a missing column, `AlreadyExists` for a taken name (regardless of case),
/// `InvalidArgument` for a change that would break readers, or drop a column that partitioning,
/// sort order or identifier fields use; `Unsupported` for what the table's format version lacks.
pub fn change_columns(
    metadata: &TableMetadata,
    changes: &[ColumnChange],
) -> Result<Vec<TableUpdate>> {
    let schema = metadata.current_schema();
    let before = schema.as_struct().fields().to_vec();
    let mut fields = before.clone();
    let mut ids = Ids::after(metadata.last_column_id());
    for change in changes {
        fields = apply(metadata, &mut ids, &fields, change)?;
    }
    if fields == before {
        return Ok(Vec::new());
    }
    check_partition_names(metadata, &before, &fields)?;
    let next_id = metadata.schemas_iter().map(|schema| schema.schema_id()).max().unwrap_or(0);
    let changed = Schema::builder()
        .with_schema_id(next_id.saturating_add(1))
        .with_identifier_field_ids(schema.identifier_field_ids())
        .with_fields(fields)
        .build()
        .map_err(|e| {
            let message = format!("the changed schema is not valid: {}", e.message());
            Error::new(ErrorKind::InvalidArgument, message).with_source(e)
        })?;
    let mut more = follow_columns(metadata.properties(), schema, &changed);
    if let Some(json) = metadata.properties().get(NAME_MAPPING)
        && let Some(json) = mapping_after(json, schema, &changed)?
    {
        let updates = [(NAME_MAPPING.to_owned(), json)].into();
        more.push(TableUpdate::SetProperties { updates });
    }
    let mut updates = vec![
        TableUpdate::AddSchema { schema: changed },
        // The schema that was added last: its id may be assigned anew when a race was lost.
        TableUpdate::SetCurrentSchema { schema_id: -1 },
    ];
    updates.append(&mut more);
    Ok(updates)
}

fn apply(
    metadata: &TableMetadata,
    ids: &mut Ids,
    fields: &Fields,
    change: &ColumnChange,
) -> Result<Fields> {
    let path = match change {
        ColumnChange::Add { path, .. }
        | ColumnChange::Drop(path)
        | ColumnChange::Rename(path, _)
        | ColumnChange::SetType(path, _)
        | ColumnChange::DropNotNull(path)
        | ColumnChange::Move(path, _)
        | ColumnChange::SetDefault(path, _)
        | ColumnChange::Comment(path, _) => path,
    };
    let Some((name, parents)) = path.split_last() else {
        return Err(Error::new(ErrorKind::InvalidArgument, "a column needs a name"));
    };
    let mut edit = |siblings: &Fields| match change {
        ColumnChange::Add { ty, required, doc, default, position, .. } => {
            let new = NewColumn {
                path,
                name,
                ty,
                required: *required,
                doc: doc.as_deref(),
                default: default.as_ref(),
                position,
            };
            add(metadata, ids, siblings, &new)
        }
        ColumnChange::Move(_, position) => move_to(siblings, name, position, path),
        ColumnChange::SetDefault(_, default) => change_field(siblings, name, path, &mut |field| {
            set_default(metadata.format_version(), field, default.as_ref(), path)
        }),
        ColumnChange::Drop(_) => drop_column(metadata, siblings, name, path),
        ColumnChange::Rename(_, to) => rename(siblings, name, to, path),
        ColumnChange::SetType(_, ty) => {
            change_field(siblings, name, path, &mut |field| set_type(field, ty, path))
        }
        ColumnChange::DropNotNull(_) => {
            change_field(siblings, name, path, &mut |field| drop_not_null(metadata, field, path))
        }
        ColumnChange::Comment(_, doc) => change_field(siblings, name, path, &mut |field| {
            field.doc.clone_from(doc);
            Ok(())
        }),
    };
    edit_struct(fields, parents, path, &mut edit)
}

struct NewColumn<'a> {
    path: &'a [String],
    name: &'a str,
    ty: &'a Type,
    required: bool,
    doc: Option<&'a str>,
    default: Option<&'a Literal>,
    position: &'a ColumnPosition,
}

fn add(
    metadata: &TableMetadata,
    ids: &mut Ids,
    siblings: &Fields,
    new: &NewColumn<'_>,
) -> Result<Fields> {
    check_column_name(new.name)?;
    check_free(siblings, new.name, None, new.path)?;
    check_type(metadata.format_version(), new.ty, new.path)?;
    let id = ids.next()?;
    let mut field = NestedField::optional(id, new.name, ids.renumber(new.ty)?);
    field.doc = new.doc.map(str::to_owned);
    if let Some(default) = new.default {
        check_default(metadata.format_version(), new.ty, default, new.path)?;
        field.initial_default = Some(default.clone());
        field.write_default = Some(default.clone());
    } else if new.required {
        return Err(invalid(
            new.path,
            "cannot be NOT NULL without a default: rows are there already",
        ));
    }
    field.required = new.required;
    insert(siblings, Arc::new(field), new.position, new.path)
}

/// Types that a format version lacks, at any depth.
fn check_type(version: FormatVersion, ty: &Type, path: &[String]) -> Result<()> {
    match ty {
        Type::Primitive(PrimitiveType::TimestampNs | PrimitiveType::TimestamptzNs)
            if version < FormatVersion::V3 =>
        {
            Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "column {:?}: {ty} needs a table of format version 3, this one is {}",
                    path.join("."),
                    version as u8
                ),
            ))
        }
        Type::Primitive(_) => Ok(()),
        Type::Struct(inner) => {
            if inner.fields().is_empty() {
                return Err(invalid(path, "is a struct without fields"));
            }
            for (at, field) in inner.fields().iter().enumerate() {
                check_column_name(&field.name)?;
                check_free(&inner.fields()[..at].to_vec(), &field.name, None, path)?;
                check_type(version, &field.field_type, path)?;
            }
            Ok(())
        }
        Type::List(list) => check_type(version, &list.element_field.field_type, path),
        Type::Map(map) => {
            check_type(version, &map.key_field.field_type, path)?;
            check_type(version, &map.value_field.field_type, path)
        }
    }
}

fn drop_column(
    metadata: &TableMetadata,
    siblings: &Fields,
    name: &str,
    path: &[String],
) -> Result<Fields> {
    let at = find(siblings, name, path)?;
    if siblings.len() == 1 {
        return Err(invalid(path, "is the only one there; a table or struct needs a column"));
    }
    let mut dropped = Vec::new();
    ids_of(&siblings[at], &mut dropped);
    let spec = metadata.default_partition_spec();
    if spec
        .fields()
        .iter()
        .any(|f| f.transform != Transform::Void && dropped.contains(&f.source_id))
    {
        return Err(invalid(path, "is used by the table's partitioning"));
    }
    if metadata.default_sort_order().fields.iter().any(|f| dropped.contains(&f.source_id)) {
        return Err(invalid(path, "is used by the table's sort order"));
    }
    if metadata.current_schema().identifier_field_ids().any(|id| dropped.contains(&id)) {
        return Err(invalid(path, "identifies the table's rows"));
    }
    let mut changed = siblings.clone();
    changed.remove(at);
    Ok(changed)
}

fn rename(siblings: &Fields, name: &str, to: &str, path: &[String]) -> Result<Fields> {
    let at = find(siblings, name, path)?;
    check_column_name(to)?;
    check_free(siblings, to, Some(at), path)?;
    change_field(siblings, name, path, &mut |field| {
        to.clone_into(&mut field.name);
        Ok(())
    })
}

fn change_field(
    siblings: &Fields,
    name: &str,
    path: &[String],
    change: &mut dyn FnMut(&mut NestedField) -> Result<()>,
) -> Result<Fields> {
    let at = find(siblings, name, path)?;
    let mut field = NestedField::clone(&siblings[at]);
    change(&mut field)?;
    let mut changed = siblings.clone();
    changed[at] = Arc::new(field);
    Ok(changed)
}

fn set_type(field: &mut NestedField, to: &Type, path: &[String]) -> Result<()> {
    use PrimitiveType as P;
    let from = field.field_type.as_ref();
    let is_wider = match (from, to) {
        (Type::Primitive(from), Type::Primitive(to)) => match (from, to) {
            (P::Int, P::Long) | (P::Float, P::Double) => true,
            (
                P::Decimal { precision: narrow, scale: from_scale },
                P::Decimal { precision: wide, scale: to_scale },
            ) => from_scale == to_scale && narrow <= wide,
            _ => from == to,
        },
        _ => false,
    };
    if !is_wider {
        return Err(invalid(
            path,
            &format!(
                "cannot become {to}: it is {from}; int may become long, float double, \
                 and a decimal may get more digits at the same scale"
            ),
        ));
    }
    widen_defaults(field, to);
    *field.field_type = to.clone();
    Ok(())
}

fn drop_not_null(metadata: &TableMetadata, field: &mut NestedField, path: &[String]) -> Result<()> {
    if metadata.current_schema().identifier_field_ids().any(|id| id == field.id) {
        return Err(invalid(path, "identifies the table's rows and so cannot be NULL"));
    }
    field.required = false;
    Ok(())
}

fn check_free(siblings: &Fields, name: &str, but: Option<usize>, path: &[String]) -> Result<()> {
    let taken = siblings
        .iter()
        .enumerate()
        .find(|(at, field)| Some(*at) != but && is_same(&field.name, name));
    match taken {
        None => Ok(()),
        Some((_, field)) => Err(Error::new(
            ErrorKind::AlreadyExists,
            format!("column {:?}: {name:?} is taken by {:?}", path.join("."), field.name),
        )),
    }
}

/// Slashes are fine in a column's name, unlike in a table's; what is left is emptiness and
/// characters that no tool shows.
fn check_column_name(name: &str) -> Result<()> {
    check_name("column", &name.replace(['/', '\\', '%', '.', '*'], "_"))
}

/// A new column must not take the name of a partition field that is not its own value: paths and
/// partition tuples would mix the two.
fn check_partition_names(metadata: &TableMetadata, before: &Fields, after: &Fields) -> Result<()> {
    for field in after.iter().filter(|field| !before.iter().any(|old| old.name == field.name)) {
        let clash = metadata.partition_specs_iter().flat_map(|spec| spec.fields()).find(|p| {
            p.name == field.name
                && !(p.source_id == field.id
                    && matches!(p.transform, Transform::Identity | Transform::Void))
        });
        if clash.is_some() {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!(
                    "column {:?}: the table has, or once had, a partition field of this name; \
                     choose another",
                    field.name
                ),
            ));
        }
    }
    Ok(())
}
