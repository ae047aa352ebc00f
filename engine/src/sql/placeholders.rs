//! Placeholders of a statement: `?` numbered as `$n`, and how many values the statement takes.

use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{Error, ErrorKind, Result};

/// Values that one statement takes at most.
const PLACEHOLDERS_MAX: usize = 65_535;

/// Respells each `?` as `$1`, `$2` … in the order of the text, and returns how many values the
/// statement takes: the highest number. Text in quotes and comments is no token of this kind.
///
/// # Errors
/// `Syntax` for `?` beside `$n`, and for numbers that are none.
pub(crate) fn number(mut tokens: Vec<TokenWithSpan>) -> Result<(Vec<TokenWithSpan>, usize)> {
    let (mut by_position, mut highest) = (0, 0);
    let mut is_named = false;
    for token in &mut tokens {
        let Token::Placeholder(text) = &mut token.token else { continue };
        let (line, column) = (token.span.start.line, token.span.start.column);
        let refused = |problem: &str| {
            let at = format!("line {line}, column {column}: {problem}");
            Err(Error::new(ErrorKind::Syntax, at))
        };
        if text == "?" {
            by_position += 1;
            *text = format!("${by_position}");
        } else if let Some(digits) = text.strip_prefix(['$', '?'])
            && digits.starts_with(|c: char| c.is_ascii_digit())
        {
            match digits.parse::<usize>() {
                Ok(n) if (1..=PLACEHOLDERS_MAX).contains(&n) => highest = highest.max(n),
                _ => return refused("a parameter has a number from 1 to 65535, such as $1"),
            }
            *text = format!("${digits}");
        } else {
            is_named = true;
        }
        if by_position > 0 && (highest > 0 || is_named) {
            return refused("? and $1 do not go together in one statement; use one of them");
        }
    }
    if by_position > PLACEHOLDERS_MAX {
        let problem = format!("more than {PLACEHOLDERS_MAX} parameters in one statement");
        return Err(Error::new(ErrorKind::LimitExceeded, problem));
    }
    Ok((tokens, highest.max(by_position)))
}

#[cfg(test)]
mod tests {
    use sqlparser::tokenizer::Tokenizer;

    use super::super::dialect::FjordDialect;
    use super::*;

    fn numbered(sql: &str) -> Result<(String, usize)> {
        let dialect = FjordDialect::default();
        let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location().unwrap();
        let (tokens, count) = number(tokens)?;
        Ok((tokens.iter().map(|t| t.token.to_string()).collect(), count))
    }

    #[test]
    fn question_marks_are_numbered_outside_quotes_and_comments() {
        let (text, count) =
            numbered("SELECT '?', \"?\", ? -- ?\n, ?+? /* ? */ FROM t WHERE a=?").unwrap();
        assert!(text.contains("'?'") && text.contains("\"?\""), "{text}");
        assert!(text.contains("$2+$3") && text.ends_with("a=$4"), "{text}");
        assert_eq!(count, 4);
    }

    #[test]
    fn numbers_are_kept_and_the_highest_counts() {
        assert_eq!(numbered("SELECT $10, $2").unwrap(), ("SELECT $10, $2".to_owned(), 10));
        assert_eq!(numbered("SELECT 1").unwrap().1, 0);
    }

    #[test]
    fn mixtures_and_zero_are_refused_with_their_place() {
        for sql in ["SELECT ?, $1", "SELECT $1, ?", "SELECT $0", "SELECT $99999"] {
            let e = numbered(sql).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Syntax, "{sql}");
            assert!(e.to_string().starts_with("line 1, column "), "{e}");
        }
    }
}
