//! Property lists: `WITH (format_version = 2)`, `TBLPROPERTIES ('format-version' = '2')`.

use sqlparser::tokenizer::Token;

use crate::error::Result;
use crate::sql::ddl::ast::{Property, PropertyStyle, PropertyValue};
use crate::sql::ddl::cursor::Cursor;

/// Reads `(key = value, …)`.
pub(crate) fn property_list(
    cursor: &mut Cursor<'_, '_, '_>,
    style: PropertyStyle,
) -> Result<Vec<Property>> {
    cursor.list(|cursor| property(cursor, style))
}

/// Reads `key = value`.
pub(crate) fn property(cursor: &mut Cursor<'_, '_, '_>, style: PropertyStyle) -> Result<Property> {
    let key = property_key(cursor)?;
    cursor.expect_token(&Token::Eq)?;
    Ok(Property { key, value: value(cursor)?, style })
}

/// Reads a key: a string, a quoted name, or words joined by dots.
pub(crate) fn property_key(cursor: &mut Cursor<'_, '_, '_>) -> Result<String> {
    if let Token::SingleQuotedString(key) = cursor.peek(0) {
        cursor.skip(1);
        return Ok(key);
    }
    let key = cursor.path("a property name")?.to_string();
    if matches!(cursor.peek(0), Token::Minus) {
        return cursor.fail("\"=\" (a property name with a dash is written in quotes)");
    }
    Ok(key)
}

fn value(cursor: &mut Cursor<'_, '_, '_>) -> Result<PropertyValue> {
    if cursor.eat(&["default"]) {
        return Ok(PropertyValue::Default);
    }
    if cursor.eat(&["array"]) {
        return Ok(PropertyValue::List(text_list(cursor)?));
    }
    if cursor.eat(&["map"]) {
        return map(cursor);
    }
    Ok(PropertyValue::Text(text(cursor)?))
}

fn text(cursor: &mut Cursor<'_, '_, '_>) -> Result<String> {
    let sign = if cursor.eat_token(&Token::Minus) { "-" } else { "" };
    let text = match cursor.peek(0) {
        Token::Number(digits, _) => format!("{sign}{digits}"),
        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) if sign.is_empty() => {
            text
        }
        Token::Word(w) if sign.is_empty() && w.quote_style.is_none() && is_boolean(&w.value) => {
            w.value.to_lowercase()
        }
        _ => return cursor.fail("a string, a number, TRUE, FALSE, ARRAY[…] or MAP(…)"),
    };
    cursor.skip(1);
    Ok(text)
}

fn is_boolean(word: &str) -> bool {
    word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false")
}

/// `['a', 'b']` or `('a', 'b')` after ARRAY; may be empty.
fn text_list(cursor: &mut Cursor<'_, '_, '_>) -> Result<Vec<String>> {
    let close = if cursor.eat_token(&Token::LBracket) {
        Token::RBracket
    } else if cursor.eat_token(&Token::LParen) {
        Token::RParen
    } else {
        return cursor.fail("\"[\"");
    };
    if cursor.eat_token(&close) {
        return Ok(Vec::new());
    }
    let items = cursor.comma_separated(text)?;
    cursor.expect_token(&close)?;
    Ok(items)
}

/// `MAP(ARRAY[…], ARRAY[…])` after MAP.
fn map(cursor: &mut Cursor<'_, '_, '_>) -> Result<PropertyValue> {
    cursor.expect_token(&Token::LParen)?;
    cursor.expect(&["array"])?;
    let keys = text_list(cursor)?;
    cursor.expect_token(&Token::Comma)?;
    cursor.expect(&["array"])?;
    let values = text_list(cursor)?;
    cursor.expect_token(&Token::RParen)?;
    if keys.len() != values.len() {
        return cursor.unsupported("a map needs as many values as keys");
    }
    Ok(PropertyValue::Map(keys.into_iter().zip(values).collect()))
}
