//! Names and texts as SQL literals that read back as they were.

use sqlparser::keywords::{
    ALL_KEYWORDS, ALL_KEYWORDS_INDEX, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_IDENTIFIER,
    RESERVED_FOR_TABLE_ALIAS,
};

/// Words that open a table constraint in a column list.
const LIST_WORDS: [&str; 8] =
    ["primary", "unique", "constraint", "check", "foreign", "like", "index", "key"];

/// The name, in double quotes unless it reads back as itself without them.
pub fn quote_name(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Names joined by dots.
pub fn quote_path<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    parts.into_iter().map(quote_name).collect::<Vec<_>>().join(".")
}

/// The text in single quotes.
pub fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn is_plain(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !is_reserved(name)
}

fn is_reserved(name: &str) -> bool {
    if LIST_WORDS.contains(&name) {
        return true;
    }
    let upper = name.to_uppercase();
    ALL_KEYWORDS.binary_search(&upper.as_str()).is_ok_and(|index| {
        let keyword = ALL_KEYWORDS_INDEX[index];
        RESERVED_FOR_COLUMN_ALIAS.contains(&keyword)
            || RESERVED_FOR_TABLE_ALIAS.contains(&keyword)
            || RESERVED_FOR_IDENTIFIER.contains(&keyword)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_need_quotes_get_them() {
        for (name, shown) in [
            ("orders", "orders"),
            ("date", "date"),
            ("customerId", "\"customerId\""),
            ("select", "\"select\""),
            ("like", "\"like\""),
            ("2nd", "\"2nd\""),
            ("a\"b", "\"a\"\"b\""),
            ("über", "\"über\""),
            ("", "\"\""),
        ] {
            assert_eq!(quote_name(name), shown);
        }
        assert_eq!(quote_text("it's"), "'it''s'");
    }
}
