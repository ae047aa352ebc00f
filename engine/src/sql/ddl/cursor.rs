//! A cursor over the parser's tokens: words regardless of keyword lists, names, literals, and errors
//! that say where.

use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use crate::error::{Error, ErrorKind, Result};
use crate::sql::ddl::ast::{ObjectPath, QueryText};

/// Reads tokens from where a parser stands.
pub(crate) struct Cursor<'p, 'd, 's> {
    parser: &'p mut Parser<'d>,
    /// The text that the tokens' positions count in.
    source: &'s str,
    /// Closing angle brackets still owed by a `>>` that was taken apart.
    open_angles: u8,
}

impl<'p, 'd, 's> Cursor<'p, 'd, 's> {
    pub(crate) fn new(parser: &'p mut Parser<'d>, source: &'s str) -> Self {
        Self { parser, source, open_angles: 0 }
    }

    /// The n-th token ahead, without taking it.
    pub(crate) fn peek(&self, n: usize) -> Token {
        self.parser.peek_nth_token(n).token
    }

    /// Whether the n-th token ahead is this unquoted word.
    pub(crate) fn peek_word(&self, n: usize, word: &str) -> bool {
        is_word(&self.parser.peek_nth_token_ref(n).token, word)
    }

    /// Whether the tokens ahead are these words.
    pub(crate) fn peek_words(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, word)| self.peek_word(n, word))
    }

    /// Takes these words, or nothing.
    pub(crate) fn eat(&mut self, words: &[&str]) -> bool {
        let found = self.peek_words(words);
        if found {
            self.skip(words.len());
        }
        found
    }

    /// Takes one of these words.
    pub(crate) fn eat_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.eat(&[word]))
    }

    /// Takes these words or fails.
    pub(crate) fn expect(&mut self, words: &[&str]) -> Result<()> {
        for word in words {
            if !self.eat(&[word]) {
                return self.fail(&word.to_uppercase());
            }
        }
        Ok(())
    }

    /// Takes this token, or nothing.
    pub(crate) fn eat_token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    /// Takes this token or fails.
    pub(crate) fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.eat_token(token) {
            Ok(())
        } else {
            self.fail(&format!("{token:?}", token = token.to_string()))
        }
    }

    pub(crate) fn skip(&mut self, tokens: usize) {
        for _ in 0..tokens {
            self.parser.advance_token();
        }
    }

    /// Takes one `>`, be it half of a `>>`.
    pub(crate) fn expect_angle(&mut self) -> Result<()> {
        if self.open_angles > 0 {
            self.open_angles -= 1;
            return Ok(());
        }
        if self.eat_token(&Token::ShiftRight) {
            self.open_angles = 1;
            return Ok(());
        }
        self.expect_token(&Token::Gt)
    }

    /// A name: unquoted in lower case, quoted as it is.
    pub(crate) fn name(&mut self, what: &str) -> Result<String> {
        let Token::Word(word) = self.peek(0) else { return self.fail(what) };
        self.skip(1);
        Ok(if word.quote_style.is_some() { word.value } else { word.value.to_lowercase() })
    }

    /// Names joined by dots.
    pub(crate) fn path(&mut self, what: &str) -> Result<ObjectPath> {
        let mut parts = vec![self.name(what)?];
        while self.eat_token(&Token::Period) {
            parts.push(self.name(what)?);
        }
        Ok(ObjectPath(parts))
    }

    /// A string literal.
    pub(crate) fn string(&mut self, what: &str) -> Result<String> {
        match self.peek(0) {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => {
                self.skip(1);
                Ok(text)
            }
            _ => self.fail(&format!("{what} in single quotes")),
        }
    }

    /// A string literal, or NULL.
    pub(crate) fn string_or_null(&mut self, what: &str) -> Result<Option<String>> {
        if self.eat(&["null"]) { Ok(None) } else { self.string(what).map(Some) }
    }

    /// An integer that is not negative and fits the type.
    pub(crate) fn integer<T: std::str::FromStr>(&mut self, what: &str) -> Result<T> {
        if let Token::Number(digits, _) = self.peek(0)
            && let Ok(number) = digits.parse()
        {
            self.skip(1);
            return Ok(number);
        }
        self.fail(what)
    }

    /// Whether the statement ends here.
    pub(crate) fn at_end(&self) -> bool {
        matches!(self.peek(0), Token::EOF | Token::SemiColon)
    }

    /// Fails when something is left: a clause that nobody read must not be dropped.
    pub(crate) fn expect_end(&self, statement: &str) -> Result<()> {
        if self.at_end() { Ok(()) } else { self.fail(&format!("the end of {statement}")) }
    }

    /// The next word in upper case, for errors.
    pub(crate) fn word_ahead(&self, n: usize) -> String {
        match self.peek(n) {
            Token::Word(word) => word.value.to_uppercase(),
            Token::EOF => "the end".to_owned(),
            token => token.to_string(),
        }
    }

    /// A list in parentheses with at least one item.
    pub(crate) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.expect_token(&Token::LParen)?;
        let items = self.comma_separated(&mut item)?;
        self.expect_token(&Token::RParen)?;
        Ok(items)
    }

    /// Items between commas, at least one.
    pub(crate) fn comma_separated<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.eat_token(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// A query, by the library's parser, with the text that it was read from.
    pub(crate) fn query(&mut self) -> Result<QueryText> {
        let start = self.parser.peek_token().span.start;
        let query = self.parser.parse_query().map_err(from_parser)?;
        let end = match self.parser.peek_token() {
            TokenWithSpan { token: Token::EOF, .. } => None,
            next => Some(next.span.start),
        };
        let from = offset(self.source, start);
        let to = end.map_or(self.source.len(), |end| offset(self.source, end));
        let text = self.source.get(from..to).unwrap_or_default().trim();
        // Tokens that carry no positions have no text to cut out.
        let text =
            if text.is_empty() || start.line == 0 { query.to_string() } else { text.to_owned() };
        Ok(QueryText { query, text })
    }

    /// A syntax error at the next token.
    pub(crate) fn fail<T>(&self, expected: &str) -> Result<T> {
        let found = self.parser.peek_token();
        let shown = match &found.token {
            Token::EOF => "the end of the statement".to_owned(),
            token => format!("{:?}", token.to_string()),
        };
        let place = place(found.span.start);
        Err(Error::new(ErrorKind::Syntax, format!("expected {expected}, found {shown}{place}")))
    }

    /// An error of what is understood and not supported, at the next token.
    pub(crate) fn unsupported<T>(&self, message: impl std::fmt::Display) -> Result<T> {
        let place = place(self.parser.peek_token().span.start);
        Err(Error::unsupported(format!("{message}{place}")))
    }
}

fn place(at: Location) -> String {
    if at.line == 0 { String::new() } else { format!(" at line {}, column {}", at.line, at.column) }
}

pub(crate) fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

/// The byte at a position that counts lines and characters from one.
fn offset(source: &str, at: Location) -> usize {
    let mut line_start = 0;
    for _ in 1..at.line {
        match source[line_start..].find('\n') {
            Some(newline) => line_start += newline + 1,
            None => return source.len(),
        }
    }
    let column = usize::try_from(at.column).unwrap_or(usize::MAX).saturating_sub(1);
    source[line_start..]
        .char_indices()
        .nth(column)
        .map_or(source.len(), |(bytes, _)| line_start + bytes)
}

/// The library's parse error, as ours.
pub(crate) fn from_parser(e: ParserError) -> Error {
    let message = match &e {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.clone(),
        ParserError::RecursionLimitExceeded => {
            let text = "the statement is nested too deeply";
            return Error::new(ErrorKind::LimitExceeded, text).with_source(e);
        }
    };
    let mut letters = message.chars();
    let lower = letters.next().map_or(String::new(), |c| c.to_lowercase().chain(letters).collect());
    Error::new(ErrorKind::Syntax, lower).with_source(e)
}
