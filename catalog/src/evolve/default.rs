//! Column defaults: what a format version allows, and what a changed one does to a field.

use super::path::invalid;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{FormatVersion, Literal, NestedField, PrimitiveType, Type};

/// Refuses a default that the format lacks or that is no value of `ty`.
pub(super) fn check_default(
    version: FormatVersion,
    ty: &Type,
    default: &Literal,
    path: &[String],
) -> Result<()> {
    if version < FormatVersion::V3 {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "column {:?}: a default needs a table of format version 3, this one is {}",
                path.join("."),
                version as u8
            ),
        ));
    }
    let fits = match (ty, default) {
        (Type::Primitive(ty), Literal::Primitive(value)) => ty.compatible(value) && !value.is_nan(),
        _ => false,
    };
    if fits { Ok(()) } else { Err(invalid(path, &format!("has a default that is no {ty}"))) }
}

/// Sets or clears what rows to come get. What rows already there read as (`initial-default`) stays:
/// the specification fixes it when the column is added.
pub(super) fn set_default(
    version: FormatVersion,
    field: &mut NestedField,
    default: Option<&Literal>,
    path: &[String],
) -> Result<()> {
    if let Some(default) = default {
        check_default(version, &field.field_type, default, path)?;
    }
    field.write_default = default.cloned();
    Ok(())
}

/// Both defaults of a field whose type becomes `to`: they keep their values.
pub(super) fn widen_defaults(field: &mut NestedField, to: &Type) {
    for default in [&mut field.initial_default, &mut field.write_default] {
        *default = default.take().map(|value| widened(value, to));
    }
}

fn widened(value: Literal, to: &Type) -> Literal {
    use crate::spec::PrimitiveLiteral as L;
    match (value, to) {
        (Literal::Primitive(L::Int(v)), Type::Primitive(PrimitiveType::Long)) => {
            Literal::long(i64::from(v))
        }
        (Literal::Primitive(L::Float(v)), Type::Primitive(PrimitiveType::Double)) => {
            Literal::double(f64::from(v.0))
        }
        (value, _) => value,
    }
}
