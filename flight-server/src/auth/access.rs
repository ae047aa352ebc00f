//! What one user may do: the grants of their roles as the engine's policy.

use std::sync::Arc;

use fjord_engine::access::{AccessObject, AccessPolicy, Privilege};
use fjord_engine::{Error, ErrorKind, Result};

use crate::config::{Grant, WriteScope};

/// A user's rights. Everybody may read everything; the union of the grants says what they may write.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    user: Arc<str>,
    grants: Vec<Grant>,
}

impl Access {
    pub(super) fn new(user: Arc<str>, grants: Vec<Grant>) -> Self {
        Self { user, grants }
    }

    pub(super) fn is_admin(&self) -> bool {
        self.grants.contains(&Grant::Admin)
    }

    fn may_write(&self, object: &AccessObject<'_>) -> bool {
        let catalog = object.catalog.to_lowercase();
        let schema = object.schema.map(str::to_lowercase);
        self.grants.iter().any(|grant| match grant {
            Grant::Admin => true,
            Grant::Reader => false,
            Grant::Writer(scopes) => scopes.iter().any(|scope| match scope {
                WriteScope::Everything => true,
                WriteScope::Catalog(name) => *name == catalog,
                WriteScope::Schema { catalog: of, schema: name } => {
                    *of == catalog && schema.as_deref().is_some_and(|s| is_within(s, name))
                }
            }),
        })
    }
}

/// Whether `schema` is `outer` or nested in it.
fn is_within(schema: &str, outer: &str) -> bool {
    schema.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl AccessPolicy for Access {
    fn check(&self, privilege: Privilege, object: &AccessObject<'_>) -> Result<()> {
        let is_allowed = match privilege {
            Privilege::Read => !self.grants.is_empty(),
            Privilege::Write => self.may_write(object),
            Privilege::Admin => self.is_admin(),
        };
        if is_allowed {
            return Ok(());
        }
        let role = match privilege {
            Privilege::Read => "any role",
            Privilege::Write => "a role with write = […] that covers it",
            Privilege::Admin => "the role admin",
        };
        let user = &self.user;
        let message = format!("user \"{user}\" may not {privilege} \"{object}\": it takes {role}");
        Err(Error::new(ErrorKind::PermissionDenied, message))
    }

    fn is_visible(&self, _object: &AccessObject<'_>) -> bool {
        !self.grants.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(grants: &[Grant], privilege: Privilege, name: &str) -> bool {
        let access = Access::new("ada".into(), grants.to_vec());
        let mut parts = name.splitn(2, '/');
        let catalog = parts.next().unwrap();
        let object = AccessObject { catalog, schema: parts.next(), table: Some("t") };
        access.check(privilege, &object).is_ok()
    }

    #[test]
    fn three_roles_and_no_more() {
        use Privilege::{Admin, Read, Write};
        let silver = Grant::Writer(vec![
            WriteScope::Schema { catalog: "iceberg".into(), schema: "silver".into() },
            WriteScope::Catalog("nessie".into()),
        ]);
        let all = Grant::Writer(vec![WriteScope::Everything]);
        for (grants, privilege, name, expected) in [
            (vec![], Read, "iceberg/silver", false),
            (vec![Grant::Reader], Read, "iceberg/silver", true),
            (vec![Grant::Reader], Write, "iceberg/silver", false),
            (vec![silver.clone()], Read, "iceberg/gold", true),
            (vec![silver.clone()], Write, "iceberg/silver", true),
            (vec![silver.clone()], Write, "ICEBERG/Silver", true),
            (vec![silver.clone()], Write, "iceberg/silver.inner", true),
            (vec![silver.clone()], Write, "iceberg/silverware", false),
            (vec![silver.clone()], Write, "iceberg/gold", false),
            (vec![silver.clone()], Write, "iceberg", false),
            (vec![silver.clone()], Write, "other/silver", false),
            (vec![silver.clone()], Write, "nessie/x.y", true),
            (vec![silver.clone()], Write, "nessie2/x", false),
            (vec![silver.clone()], Admin, "iceberg/silver", false),
            (vec![Grant::Reader, silver], Write, "iceberg/silver", true),
            (vec![all.clone()], Write, "any/thing", true),
            (vec![all], Admin, "any/thing", false),
            (vec![Grant::Admin], Admin, "any/thing", true),
            (vec![Grant::Admin], Write, "any/thing", true),
        ] {
            assert_eq!(may(&grants, privilege, name), expected, "{grants:?} {privilege} {name}");
        }
    }

    #[test]
    fn a_refusal_says_who_what_and_what_it_takes() {
        let access = Access::new("ada".into(), vec![Grant::Reader]);
        let object = AccessObject { catalog: "c", schema: Some("s"), table: Some("t") };
        let error = access.check(Privilege::Write, &object).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        let expected =
            "user \"ada\" may not write \"c.s.t\": it takes a role with write = […] that covers it";
        assert_eq!(error.to_string(), expected);
    }
}
