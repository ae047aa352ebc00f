//! `CALL system.add_files` and `CALL system.snapshot`: Parquet files that are there, taken in as a
//! table's without being rewritten.

use std::collections::{BTreeMap, HashMap};

use datafusion::common::ScalarValue;
use fjord_catalog::catalog::{CreateMode, CreateTable};
use fjord_catalog::change::{CommitOptions, RowsChange};
use fjord_catalog::evolve::NAME_MAPPING;
use fjord_catalog::spec::{
    FormatVersion, Schema, SortOrder, Transform, UnboundPartitionField, UnboundPartitionSpec,
};
use fjord_connectors::relation::{FileRelation, FoundFile, RelationArguments};

use super::context::{QualifiedName, StatementContext};
use super::ddl::ast::ObjectPath;
use super::scope::{refuse_information_schema, refuse_versioned_name};
use crate::error::{Error, ErrorKind, Result};
use crate::iceberg::adopt::{Adopted, describe};
use crate::iceberg::types::to_iceberg_schema;
use crate::query::QueryResult;

/// What reads the files, and lists them under the session's policy.
const READER: &str = "read_parquet";

/// Adds the files at `source` to a table, in one commit.
pub(crate) async fn add(
    ctx: &StatementContext,
    name: &ObjectPath,
    source: &str,
    is_unique: bool,
) -> Result<QueryResult> {
    let name = ctx.qualify_parts(&name.0, &ctx.scope())?;
    refuse_information_schema(&name.name.namespace)?;
    let table = ctx.load_table(&name).await?;
    let found = found(ctx, source).await?;
    let storage = name.catalog.storage();
    let Adopted { files, name_mapping, rows } =
        describe(ctx.state.as_ref(), storage, &table, &found).await?;
    let count = files.len();
    if count > 0 {
        let mapping = name_mapping.map(|mapping| (NAME_MAPPING.to_owned(), mapping));
        let properties: BTreeMap<String, String> = mapping.into_iter().collect();
        let change = RowsChange::Register { files, properties, is_unique };
        name.catalog.commit_rows(&table, change, CommitOptions::default()).await?;
    }
    Ok(done(count, rows, "added to", &name))
}

/// Makes a table of the files at `source`, partitioned by their directories. They stay whose they
/// are: nothing that is dropped from the table is deleted.
pub(crate) async fn snapshot(
    ctx: &StatementContext,
    name: &ObjectPath,
    source: &str,
) -> Result<QueryResult> {
    let name = ctx.qualify_parts(&name.0, &ctx.scope())?;
    refuse_information_schema(&name.name.namespace)?;
    refuse_versioned_name(&name.catalog, &name.name).await?;
    let found = found(ctx, source).await?;
    let (schema, partition_spec) = shape(ctx, source, &found).await?;
    let staged = name
        .catalog
        .stage_table(CreateTable {
            name: name.name.clone(),
            schema,
            partition_spec,
            sort_order: SortOrder::unsorted_order(),
            location: None,
            // As Spark marks such tables: cleaning them up must not touch the files.
            properties: HashMap::from([
                ("gc.enabled".to_owned(), "false".to_owned()),
                ("snapshot".to_owned(), "true".to_owned()),
            ]),
            format_version: FormatVersion::V2,
            mode: CreateMode::Create,
        })
        .await?;
    let storage = name.catalog.storage();
    let Adopted { files, name_mapping, rows } =
        describe(ctx.state.as_ref(), storage, &staged.table, &found).await?;
    let staged = match name_mapping {
        Some(mapping) => {
            staged.with_properties(HashMap::from([(NAME_MAPPING.to_owned(), mapping)]))?
        }
        None => staged,
    };
    let count = files.len();
    name.catalog.commit_staged(staged, files, CommitOptions::default()).await?;
    Ok(done(count, rows, "are now", &name))
}

fn done(files: usize, rows: u64, verb: &str, name: &QualifiedName) -> QueryResult {
    let files_are = if files == 1 { "file" } else { "files" };
    let rows_are = if rows == 1 { "row" } else { "rows" };
    QueryResult::done(format!("{files} {files_are} with {rows} {rows_are} {verb} table {name}"))
}

fn reader(ctx: &StatementContext) -> Result<&dyn FileRelation> {
    let relations = &ctx.services.file_relations;
    relations.iter().map(AsRef::as_ref).find(|relation| relation.name() == READER).ok_or_else(
        || {
            Error::unsupported(
                "no reader of Parquet files is part of this engine, so none can be taken in",
            )
        },
    )
}

/// The files that the session may name.
async fn found(ctx: &StatementContext, source: &str) -> Result<Vec<FoundFile>> {
    Ok(reader(ctx)?.files(&[source.to_owned()], &ctx.files).await?)
}

/// The columns of the files, the directories' among them, and a partitioning by these.
async fn shape(
    ctx: &StatementContext,
    source: &str,
    found: &[FoundFile],
) -> Result<(Schema, UnboundPartitionSpec)> {
    let keys: Vec<&str> = found
        .first()
        .map(|file| file.partition.iter().map(|(key, _)| key.as_str()).collect())
        .unwrap_or_default();
    let hive = ScalarValue::Boolean(Some(!keys.is_empty()));
    let arguments = RelationArguments {
        paths: vec![source.to_owned()],
        options: BTreeMap::from([("hive_partitioning".to_owned(), hive)]),
    };
    let relation = reader(ctx)?.open(arguments, &ctx.files, ctx.state.as_ref()).await?;
    let schema = to_iceberg_schema(&relation.schema(), FormatVersion::V2)?;
    let fields = keys.iter().map(|key| {
        let column = schema.field_by_name(key).ok_or_else(|| {
            Error::new(ErrorKind::Bug, format!("the directories' {key:?} became no column"))
        })?;
        Ok(UnboundPartitionField {
            source_id: column.id,
            field_id: None,
            name: column.name.clone(),
            transform: Transform::Identity,
        })
    });
    let fields = fields.collect::<Result<Vec<_>>>()?;
    let spec = UnboundPartitionSpec::builder()
        .add_partition_fields(fields)
        .map_err(fjord_catalog::Error::from)?
        .build();
    Ok((schema, spec))
}
