//! The words of Fjord's SQL that tools highlight, complete and quote.

use std::collections::BTreeSet;

use sqlparser::keywords::{
    ALL_KEYWORDS, ALL_KEYWORDS_INDEX, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_IDENTIFIER,
    RESERVED_FOR_TABLE_ALIAS,
};

/// Words that begin or belong to a statement of ours and may still be names.
const STATEMENT_WORDS: [&str; 72] = [
    "ADD",
    "ALTER",
    "ANALYZE",
    "ANTI",
    "ARRAY",
    "AS",
    "BY",
    "CASCADE",
    "CASE",
    "CAST",
    "CATALOGS",
    "COLUMN",
    "COLUMNS",
    "COMMENT",
    "COPY",
    "CREATE",
    "CURRENT",
    "DATE",
    "DEALLOCATE",
    "DEFAULT",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "EXECUTE",
    "EXISTS",
    "EXPLAIN",
    "EXTRACT",
    "FILTER",
    "FOLLOWING",
    "FORMAT",
    "FUNCTIONS",
    "IF",
    "ILIKE",
    "IN",
    "INSERT",
    "INTERVAL",
    "IS",
    "LIKE",
    "NOT",
    "NULL",
    "NULLS",
    "OR",
    "OVER",
    "OVERWRITE",
    "PARTITIONED",
    "PRECEDING",
    "PREPARE",
    "PURGE",
    "RANGE",
    "RECURSIVE",
    "RENAME",
    "REPLACE",
    "ROWS",
    "SCHEMA",
    "SCHEMAS",
    "SEMI",
    "SHOW",
    "SIMILAR",
    "TABLE",
    "TABLES",
    "TBLPROPERTIES",
    "TIMESTAMP",
    "TRUNCATE",
    "TRY_CAST",
    "UNNEST",
    "USE",
    "VALUES",
    "VERSION",
    "VIEW",
    "WITHIN",
];

/// Keywords in capitals, sorted: the ones that the parser reserves, and those of our statements.
pub fn keywords() -> Vec<String> {
    let reserved = ALL_KEYWORDS
        .iter()
        .zip(ALL_KEYWORDS_INDEX)
        .filter(|(_, keyword)| {
            RESERVED_FOR_COLUMN_ALIAS.contains(keyword)
                || RESERVED_FOR_TABLE_ALIAS.contains(keyword)
                || RESERVED_FOR_IDENTIFIER.contains(keyword)
        })
        .map(|(word, _)| *word);
    let words: BTreeSet<&str> = reserved.chain(STATEMENT_WORDS).collect();
    words.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_our_statements_and_reserved_ones_are_keywords() {
        let words = keywords();
        for word in ["SELECT", "WHERE", "TBLPROPERTIES", "OVERWRITE", "QUALIFY"] {
            assert!(words.iter().any(|w| w == word), "{word}");
        }
        assert!(words.windows(2).all(|pair| pair[0] < pair[1]), "sorted, each once");
        assert!(words.len() < 300, "names are quoted for nothing when too many words are listed");
    }
}
