//! What CAST turns into what, in the protocol's own numbers for types.

use std::collections::BTreeMap;

use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use arrow_flight::sql::SqlSupportsConvert;

/// The protocol's types as columns have them. Types that SQL here does not tell apart are the same.
pub(super) static TYPES: [(SqlSupportsConvert, DataType); 20] = [
    (SqlSupportsConvert::SqlConvertBigint, DataType::Int64),
    (SqlSupportsConvert::SqlConvertBinary, DataType::Binary),
    (SqlSupportsConvert::SqlConvertBit, DataType::Boolean),
    (SqlSupportsConvert::SqlConvertChar, DataType::Utf8View),
    (SqlSupportsConvert::SqlConvertDate, DataType::Date32),
    (SqlSupportsConvert::SqlConvertDecimal, DECIMAL),
    (SqlSupportsConvert::SqlConvertFloat, DataType::Float32),
    (SqlSupportsConvert::SqlConvertInteger, DataType::Int32),
    (SqlSupportsConvert::SqlConvertIntervalDayTime, INTERVAL),
    (SqlSupportsConvert::SqlConvertIntervalYearMonth, INTERVAL),
    (SqlSupportsConvert::SqlConvertLongvarbinary, DataType::Binary),
    (SqlSupportsConvert::SqlConvertLongvarchar, DataType::Utf8View),
    (SqlSupportsConvert::SqlConvertNumeric, DECIMAL),
    (SqlSupportsConvert::SqlConvertReal, DataType::Float32),
    (SqlSupportsConvert::SqlConvertSmallint, DataType::Int16),
    (SqlSupportsConvert::SqlConvertTime, DataType::Time64(TimeUnit::Microsecond)),
    (SqlSupportsConvert::SqlConvertTimestamp, DataType::Timestamp(TimeUnit::Microsecond, None)),
    (SqlSupportsConvert::SqlConvertTinyint, DataType::Int8),
    (SqlSupportsConvert::SqlConvertVarbinary, DataType::Binary),
    (SqlSupportsConvert::SqlConvertVarchar, DataType::Utf8View),
];

const DECIMAL: DataType = DataType::Decimal128(38, 10);
const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// From each type, the types that it can be cast to.
pub(super) fn conversions() -> BTreeMap<i32, Vec<i32>> {
    let targets = |from: &DataType| {
        let castable = TYPES.iter().filter(|(_, to)| can_cast_types(from, to));
        castable.map(|(to, _)| *to as i32).collect()
    };
    TYPES.iter().map(|(from, ty)| (*from as i32, targets(ty))).collect()
}
