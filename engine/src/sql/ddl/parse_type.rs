//! SQL type names in Trino's and Spark's spelling, to Iceberg types.

use std::sync::Arc;

use fjord_catalog::spec::{ListType, MapType, NestedField, PrimitiveType, StructType, Type};
use sqlparser::tokenizer::Token;

use crate::error::{Error, ErrorKind, Result};
use crate::sql::ddl::cursor::Cursor;

/// Deeper types are refused before they can exhaust a stack.
const TYPE_DEPTH_MAX: usize = 64;
const DECIMAL_PRECISION_MAX: u32 = 38;

/// Reads a type. Nested field ids count from 1 within it.
pub(crate) fn parse_type(cursor: &mut Cursor<'_, '_, '_>) -> Result<Type> {
    TypeParser { next_id: 1, depth: 0 }.parse(cursor)
}

/// Parses a type from text that holds nothing else.
///
/// # Errors
/// `Syntax` for what is no type, `Unsupported` for types that Iceberg lacks.
pub fn type_from_sql(text: &str) -> Result<Type> {
    let dialect = sqlparser::dialect::GenericDialect {};
    let mut parser = sqlparser::parser::Parser::new(&dialect)
        .try_with_sql(text)
        .map_err(crate::sql::ddl::cursor::from_parser)?;
    let mut cursor = Cursor::new(&mut parser, text);
    let ty = parse_type(&mut cursor)?;
    cursor.expect_end("the type")?;
    Ok(ty)
}

struct TypeParser {
    next_id: i32,
    depth: usize,
}

impl TypeParser {
    fn parse(&mut self, cursor: &mut Cursor<'_, '_, '_>) -> Result<Type> {
        if self.depth >= TYPE_DEPTH_MAX {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("the type is nested deeper than {TYPE_DEPTH_MAX} levels"),
            ));
        }
        let Token::Word(word) = cursor.peek(0) else { return cursor.fail("a type") };
        if word.quote_style.is_some() {
            return cursor.fail("a type");
        }
        let name = word.value.to_lowercase();
        cursor.skip(1);
        self.depth += 1;
        let ty = match name.as_str() {
            "array" | "list" => self.list(cursor),
            "map" => self.map(cursor),
            "row" | "struct" => self.structure(cursor),
            _ => primitive(cursor, &name).map(Type::Primitive),
        };
        self.depth -= 1;
        let ty = ty?;
        if matches!(cursor.peek(0), Token::LBracket) {
            return cursor.unsupported("an array type is written array(…), not …[]");
        }
        Ok(ty)
    }

    fn id(&mut self) -> i32 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    fn list(&mut self, cursor: &mut Cursor<'_, '_, '_>) -> Result<Type> {
        let close = open_bracket(cursor)?;
        let id = self.id();
        let element = self.parse(cursor)?;
        let required = cursor.eat(&["not", "null"]);
        close_bracket(cursor, close)?;
        Ok(Type::List(ListType::new(Arc::new(NestedField::list_element(id, element, required)))))
    }

    fn map(&mut self, cursor: &mut Cursor<'_, '_, '_>) -> Result<Type> {
        let close = open_bracket(cursor)?;
        let (key_id, value_id) = (self.id(), self.id());
        let key = self.parse(cursor)?;
        cursor.expect_token(&Token::Comma)?;
        let value = self.parse(cursor)?;
        let required = cursor.eat(&["not", "null"]);
        close_bracket(cursor, close)?;
        Ok(Type::Map(MapType::new(
            Arc::new(NestedField::map_key_element(key_id, key)),
            Arc::new(NestedField::map_value_element(value_id, value, required)),
        )))
    }

    fn structure(&mut self, cursor: &mut Cursor<'_, '_, '_>) -> Result<Type> {
        let close = open_bracket(cursor)?;
        let mut fields: Vec<Arc<NestedField>> = Vec::new();
        loop {
            let field = self.field(cursor)?;
            if fields.iter().any(|f| f.name.to_lowercase() == field.name.to_lowercase()) {
                return Err(Error::invalid(format!(
                    "field {:?} occurs twice in a row type; names must differ by more than case",
                    field.name
                )));
            }
            fields.push(Arc::new(field));
            if !cursor.eat_token(&Token::Comma) {
                break;
            }
        }
        close_bracket(cursor, close)?;
        Ok(Type::Struct(StructType::new(fields)))
    }

    fn field(&mut self, cursor: &mut Cursor<'_, '_, '_>) -> Result<NestedField> {
        if !matches!(cursor.peek(1), Token::Colon | Token::Word(_)) {
            return cursor.fail("a field name and its type (every field of a row needs a name)");
        }
        let name = cursor.name("a field name")?;
        cursor.eat_token(&Token::Colon);
        let id = self.id();
        let ty = self.parse(cursor)?;
        let required = cursor.eat(&["not", "null"]);
        let field = NestedField::new(id, name, ty, required);
        Ok(if cursor.eat(&["comment"]) {
            field.with_doc(cursor.string("a comment")?)
        } else {
            field
        })
    }
}

#[derive(Clone, Copy)]
enum Bracket {
    Round,
    Angle,
}

fn open_bracket(cursor: &mut Cursor<'_, '_, '_>) -> Result<Bracket> {
    if cursor.eat_token(&Token::LParen) {
        Ok(Bracket::Round)
    } else if cursor.eat_token(&Token::Lt) {
        Ok(Bracket::Angle)
    } else {
        cursor.fail("\"(\" or \"<\"")
    }
}

fn close_bracket(cursor: &mut Cursor<'_, '_, '_>, bracket: Bracket) -> Result<()> {
    match bracket {
        Bracket::Round => cursor.expect_token(&Token::RParen),
        Bracket::Angle => cursor.expect_angle(),
    }
}

fn primitive(cursor: &mut Cursor<'_, '_, '_>, name: &str) -> Result<PrimitiveType> {
    let ty = match name {
        "boolean" | "bool" => PrimitiveType::Boolean,
        "tinyint" | "smallint" | "byte" | "short" | "int" | "integer" => PrimitiveType::Int,
        "bigint" | "long" => PrimitiveType::Long,
        "real" | "float" => PrimitiveType::Float,
        "double" => {
            cursor.eat(&["precision"]);
            PrimitiveType::Double
        }
        "decimal" | "dec" | "numeric" => return decimal(cursor, name),
        "date" => PrimitiveType::Date,
        "time" => return time(cursor),
        "timestamp" => return timestamp(cursor),
        "timestamp_ntz" => PrimitiveType::Timestamp,
        "timestamp_ltz" | "timestamptz" => PrimitiveType::Timestamptz,
        "timestamp_ns" => PrimitiveType::TimestampNs,
        "timestamptz_ns" => PrimitiveType::TimestamptzNs,
        "string" | "text" => PrimitiveType::String,
        "varchar" => return varchar(cursor),
        "char" | "character" | "nchar" | "nvarchar" => {
            return cursor.unsupported(format!(
                "type {name}: lengths are not enforced and strings are not padded; use varchar"
            ));
        }
        "varbinary" | "binary" | "bytea" => {
            if matches!(cursor.peek(0), Token::LParen) {
                return cursor.unsupported(format!(
                    "type {name} with a length: use {name}, or fixed(n) for exactly n bytes"
                ));
            }
            PrimitiveType::Binary
        }
        "uuid" => PrimitiveType::Uuid,
        "fixed" => return fixed(cursor),
        _ => return unknown_type(cursor, name),
    };
    if matches!(cursor.peek(0), Token::LParen) {
        return cursor.unsupported(format!("type {name} takes no parameters"));
    }
    Ok(ty)
}

fn unknown_type<T>(cursor: &Cursor<'_, '_, '_>, name: &str) -> Result<T> {
    let why = match name {
        "interval" => "Iceberg has no intervals; store a bigint of microseconds",
        "json" | "variant" | "object" => "store it as varchar",
        "geometry" | "geography" => "store well-known binary as varbinary",
        "unsigned" | "uint" | "ubigint" | "uinteger" | "uint8" | "uint16" | "uint32" | "uint64" => {
            "Iceberg has no unsigned numbers; use bigint or decimal(20, 0)"
        }
        "datetime" => "write timestamp",
        _ => {
            "known are boolean, integer, bigint, real, double, decimal(p, s), date, time, \
             timestamp, timestamp with time zone, varchar, varbinary, fixed(n), uuid, array(…), \
             map(…, …) and row(…)"
        }
    };
    cursor.unsupported(format!("type {name} is not supported: {why}"))
}

fn decimal(cursor: &mut Cursor<'_, '_, '_>, name: &str) -> Result<PrimitiveType> {
    if !cursor.eat_token(&Token::LParen) {
        return cursor.unsupported(format!(
            "type {name} needs a precision and a scale, which engines choose differently: \
             {name}(38, 0) or {name}(10, 2)"
        ));
    }
    let precision: u32 = cursor.integer("a precision")?;
    let scale: u32 = if cursor.eat_token(&Token::Comma) { cursor.integer("a scale")? } else { 0 };
    cursor.expect_token(&Token::RParen)?;
    if precision == 0 || precision > DECIMAL_PRECISION_MAX || scale > precision {
        return Err(Error::invalid(format!(
            "type {name}({precision}, {scale}): the precision is 1 to {DECIMAL_PRECISION_MAX}, \
             the scale at most the precision"
        )));
    }
    Ok(PrimitiveType::Decimal { precision, scale })
}

fn varchar(cursor: &mut Cursor<'_, '_, '_>) -> Result<PrimitiveType> {
    if matches!(cursor.peek(0), Token::LParen) {
        return cursor
            .unsupported("type varchar(n): Iceberg does not enforce lengths; use varchar");
    }
    Ok(PrimitiveType::String)
}

fn fixed(cursor: &mut Cursor<'_, '_, '_>) -> Result<PrimitiveType> {
    cursor.expect_token(&Token::LParen)?;
    let length: u32 = cursor.integer("a length in bytes")?;
    cursor.expect_token(&Token::RParen)?;
    // Arrow's lengths are i32.
    if length == 0 || i32::try_from(length).is_err() {
        return Err(Error::invalid(format!("type fixed({length}): a length is 1 to 2147483647")));
    }
    Ok(PrimitiveType::Fixed(u64::from(length)))
}

/// `(6)` if given; other digits than `accepted` are refused rather than rounded in silence.
fn fraction(cursor: &mut Cursor<'_, '_, '_>, name: &str, accepted: &[u8]) -> Result<u8> {
    if !cursor.eat_token(&Token::LParen) {
        return Ok(6);
    }
    let digits: u8 = cursor.integer("a number of fractional digits")?;
    cursor.expect_token(&Token::RParen)?;
    if accepted.contains(&digits) {
        return Ok(digits);
    }
    let known: Vec<String> = accepted.iter().map(|d| format!("{name}({d})")).collect();
    Err(Error::unsupported(format!("type {name}({digits}): Iceberg keeps {}", known.join(" and "))))
}

fn time(cursor: &mut Cursor<'_, '_, '_>) -> Result<PrimitiveType> {
    fraction(cursor, "time", &[6])?;
    if cursor.eat(&["with", "time", "zone"]) {
        return cursor.unsupported("type time with time zone is not supported: use time");
    }
    cursor.eat(&["without", "time", "zone"]);
    Ok(PrimitiveType::Time)
}

fn timestamp(cursor: &mut Cursor<'_, '_, '_>) -> Result<PrimitiveType> {
    let digits = fraction(cursor, "timestamp", &[6, 9])?;
    let zoned =
        cursor.eat(&["with", "time", "zone"]) || cursor.eat(&["with", "local", "time", "zone"]);
    if !zoned {
        cursor.eat(&["without", "time", "zone"]);
    }
    Ok(match (digits, zoned) {
        (9, true) => PrimitiveType::TimestamptzNs,
        (9, false) => PrimitiveType::TimestampNs,
        (_, true) => PrimitiveType::Timestamptz,
        (_, false) => PrimitiveType::Timestamp,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::types::{TypeDetail, type_to_sql};

    fn check(sql: &str, shown: &str) {
        let ty = type_from_sql(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(type_to_sql(&ty, TypeDetail::Brief), shown, "{sql}");
        assert_eq!(type_from_sql(shown).unwrap(), type_from_sql(sql).unwrap(), "{sql}");
    }

    fn check_refused(sql: &str, part: &str) {
        let message = type_from_sql(sql).unwrap_err().to_string();
        assert!(message.contains(part), "{sql}: {message}");
    }

    #[test]
    fn every_spelling_of_a_primitive_type_is_understood() {
        for (sql, shown) in [
            ("boolean", "boolean"),
            ("BOOL", "boolean"),
            ("tinyint", "integer"),
            ("smallint", "integer"),
            ("int", "integer"),
            ("INTEGER", "integer"),
            ("bigint", "bigint"),
            ("long", "bigint"),
            ("real", "real"),
            ("float", "real"),
            ("double", "double"),
            ("double precision", "double"),
            ("decimal(10,2)", "decimal(10,2)"),
            ("numeric(7)", "decimal(7,0)"),
            ("date", "date"),
            ("time", "time(6)"),
            ("time(6)", "time(6)"),
            ("timestamp", "timestamp(6)"),
            ("timestamp(6)", "timestamp(6)"),
            ("timestamp without time zone", "timestamp(6)"),
            ("timestamp_ntz", "timestamp(6)"),
            ("timestamp_ltz", "timestamp(6) with time zone"),
            ("timestamp with time zone", "timestamp(6) with time zone"),
            ("timestamp(6) with time zone", "timestamp(6) with time zone"),
            ("timestamp_ns", "timestamp(9)"),
            ("timestamp(9) with time zone", "timestamp(9) with time zone"),
            ("string", "varchar"),
            ("varchar", "varchar"),
            ("varbinary", "varbinary"),
            ("binary", "varbinary"),
            ("uuid", "uuid"),
            ("fixed(16)", "fixed(16)"),
        ] {
            check(sql, shown);
        }
    }

    #[test]
    fn nested_types_are_understood_in_both_brackets() {
        check("array(int)", "array(integer)");
        check("array<array<array<int>>>", "array(array(array(integer)))");
        check("map<string, array<int>>", "map(varchar, array(integer))");
        check("row(a int, \"B c\" varchar)", "row(a integer, \"B c\" varchar)");
        check("struct<a: int, b: struct<c: string>>", "row(a integer, b row(c varchar))");
        check(
            "STRUCT<a INT, m MAP<STRING, STRUCT<x: DECIMAL(9,2)>>>",
            "row(a integer, m map(varchar, row(x decimal(9,2))))",
        );
    }

    #[test]
    fn nullability_and_comments_of_nested_fields_survive() {
        let sql = "row(a integer NOT NULL COMMENT 'it''s', b array(varchar NOT NULL))";
        let ty = type_from_sql(sql).unwrap();
        assert_eq!(type_to_sql(&ty, TypeDetail::Full), sql);
    }

    #[test]
    fn types_that_could_not_be_kept_are_refused_by_name() {
        check_refused("varchar(10)", "varchar(n)");
        check_refused("char(3)", "use varchar");
        check_refused("decimal", "precision and a scale");
        check_refused("decimal(39, 2)", "1 to 38");
        check_refused("decimal(5, 6)", "at most the precision");
        check_refused("timestamp(3)", "timestamp(6) and timestamp(9)");
        check_refused("time(3)", "time(6)");
        check_refused("time with time zone", "time with time zone");
        check_refused("interval", "interval");
        check_refused("varbinary(4)", "fixed(n)");
        check_refused("fixed(0)", "fixed(0)");
        check_refused("json", "json");
        check_refused("nonsense", "nonsense");
        check_refused("int[]", "array(");
        check_refused("int(11)", "no parameters");
        check_refused("row(int, int)", "name");
        check_refused("row(a int, A int)", "twice");
        check_refused("array<int", "\">\"");
        check_refused("map<int>", "\",\"");
        check_refused("int int", "the end of the type");
        check_refused(&"array(".repeat(100), "64 levels");
    }
}
