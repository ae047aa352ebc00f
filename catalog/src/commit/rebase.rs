//! Whether files that were written for one version of a table fit a later one.

use crate::error::{Error, ErrorKind, Result};
use crate::name::TableName;
use crate::spec::{NestedFieldRef, PrimitiveType, StructType, TableMetadata, Type};
use crate::table::Table;

/// Refuses `head` when files written for `base`, under the given partition specs, would be misread.
///
/// # Errors
/// `Conflict` saying what changed: the table is another one, the schema is incompatible, or a
/// partition spec is gone.
pub(crate) fn check_rebase(
    base: &Table,
    head: &Table,
    spec_ids: impl IntoIterator<Item = i32>,
) -> Result<()> {
    let (old, new) = (base.metadata(), head.metadata());
    check_same_table(base, head)?;
    for id in spec_ids {
        if old.partition_spec_by_id(id) != new.partition_spec_by_id(id) {
            return Err(conflict(
                base.name(),
                &format!(
                    "partition spec {id}, which the new files were written by, was removed or changed meanwhile"
                ),
            ));
        }
    }
    check_schema(base.name(), old, new)
}

/// Refuses a table that was dropped and created again under the same name.
pub(crate) fn check_same_table(base: &Table, head: &Table) -> Result<()> {
    if base.metadata().uuid() == head.metadata().uuid() {
        return Ok(());
    }
    Err(conflict(base.name(), "it was dropped and created again meanwhile"))
}

fn check_schema(name: &TableName, old: &TableMetadata, new: &TableMetadata) -> Result<()> {
    if old.current_schema_id() == new.current_schema_id() {
        return Ok(());
    }
    check_struct(old.current_schema().as_struct(), new.current_schema().as_struct())
        .map_err(|what| conflict(name, &format!("its schema changed meanwhile: {what}")))
}

fn check_struct(old: &StructType, new: &StructType) -> Result<(), String> {
    for field in new.fields() {
        match old.fields().iter().find(|o| o.id == field.id) {
            None if field.required && field.initial_default.is_none() => {
                return Err(format!("the new column {:?} is required", field.name));
            }
            None => {}
            Some(before) => check_field(before, field)?,
        }
    }
    Ok(())
}

fn check_field(old: &NestedFieldRef, new: &NestedFieldRef) -> Result<(), String> {
    if new.required && !old.required {
        return Err(format!("column {:?} no longer allows NULL", new.name));
    }
    let fits = match (old.field_type.as_ref(), new.field_type.as_ref()) {
        (Type::Primitive(o), Type::Primitive(n)) => widens(o, n),
        (Type::Struct(o), Type::Struct(n)) => return check_struct(o, n),
        (Type::List(o), Type::List(n)) => return check_field(&o.element_field, &n.element_field),
        (Type::Map(o), Type::Map(n)) => {
            check_field(&o.key_field, &n.key_field)?;
            return check_field(&o.value_field, &n.value_field);
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(format!("column {:?} has another type", new.name)) }
}

fn widens(old: &PrimitiveType, new: &PrimitiveType) -> bool {
    match (old, new) {
        (PrimitiveType::Int, PrimitiveType::Long)
        | (PrimitiveType::Float, PrimitiveType::Double) => true,
        (
            PrimitiveType::Decimal { precision: p, scale: s },
            PrimitiveType::Decimal { precision: q, scale: t },
        ) => s == t && p <= q,
        _ => old == new,
    }
}

/// A lost race that cannot be repeated by itself.
pub(crate) fn conflict(name: &TableName, what: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("table \"{name}\": {what}; run the statement again"))
}
