//! Lists of words and functions, taken from the engine that knows them.

use arrow_flight::sql::SqlInfo;
use fjord_engine::Error;
use fjord_engine::listing::FunctionGroup;
use fjord_engine::session::Session;
use fjord_engine::sql::keywords::keywords;

use super::value::SqlInfoValue;

pub(super) fn functions(session: &Session) -> Result<Vec<(SqlInfo, SqlInfoValue)>, Error> {
    let listed = session.list_functions()?;
    let of = |group: FunctionGroup| {
        let members = listed.iter().filter(|function| function.group == Some(group));
        SqlInfoValue::Texts(members.map(|function| function.name.clone()).collect())
    };
    Ok(vec![
        (SqlInfo::SqlKeywords, SqlInfoValue::Texts(keywords())),
        (SqlInfo::SqlNumericFunctions, of(FunctionGroup::Numeric)),
        (SqlInfo::SqlStringFunctions, of(FunctionGroup::Text)),
        (SqlInfo::SqlSystemFunctions, of(FunctionGroup::System)),
        (SqlInfo::SqlDatetimeFunctions, of(FunctionGroup::Time)),
    ])
}
