//! A name that leads into a live database, and its completion.

use std::fmt;
use std::sync::Arc;

use fjord_connectors::connector::{RemoteKind, RemoteName};
use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

use super::object::{self, ObjectName3};
use crate::access::Privilege;
use crate::error::{Error, ErrorKind, Result};
use crate::foreign::catalog::{ForeignCatalog, FoundRelation};
use crate::foreign::name::Part;
use crate::sql::context::{Scope, StatementContext};
use crate::sql::ddl::ast::ObjectPath;
use crate::sql::scope::INFORMATION_SCHEMA;

/// A table or view of a database, as a statement spells it.
#[derive(Clone, Debug)]
pub(crate) struct ForeignName {
    pub(crate) catalog: Arc<ForeignCatalog>,
    pub(crate) schema: Part,
    pub(crate) table: Part,
}

impl fmt::Display for ForeignName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.catalog.name(), self.schema.text, self.table.text)
    }
}

impl ForeignName {
    /// The name, if `scope` completes it to one of a database.
    ///
    /// # Errors
    /// `Unsupported` for what would be a branch of such a table.
    pub(crate) fn of(
        ctx: &StatementContext,
        name: &ObjectName,
        scope: &Scope,
    ) -> Result<Option<Self>> {
        let idents: Option<Vec<&Ident>> = name.0.iter().map(ObjectNamePart::as_ident).collect();
        let Some(idents) = idents else { return Ok(None) };
        let parts = idents.iter().map(|ident| Part::of(ident)).collect();
        Self::of_parts(ctx, parts, scope)
    }

    /// The same for a name that DDL's parser read, in the session's scope.
    pub(crate) fn of_path(ctx: &StatementContext, path: &ObjectPath) -> Result<Option<Self>> {
        let parts = path.0.iter().map(|part| Part::folded(part)).collect();
        Self::of_parts(ctx, parts, &ctx.scope())
    }

    fn of_parts(
        ctx: &StatementContext,
        mut parts: Vec<Part>,
        scope: &Scope,
    ) -> Result<Option<Self>> {
        let texts: Vec<String> = parts.iter().map(|part| part.text.clone()).collect();
        let Some(object) = object::of_relation(ctx, &texts, scope)? else { return Ok(None) };
        let Some(catalog) = ctx.services.foreign(&object.catalog) else { return Ok(None) };
        let Some(table) = parts.pop() else { return Ok(None) };
        let schema = parts.pop().unwrap_or_else(|| Part::stored(&scope.schema));
        Ok(Some(Self { catalog, schema, table }))
    }

    /// What rights are asked for.
    pub(crate) fn object(&self) -> ObjectName3 {
        ObjectName3 {
            catalog: self.catalog.name().to_owned(),
            schema: self.schema.text.clone(),
            table: self.table.text.clone(),
        }
    }

    /// Refuses what the user may not do to it.
    pub(crate) fn permit(&self, ctx: &StatementContext, privilege: Privilege) -> Result<()> {
        object::permit(ctx, privilege, &self.object())
    }

    /// The stored name.
    pub(crate) async fn find(&self) -> Result<Option<FoundRelation>> {
        self.catalog.find(&self.schema, &self.table).await
    }

    /// The stored name of what must be there.
    pub(crate) async fn found(&self) -> Result<FoundRelation> {
        match self.find().await? {
            Some(found) => Ok(found),
            None => Err(self.missing("table or view").await),
        }
    }

    /// The stored schema and the spelling of a relation to be made in it.
    pub(crate) async fn for_new(&self) -> Result<RemoteName> {
        self.refuse_information_schema()?;
        let schema = self.catalog.schema(&self.schema).await?;
        Ok(RemoteName { schema, name: self.table.for_new() })
    }

    /// Our information schema shows what is there; a database's own is not reached by this name.
    pub(crate) fn refuse_information_schema(&self) -> Result<()> {
        if self.schema.text.eq_ignore_ascii_case(INFORMATION_SCHEMA) {
            return Err(Error::invalid(format!(
                "schema \"{INFORMATION_SCHEMA}\" is read-only: it shows what the catalog holds"
            )));
        }
        Ok(())
    }

    /// The error for a name that stands for nothing.
    pub(crate) async fn missing(&self, what: &str) -> Error {
        // A missing schema says which there are.
        if let Err(e) = self.catalog.schema(&self.schema).await {
            return e;
        }
        if self.table.text.contains('$') {
            return Error::unsupported(format!(
                "\"{self}\": tables of a live {} database have no metadata tables",
                self.catalog.kind()
            ));
        }
        if self.table.text.contains('@') {
            return Error::unsupported(format!(
                "\"{self}\": tables of a live {} database have no branches and tags",
                self.catalog.kind()
            ));
        }
        Error::new(
            ErrorKind::NotFound,
            format!(
                "{what} \"{self}\" not found; of what was made a moment ago, CALL \
                 system.refresh('{}') learns",
                self.catalog.name()
            ),
        )
    }
}

/// Whether what was found is a view.
pub(crate) fn is_view(kind: Option<RemoteKind>) -> bool {
    matches!(kind, Some(RemoteKind::View))
}
