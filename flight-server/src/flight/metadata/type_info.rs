//! The SQL types, as ODBC's catalog of types has them.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{
    CommandGetXdbcTypeInfo, Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode,
};
use fjord_engine::{Error, ErrorKind};

/// Characters of `yyyy-mm-dd`.
const DATE_SIZE: i32 = 10;
/// Characters of `hh:mm:ss.ffffff`.
const TIME_SIZE: i32 = 15;
/// Characters of `yyyy-mm-dd hh:mm:ss.fffffffff`.
const TIMESTAMP_SIZE: i32 = 29;
/// The same with `+hh:mm`.
const ZONED_TIMESTAMP_SIZE: i32 = 35;
/// Digits of the longest decimal.
const DECIMAL_DIGITS_MAX: i32 = 38;

pub(super) fn schema() -> SchemaRef {
    XdbcTypeInfoDataBuilder::new().schema()
}

/// The types of this number, or all of them, by number and name.
pub(super) fn rows(command: &CommandGetXdbcTypeInfo) -> Result<Option<RecordBatch>, Error> {
    let mut builder = XdbcTypeInfoDataBuilder::new();
    for info in types() {
        builder.append(info);
    }
    let rows = builder.build().and_then(|all| all.record_batch(command.data_type));
    rows.map(Some).map_err(|e| {
        Error::new(ErrorKind::Bug, "the list of types cannot be encoded").with_source(e)
    })
}

/// Every type, as `CREATE TABLE` and `CAST` spell it.
fn types() -> Vec<XdbcTypeInfo> {
    use XdbcDataType as Xdbc;
    vec![
        plain("boolean", Xdbc::XdbcBit, Some(1)),
        exact("tinyint", Xdbc::XdbcTinyint, 3),
        exact("smallint", Xdbc::XdbcSmallint, 5),
        exact("integer", Xdbc::XdbcInteger, 10),
        exact("bigint", Xdbc::XdbcBigint, 19),
        approximate("real", Xdbc::XdbcReal, 24),
        approximate("double", Xdbc::XdbcDouble, 53),
        XdbcTypeInfo {
            create_params: Some(vec!["precision".to_owned(), "scale".to_owned()]),
            maximum_scale: Some(DECIMAL_DIGITS_MAX),
            ..exact("decimal", Xdbc::XdbcDecimal, DECIMAL_DIGITS_MAX)
        },
        XdbcTypeInfo {
            case_sensitive: true,
            searchable: Searchable::Full,
            ..quoted("varchar", Xdbc::XdbcVarchar, "'", i32::MAX)
        },
        quoted("varbinary", Xdbc::XdbcVarbinary, "X'", i32::MAX),
        XdbcTypeInfo {
            create_params: Some(vec!["length".to_owned()]),
            ..quoted("fixed", Xdbc::XdbcBinary, "X'", i32::MAX)
        },
        instant("date", Xdbc::XdbcDate, ("DATE '", DATE_SIZE), 0..=0),
        instant("time", Xdbc::XdbcTime, ("TIME '", TIME_SIZE), 6..=6),
        instant("timestamp", Xdbc::XdbcTimestamp, ("TIMESTAMP '", TIMESTAMP_SIZE), 6..=9),
        XdbcTypeInfo {
            datetime_subcode: Some(XdbcDatetimeSubcode::XdbcSubcodeTimestampWithTimezone),
            ..instant(
                "timestamp with time zone",
                Xdbc::XdbcTimestamp,
                ("TIMESTAMP '", ZONED_TIMESTAMP_SIZE),
                6..=9,
            )
        },
        XdbcTypeInfo {
            datetime_subcode: Some(XdbcDatetimeSubcode::XdbcSubcodeUnknown),
            ..quoted("interval", Xdbc::XdbcInterval, "INTERVAL '", i32::MAX)
        },
        plain("uuid", Xdbc::XdbcUnknownType, Some(16)),
        plain("array", Xdbc::XdbcUnknownType, None),
        plain("map", Xdbc::XdbcUnknownType, None),
        plain("row", Xdbc::XdbcUnknownType, None),
    ]
}

fn plain(name: &str, ty: XdbcDataType, size: Option<i32>) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.to_owned(),
        data_type: ty,
        column_size: size,
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Basic,
        local_type_name: Some(name.to_owned()),
        sql_data_type: ty,
        ..XdbcTypeInfo::default()
    }
}

/// A number of so many decimal digits.
fn exact(name: &str, ty: XdbcDataType, digits: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        unsigned_attribute: Some(false),
        auto_increment: Some(false),
        minimum_scale: Some(0),
        maximum_scale: Some(0),
        num_prec_radix: Some(10),
        ..plain(name, ty, Some(digits))
    }
}

/// A floating-point number of so many bits.
fn approximate(name: &str, ty: XdbcDataType, bits: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        unsigned_attribute: Some(false),
        auto_increment: Some(false),
        num_prec_radix: Some(2),
        ..plain(name, ty, Some(bits))
    }
}

/// A type whose literals stand between quotes.
fn quoted(name: &str, ty: XdbcDataType, prefix: &str, size: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        literal_prefix: Some(prefix.to_owned()),
        literal_suffix: Some("'".to_owned()),
        ..plain(name, ty, Some(size))
    }
}

/// A date, a time of day or an instant, with the digits that its seconds may have.
fn instant(
    name: &str,
    ty: XdbcDataType,
    (prefix, size): (&str, i32),
    digits: std::ops::RangeInclusive<i32>,
) -> XdbcTypeInfo {
    let subcode = match ty {
        // The protocol numbers a date as ODBC does; its first name for that number is another.
        XdbcDataType::XdbcDate => XdbcDatetimeSubcode::XdbcSubcodeYear,
        XdbcDataType::XdbcTime => XdbcDatetimeSubcode::XdbcSubcodeTime,
        _ => XdbcDatetimeSubcode::XdbcSubcodeTimestamp,
    };
    XdbcTypeInfo {
        sql_data_type: XdbcDataType::XdbcDatetime,
        datetime_subcode: Some(subcode),
        minimum_scale: Some(*digits.start()),
        maximum_scale: Some(*digits.end()),
        ..quoted(name, ty, prefix, size)
    }
}
