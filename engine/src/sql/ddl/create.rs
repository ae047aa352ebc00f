//! CREATE TABLE and the table that a CTAS makes.

use std::collections::HashMap;

use arrow::datatypes::Schema as ArrowSchema;
use fjord_catalog::catalog::{CreateMode, CreateTable};
use fjord_catalog::change::CommitOptions;
use fjord_catalog::metastore::EntryKind;
use fjord_catalog::name::TableName;
use fjord_catalog::spec::{FormatVersion, NestedField, Schema, SortOrder, UnboundPartitionSpec};
use fjord_catalog::table::Table;

use crate::error::{Error, ErrorKind, Result};
use crate::iceberg::types::to_iceberg_schema;
use crate::sql::ddl::ast::{ColumnDef, CreateTableStatement, IfTaken, LikeClause, TableElement};
use crate::sql::ddl::columns::{partition_spec, schema_of, sort_order};
use crate::sql::ddl::settings::{COMMENT, name_columns};
use crate::sql::scope::{Found, Resolved, SqlScope, find, not_found, wrong_kind};

/// What CREATE TABLE comes to.
#[derive(Debug)]
pub enum Creation {
    /// `IF NOT EXISTS`, and it is there: nothing to do; what to tell the user.
    Skipped(String),
    /// A table to be staged and committed.
    Make(Box<Resolved>, Box<CreateTable>),
}

/// The table that `statement` makes; a CTAS gives the columns of its query.
///
/// # Errors
/// `AlreadyExists`, `NotFound` for the schema or a LIKE source, `Invalid` and `Unsupported` as the
/// clauses say.
pub async fn plan_create(
    statement: &CreateTableStatement,
    scope: &SqlScope,
    query: Option<&ArrowSchema>,
) -> Result<Creation> {
    let mut target = scope.resolve_new(&statement.name).await?;
    // The schema's stored spelling.
    let (namespace, _) = target.catalog.metastore().load_namespace(&target.name.namespace).await?;
    target.name = TableName::new(namespace, target.name.name)?;
    if let Some(skipped) = check_taken(statement, &target).await? {
        return Ok(Creation::Skipped(skipped));
    }
    let likes = like_sources(statement, scope).await?;
    let shape = Shape::of(statement, &likes, query)
        .map_err(|e| Error::new(e.kind(), format!("table \"{target}\": {e}")).with_source(e))?;
    let create = CreateTable {
        name: target.name.clone(),
        schema: shape.schema,
        partition_spec: shape.partition_spec,
        sort_order: shape.sort_order,
        location: statement.location.clone(),
        properties: shape.properties,
        format_version: shape.format_version,
        mode: match statement.if_taken {
            IfTaken::Fail | IfTaken::Skip => CreateMode::Create,
            IfTaken::Replace => CreateMode::CreateOrReplace,
            IfTaken::MustReplace => CreateMode::Replace,
        },
    };
    Ok(Creation::Make(Box::new(target), Box::new(create)))
}

/// Makes an empty table. Returns what was done.
pub(crate) async fn run_create(
    statement: &CreateTableStatement,
    scope: &SqlScope,
) -> Result<String> {
    let (target, create) = match plan_create(statement, scope, None).await? {
        Creation::Skipped(message) => return Ok(message),
        Creation::Make(target, create) => (target, create),
    };
    let made = async {
        let staged = target.catalog.stage_table(*create).await?;
        let replaced = staged.replaces.is_some();
        target.catalog.commit_staged(staged, Vec::new(), CommitOptions::default()).await?;
        Ok::<bool, Error>(replaced)
    };
    match made.await {
        Ok(true) => Ok(format!("replaced table {target}")),
        Ok(false) => Ok(format!("created table {target}")),
        // Another process was faster.
        Err(e) if e.kind() == ErrorKind::AlreadyExists && statement.if_taken == IfTaken::Skip => {
            Ok(format!("table {target} already exists, skipped"))
        }
        Err(e) => Err(e),
    }
}

/// `Some` when the statement is to be skipped.
async fn check_taken(
    statement: &CreateTableStatement,
    target: &Resolved,
) -> Result<Option<String>> {
    // Listing does not read the table, which may be damaged and yet be replaced or skipped.
    let entries = target.catalog.metastore().list(&target.name.namespace).await?;
    let lower = target.name.name.to_lowercase();
    let taken = entries
        .iter()
        .find(|e| e.name.name == target.name.name)
        .or_else(|| entries.iter().find(|e| e.name.name.to_lowercase() == lower));
    match (taken.map(|entry| entry.kind), statement.if_taken) {
        (None, IfTaken::MustReplace) => Err(not_found("table", target)),
        (None, _) | (Some(EntryKind::Table), IfTaken::Replace | IfTaken::MustReplace) => Ok(None),
        (Some(EntryKind::View), _) => Err(Error::new(
            ErrorKind::AlreadyExists,
            format!("\"{target}\" is a view: drop it first, or choose another name"),
        )),
        (Some(EntryKind::Table), IfTaken::Skip) => {
            Ok(Some(format!("table {target} already exists, skipped")))
        }
        (Some(EntryKind::Table), IfTaken::Fail) => {
            Err(Error::new(ErrorKind::AlreadyExists, format!("table \"{target}\" already exists")))
        }
    }
}

async fn like_sources(statement: &CreateTableStatement, scope: &SqlScope) -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    for element in &statement.elements {
        let TableElement::Like(LikeClause { source, .. }) = element else { continue };
        let source = scope.resolve(source)?;
        match find(&source).await? {
            Found::Table(table) => tables.push(table),
            Found::View(_) => {
                return Err(wrong_kind(&source, "view", "CREATE TABLE … AS SELECT * FROM it"));
            }
            Found::Nothing => return Err(not_found("table", &source)),
        }
    }
    Ok(tables)
}

struct Shape {
    schema: Schema,
    partition_spec: UnboundPartitionSpec,
    sort_order: SortOrder,
    properties: HashMap<String, String>,
    format_version: FormatVersion,
}

impl Shape {
    fn of(
        statement: &CreateTableStatement,
        likes: &[Table],
        query: Option<&ArrowSchema>,
    ) -> Result<Self> {
        let including = statement.elements.iter().filter_map(|element| match element {
            TableElement::Like(like) => Some(like.including_properties),
            TableElement::Column(_) => None,
        });
        let mut models = likes.iter().zip(including).filter(|(_, including)| *including);
        let model = models.next().map(|(table, _)| table);
        if models.next().is_some() {
            return Err(Error::invalid("INCLUDING PROPERTIES can be given once"));
        }
        let format_version = match (statement.format_version, model) {
            (Some(3), _) => FormatVersion::V3,
            (None, Some(model)) => model.metadata().format_version().max(FormatVersion::V2),
            _ => FormatVersion::V2,
        };
        let fields = match query {
            Some(query) => query_fields(statement, query, format_version)?,
            None => declared_fields(statement, likes),
        };
        let schema = schema_of(&fields, format_version)?;
        let mut properties: HashMap<String, String> =
            model.map(|model| model.metadata().properties().clone()).unwrap_or_default();
        properties.extend(statement.properties.iter().cloned());
        if let Some(comment) = &statement.comment {
            properties.insert(COMMENT.to_owned(), comment.clone());
        }
        let properties = name_columns(properties, &schema)?;
        let terms = model.map(|model| crate::sql::ddl::terms::terms_of(model.metadata()));
        let terms = terms.transpose()?.unwrap_or_default();
        let partitioning = if statement.partitioning.is_empty() {
            &terms.partitioning
        } else {
            &statement.partitioning
        };
        let sorted_by =
            if statement.sorted_by.is_empty() { &terms.sorted_by } else { &statement.sorted_by };
        Ok(Self {
            partition_spec: partition_spec(&schema, partitioning)?,
            sort_order: sort_order(&schema, sorted_by)?,
            schema,
            properties,
            format_version,
        })
    }
}

fn declared_fields(statement: &CreateTableStatement, likes: &[Table]) -> Vec<NestedField> {
    let mut likes = likes.iter();
    let mut fields = Vec::new();
    for element in &statement.elements {
        match element {
            TableElement::Column(column) => fields.push(field_of(column)),
            TableElement::Like(_) => {
                if let Some(table) = likes.next() {
                    let schema = table.metadata().current_schema();
                    fields.extend(schema.as_struct().fields().iter().map(|f| {
                        let mut copy = NestedField::clone(f);
                        // The new table has no rows from before the column.
                        copy.initial_default = None;
                        copy
                    }));
                }
            }
        }
    }
    fields
}

fn field_of(column: &ColumnDef) -> NestedField {
    let name = column.path.last().map_or("", String::as_str);
    let mut field = NestedField::new(0, name, column.ty.clone(), column.required);
    field.doc.clone_from(&column.comment);
    field.write_default.clone_from(&column.default);
    field
}

fn query_fields(
    statement: &CreateTableStatement,
    query: &ArrowSchema,
    version: FormatVersion,
) -> Result<Vec<NestedField>> {
    let schema = to_iceberg_schema(query, version)?;
    let mut fields: Vec<NestedField> =
        schema.as_struct().fields().iter().map(|f| NestedField::clone(f)).collect();
    let count = fields.len();
    for (field, name) in fields.iter_mut().zip(statement.names_of(count)?) {
        field.name.clone_from(name);
    }
    Ok(fields)
}
