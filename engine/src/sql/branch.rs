//! Names that lead to a branch or tag of a table: `t.branch_x` and `t.tag_x` (Spark), and `"t@x"`.
//!
//! A table that is really called so comes first.

use std::sync::Arc;

use fjord_catalog::references::{ReferenceKind, references};
use fjord_catalog::spec::{MAIN_BRANCH, SnapshotRef};
use fjord_catalog::table::Table;
use sqlparser::ast::ObjectName;

use super::access;
use super::context::{QualifiedName, Scope, StatementContext, name_parts};
use super::scope::at_reference;
use crate::access::Privilege;
use crate::error::{Error, ErrorKind, Result};

/// A branch or tag that a name asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Its name, in the user's spelling.
    name: String,
    /// Which of the two the spelling asks for; `None` for either.
    kind: Option<ReferenceKind>,
}

/// The table that a name's parts lead to, and the branch or tag of it, if they may mean one.
pub(crate) fn split(parts: &[String]) -> Option<(Vec<String>, Reference)> {
    let (last, before) = parts.split_last()?;
    if last.contains('$') {
        return None;
    }
    if let Some((table, name)) = at_reference(last) {
        let mut base = before.to_vec();
        base.push(table.to_owned());
        return Some((base, Reference::named(name)));
    }
    if before.is_empty() {
        return None;
    }
    let kinds = [("branch_", ReferenceKind::Branch), ("tag_", ReferenceKind::Tag)];
    kinds.into_iter().find_map(|(prefix, kind)| {
        let head = last.get(..prefix.len())?;
        let name = last.get(prefix.len()..).filter(|name| !name.is_empty())?;
        let is_one = head.eq_ignore_ascii_case(prefix);
        is_one.then(|| (before.to_vec(), Reference { name: name.to_owned(), kind: Some(kind) }))
    })
}

/// Whether the name of a statement's target may lead to a branch: rights to it are then asked for
/// as the statement runs, when it is known which table that is.
pub(crate) fn may_be_reference(name: &ObjectName) -> bool {
    name_parts(name).is_ok_and(|parts| split(&parts).is_some())
}

/// Completes a name; it leads to a branch or tag where no table is called so. What the user has no
/// `privilege` to is not looked for: whether it is there is not his to know.
pub(crate) async fn resolve(
    ctx: &StatementContext,
    name: &ObjectName,
    scope: &Scope,
    privilege: Privilege,
) -> Result<(QualifiedName, Option<Reference>)> {
    resolve_parts(ctx, &name_parts(name)?, scope, privilege).await
}

/// The branch or tag of which a name asks for a metadata table, as in `"t@x$files"`: the table, the
/// branch or tag, and which metadata.
pub(crate) async fn resolve_metadata(
    ctx: &StatementContext,
    name: &ObjectName,
    scope: &Scope,
) -> Result<Option<(QualifiedName, Reference, String)>> {
    let mut parts = name_parts(name)?;
    let Some((of, kind)) = parts.pop().and_then(|last| {
        last.rsplit_once('$').map(|(of, kind)| (of.to_owned(), kind.to_lowercase()))
    }) else {
        return Ok(None);
    };
    parts.push(of);
    if split(&parts).is_none() {
        return Ok(None);
    }
    let (name, reference) = resolve_parts(ctx, &parts, scope, Privilege::Read).await?;
    Ok(reference.map(|reference| (name, reference, kind)))
}

async fn resolve_parts(
    ctx: &StatementContext,
    parts: &[String],
    scope: &Scope,
    privilege: Privilege,
) -> Result<(QualifiedName, Option<Reference>)> {
    let Some((base, reference)) = split(parts) else {
        return Ok((ctx.qualify_parts(parts, scope)?, None));
    };
    // Which kind of catalog it is decides whose rights are asked for.
    ctx.catalog_of(parts, scope)?.metastore().connect().await?;
    let as_written = match ctx.qualify_parts(parts, scope) {
        Ok(name) if access::permit(ctx, privilege, &name).is_ok() => match ctx.load(&name).await {
            Ok(_) => return Ok((name, None)),
            // Some servers refuse a name with an `@` before they look for it.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => Some(e),
            Err(e) => return Err(e),
        },
        Ok(_) | Err(_) => None,
    };
    let base = ctx.qualify_parts(&base, scope)?;
    if let Err(denied) = access::permit(ctx, privilege, &base) {
        return Err(as_written.unwrap_or(denied));
    }
    if !base.catalog.metastore().has_table_references() {
        return Err(as_written.unwrap_or_else(|| {
            Error::unsupported(format!(
                "\"{}\": tables of catalog \"{}\" have no branches and tags of their own",
                parts.join("."),
                base.catalog.name()
            ))
        }));
    }
    match ctx.load(&base).await {
        Ok(_) => Ok((base, Some(reference))),
        Err(e) if e.kind() == ErrorKind::NotFound => Err(as_written.unwrap_or(e)),
        Err(e) => Err(e),
    }
}

/// The table that a statement writes to, and the branch: `main` by default. The right to write is
/// checked here.
pub(crate) async fn target(
    ctx: &StatementContext,
    name: &ObjectName,
) -> Result<(QualifiedName, String)> {
    let (name, reference) = resolve(ctx, name, &ctx.scope(), Privilege::Write).await?;
    access::permit(ctx, Privilege::Write, &name)?;
    let Some(reference) = reference else { return Ok((name, MAIN_BRANCH.to_owned())) };
    let table = ctx.load_table(&name).await?;
    let (branch, kind, _) = reference.find(&table)?;
    if kind == ReferenceKind::Tag {
        return Err(Error::invalid(format!(
            "table \"{name}\": {branch:?} is a tag, which never changes; write to a branch"
        )));
    }
    Ok((name, branch))
}

/// The snapshot at the head of a branch; `None` for a table that was never written.
pub(crate) fn head<'t>(table: &'t Table, branch: &str) -> Option<&'t SnapshotRef> {
    table.metadata().snapshot_for_ref(branch)
}

impl Reference {
    /// The branch or tag of a table that is called so.
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), kind: None }
    }

    /// The reference in `table`: its stored name, its kind, its snapshot. Names match as given
    /// first, then regardless of case.
    pub(crate) fn find(&self, table: &Table) -> Result<(String, ReferenceKind, SnapshotRef)> {
        let all = references(table.metadata())?;
        let stored = if all.contains_key(&self.name) {
            Some(&self.name)
        } else {
            let lower = self.name.to_lowercase();
            let mut alike = all.keys().filter(|name| name.to_lowercase() == lower);
            let first = alike.next();
            if alike.next().is_some() { None } else { first }
        };
        let found = stored.and_then(|name| {
            let kind = match all.get(name)?.is_branch() {
                true => ReferenceKind::Branch,
                false => ReferenceKind::Tag,
            };
            let snapshot = table.metadata().snapshot_for_ref(name)?;
            Some((name.clone(), kind, Arc::clone(snapshot)))
        });
        match found {
            Some(found) if self.kind.is_none_or(|kind| kind == found.1) => Ok(found),
            _ => {
                let what = self.kind.map_or("branch or tag".to_owned(), |kind| kind.to_string());
                let known: Vec<&str> = all.keys().map(String::as_str).take(10).collect();
                let known = if known.is_empty() {
                    "it was never written".to_owned()
                } else {
                    format!("it has {}", known.join(", "))
                };
                Err(Error::new(
                    ErrorKind::NotFound,
                    format!("table \"{}\" has no {what} {:?}; {known}", table.name(), self.name),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_branches_and_tags_are_told_from_names_of_tables() {
        let split = |dotted: &str| {
            let parts: Vec<String> = dotted.split('.').map(str::to_owned).collect();
            split(&parts).map(|(base, reference)| (base.join("."), reference.name, reference.kind))
        };
        let (branch, tag) = (Some(ReferenceKind::Branch), Some(ReferenceKind::Tag));
        assert_eq!(split("s.t.branch_x"), Some(("s.t".to_owned(), "x".to_owned(), branch)));
        assert_eq!(split("t.TAG_x"), Some(("t".to_owned(), "x".to_owned(), tag)));
        assert_eq!(split("s.t@x"), Some(("s.t".to_owned(), "x".to_owned(), None)));
        for plain in ["branch_x", "s.t", "t.branch_", "t@", "@x", "s.branches", "t@x$files"] {
            assert_eq!(split(plain), None, "{plain}");
        }
    }
}
