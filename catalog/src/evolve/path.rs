//! Finding a nested field by path and rebuilding the types around a changed one.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{ListType, MapType, NestedField, NestedFieldRef, StructType, Type};

/// The fields of one struct, as an edit sees and returns them.
pub(super) type Fields = Vec<NestedFieldRef>;

/// Rebuilds `fields` with `edit` applied to the struct that `parents` leads to.
///
/// # Errors
/// `NotFound` for a missing parent, `InvalidArgument` for one that is no struct or an ambiguous name.
pub(super) fn edit_struct(
    fields: &Fields,
    parents: &[String],
    full: &[String],
    edit: &mut dyn FnMut(&Fields) -> Result<Fields>,
) -> Result<Fields> {
    let Some((first, rest)) = parents.split_first() else { return edit(fields) };
    let at = find(fields, first, full)?;
    let mut changed = fields.clone();
    let mut field = NestedField::clone(&fields[at]);
    field.field_type = Box::new(edit_type(&field.field_type, rest, full, edit)?);
    changed[at] = Arc::new(field);
    Ok(changed)
}

fn edit_type(
    ty: &Type,
    parents: &[String],
    full: &[String],
    edit: &mut dyn FnMut(&Fields) -> Result<Fields>,
) -> Result<Type> {
    let inside = |field: &NestedFieldRef, edit: &mut dyn FnMut(&Fields) -> Result<Fields>| {
        let mut changed = NestedField::clone(field);
        changed.field_type = Box::new(edit_type(&field.field_type, &parents[1..], full, edit)?);
        Ok::<_, Error>(Arc::new(changed))
    };
    match (ty, parents.first().map(String::as_str)) {
        (Type::Struct(inner), _) => {
            let fields = edit_struct(&inner.fields().to_vec(), parents, full, edit)?;
            Ok(Type::Struct(StructType::new(fields)))
        }
        (Type::List(list), Some(name)) if name.eq_ignore_ascii_case("element") => {
            Ok(Type::List(ListType::new(inside(&list.element_field, edit)?)))
        }
        (Type::Map(map), Some(name)) if name.eq_ignore_ascii_case("value") => {
            let value = inside(&map.value_field, edit)?;
            Ok(Type::Map(MapType::new(Arc::clone(&map.key_field), value)))
        }
        (Type::Map(_), Some(name)) if name.eq_ignore_ascii_case("key") => {
            Err(invalid(full, "lies in a map key; keys cannot be changed without breaking readers"))
        }
        (Type::List(list), None) if is_inside(full, &["element"]) => {
            let before = vec![Arc::clone(&list.element_field)];
            let [element] = edit_inside(before, full, edit)?;
            Ok(Type::List(ListType::new(element)))
        }
        (Type::Map(map), None) if is_inside(full, &["key", "value"]) => {
            let before = vec![Arc::clone(&map.key_field), Arc::clone(&map.value_field)];
            let [key, value] = edit_inside(before, full, edit)?;
            if key != map.key_field {
                return Err(invalid(full, "is a map key; keys cannot be changed"));
            }
            Ok(Type::Map(MapType::new(key, value)))
        }
        (Type::List(_), _) => Err(invalid(full, "passes a list: name its inside with \"element\"")),
        (Type::Map(_), _) => Err(invalid(full, "passes a map: name its inside with \"value\"")),
        (Type::Primitive(ty), _) => {
            Err(invalid(full, &format!("passes a column of type {ty}, which has no fields")))
        }
    }
}

/// Whether the path ends in one of the names that stand for the inside of a list or map.
fn is_inside(full: &[String], names: &[&str]) -> bool {
    full.last().is_some_and(|last| names.iter().any(|name| last.eq_ignore_ascii_case(name)))
}

/// Edits the inside of a list or map, which can neither grow nor shrink nor change its names.
fn edit_inside<const N: usize>(
    before: Fields,
    full: &[String],
    edit: &mut dyn FnMut(&Fields) -> Result<Fields>,
) -> Result<[NestedFieldRef; N]> {
    let refused =
        || invalid(full, "is the inside of a list or map: its type or comment may change");
    let after = edit(&before)?;
    if !after.iter().map(|field| &field.name).eq(before.iter().map(|field| &field.name)) {
        return Err(refused());
    }
    after.try_into().map_err(|_: Fields| refused())
}

/// The position of the field called `name`: as spelt, else regardless of case.
pub(super) fn find(fields: &Fields, name: &str, full: &[String]) -> Result<usize> {
    if let Some(at) = fields.iter().position(|field| field.name == name) {
        return Ok(at);
    }
    let mut alike = fields.iter().enumerate().filter(|(_, field)| is_same(&field.name, name));
    match (alike.next(), alike.next()) {
        (Some((at, _)), None) => Ok(at),
        (Some((_, one)), Some((_, other))) => Err(invalid(
            full,
            &format!("is ambiguous: {:?} and {:?} differ by case alone", one.name, other.name),
        )),
        (None, _) => {
            let known: Vec<&str> =
                fields.iter().map(|field| field.name.as_str()).take(20).collect();
            Err(Error::new(
                ErrorKind::NotFound,
                format!("column {:?} does not exist; there are {}", shown(full), known.join(", ")),
            ))
        }
    }
}

/// Whether two names are the same regardless of case.
pub(super) fn is_same(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

/// `InvalidArgument` about a column.
pub(super) fn invalid(path: &[String], problem: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("column {:?} {problem}", shown(path)))
}

/// The dotted form, for messages.
pub(super) fn shown(path: &[String]) -> String {
    path.join(".")
}
