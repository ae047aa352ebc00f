//! What checks share: a metastore, names of their own, tables made in one call, and expectations.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use iceberg::spec::TableMetadataBuilder;
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::metastore::{Metastore, TableCommit, View};
use crate::name::{Namespace, TableName};
use crate::spec::{
    FormatVersion, NestedField, PrimitiveType, Schema, SortOrder, TableRequirement, TableUpdate,
    Type, UnboundPartitionSpec,
};
use crate::storage::Storage;
use crate::table::Table;

/// Why a check failed.
#[derive(Debug)]
pub struct Problem(String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(format!("unexpected error: {error:?}"))
    }
}

pub(super) type Outcome = std::result::Result<(), Problem>;

/// Fails the check unless the two are equal.
pub(super) fn same<T: PartialEq + fmt::Debug>(what: &str, found: T, expected: T) -> Outcome {
    if found == expected {
        return Ok(());
    }
    Err(Problem(format!("{what}: found {found:?}, expected {expected:?}")))
}

/// Fails the check unless the call failed in the given way.
pub(super) fn fails<T: fmt::Debug>(
    what: &str,
    result: Result<T>,
    kind: ErrorKind,
) -> std::result::Result<Error, Problem> {
    match result {
        Err(e) if e.kind() == kind => Ok(e),
        other => {
            Err(Problem(format!("{what}: found {other:?}, expected an error of kind {kind:?}")))
        }
    }
}

/// Fails the check unless the error's text mentions `part`.
pub(super) fn mentions(error: &Error, part: &str) -> Outcome {
    if error.to_string().contains(part) {
        return Ok(());
    }
    Err(Problem(format!("the error {error:?} does not mention {part:?}")))
}

/// One check's world.
#[derive(Clone)]
pub(super) struct Fixture {
    pub(super) metastore: Arc<dyn Metastore>,
    pub(super) storage: Storage,
    warehouse: String,
    /// Letters that no other check has.
    pub(super) tag: String,
}

impl Fixture {
    pub(super) fn new(metastore: Arc<dyn Metastore>, storage: Storage, warehouse: &str) -> Self {
        let tag = Uuid::new_v4().simple().to_string().chars().take(8).collect();
        Self { metastore, storage, warehouse: warehouse.trim_end_matches('/').to_owned(), tag }
    }

    /// `<prefix>_<tag>`, not created.
    pub(super) fn unique(&self, prefix: &str) -> Result<Namespace> {
        Namespace::new([format!("{prefix}_{}", self.tag)])
    }

    /// `<prefix>_<tag>`, created.
    pub(super) async fn namespace(&self, prefix: &str) -> Result<Namespace> {
        let namespace = self.unique(prefix)?;
        self.metastore.create_namespace(&namespace, BTreeMap::new()).await?;
        Ok(namespace)
    }

    pub(super) fn staged(&self, name: &TableName) -> Result<TableCommit> {
        let field = NestedField::required(1, "id", Type::Primitive(PrimitiveType::Long));
        let schema = Schema::builder().with_fields([field.into()]).build()?;
        let location = format!("{}/{}", self.warehouse, Uuid::new_v4().simple());
        let spec = UnboundPartitionSpec::default();
        let order = SortOrder::unsorted_order();
        let built = TableMetadataBuilder::new(
            schema,
            spec,
            order,
            location,
            FormatVersion::V2,
            HashMap::new(),
        )?
        .build()?;
        Ok(TableCommit {
            name: name.clone(),
            requirements: vec![TableRequirement::NotExist],
            updates: built.changes,
            staged: Some(Table::staged(name.clone(), built.metadata)),
        })
    }

    pub(super) async fn table(&self, name: &TableName) -> Result<Table> {
        self.metastore.commit(self.staged(name)?).await
    }

    /// A commit that sets one property, if the table is still the same table.
    pub(super) fn property(table: &Table, key: &str, value: &str) -> TableCommit {
        let updates = HashMap::from([(key.to_owned(), value.to_owned())]);
        TableCommit {
            name: table.name().clone(),
            requirements: vec![TableRequirement::UuidMatch { uuid: table.metadata().uuid() }],
            updates: vec![TableUpdate::SetProperties { updates }],
            staged: None,
        }
    }

    /// A commit that adds an optional column, if no other column was added since.
    pub(super) fn column(table: &Table, column: &str) -> Result<TableCommit> {
        let metadata = table.metadata();
        let last = metadata.last_column_id();
        let mut fields = metadata.current_schema().as_struct().fields().to_vec();
        fields.push(
            NestedField::optional(last + 1, column, Type::Primitive(PrimitiveType::String)).into(),
        );
        let schema = Schema::builder().with_fields(fields).build()?;
        Ok(TableCommit {
            name: table.name().clone(),
            requirements: vec![
                TableRequirement::UuidMatch { uuid: metadata.uuid() },
                TableRequirement::LastAssignedFieldIdMatch { last_assigned_field_id: last },
            ],
            updates: vec![
                TableUpdate::AddSchema { schema },
                TableUpdate::SetCurrentSchema { schema_id: -1 },
            ],
            staged: None,
        })
    }

    pub(super) fn view(name: &TableName, sql: &str) -> View {
        View {
            name: name.clone(),
            sql: sql.to_owned(),
            columns: vec!["a".to_owned(), "B \"q\"".to_owned()],
            default_catalog: "iceberg".to_owned(),
            default_namespace: name.namespace.clone(),
            properties: BTreeMap::from([("comment".to_owned(), "größe 'x'".to_owned())]),
        }
    }
}
