//! Partition and sort terms: `day(ts)`, `bucket(16, id)`, `truncate(name, 3)`, `a.b DESC NULLS LAST`.

use fjord_catalog::spec::Transform;
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use crate::error::{Error, Result};
use crate::sql::ddl::ast::{PartitionDef, SortDef};
use crate::sql::ddl::cursor::{Cursor, from_parser};

/// Reads one partition field.
pub(crate) fn partition_def(cursor: &mut Cursor<'_, '_, '_>) -> Result<PartitionDef> {
    let mut def = term(cursor)?;
    if cursor.eat(&["as"]) {
        def.name = Some(cursor.name("a partition field name")?);
    }
    if matches!(cursor.peek(0), Token::Word(_)) && !cursor.peek_word(0, "with") {
        return cursor.unsupported(format!(
            "partition column {:?} with a type: declare it in the column list and name it alone here",
            def.column.join(".")
        ));
    }
    Ok(def)
}

/// Reads one sort field.
pub(crate) fn sort_def(cursor: &mut Cursor<'_, '_, '_>) -> Result<SortDef> {
    let term = term(cursor)?;
    let descending = cursor.eat(&["desc"]);
    if !descending {
        cursor.eat(&["asc"]);
    }
    let nulls_first = if cursor.eat(&["nulls"]) {
        let first = cursor.eat(&["first"]);
        if !first {
            cursor.expect(&["last"])?;
        }
        first
    } else {
        !descending
    };
    Ok(SortDef { term, descending, nulls_first })
}

/// Partition fields from the strings of `partitioning = ARRAY['day(ts)']`.
pub(crate) fn partition_defs_from_texts(texts: &[String]) -> Result<Vec<PartitionDef>> {
    texts.iter().map(|text| from_text(text, partition_def)).collect()
}

/// Sort fields from the strings of `sorted_by = ARRAY['a DESC']`.
pub(crate) fn sort_defs_from_texts(texts: &[String]) -> Result<Vec<SortDef>> {
    texts.iter().map(|text| from_text(text, sort_def)).collect()
}

fn from_text<T>(text: &str, read: impl Fn(&mut Cursor<'_, '_, '_>) -> Result<T>) -> Result<T> {
    let dialect = GenericDialect {};
    let mut parser = Parser::new(&dialect).try_with_sql(text).map_err(from_parser)?;
    let mut cursor = Cursor::new(&mut parser, text);
    let def = read(&mut cursor).and_then(|def| {
        cursor.expect_end("the term")?;
        Ok(def)
    });
    def.map_err(|e| Error::new(e.kind(), format!("in {text:?}: {e}")).with_source(e))
}

fn term(cursor: &mut Cursor<'_, '_, '_>) -> Result<PartitionDef> {
    if !matches!(cursor.peek(1), Token::LParen) {
        let column = cursor.path("a column or a transform of one")?.0;
        return Ok(PartitionDef { column, transform: Transform::Identity, name: None });
    }
    let function = cursor.name("a transform")?;
    cursor.expect_token(&Token::LParen)?;
    let (column, transform) = match function.as_str() {
        "year" | "years" => (cursor.path("a column")?.0, Transform::Year),
        "month" | "months" => (cursor.path("a column")?.0, Transform::Month),
        "day" | "days" | "date" => (cursor.path("a column")?.0, Transform::Day),
        "hour" | "hours" | "date_hour" => (cursor.path("a column")?.0, Transform::Hour),
        "identity" => (cursor.path("a column")?.0, Transform::Identity),
        "void" => (cursor.path("a column")?.0, Transform::Void),
        "bucket" => {
            let (column, n) = column_and_number(cursor, "a number of buckets")?;
            (column, Transform::Bucket(n))
        }
        "truncate" => {
            let (column, n) = column_and_number(cursor, "a width")?;
            (column, Transform::Truncate(n))
        }
        _ => {
            return cursor.unsupported(format!(
                "transform {function} is not known: there are year, month, day, hour, \
                 bucket(n, column), truncate(n, column), identity and void"
            ));
        }
    };
    cursor.expect_token(&Token::RParen)?;
    Ok(PartitionDef { column, transform, name: None })
}

/// Trino writes `bucket(id, 16)`, Spark `bucket(16, id)`.
fn column_and_number(cursor: &mut Cursor<'_, '_, '_>, what: &str) -> Result<(Vec<String>, u32)> {
    let (column, number) = if matches!(cursor.peek(0), Token::Number(..)) {
        let number = cursor.integer(what)?;
        cursor.expect_token(&Token::Comma)?;
        (cursor.path("a column")?.0, number)
    } else {
        let column = cursor.path("a column")?.0;
        cursor.expect_token(&Token::Comma)?;
        (column, cursor.integer(what)?)
    };
    // The specification's hash modulo and Arrow's lengths are i32.
    if number == 0 || i32::try_from(number).is_err() {
        return Err(Error::invalid(format!("{what} is 1 to 2147483647, not {number}")));
    }
    Ok((column, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(text: &str) -> Result<PartitionDef> {
        Ok(partition_defs_from_texts(&[text.to_owned()])?.remove(0))
    }

    #[test]
    fn transforms_are_understood_in_both_spellings() {
        for (text, column, transform) in [
            ("region", "region", Transform::Identity),
            ("identity(region)", "region", Transform::Identity),
            ("year(ts)", "ts", Transform::Year),
            ("years(ts)", "ts", Transform::Year),
            ("month(ts)", "ts", Transform::Month),
            ("months(ts)", "ts", Transform::Month),
            ("day(ts)", "ts", Transform::Day),
            ("days(ts)", "ts", Transform::Day),
            ("hour(ts)", "ts", Transform::Hour),
            ("HOURS(ts)", "ts", Transform::Hour),
            ("bucket(16, id)", "id", Transform::Bucket(16)),
            ("bucket(id, 16)", "id", Transform::Bucket(16)),
            ("truncate(3, name)", "name", Transform::Truncate(3)),
            ("truncate(name, 3)", "name", Transform::Truncate(3)),
            ("void(id)", "id", Transform::Void),
            ("day(a.\"B c\")", "a.B c", Transform::Day),
        ] {
            let def = partition(text).unwrap();
            assert_eq!((def.column.join(".").as_str(), def.transform), (column, transform));
        }
        assert_eq!(partition("day(ts) AS d").unwrap().name.as_deref(), Some("d"));
    }

    #[test]
    fn terms_that_make_no_sense_are_refused() {
        for (text, part) in [
            ("week(ts)", "transform week"),
            ("bucket(id)", "\",\""),
            ("bucket(0, id)", "1 to 2147483647"),
            ("bucket(-1, id)", "column"),
            ("day(ts", "\")\""),
            ("dt string", "column list"),
            ("day(ts) extra", "column list"),
            ("", "column"),
        ] {
            let message = partition(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn sort_terms_default_as_iceberg_does() {
        let texts = ["a", "a DESC", "a ASC NULLS LAST", "bucket(4, a) desc nulls first"];
        let defs = sort_defs_from_texts(&texts.map(str::to_owned)).unwrap();
        let orders: Vec<_> = defs.iter().map(|d| (d.descending, d.nulls_first)).collect();
        assert_eq!(orders, [(false, true), (true, false), (false, false), (true, true)]);
        assert!(sort_defs_from_texts(&["a sideways".to_owned()]).is_err());
    }
}
