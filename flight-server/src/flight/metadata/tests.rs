//! Metadata commands against the protocol's own tables, over a lake of ours.

use std::collections::HashMap;
use std::path::Path;

use arrow::array::{Array, BinaryArray, Int32Array, StringArray};
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use arrow_flight::IpcMessage;
use arrow_flight::sql::{
    Command, CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas,
    CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetSqlInfo,
    CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo, CommandStatementQuery,
    ProstMessageExt,
};
use fjord_catalog::catalog::{CreateMode, CreateTable};
use fjord_catalog::change::CommitOptions;
use fjord_catalog::name::{Namespace, TableName};
use fjord_catalog::spec::{
    FormatVersion, NestedField, PrimitiveType, Schema as IcebergSchema, SortOrder, Type,
    UnboundPartitionSpec,
};
use futures::TryStreamExt;

use super::super::test_lake::TestLake;
use super::{MetadataOptions, run, schema};

const TABLES: &str = "
    CREATE SCHEMA sales;
    CREATE TABLE sales.orders (id bigint NOT NULL, amount decimal(12, 2) COMMENT 'in euros');
    CREATE TABLE sales.\"Customers\" (name varchar);
    CREATE VIEW sales.large AS SELECT id FROM sales.orders WHERE amount > 100;
    CREATE TABLE t (a int)";

async fn lake(directory: &Path) -> TestLake {
    let lake = TestLake::open(directory).await;
    lake.run(TABLES).await.unwrap();
    lake
}

fn command(message: impl ProstMessageExt) -> Command {
    Command::try_from(message.as_any()).unwrap()
}

async fn answer(lake: &TestLake, message: impl ProstMessageExt) -> Vec<RecordBatch> {
    let command = command(message);
    let (schema, batches) = run(&lake.session, &command, &MetadataOptions::default()).unwrap();
    let batches: Vec<RecordBatch> = batches.try_collect().await.unwrap();
    for batch in &batches {
        assert_eq!(batch.schema(), schema, "{}", command.type_url());
        assert!(batch.num_rows() > 0, "{}: a batch without rows", command.type_url());
    }
    batches
}

fn texts(batches: &[RecordBatch], columns: &[usize]) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cell = |column: &usize| {
                let cells = batch.column(*column).as_any().downcast_ref::<StringArray>().unwrap();
                if cells.is_null(row) { "NULL".to_owned() } else { cells.value(row).to_owned() }
            };
            rows.push(columns.iter().map(cell).collect::<Vec<_>>().join("."));
        }
    }
    rows
}

fn tables_like(pattern: &str) -> CommandGetTables {
    CommandGetTables {
        table_name_filter_pattern: Some(pattern.to_owned()),
        ..CommandGetTables::default()
    }
}

fn shown(schema: &Schema) -> Vec<String> {
    let fields = schema.fields().iter();
    fields
        .map(|field| {
            let ty = match field.data_type() {
                DataType::List(item) if !item.is_nullable() => {
                    format!("list<{} not null>", item.data_type())
                }
                ty => ty.to_string(),
            };
            let null = if field.is_nullable() { "" } else { " not null" };
            format!("{}: {}{null}", field.name(), ty.to_lowercase())
        })
        .collect()
}

#[test]
fn p8_schemas_are_exactly_the_protocols() {
    let foreign = "pk_catalog_name: utf8, pk_db_schema_name: utf8, pk_table_name: utf8 not null, \
                   pk_column_name: utf8 not null, fk_catalog_name: utf8, fk_db_schema_name: utf8, \
                   fk_table_name: utf8 not null, fk_column_name: utf8 not null, \
                   key_sequence: int32 not null, fk_key_name: utf8, pk_key_name: utf8, \
                   update_rule: uint8 not null, delete_rule: uint8 not null";
    let names = "catalog_name: utf8, db_schema_name: utf8, table_name: utf8 not null, \
                 table_type: utf8 not null";
    let with_columns = format!("{names}, table_schema: binary not null");
    let types = "type_name: utf8 not null, data_type: int32 not null, column_size: int32, \
                 literal_prefix: utf8, literal_suffix: utf8, create_params: list<utf8 not null>, \
                 nullable: int32 not null, case_sensitive: boolean not null, \
                 searchable: int32 not null, unsigned_attribute: boolean, \
                 fixed_prec_scale: boolean not null, auto_increment: boolean, \
                 local_type_name: utf8, minimum_scale: int32, maximum_scale: int32, \
                 sql_data_type: int32 not null, datetime_subcode: int32, num_prec_radix: int32, \
                 interval_precision: int32";
    let all_tables = CommandGetTables { include_schema: true, ..CommandGetTables::default() };
    let commands: [(Command, &str); 10] = [
        (command(CommandGetCatalogs {}), "catalog_name: utf8 not null"),
        (
            command(CommandGetDbSchemas::default()),
            "catalog_name: utf8, db_schema_name: utf8 not null",
        ),
        (command(CommandGetTables::default()), names),
        (command(all_tables), &with_columns),
        (command(CommandGetTableTypes {}), "table_type: utf8 not null"),
        (
            command(CommandGetPrimaryKeys::default()),
            "catalog_name: utf8, db_schema_name: utf8, table_name: utf8 not null, \
             column_name: utf8 not null, key_name: utf8, key_sequence: int32 not null",
        ),
        (command(CommandGetExportedKeys::default()), foreign),
        (command(CommandGetImportedKeys::default()), foreign),
        (command(CommandGetCrossReference::default()), foreign),
        (command(CommandGetXdbcTypeInfo::default()), types),
    ];
    for (asked, expected) in commands {
        let schema = schema(&asked).unwrap();
        assert_eq!(shown(&schema).join(", "), expected, "{}", asked.type_url());
        assert!(schema.metadata().is_empty());
    }
    assert!(schema(&command(CommandGetSqlInfo::default())).is_some());
    assert!(schema(&command(CommandStatementQuery::default())).is_none());
}

#[tokio::test]
async fn adbc_14_get_objects_finds_every_level_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let lake = lake(directory.path()).await;
    assert_eq!(texts(&answer(&lake, CommandGetCatalogs {}).await, &[0]), ["iceberg"]);
    let schemas = texts(&answer(&lake, CommandGetDbSchemas::default()).await, &[0, 1]);
    assert_eq!(schemas, ["iceberg.default", "iceberg.information_schema", "iceberg.sales"]);
    let types = texts(&answer(&lake, CommandGetTableTypes {}).await, &[0]);
    assert_eq!(types, ["BASE TABLE", "SYSTEM TABLE", "VIEW"]);

    let of_sales = CommandGetTables {
        db_schema_filter_pattern: Some("SALES".to_owned()),
        ..CommandGetTables::default()
    };
    let batches = answer(&lake, of_sales.clone()).await;
    assert_eq!(batches[0].num_columns(), 4);
    assert_eq!(
        texts(&batches, &[0, 1, 2, 3]),
        [
            "iceberg.sales.Customers.BASE TABLE",
            "iceberg.sales.large.VIEW",
            "iceberg.sales.orders.BASE TABLE"
        ]
    );
    let with_columns = answer(&lake, CommandGetTables { include_schema: true, ..of_sales }).await;
    assert_eq!(with_columns[0].num_columns(), 5);
    assert_eq!(texts(&with_columns, &[0, 1, 2, 3]), texts(&batches, &[0, 1, 2, 3]));
}

#[tokio::test]
async fn an_empty_catalog_is_no_catalog_and_an_absent_one_is_every_catalog() {
    let directory = tempfile::tempdir().unwrap();
    let lake = lake(directory.path()).await;
    for (catalog, found) in [(None, 2), (Some("Iceberg"), 2), (Some(""), 0), (Some("no"), 0)] {
        let catalog = catalog.map(str::to_owned);
        let schemas = CommandGetDbSchemas {
            catalog: catalog.clone(),
            db_schema_filter_pattern: Some("%a%l%".to_owned()),
        };
        assert_eq!(texts(&answer(&lake, schemas).await, &[1]).len(), found, "{catalog:?}");
        let tables = CommandGetTables { catalog: catalog.clone(), ..tables_like("large") };
        assert_eq!(answer(&lake, tables).await.is_empty(), found == 0, "{catalog:?}");
    }
}

#[tokio::test]
async fn graf_06_table_is_base_table_and_an_unknown_table_is_a_stream_without_a_batch() {
    let directory = tempfile::tempdir().unwrap();
    let lake = lake(directory.path()).await;
    let of_types = |types: &[&str]| CommandGetTables {
        table_types: types.iter().map(|t| (*t).to_owned()).collect(),
        ..CommandGetTables::default()
    };
    let expected = ["Customers", "orders", "t"];
    for types in [&["BASE TABLE", "table"][..], &["Table"], &["base table", "NO SUCH TYPE"]] {
        let mut found = texts(&answer(&lake, of_types(types)).await, &[2]);
        found.sort();
        assert_eq!(found, expected, "{types:?}");
    }
    assert_eq!(texts(&answer(&lake, of_types(&["view"])).await, &[2]), ["large"]);
    assert!(answer(&lake, of_types(&["NO SUCH TYPE"])).await.is_empty());
    for include_schema in [false, true] {
        let unknown = CommandGetTables { include_schema, ..tables_like("nothing") };
        assert!(answer(&lake, unknown).await.is_empty(), "no batch, not one without rows");
    }
}

fn columns_in(batch: &RecordBatch, row: usize) -> Schema {
    let cells = batch.column(4).as_any().downcast_ref::<BinaryArray>().unwrap();
    let bytes = cells.value(row);
    assert_eq!(bytes[..4], [0xff; 4], "an encapsulated message begins so");
    Schema::try_from(IpcMessage(bytes.to_vec().into())).unwrap()
}

#[tokio::test]
async fn adbc_15_the_schema_of_a_table_is_in_the_first_row_of_the_first_batch() {
    let directory = tempfile::tempdir().unwrap();
    let lake = lake(directory.path()).await;
    // Underscores match any letter, and `t_x` comes after this one in the alphabet.
    lake.run("CREATE SCHEMA a; CREATE TABLE a.t0x (wrong int); CREATE TABLE t_x (\"Right\" int)")
        .await
        .unwrap();
    let command = CommandGetTables { include_schema: true, ..tables_like("T_X") };
    let batches = answer(&lake, command).await;
    assert_eq!(columns_in(&batches[0], 0).field(0).name(), "Right");

    let command = CommandGetTables { include_schema: true, ..tables_like("orders") };
    let columns = columns_in(&answer(&lake, command).await[0], 0);
    assert!(!columns.field(0).is_nullable(), "NOT NULL shows");
    assert_eq!(columns.field(1).data_type(), &DataType::Decimal128(12, 2));
    let amount = columns.field(1).metadata();
    assert_eq!(amount["ARROW:FLIGHT:SQL:TYPE_NAME"], "decimal(12,2)");
    assert_eq!(amount["ARROW:FLIGHT:SQL:SCHEMA_NAME"], "sales");
    assert_eq!(amount["ARROW:FLIGHT:SQL:IS_READ_ONLY"], "0");
    assert_eq!(amount["ARROW:FLIGHT:SQL:REMARKS"], "in euros");

    let command = CommandGetTables { include_schema: true, ..tables_like("large") };
    let columns = columns_in(&answer(&lake, command).await[0], 0);
    assert_eq!(columns.field(0).metadata()["ARROW:FLIGHT:SQL:IS_READ_ONLY"], "1");
}

#[tokio::test]
async fn the_clients_profile_shapes_the_schemas_of_tables() {
    let directory = tempfile::tempdir().unwrap();
    let lake = lake(directory.path()).await;
    let asked = command(CommandGetTables { include_schema: true, ..tables_like("customers") });
    let plain = |columns: &Schema| {
        let fields = columns.fields().iter();
        let plain = fields.map(|field| field.as_ref().clone().with_data_type(DataType::Utf8));
        Schema::new(plain.collect::<Vec<_>>()).into()
    };
    let options = MetadataOptions { shape: std::sync::Arc::new(plain), ..Default::default() };
    let (_, batches) = run(&lake.session, &asked, &options).unwrap();
    let batches: Vec<RecordBatch> = batches.try_collect().await.unwrap();
    assert_eq!(columns_in(&batches[0], 0).field(0).data_type(), &DataType::Utf8);
}

#[tokio::test]
async fn a_damaged_table_is_listed_without_columns() {
    let directory = tempfile::tempdir().unwrap();
    let location = {
        let lake = lake(directory.path()).await;
        let name = TableName::new(Namespace::parse("sales").unwrap(), "orders").unwrap();
        let table = lake.catalog.load_table(&name).await.unwrap();
        table.metadata_location().unwrap().to_owned()
    };
    std::fs::write(location.strip_prefix("file://").unwrap(), "not JSON").unwrap();
    let lake = TestLake::open(directory.path()).await;
    lake.run("SELECT * FROM sales.orders").await.unwrap_err();
    let command = CommandGetTables {
        db_schema_filter_pattern: Some("sales".to_owned()),
        include_schema: true,
        ..CommandGetTables::default()
    };
    let batches = answer(&lake, command).await;
    assert_eq!(texts(&batches, &[2]), ["Customers", "large", "orders"]);
    let counts = [0, 1, 2].map(|row| columns_in(&batches[0], row).fields().len());
    assert_eq!(counts, [1, 0, 0], "the view cannot be planned without its table either");
}

#[tokio::test]
async fn jdbc_12_keys_are_streams_of_the_exact_schema_without_rows() {
    let directory = tempfile::tempdir().unwrap();
    let lake = lake(directory.path()).await;
    let table = "orders".to_owned();
    let exported = CommandGetExportedKeys { table: table.clone(), ..Default::default() };
    let imported = CommandGetImportedKeys { table: table.clone(), ..Default::default() };
    let primary = CommandGetPrimaryKeys { table: table.clone(), ..Default::default() };
    let cross =
        CommandGetCrossReference { pk_table: table.clone(), fk_table: table, ..Default::default() };
    assert!(answer(&lake, exported).await.is_empty());
    assert!(answer(&lake, imported).await.is_empty());
    assert!(answer(&lake, primary).await.is_empty());
    assert!(answer(&lake, cross).await.is_empty());
}

#[tokio::test]
async fn identifier_fields_are_the_primary_key() {
    let directory = tempfile::tempdir().unwrap();
    let lake = lake(directory.path()).await;
    let field = |id, name: &str| {
        std::sync::Arc::new(NestedField::required(id, name, Type::Primitive(PrimitiveType::Long)))
    };
    let keyed = IcebergSchema::builder()
        .with_fields([field(1, "region"), field(2, "amount"), field(3, "id")])
        .with_identifier_field_ids([3, 1])
        .build()
        .unwrap();
    let staged = lake
        .catalog
        .stage_table(CreateTable {
            name: TableName::new(Namespace::parse("sales").unwrap(), "keyed").unwrap(),
            schema: keyed,
            partition_spec: UnboundPartitionSpec::builder().build(),
            sort_order: SortOrder::unsorted_order(),
            location: None,
            properties: HashMap::new(),
            format_version: FormatVersion::V2,
            mode: CreateMode::Create,
        })
        .await
        .unwrap();
    lake.catalog.commit_staged(staged, Vec::new(), CommitOptions::default()).await.unwrap();
    let keys_of = |schema: &str| CommandGetPrimaryKeys {
        catalog: Some("iceberg".to_owned()),
        db_schema: Some(schema.to_owned()),
        table: "KEYED".to_owned(),
    };
    let batches = answer(&lake, keys_of("sales")).await;
    assert_eq!(
        texts(&batches, &[0, 1, 2, 3, 4]),
        ["iceberg.sales.keyed.region.NULL", "iceberg.sales.keyed.id.NULL"]
    );
    let sequence = batches[0].column(5).as_any().downcast_ref::<Int32Array>().unwrap();
    assert_eq!(sequence.values(), &[1, 2]);
    // A schema is a name here, not a pattern.
    assert!(answer(&lake, keys_of("s_les")).await.is_empty());
}

#[tokio::test]
async fn types_are_ordered_by_number_and_filtered_by_it() {
    let directory = tempfile::tempdir().unwrap();
    let lake = TestLake::open(directory.path()).await;
    let all = answer(&lake, CommandGetXdbcTypeInfo::default()).await;
    let numbers = |batch: &RecordBatch| {
        batch.column(1).as_any().downcast_ref::<Int32Array>().unwrap().values().to_vec()
    };
    let names = texts(&all, &[0]);
    let ordered: Vec<_> = numbers(&all[0]).into_iter().zip(&names).collect();
    assert!(ordered.is_sorted(), "{ordered:?}");
    let varchar = answer(&lake, CommandGetXdbcTypeInfo { data_type: Some(12) }).await;
    assert_eq!(texts(&varchar, &[0, 3, 4]), ["varchar.'.'"]);
    assert!(answer(&lake, CommandGetXdbcTypeInfo { data_type: Some(9_999) }).await.is_empty());

    for name in names {
        let declared = match name.as_str() {
            "array" => "array(int)",
            "map" => "map(varchar, int)",
            "row" => "row(a int)",
            "fixed" => "fixed(4)",
            plain => plain,
        };
        let create = format!("CREATE TABLE of_type (a {declared}); DROP TABLE of_type");
        let cast = format!("SELECT CAST(NULL AS {declared})");
        let outcome = match lake.run(&create).await {
            // Types that columns of tables cannot have are there in queries.
            Err(_) => lake.run(&cast).await,
            done => done,
        };
        outcome.unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}
