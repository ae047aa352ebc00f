//! Tables whose data files exist in manifests only, which is all that planning reads.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Result;
use fjord_catalog::catalog::{Catalog, CreateMode, CreateTable};
use fjord_catalog::change::{CommitOptions, RowsChange};
use fjord_catalog::name::{Namespace, TableName};
use fjord_catalog::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, FormatVersion, Literal,
    NestedField, PrimitiveType, Schema, SortOrder, Struct, Transform, Type, UnboundPartitionSpec,
};
use fjord_catalog::table::Table;

/// Field id of `id`: each file has a range of its own, [`ROWS_PER_FILE`] values wide.
pub const ID: i32 = 1;
/// Field id of `day`, the partition column: one value a manifest.
pub const DAY: i32 = 2;
/// Rows that each file claims.
pub const ROWS_PER_FILE: i64 = 100_000;

/// Columns beside `id` and `day`, all with metrics, so that entries have a usual size.
const AMOUNTS: i32 = 10;

/// Loads `name`, or makes it with `manifests` manifests of `files_each` files.
pub async fn table(
    catalog: &Catalog,
    name: &str,
    manifests: i32,
    files_each: i32,
) -> Result<Table> {
    let name = TableName::new(Namespace::new(["default"])?, name)?;
    if let Ok(table) = catalog.load_table(&name).await {
        return Ok(table);
    }
    let staged = catalog.stage_table(request(name)?).await?;
    let mut table = catalog.commit_staged(staged, vec![], CommitOptions::default()).await?.table;
    for day in 0..manifests {
        let files = (0..files_each)
            .map(|i| file(&table, day, i64::from(day * files_each + i)))
            .collect::<Result<Vec<_>>>()?;
        let change = RowsChange::Append { files };
        table = catalog.commit_rows(&table, change, CommitOptions::default()).await?.table;
    }
    Ok(table)
}

/// File number `number` of partition `day`.
pub fn file(table: &Table, day: i32, number: i64) -> Result<DataFile> {
    let rows = ROWS_PER_FILE.unsigned_abs();
    let (low, high) = (number * ROWS_PER_FILE, (number + 1) * ROWS_PER_FILE - 1);
    let all = 1..=DAY + AMOUNTS;
    let mut lower = HashMap::from([(ID, Datum::long(low)), (DAY, Datum::date(day))]);
    let mut upper = HashMap::from([(ID, Datum::long(high)), (DAY, Datum::date(day))]);
    for id in DAY + 1..=DAY + AMOUNTS {
        lower.insert(id, Datum::long(low % 1_000));
        upper.insert(id, Datum::long(low % 1_000 + i64::from(id)));
    }
    let folder = table.metadata().location();
    Ok(DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(format!("{folder}/data/day={day}/00000-{number:08}-fabricated.parquet"))
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::from_iter([Some(Literal::date(day))]))
        .partition_spec_id(table.metadata().default_partition_spec_id())
        .record_count(rows)
        .file_size_in_bytes(16 << 20)
        .column_sizes(all.clone().map(|id| (id, 1 << 20)).collect())
        .value_counts(all.clone().map(|id| (id, rows)).collect())
        .null_value_counts(all.map(|id| (id, 0)).collect())
        .lower_bounds(lower)
        .upper_bounds(upper)
        .build()?)
}

fn request(name: TableName) -> Result<CreateTable> {
    let field = |id, name: &str, ty| Arc::new(NestedField::optional(id, name, Type::Primitive(ty)));
    let amounts =
        (DAY + 1..=DAY + AMOUNTS).map(|id| field(id, &format!("amount_{id}"), PrimitiveType::Long));
    Ok(CreateTable {
        name,
        schema: Schema::builder()
            .with_fields([
                field(ID, "id", PrimitiveType::Long),
                field(DAY, "day", PrimitiveType::Date),
            ])
            .with_fields(amounts)
            .build()?,
        partition_spec: UnboundPartitionSpec::builder()
            .add_partition_field(DAY, "day", Transform::Identity)?
            .build(),
        sort_order: SortOrder::unsorted_order(),
        location: None,
        // One manifest a commit.
        properties: HashMap::from([(
            "commit.manifest-merge.enabled".to_owned(),
            "false".to_owned(),
        )]),
        format_version: FormatVersion::V2,
        mode: CreateMode::Create,
    })
}
