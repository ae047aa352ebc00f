//! CREATE, ALTER and DROP CATALOG from tokens. What stands where a secret belongs is never repeated.

use sqlparser::tokenizer::Token;

use crate::error::{Error, Result};
use crate::foreign::SecretReference;
use crate::foreign::definition::is_secret;
use crate::sql::ddl::ast::{CatalogOption, CatalogStatement, DdlStatement};
use crate::sql::ddl::cursor::Cursor;

type Tokens<'c, 'p, 'd, 's> = &'c mut Cursor<'p, 'd, 's>;

/// Reads what follows `CREATE CATALOG`.
pub(crate) fn create(cursor: Tokens<'_, '_, '_, '_>) -> Result<DdlStatement> {
    let if_not_exists = cursor.eat(&["if", "not", "exists"]);
    let name = cursor.path("a catalog name")?;
    cursor.expect(&["using"])?;
    let kind = cursor.name("a kind of database, such as postgres")?;
    let options = if cursor.eat(&["with"]) { options(cursor)? } else { Vec::new() };
    Ok(DdlStatement::Catalog(CatalogStatement::Create { name, if_not_exists, kind, options }))
}

/// Reads what follows `ALTER CATALOG`.
pub(crate) fn alter(cursor: Tokens<'_, '_, '_, '_>) -> Result<DdlStatement> {
    let name = cursor.path("a catalog name")?;
    cursor.expect(&["set"])?;
    let options = options(cursor)?;
    Ok(DdlStatement::Catalog(CatalogStatement::Alter { name, options }))
}

/// Reads what follows `DROP CATALOG`.
pub(crate) fn drop(cursor: Tokens<'_, '_, '_, '_>) -> Result<DdlStatement> {
    let if_exists = cursor.eat(&["if", "exists"]);
    let name = cursor.path("a catalog name")?;
    if cursor.peek_word(0, "cascade") || cursor.peek_word(0, "restrict") {
        return cursor.unsupported(
            "DROP CATALOG … CASCADE and RESTRICT are not supported: the database and views that \
             read it are kept",
        );
    }
    Ok(DdlStatement::Catalog(CatalogStatement::Drop { name, if_exists }))
}

fn options(cursor: Tokens<'_, '_, '_, '_>) -> Result<Vec<(String, CatalogOption)>> {
    let mut options: Vec<(String, CatalogOption)> = Vec::new();
    for (key, value) in cursor.list(option)? {
        if options.iter().any(|(before, _)| *before == key) {
            return Err(Error::invalid(format!("option {key} is given twice")));
        }
        options.push((key, value));
    }
    Ok(options)
}

fn option(cursor: Tokens<'_, '_, '_, '_>) -> Result<(String, CatalogOption)> {
    let key = match cursor.peek(0) {
        Token::SingleQuotedString(key) => {
            cursor.skip(1);
            key
        }
        _ => cursor.name("the name of an option")?,
    };
    let key = key.to_lowercase();
    let wrong = || {
        let accepted = if is_secret(&key) {
            "env('VARIABLE') or file('/path/of/a/file'): what is kept of a catalog holds no secret"
        } else {
            "a string, a number, TRUE, FALSE, DEFAULT, env('VARIABLE') or file('/path/of/a/file')"
        };
        Error::invalid(format!("option {key}: write {key} = {accepted}"))
    };
    if !cursor.eat_token(&Token::Eq) {
        return Err(wrong());
    }
    if cursor.eat(&["default"]) {
        return Ok((key, CatalogOption::Default));
    }
    for (word, reference) in [
        ("env", SecretReference::Env as fn(String) -> SecretReference),
        ("file", SecretReference::File),
    ] {
        if cursor.peek_word(0, word) && matches!(cursor.peek(1), Token::LParen) {
            cursor.skip(2);
            let Token::SingleQuotedString(named) = cursor.peek(0) else { return Err(wrong()) };
            cursor.skip(1);
            if !cursor.eat_token(&Token::RParen) {
                return Err(wrong());
            }
            return Ok((key, CatalogOption::Secret(reference(named))));
        }
    }
    if is_secret(&key) {
        return Err(wrong());
    }
    let text = match cursor.peek(0) {
        Token::SingleQuotedString(text) | Token::Number(text, _) => text,
        Token::Word(w)
            if w.quote_style.is_none()
                && ["true", "false"].iter().any(|b| w.value.eq_ignore_ascii_case(b)) =>
        {
            w.value.to_lowercase()
        }
        _ => return Err(wrong()),
    };
    cursor.skip(1);
    Ok((key, CatalogOption::Text(text)))
}

#[cfg(test)]
mod tests {
    use sqlparser::dialect::GenericDialect;
    use sqlparser::parser::Parser;

    use crate::error::Result;
    use crate::sql::ddl::ast::{CatalogOption, CatalogStatement, DdlStatement};
    use crate::sql::ddl::parse::parse_ddl;

    fn parse(sql: &str) -> Result<Option<DdlStatement>> {
        let dialect = GenericDialect {};
        let mut parser = Parser::new(&dialect).try_with_sql(sql).unwrap();
        parse_ddl(&mut parser, sql)
    }

    #[test]
    fn catalogs_are_made_with_options_and_references_to_secrets() {
        let sql = "CREATE CATALOG IF NOT EXISTS Sales USING Postgres WITH (url = 'postgres://u@h/d', \
                   'POOL_SIZE' = 4, pass_through = TRUE, password = env('S_PASSWORD'));";
        let Ok(Some(DdlStatement::Catalog(CatalogStatement::Create {
            name,
            if_not_exists: true,
            kind,
            options,
        }))) = parse(sql)
        else {
            panic!()
        };
        assert_eq!((name.to_string().as_str(), kind.as_str()), ("sales", "postgres"));
        let shown: Vec<String> = options.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
        assert_eq!(
            shown.join(" "),
            "url=Text(\"postgres://u@h/d\") pool_size=Text(\"4\") pass_through=Text(\"true\") \
             password=Secret(Env(\"S_PASSWORD\"))"
        );
        assert!(parse("ALTER CATALOG s SET (pool_size = DEFAULT)").is_ok());
        assert!(parse("DROP CATALOG IF EXISTS s").is_ok());
        assert!(parse("CREATE CATALOG s USING postgres").is_ok());
    }

    #[test]
    fn what_stands_in_the_place_of_a_secret_is_not_repeated() {
        for sql in [
            "CREATE CATALOG s USING postgres WITH (password = 'canary')",
            "CREATE CATALOG s USING postgres WITH (password 'canary')",
            "CREATE CATALOG s USING postgres WITH (password = canary)",
            "CREATE CATALOG s USING postgres WITH (password = env('A_PASSWORD' 'canary'))",
            "CREATE CATALOG s USING postgres WITH (password = env(canary))",
            "ALTER CATALOG s SET (password = 'canary')",
        ] {
            let e = parse(sql).unwrap_err().to_string();
            assert!(e.contains("env('VARIABLE')") && !e.contains("canary"), "{sql}: {e}");
        }
        for (sql, part) in [
            ("CREATE CATALOG s WITH (a = 1)", "USING"),
            ("CREATE CATALOG s USING postgres WITH (a = 1, A = 2)", "twice"),
            ("CREATE OR REPLACE CATALOG s USING postgres", "OR REPLACE"),
            ("DROP CATALOG s CASCADE", "CASCADE"),
            ("ALTER CATALOG s RENAME TO t", "SET"),
            ("CREATE CATALOG s USING postgres WITH (a = b)", "a string"),
        ] {
            let e = parse(sql).unwrap_err().to_string();
            assert!(e.contains(part), "{sql}: {e}");
        }
    }

    #[test]
    fn default_takes_an_option_away() {
        let Ok(Some(DdlStatement::Catalog(CatalogStatement::Alter { options, .. }))) =
            parse("ALTER CATALOG s SET (password = DEFAULT)")
        else {
            panic!()
        };
        assert_eq!(options, [("password".to_owned(), CatalogOption::Default)]);
    }
}
