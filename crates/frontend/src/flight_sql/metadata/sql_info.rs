//! `GetSqlInfo`: what the server is and can, code by code.
//!
//! Which child of the union a value sits in is part of the protocol: drivers cast it without looking. The codes and their types:
//! <https://github.com/apache/arrow/blob/main/format/FlightSql.proto>, enum `SqlInfo`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedGroupBy,
    SqlSupportedTransaction, SupportedSqlGrammar,
};
use tidemill_engine::catalog::FunctionKind;
use tidemill_engine::{Engine, keywords, substrait_versions};

use super::ours;
use crate::flight_sql::door::Door;
use crate::flight_sql::failure::Result;

mod functions;

/// The Arrow that results are written with.
const ARROW_VERSION: &str = "59.3";
/// In all three places where a name may stand: statements, calls, definitions.
const EVERYWHERE: i32 = 0b111;
/// In comparisons, `EXISTS`, `IN` and quantified comparisons.
const ALL_SUBQUERIES: i32 = 0b1111;
/// `UNION` and `UNION ALL`.
const ALL_UNIONS: i32 = 0b11;
/// Entry, intermediate and full.
const ALL_LEVELS: i32 = 0b111;
/// A result is read once, from its beginning to its end.
const FORWARD_ONLY: i32 = 0b1;

pub(super) fn schema() -> SchemaRef {
    Arc::new(SqlInfoDataBuilder::schema().clone())
}

/// The values of these codes, or of all; a code that the server does not know is left out.
pub(super) fn batch(door: &Door, codes: &[u32]) -> Result<RecordBatch> {
    let data = data(&door.engine).map_err(ours)?;
    data.record_batch(codes.iter().copied()).map_err(ours)
}

fn data(engine: &Engine) -> Result<SqlInfoData, arrow_flight::error::FlightError> {
    let mut info = SqlInfoDataBuilder::new();
    server(&mut info);
    language(&mut info);
    names(&mut info, engine);
    limits(&mut info);
    transactions(&mut info);
    info.build()
}

fn server(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::FlightSqlServerName, "Tidemill");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, ARROW_VERSION);
    info.append(SqlInfo::FlightSqlServerReadOnly, false);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, true);
    let [oldest, newest] = substrait_versions();
    info.append(SqlInfo::FlightSqlServerSubstraitMinVersion, oldest.as_str());
    info.append(SqlInfo::FlightSqlServerSubstraitMaxVersion, newest.as_str());
    info.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    info.append(SqlInfo::FlightSqlServerCancel, true);
    info.append(SqlInfo::FlightSqlServerBulkIngestion, true);
    info.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    info.append(SqlInfo::FlightSqlServerStatementTimeout, 0_i32);
    info.append(SqlInfo::FlightSqlServerTransactionTimeout, 0_i32);
}

fn language(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlDdlCatalog, true);
    info.append(SqlInfo::SqlDdlSchema, true);
    info.append(SqlInfo::SqlDdlTable, true);
    info.append(SqlInfo::SqlAllTablesAreSelectable, true);
    info.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    info.append(SqlInfo::SqlSupportsColumnAliasing, true);
    info.append(SqlInfo::SqlNullPlusNullIsNull, true);
    info.append(SqlInfo::SqlSupportsConvert, BTreeMap::<i32, Vec<i32>>::new());
    info.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    info.append(SqlInfo::SqlSupportsDifferentTableCorrelationNames, false);
    info.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    info.append(SqlInfo::SqlSupportsOrderByUnrelated, true);
    info.append(SqlInfo::SqlSupportedGroupBy, group_by());
    info.append(SqlInfo::SqlSupportsLikeEscapeClause, true);
    info.append(SqlInfo::SqlSupportsNonNullableColumns, true);
    info.append(SqlInfo::SqlSupportedGrammar, 1 << SupportedSqlGrammar::SqlCoreGrammar as i32);
    info.append(SqlInfo::SqlAnsi92SupportedLevel, ALL_LEVELS);
    info.append(SqlInfo::SqlSupportsIntegrityEnhancementFacility, false);
    info.append(SqlInfo::SqlOuterJoinsSupportLevel, SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32);
    info.append(SqlInfo::SqlSupportedPositionedCommands, 0_i32);
    info.append(SqlInfo::SqlSelectForUpdateSupported, false);
    info.append(SqlInfo::SqlStoredProceduresSupported, false);
    info.append(SqlInfo::SqlSupportedSubqueries, ALL_SUBQUERIES);
    info.append(SqlInfo::SqlCorrelatedSubqueriesSupported, true);
    info.append(SqlInfo::SqlSupportedUnions, ALL_UNIONS);
    info.append(SqlInfo::SqlSupportedResultSetTypes, FORWARD_ONLY);
    for code in [
        SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified,
        SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly,
        SqlInfo::SqlSupportedConcurrenciesForResultSetScrollSensitive,
        SqlInfo::SqlSupportedConcurrenciesForResultSetScrollInsensitive,
    ] {
        info.append(code, 0_i32);
    }
    info.append(SqlInfo::SqlBatchUpdatesSupported, true);
    info.append(SqlInfo::SqlSavepointsSupported, false);
    info.append(SqlInfo::SqlNamedParametersSupported, false);
    info.append(SqlInfo::SqlLocatorsUpdateCopy, false);
    info.append(SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported, false);
}

/// `GROUP BY` of columns that are not selected, and of more columns than are selected.
fn group_by() -> i32 {
    1 << SqlSupportedGroupBy::SqlGroupByUnrelated as i32 | 1 << SqlSupportedGroupBy::SqlGroupByBeyondSelect as i32
}

fn names(info: &mut SqlInfoDataBuilder, engine: &Engine) {
    info.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    info.append(
        SqlInfo::SqlQuotedIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i32,
    );
    info.append(SqlInfo::SqlKeywords, keywords().iter().map(ToString::to_string).collect::<Vec<_>>());
    let functions = engine.functions();
    let scalar: Vec<&str> = functions
        .iter()
        .filter(|function| function.kind == FunctionKind::Scalar)
        .map(|function| function.name.as_str())
        .collect();
    for (code, known) in [
        (SqlInfo::SqlNumericFunctions, functions::NUMERIC),
        (SqlInfo::SqlStringFunctions, functions::STRING),
        (SqlInfo::SqlSystemFunctions, functions::SYSTEM),
        (SqlInfo::SqlDatetimeFunctions, functions::DATETIME),
    ] {
        let offered = known.iter().filter(|name| scalar.contains(name)).map(ToString::to_string);
        info.append(code, offered.collect::<Vec<_>>());
    }
    info.append(SqlInfo::SqlSearchStringEscape, "\\");
    info.append(SqlInfo::SqlExtraNameCharacters, "");
    info.append(SqlInfo::SqlSchemaTerm, "schema");
    info.append(SqlInfo::SqlProcedureTerm, "procedure");
    info.append(SqlInfo::SqlCatalogTerm, "catalog");
    info.append(SqlInfo::SqlCatalogAtStart, true);
    info.append(SqlInfo::SqlSchemasSupportedActions, EVERYWHERE);
    info.append(SqlInfo::SqlCatalogsSupportedActions, EVERYWHERE);
}

/// 0 is no limit, or none that is known.
fn limits(info: &mut SqlInfoDataBuilder) {
    for code in [
        SqlInfo::SqlMaxBinaryLiteralLength,
        SqlInfo::SqlMaxCharLiteralLength,
        SqlInfo::SqlMaxColumnNameLength,
        SqlInfo::SqlMaxColumnsInGroupBy,
        SqlInfo::SqlMaxColumnsInIndex,
        SqlInfo::SqlMaxColumnsInOrderBy,
        SqlInfo::SqlMaxColumnsInSelect,
        SqlInfo::SqlMaxColumnsInTable,
        SqlInfo::SqlMaxConnections,
        SqlInfo::SqlMaxCursorNameLength,
        SqlInfo::SqlMaxIndexLength,
        SqlInfo::SqlDbSchemaNameLength,
        SqlInfo::SqlMaxProcedureNameLength,
        SqlInfo::SqlMaxCatalogNameLength,
        SqlInfo::SqlMaxRowSize,
        SqlInfo::SqlMaxStatementLength,
        SqlInfo::SqlMaxStatements,
        SqlInfo::SqlMaxTableNameLength,
        SqlInfo::SqlMaxTablesInSelect,
        SqlInfo::SqlMaxUsernameLength,
    ] {
        info.append(code, 0_i64);
    }
    info.append(SqlInfo::SqlMaxRowSizeIncludesBlobs, true);
}

fn transactions(info: &mut SqlInfoDataBuilder) {
    // Drivers read it as 64 bits, whatever the protocol says.
    info.append(SqlInfo::SqlDefaultTransactionIsolation, 0_i64);
    info.append(SqlInfo::SqlTransactionsSupported, false);
    info.append(SqlInfo::SqlSupportedTransactionsIsolationLevels, 0_i32);
    info.append(SqlInfo::SqlDataDefinitionCausesTransactionCommit, false);
    info.append(SqlInfo::SqlDataDefinitionsInTransactionsIgnored, true);
}
