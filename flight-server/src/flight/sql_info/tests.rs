//! Every code decoded as a client does it, and every claim put to the engine.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type, UInt32Type};
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::SqlInfo;

use super::super::test_lake::TestLake;
use super::conversions::{TYPES, conversions};
use super::{ServerFacts, SqlInfoValues, code, rows};

const SERVER: ServerFacts = ServerFacts { handle_lifetime: Duration::from_secs(600) };

async fn lake() -> (TestLake, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let lake = TestLake::open(directory.path()).await;
    lake.run("CREATE TABLE t (a int, b int); INSERT INTO t VALUES (1, 2), (2, NULL)")
        .await
        .unwrap();
    (lake, directory)
}

/// A value as it comes out of the union: its member and its text.
fn decoded(batch: &RecordBatch) -> BTreeMap<u32, (&'static str, String)> {
    let codes = batch.column(0).as_primitive::<UInt32Type>();
    let union = batch.column(1).as_union();
    let value = |row: usize| {
        let value = union.value(row);
        match union.type_id(row) {
            0 => ("string_value", format!("{:?}", value.as_string::<i32>().value(0))),
            1 => ("bool_value", value.as_boolean().value(0).to_string()),
            2 => ("bigint_value", value.as_primitive::<Int64Type>().value(0).to_string()),
            3 => ("int32_bitmask", value.as_primitive::<Int32Type>().value(0).to_string()),
            4 => {
                let texts = value.as_list::<i32>().value(0);
                let texts = texts.as_string::<i32>().iter().map(|t| t.unwrap().to_owned());
                ("string_list", texts.collect::<Vec<_>>().join(" "))
            }
            5 => {
                let entries = value.as_map().value(0);
                let keys = entries.column_by_name("key").unwrap();
                let values = entries.column_by_name("value").unwrap().as_list::<i32>();
                let pairs = keys.as_primitive::<Int32Type>().values().iter().zip(values.iter());
                let pair = |(key, values): (&i32, Option<arrow::array::ArrayRef>)| {
                    let values = values.unwrap();
                    format!("{key}→{:?}", values.as_primitive::<Int32Type>().values().to_vec())
                };
                ("int32_to_int32_list_map", pairs.map(pair).collect::<Vec<_>>().join(" "))
            }
            other => panic!("no member {other}"),
        }
    };
    codes.values().iter().enumerate().map(|(row, code)| (*code, value(row))).collect()
}

fn told(lake: &TestLake, codes: &[u32]) -> BTreeMap<u32, (&'static str, String)> {
    let batch = rows(&lake.session, codes, SqlInfoValues::All, SERVER).unwrap();
    batch.as_ref().map(decoded).unwrap_or_default()
}

#[tokio::test]
async fn jdbc_13_every_value_is_in_its_member_of_the_union() {
    let (lake, _directory) = lake().await;
    let unasked = told(&lake, &[]);
    let codes: Vec<u32> = unasked.keys().copied().collect();
    let expected: Vec<u32> = (0..=8).chain(500..=576).collect();
    assert_eq!(
        codes, expected,
        "all that drivers read, and nothing that an older one does not know"
    );
    let member = |code: u32| unasked[&code].0;
    for code in [0, 1, 2, 504, 513, 514, 529, 530, 531] {
        assert_eq!(member(code), "string_value", "{code}");
    }
    for code in 508..=512 {
        assert_eq!(member(code), "string_list", "{code}");
        assert!(unasked[&code].1.split(' ').count() > 5, "{code}");
    }
    // JDBC reads 562 as a long, whatever the protocol's text says.
    for code in (541..=555).chain(557..=562) {
        assert_eq!(member(code), "bigint_value", "{code}");
    }
    for code in [8, 503, 505, 507, 522, 525, 526, 528, 533, 534, 535, 538, 540, 564]
        .into_iter()
        .chain(567..=571)
    {
        assert_eq!(member(code), "int32_bitmask", "{code}");
    }
    let flags: Vec<u32> =
        codes.iter().copied().filter(|code| member(*code) == "bool_value").collect();
    assert_eq!(
        flags,
        [
            3, 4, 5, 500, 501, 502, 506, 515, 516, 518, 519, 520, 521, 523, 524, 527, 532, 536,
            537, 539, 556, 563, 565, 566, 572, 573, 574, 575, 576
        ]
    );
    assert_eq!(member(517), "int32_to_int32_list_map");
}

#[tokio::test]
async fn golden_values_of_all_codes() {
    let (lake, _directory) = lake().await;
    let newer = [9, 10, 11, 100, 101];
    let all: Vec<u32> = (0..=8).chain(newer).chain(500..=576).collect();
    let shown: Vec<String> = told(&lake, &all)
        .into_iter()
        // The version changes with every release; lists and the map have tests of their own.
        .filter(|(code, (member, _))| *code != 1 && !member.contains("list"))
        .map(|(code, (member, value))| {
            let name = SqlInfo::try_from(code.cast_signed()).unwrap().as_str_name();
            format!("{code} {name} {member} {value}")
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r##"
    0 FLIGHT_SQL_SERVER_NAME string_value "Fjord"
    2 FLIGHT_SQL_SERVER_ARROW_VERSION string_value "59.3.2"
    3 FLIGHT_SQL_SERVER_READ_ONLY bool_value false
    4 FLIGHT_SQL_SERVER_SQL bool_value true
    5 FLIGHT_SQL_SERVER_SUBSTRAIT bool_value false
    6 FLIGHT_SQL_SERVER_SUBSTRAIT_MIN_VERSION string_value ""
    7 FLIGHT_SQL_SERVER_SUBSTRAIT_MAX_VERSION string_value ""
    8 FLIGHT_SQL_SERVER_TRANSACTION int32_bitmask 0
    9 FLIGHT_SQL_SERVER_CANCEL bool_value true
    10 FLIGHT_SQL_SERVER_BULK_INGESTION bool_value true
    11 FLIGHT_SQL_SERVER_INGEST_TRANSACTIONS_SUPPORTED bool_value false
    100 FLIGHT_SQL_SERVER_STATEMENT_TIMEOUT int32_bitmask 600000
    101 FLIGHT_SQL_SERVER_TRANSACTION_TIMEOUT int32_bitmask 0
    500 SQL_DDL_CATALOG bool_value false
    501 SQL_DDL_SCHEMA bool_value true
    502 SQL_DDL_TABLE bool_value true
    503 SQL_IDENTIFIER_CASE int32_bitmask 1
    504 SQL_IDENTIFIER_QUOTE_CHAR string_value "\""
    505 SQL_QUOTED_IDENTIFIER_CASE int32_bitmask 1
    506 SQL_ALL_TABLES_ARE_SELECTABLE bool_value true
    507 SQL_NULL_ORDERING int32_bitmask 3
    513 SQL_SEARCH_STRING_ESCAPE string_value "\\"
    514 SQL_EXTRA_NAME_CHARACTERS string_value "#@$"
    515 SQL_SUPPORTS_COLUMN_ALIASING bool_value true
    516 SQL_NULL_PLUS_NULL_IS_NULL bool_value true
    518 SQL_SUPPORTS_TABLE_CORRELATION_NAMES bool_value true
    519 SQL_SUPPORTS_DIFFERENT_TABLE_CORRELATION_NAMES bool_value false
    520 SQL_SUPPORTS_EXPRESSIONS_IN_ORDER_BY bool_value true
    521 SQL_SUPPORTS_ORDER_BY_UNRELATED bool_value true
    522 SQL_SUPPORTED_GROUP_BY int32_bitmask 3
    523 SQL_SUPPORTS_LIKE_ESCAPE_CLAUSE bool_value false
    524 SQL_SUPPORTS_NON_NULLABLE_COLUMNS bool_value true
    525 SQL_SUPPORTED_GRAMMAR int32_bitmask 0
    526 SQL_ANSI92_SUPPORTED_LEVEL int32_bitmask 0
    527 SQL_SUPPORTS_INTEGRITY_ENHANCEMENT_FACILITY bool_value false
    528 SQL_OUTER_JOINS_SUPPORT_LEVEL int32_bitmask 6
    529 SQL_SCHEMA_TERM string_value "schema"
    530 SQL_PROCEDURE_TERM string_value "procedure"
    531 SQL_CATALOG_TERM string_value "catalog"
    532 SQL_CATALOG_AT_START bool_value true
    533 SQL_SCHEMAS_SUPPORTED_ACTIONS int32_bitmask 0
    534 SQL_CATALOGS_SUPPORTED_ACTIONS int32_bitmask 0
    535 SQL_SUPPORTED_POSITIONED_COMMANDS int32_bitmask 0
    536 SQL_SELECT_FOR_UPDATE_SUPPORTED bool_value false
    537 SQL_STORED_PROCEDURES_SUPPORTED bool_value false
    538 SQL_SUPPORTED_SUBQUERIES int32_bitmask 15
    539 SQL_CORRELATED_SUBQUERIES_SUPPORTED bool_value true
    540 SQL_SUPPORTED_UNIONS int32_bitmask 3
    541 SQL_MAX_BINARY_LITERAL_LENGTH bigint_value 0
    542 SQL_MAX_CHAR_LITERAL_LENGTH bigint_value 0
    543 SQL_MAX_COLUMN_NAME_LENGTH bigint_value 0
    544 SQL_MAX_COLUMNS_IN_GROUP_BY bigint_value 0
    545 SQL_MAX_COLUMNS_IN_INDEX bigint_value 0
    546 SQL_MAX_COLUMNS_IN_ORDER_BY bigint_value 0
    547 SQL_MAX_COLUMNS_IN_SELECT bigint_value 0
    548 SQL_MAX_COLUMNS_IN_TABLE bigint_value 0
    549 SQL_MAX_CONNECTIONS bigint_value 0
    550 SQL_MAX_CURSOR_NAME_LENGTH bigint_value 0
    551 SQL_MAX_INDEX_LENGTH bigint_value 0
    552 SQL_DB_SCHEMA_NAME_LENGTH bigint_value 255
    553 SQL_MAX_PROCEDURE_NAME_LENGTH bigint_value 0
    554 SQL_MAX_CATALOG_NAME_LENGTH bigint_value 0
    555 SQL_MAX_ROW_SIZE bigint_value 0
    556 SQL_MAX_ROW_SIZE_INCLUDES_BLOBS bool_value true
    557 SQL_MAX_STATEMENT_LENGTH bigint_value 16777216
    558 SQL_MAX_STATEMENTS bigint_value 0
    559 SQL_MAX_TABLE_NAME_LENGTH bigint_value 255
    560 SQL_MAX_TABLES_IN_SELECT bigint_value 2000
    561 SQL_MAX_USERNAME_LENGTH bigint_value 0
    562 SQL_DEFAULT_TRANSACTION_ISOLATION bigint_value 0
    563 SQL_TRANSACTIONS_SUPPORTED bool_value false
    564 SQL_SUPPORTED_TRANSACTIONS_ISOLATION_LEVELS int32_bitmask 1
    565 SQL_DATA_DEFINITION_CAUSES_TRANSACTION_COMMIT bool_value false
    566 SQL_DATA_DEFINITIONS_IN_TRANSACTIONS_IGNORED bool_value false
    567 SQL_SUPPORTED_RESULT_SET_TYPES int32_bitmask 2
    568 SQL_SUPPORTED_CONCURRENCIES_FOR_RESULT_SET_UNSPECIFIED int32_bitmask 2
    569 SQL_SUPPORTED_CONCURRENCIES_FOR_RESULT_SET_FORWARD_ONLY int32_bitmask 2
    570 SQL_SUPPORTED_CONCURRENCIES_FOR_RESULT_SET_SCROLL_SENSITIVE int32_bitmask 0
    571 SQL_SUPPORTED_CONCURRENCIES_FOR_RESULT_SET_SCROLL_INSENSITIVE int32_bitmask 0
    572 SQL_BATCH_UPDATES_SUPPORTED bool_value true
    573 SQL_SAVEPOINTS_SUPPORTED bool_value false
    574 SQL_NAMED_PARAMETERS_SUPPORTED bool_value false
    575 SQL_LOCATORS_UPDATE_COPY bool_value false
    576 SQL_STORED_FUNCTIONS_USING_CALL_SYNTAX_SUPPORTED bool_value false
    "##);
}

#[tokio::test]
async fn adbc_13_codes_that_are_asked_for_come_and_unknown_ones_do_not() {
    let (lake, _directory) = lake().await;
    let codes = |asked: &[u32]| told(&lake, asked).into_keys().collect::<Vec<_>>();
    assert_eq!(codes(&[2, 0, 1]), [0, 1, 2]);
    assert_eq!(codes(&[4, 5, 6, 7]), [4, 5, 6, 7]);
    assert_eq!(codes(&[10, 11, 9, 100, 99_999, 577]), [9, 10, 11, 100]);
    let nothing = rows(&lake.session, &[99_999], SqlInfoValues::All, SERVER).unwrap();
    assert!(nothing.is_none(), "no batch, not one without rows");
}

#[tokio::test]
async fn adbc_05_no_transactions_are_promised() {
    let (lake, _directory) = lake().await;
    assert_eq!(told(&lake, &[8])[&8], ("int32_bitmask", "0".to_owned()));
}

#[tokio::test]
async fn graf_07_maps_are_left_out_for_clients_that_cannot_read_them() {
    let (lake, _directory) = lake().await;
    let batch = rows(&lake.session, &[], SqlInfoValues::WithoutMaps, SERVER).unwrap().unwrap();
    let values = decoded(&batch);
    assert!(values.values().all(|(member, _)| *member != "int32_to_int32_list_map"));
    assert_eq!(values.len() + 1, told(&lake, &[]).len());
}

/// Claims, each with statements that run exactly if it is true.
const CLAIMS: [(SqlInfo, &[&str]); 22] = [
    (SqlInfo::SqlDdlCatalog, &["CREATE CATALOG c USING postgres WITH (url = 'postgres://x/y')"]),
    (SqlInfo::SqlDdlSchema, &["CREATE SCHEMA s; DROP SCHEMA s"]),
    (SqlInfo::SqlDdlTable, &["CREATE TABLE made (a int); DROP TABLE made"]),
    (SqlInfo::SqlAllTablesAreSelectable, &["SELECT * FROM t"]),
    (SqlInfo::SqlSupportsColumnAliasing, &["SELECT a AS x, a y FROM t"]),
    (SqlInfo::SqlSupportsTableCorrelationNames, &["SELECT x.a FROM t AS x"]),
    (SqlInfo::SqlSupportsExpressionsInOrderBy, &["SELECT a FROM t ORDER BY a + b"]),
    (SqlInfo::SqlSupportsOrderByUnrelated, &["SELECT a FROM t ORDER BY b"]),
    (SqlInfo::SqlSupportsLikeEscapeClause, &["SELECT 'a_b' LIKE 'a!_b' ESCAPE '!'"]),
    (
        SqlInfo::SqlSupportsNonNullableColumns,
        &["CREATE TABLE strict (a int NOT NULL); DROP TABLE strict"],
    ),
    (
        SqlInfo::SqlSupportsIntegrityEnhancementFacility,
        &["CREATE TABLE keyed (a int PRIMARY KEY)", "CREATE TABLE checked (a int CHECK (a > 0))"],
    ),
    (SqlInfo::SqlCatalogAtStart, &["SELECT * FROM iceberg.default.t"]),
    (SqlInfo::SqlSelectForUpdateSupported, &["SELECT a FROM t FOR UPDATE"]),
    (SqlInfo::SqlStoredProceduresSupported, &["{call f()}"]),
    (SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported, &["{? = call f()}"]),
    (
        SqlInfo::SqlCorrelatedSubqueriesSupported,
        &["SELECT a FROM t WHERE EXISTS (SELECT 1 FROM t u WHERE u.b = t.a)"],
    ),
    (SqlInfo::SqlTransactionsSupported, &["BEGIN", "COMMIT", "ROLLBACK"]),
    (SqlInfo::SqlSavepointsSupported, &["SAVEPOINT s"]),
    (SqlInfo::SqlDataDefinitionCausesTransactionCommit, &["BEGIN"]),
    (SqlInfo::SqlDataDefinitionsInTransactionsIgnored, &["BEGIN"]),
    // What it claims is a restriction: that an alias must not be the table's own name.
    (
        SqlInfo::SqlSupportsDifferentTableCorrelationNames,
        &["SELECT t.a FROM t AS t WHERE 1 / 0 = 1"],
    ),
    (SqlInfo::FlightSqlServerSubstrait, &["SUBSTRAIT"]),
];

/// Bits of masks, each with a statement that runs exactly if the bit is set.
const BITS: [(SqlInfo, i32, &str); 15] = [
    (SqlInfo::SqlSupportedGroupBy, 0, "SELECT count(*) FROM t GROUP BY b"),
    (SqlInfo::SqlSupportedGroupBy, 1, "SELECT a, count(*) FROM t GROUP BY a, b"),
    (SqlInfo::SqlOuterJoinsSupportLevel, 1, "SELECT * FROM t x LEFT JOIN t y ON x.a = y.b"),
    (SqlInfo::SqlOuterJoinsSupportLevel, 2, "SELECT * FROM t x FULL JOIN t y ON x.a = y.b"),
    (SqlInfo::SqlSupportedSubqueries, 0, "SELECT a FROM t WHERE a = (SELECT max(b) FROM t)"),
    (SqlInfo::SqlSupportedSubqueries, 1, "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM t)"),
    (SqlInfo::SqlSupportedSubqueries, 2, "SELECT a FROM t WHERE a IN (SELECT b FROM t)"),
    (SqlInfo::SqlSupportedSubqueries, 3, "SELECT a FROM t WHERE a > ANY (SELECT b FROM t)"),
    (SqlInfo::SqlSupportedUnions, 0, "SELECT a FROM t UNION SELECT b FROM t"),
    (SqlInfo::SqlSupportedUnions, 1, "SELECT a FROM t UNION ALL SELECT b FROM t"),
    (SqlInfo::SqlSupportedGrammar, 0, "UPDATE t SET a = a"),
    (SqlInfo::SqlAnsi92SupportedLevel, 0, "UPDATE t SET a = a"),
    (SqlInfo::SqlSupportedPositionedCommands, 0, "DELETE FROM t WHERE CURRENT OF c"),
    (SqlInfo::SqlSchemasSupportedActions, 1, "CREATE INDEX i ON default.t (a)"),
    (SqlInfo::SqlSchemasSupportedActions, 2, "GRANT SELECT ON default.t TO someone"),
];

#[tokio::test]
async fn what_is_claimed_of_the_sql_is_true_of_the_sql() {
    let (lake, _directory) = lake().await;
    let told = told(&lake, &[]);
    for (info, statements) in CLAIMS {
        let claimed = told[&code(info)].1 == "true";
        for statement in statements {
            let outcome = lake.run(statement).await;
            assert_eq!(outcome.is_ok(), claimed, "{}: {statement}", info.as_str_name());
        }
    }
    for (info, bit, statement) in BITS {
        let mask: i32 = told[&code(info)].1.parse().unwrap();
        let outcome = lake.run(statement).await;
        let claimed = mask & (1 << bit) != 0;
        assert_eq!(outcome.is_ok(), claimed, "{} bit {bit}: {statement}", info.as_str_name());
    }
    for letter in told[&code(SqlInfo::SqlExtraNameCharacters)].1.trim_matches('"').chars() {
        lake.run(&format!("SELECT 1 AS a{letter}b")).await.unwrap();
    }
    for sql in ["SELECT A FROM T", "SELECT \"A\" FROM \"T\""] {
        lake.run(sql).await.unwrap();
    }
    let yes = [
        "(NULL || 'a') IS NULL",
        "(SELECT array_agg(b ORDER BY b) FROM t)[2] IS NULL",
        "(SELECT array_agg(b ORDER BY b DESC) FROM t)[2] IS NULL",
    ];
    for claim in yes {
        let answer = lake.run(&format!("SELECT {claim}")).await.unwrap();
        assert!(answer[0].column(0).as_boolean().value(0), "{claim}");
    }
}

#[tokio::test]
async fn names_may_be_as_long_as_is_claimed() {
    let (lake, _directory) = lake().await;
    let told = told(&lake, &[]);
    let longest = |info: SqlInfo| -> usize { told[&code(info)].1.parse().unwrap() };
    let named = |bytes: usize| format!("CREATE TABLE {} (a int)", "x".repeat(bytes));
    lake.run(&named(longest(SqlInfo::SqlMaxTableNameLength))).await.unwrap();
    lake.run(&named(longest(SqlInfo::SqlMaxTableNameLength) + 1)).await.unwrap_err();
    let schema = |bytes: usize| format!("CREATE SCHEMA {}", "x".repeat(bytes));
    lake.run(&schema(longest(SqlInfo::SqlDbSchemaNameLength))).await.unwrap();
    lake.run(&schema(longest(SqlInfo::SqlDbSchemaNameLength) + 1)).await.unwrap_err();
    let text = |bytes: usize| format!("SELECT '{}'", "x".repeat(bytes - "SELECT ''".len()));
    lake.run(&text(longest(SqlInfo::SqlMaxStatementLength))).await.unwrap();
    lake.run(&text(longest(SqlInfo::SqlMaxStatementLength) + 1)).await.unwrap_err();
}

#[tokio::test]
async fn conversions_are_what_cast_does() {
    use arrow_flight::sql::SqlSupportsConvert as C;
    let (lake, _directory) = lake().await;
    let spelt = |ty: C| match ty {
        C::SqlConvertBigint => "bigint",
        C::SqlConvertBinary | C::SqlConvertLongvarbinary | C::SqlConvertVarbinary => "varbinary",
        C::SqlConvertBit => "boolean",
        C::SqlConvertChar | C::SqlConvertLongvarchar | C::SqlConvertVarchar => "varchar",
        C::SqlConvertDate => "date",
        C::SqlConvertDecimal | C::SqlConvertNumeric => "decimal(38, 10)",
        C::SqlConvertFloat => "float",
        C::SqlConvertInteger => "integer",
        C::SqlConvertIntervalDayTime | C::SqlConvertIntervalYearMonth => "interval",
        C::SqlConvertReal => "real",
        C::SqlConvertSmallint => "smallint",
        C::SqlConvertTime => "time",
        C::SqlConvertTimestamp => "timestamp",
        C::SqlConvertTinyint => "tinyint",
    };
    let claimed = conversions();
    let mut wrong = Vec::new();
    for (from, _) in &TYPES {
        for (to, _) in &TYPES {
            let (source, target) = (spelt(*from), spelt(*to));
            let sql = format!("SELECT CAST(CAST(NULL AS {source}) AS {target})");
            let runs = lake.run(&sql).await.is_ok();
            if runs != claimed[&(*from as i32)].contains(&(*to as i32)) {
                wrong.push(format!("{source} to {target} {}", if runs { "runs" } else { "fails" }));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}
