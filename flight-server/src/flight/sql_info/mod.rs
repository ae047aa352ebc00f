//! What the server says of itself (`CommandGetSqlInfo`): codes, values and their encoding.

mod value;
mod facts;
mod conversions;
mod functions;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::SqlInfo;
use fjord_engine::Error;
use fjord_engine::session::Session;

use value::SqlInfoValue;

pub(crate) use value::schema;

/// The codes of an answer to a request without codes. What is newer stays out unless it is asked
/// for: a JDBC driver whose protocol is older fails on a code that it does not know.
const UNASKED: [RangeInclusive<u32>; 2] = [0..=8, 500..=576];

/// Which kinds of values the client reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SqlInfoValues {
    /// All that the protocol has.
    #[default]
    All,
    /// No maps: Grafana's plugin asks for all codes and reads the other kinds only.
    WithoutMaps,
}

/// What the server that runs around this module decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerFacts {
    /// How long a prepared handle lives after its last use; zero: for ever.
    pub(crate) handle_lifetime: Duration,
}

/// The rows for `codes`, or for everything that is told unasked; unknown codes are left out.
/// `None` where nothing is left.
///
/// # Errors
/// As the listing of functions has them.
pub(crate) fn rows(
    session: &Session,
    codes: &[u32],
    values: SqlInfoValues,
    server: ServerFacts,
) -> Result<Option<RecordBatch>, Error> {
    let asked = |code: &u32| {
        if codes.is_empty() {
            UNASKED.iter().any(|range| range.contains(code))
        } else {
            codes.contains(code)
        }
    };
    let mut known = all(session, server)?;
    known.retain(|code, value| {
        asked(code) && (values == SqlInfoValues::All || !matches!(value, SqlInfoValue::Map(_)))
    });
    if known.is_empty() {
        return Ok(None);
    }
    let encoded = value::encode(&known).map_err(|e: ArrowError| {
        let kind = fjord_engine::ErrorKind::Bug;
        Error::new(kind, "server information cannot be encoded").with_source(e)
    })?;
    Ok(Some(encoded))
}

/// Every code that the server knows.
fn all(session: &Session, server: ServerFacts) -> Result<BTreeMap<u32, SqlInfoValue>, Error> {
    let mut known: BTreeMap<u32, SqlInfoValue> = BTreeMap::new();
    for (info, value) in facts::facts(server).into_iter().chain(functions::functions(session)?) {
        known.insert(code(info), value);
    }
    known.insert(code(SqlInfo::SqlSupportsConvert), SqlInfoValue::Map(conversions::conversions()));
    Ok(known)
}

fn code(info: SqlInfo) -> u32 {
    (info as i32).cast_unsigned()
}
