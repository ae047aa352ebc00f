//! What is true of this server and of its SQL, code by code.

use std::time::Duration;

use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity,
    SqlSupportedGroupBy, SqlSupportedResultSetConcurrency, SqlSupportedResultSetType,
    SqlSupportedSubqueries, SqlSupportedTransaction, SqlSupportedUnions,
    SqlTransactionIsolationLevel,
};

use super::ServerFacts;
use super::value::SqlInfoValue;
use SqlInfoValue::{BigInt, Flag, Int, Text};

/// Bytes of the longest name of a schema, table or view.
const NAME_BYTES_MAX: i64 = 255;

/// How an `INTEGER` says that there is no limit, or that none is known.
const NO_LIMIT: SqlInfoValue = BigInt(0);

/// A mask of no bits: none of what the code is about.
const NONE: SqlInfoValue = Int(0);

type Fact = (SqlInfo, SqlInfoValue);

/// Everything but the lists and the map.
pub(super) fn facts(server: ServerFacts) -> Vec<Fact> {
    let mut facts = Vec::new();
    facts.extend(of_the_server(server));
    facts.extend(of_names());
    facts.extend(of_queries());
    facts.extend(of_statements());
    facts.extend(of_limits());
    facts.extend(of_transactions());
    facts.extend(of_results());
    facts
}

fn text(text: &str) -> SqlInfoValue {
    Text(text.to_owned())
}

/// A mask with the bits of these numbers.
fn mask(bits: &[i32]) -> SqlInfoValue {
    Int(bits.iter().fold(0, |mask, bit| mask | (1 << bit)))
}

/// Versions of Substrait (6, 7) are empty: no plan of it is read, and clients that ask for them
/// want an answer (ADBC-13).
fn of_the_server(server: ServerFacts) -> [Fact; 14] {
    [
        (SqlInfo::FlightSqlServerName, text("Fjord")),
        (SqlInfo::FlightSqlServerVersion, text(env!("CARGO_PKG_VERSION"))),
        (SqlInfo::FlightSqlServerArrowVersion, text(arrow::ARROW_VERSION)),
        (SqlInfo::FlightSqlServerReadOnly, Flag(false)),
        (SqlInfo::FlightSqlServerSql, Flag(true)),
        (SqlInfo::FlightSqlServerSubstrait, Flag(false)),
        (SqlInfo::FlightSqlServerSubstraitMinVersion, text("")),
        (SqlInfo::FlightSqlServerSubstraitMaxVersion, text("")),
        (SqlInfo::FlightSqlServerTransaction, Int(SqlSupportedTransaction::None as i32)),
        (SqlInfo::FlightSqlServerCancel, Flag(true)),
        (SqlInfo::FlightSqlServerBulkIngestion, Flag(true)),
        (SqlInfo::FlightSqlServerIngestTransactionsSupported, Flag(false)),
        (SqlInfo::FlightSqlServerStatementTimeout, Int(milliseconds(server.handle_lifetime))),
        (SqlInfo::FlightSqlServerTransactionTimeout, NONE),
    ]
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// Names are found regardless of case, quoted or not; the spelling that was stored is kept.
fn of_names() -> [Fact; 10] {
    let regardless = SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i32;
    [
        (SqlInfo::SqlIdentifierCase, Int(regardless)),
        (SqlInfo::SqlQuotedIdentifierCase, Int(regardless)),
        (SqlInfo::SqlIdentifierQuoteChar, text("\"")),
        (SqlInfo::SqlExtraNameCharacters, text("#@$")),
        (SqlInfo::SqlSearchStringEscape, text("\\")),
        (SqlInfo::SqlCatalogTerm, text("catalog")),
        (SqlInfo::SqlSchemaTerm, text("schema")),
        (SqlInfo::SqlProcedureTerm, text("procedure")),
        (SqlInfo::SqlCatalogAtStart, Flag(true)),
        (SqlInfo::SqlAllTablesAreSelectable, Flag(true)),
    ]
}

fn of_queries() -> [Fact; 16] {
    use SqlOuterJoinsSupportLevel::{SqlFullOuterJoins, SqlLimitedOuterJoins};
    use SqlSupportedGroupBy::{SqlGroupByBeyondSelect, SqlGroupByUnrelated};
    use SqlSupportedSubqueries as Sub;
    use SqlSupportedUnions::{SqlUnion, SqlUnionAll};
    let subqueries = [
        Sub::SqlSubqueriesInComparisons as i32,
        Sub::SqlSubqueriesInExists as i32,
        Sub::SqlSubqueriesInIns as i32,
        Sub::SqlSubqueriesInQuantifieds as i32,
    ];
    [
        (SqlInfo::SqlNullOrdering, Int(SqlNullOrdering::SqlNullsSortedAtEnd as i32)),
        (SqlInfo::SqlSupportsColumnAliasing, Flag(true)),
        (SqlInfo::SqlNullPlusNullIsNull, Flag(true)),
        (SqlInfo::SqlSupportsTableCorrelationNames, Flag(true)),
        // JDBC asks whether an alias must differ from the table's name.
        (SqlInfo::SqlSupportsDifferentTableCorrelationNames, Flag(false)),
        (SqlInfo::SqlSupportsExpressionsInOrderBy, Flag(true)),
        (SqlInfo::SqlSupportsOrderByUnrelated, Flag(true)),
        (
            SqlInfo::SqlSupportedGroupBy,
            mask(&[SqlGroupByUnrelated as i32, SqlGroupByBeyondSelect as i32]),
        ),
        // A backslash is the only escape that LIKE takes.
        (SqlInfo::SqlSupportsLikeEscapeClause, Flag(false)),
        // The protocol calls this one an ordinal; JDBC reads the bits of its ordinals.
        (
            SqlInfo::SqlOuterJoinsSupportLevel,
            mask(&[SqlLimitedOuterJoins as i32, SqlFullOuterJoins as i32]),
        ),
        (SqlInfo::SqlSupportedSubqueries, mask(&subqueries)),
        (SqlInfo::SqlCorrelatedSubqueriesSupported, Flag(true)),
        (SqlInfo::SqlSupportedUnions, mask(&[SqlUnion as i32, SqlUnionAll as i32])),
        (SqlInfo::SqlSelectForUpdateSupported, Flag(false)),
        // Every level of ODBC's and of the standard's grammar asks for UPDATE.
        (SqlInfo::SqlSupportedGrammar, NONE),
        (SqlInfo::SqlAnsi92SupportedLevel, NONE),
    ]
}

fn of_statements() -> [Fact; 12] {
    [
        // Catalogs are mounted by configuration.
        (SqlInfo::SqlDdlCatalog, Flag(false)),
        (SqlInfo::SqlDdlSchema, Flag(true)),
        (SqlInfo::SqlDdlTable, Flag(true)),
        (SqlInfo::SqlSupportsNonNullableColumns, Flag(true)),
        (SqlInfo::SqlSupportsIntegrityEnhancementFacility, Flag(false)),
        (SqlInfo::SqlSchemasSupportedActions, NONE),
        (SqlInfo::SqlCatalogsSupportedActions, NONE),
        (SqlInfo::SqlSupportedPositionedCommands, NONE),
        (SqlInfo::SqlStoredProceduresSupported, Flag(false)),
        (SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported, Flag(false)),
        (SqlInfo::SqlNamedParametersSupported, Flag(false)),
        (SqlInfo::SqlBatchUpdatesSupported, Flag(true)),
    ]
}

fn of_limits() -> [Fact; 22] {
    [
        (SqlInfo::SqlMaxBinaryLiteralLength, NO_LIMIT),
        (SqlInfo::SqlMaxCharLiteralLength, NO_LIMIT),
        (SqlInfo::SqlMaxColumnNameLength, NO_LIMIT),
        (SqlInfo::SqlMaxColumnsInGroupBy, NO_LIMIT),
        (SqlInfo::SqlMaxColumnsInIndex, NO_LIMIT),
        (SqlInfo::SqlMaxColumnsInOrderBy, NO_LIMIT),
        (SqlInfo::SqlMaxColumnsInSelect, NO_LIMIT),
        (SqlInfo::SqlMaxColumnsInTable, NO_LIMIT),
        (SqlInfo::SqlMaxConnections, NO_LIMIT),
        (SqlInfo::SqlMaxCursorNameLength, NO_LIMIT),
        (SqlInfo::SqlMaxIndexLength, NO_LIMIT),
        (SqlInfo::SqlDbSchemaNameLength, BigInt(NAME_BYTES_MAX)),
        (SqlInfo::SqlMaxProcedureNameLength, NO_LIMIT),
        (SqlInfo::SqlMaxCatalogNameLength, NO_LIMIT),
        (SqlInfo::SqlMaxRowSize, NO_LIMIT),
        (SqlInfo::SqlMaxRowSizeIncludesBlobs, Flag(true)),
        (SqlInfo::SqlMaxStatementLength, BigInt(statement_bytes_max())),
        (SqlInfo::SqlMaxStatements, NO_LIMIT),
        (SqlInfo::SqlMaxTableNameLength, BigInt(NAME_BYTES_MAX)),
        (SqlInfo::SqlMaxTablesInSelect, BigInt(relations_max())),
        (SqlInfo::SqlMaxUsernameLength, NO_LIMIT),
        (SqlInfo::SqlLocatorsUpdateCopy, Flag(false)),
    ]
}

fn statement_bytes_max() -> i64 {
    i64::try_from(fjord_engine::sql::limits::SCRIPT_BYTES_MAX).unwrap_or(i64::MAX)
}

fn relations_max() -> i64 {
    i64::try_from(fjord_engine::sql::limits::RELATIONS_MAX).unwrap_or(i64::MAX)
}

/// Every statement commits by itself.
fn of_transactions() -> [Fact; 6] {
    let none = SqlTransactionIsolationLevel::SqlTransactionNone as i32;
    [
        // The protocol calls this one an int32; JDBC casts it to a long, and fails on an int.
        (SqlInfo::SqlDefaultTransactionIsolation, BigInt(i64::from(none))),
        (SqlInfo::SqlTransactionsSupported, Flag(false)),
        (SqlInfo::SqlSupportedTransactionsIsolationLevels, mask(&[none])),
        (SqlInfo::SqlDataDefinitionCausesTransactionCommit, Flag(false)),
        (SqlInfo::SqlDataDefinitionsInTransactionsIgnored, Flag(false)),
        (SqlInfo::SqlSavepointsSupported, Flag(false)),
    ]
}

/// Results are read once, forwards.
fn of_results() -> [Fact; 5] {
    let forward = SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32;
    let read_only = SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32;
    [
        (SqlInfo::SqlSupportedResultSetTypes, mask(&[forward])),
        (SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified, mask(&[read_only])),
        (SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly, mask(&[read_only])),
        (SqlInfo::SqlSupportedConcurrenciesForResultSetScrollSensitive, NONE),
        (SqlInfo::SqlSupportedConcurrenciesForResultSetScrollInsensitive, NONE),
    ]
}
