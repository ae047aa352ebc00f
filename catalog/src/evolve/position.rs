//! Putting a field in its place among its siblings.

use super::ColumnPosition;
use super::path::{Fields, find, invalid};
use crate::error::Result;
use crate::spec::NestedFieldRef;

/// `siblings`, which lack `field`, with it at `position`.
pub(super) fn insert(
    siblings: &Fields,
    field: NestedFieldRef,
    position: &ColumnPosition,
    path: &[String],
) -> Result<Fields> {
    let at = match position {
        ColumnPosition::First => 0,
        ColumnPosition::Last => siblings.len(),
        ColumnPosition::After(name) => {
            let mut sibling = path.to_vec();
            if let Some(last) = sibling.last_mut() {
                name.clone_into(last);
            }
            find(siblings, name, &sibling)? + 1
        }
    };
    let mut changed = siblings.clone();
    changed.insert(at, field);
    Ok(changed)
}

/// `siblings` with the field called `name` at `position`.
pub(super) fn move_to(
    siblings: &Fields,
    name: &str,
    position: &ColumnPosition,
    path: &[String],
) -> Result<Fields> {
    let at = find(siblings, name, path)?;
    if let ColumnPosition::After(other) = position
        && find(siblings, other, path).is_ok_and(|other| other == at)
    {
        return Err(invalid(path, "cannot stand after itself"));
    }
    let mut others = siblings.clone();
    let field = others.remove(at);
    insert(&others, field, position, path)
}
