//! What of a statement's text is kept: cut to a length, its secrets replaced.

/// What stands in the place of a secret.
const HIDDEN: &str = "'***'";

/// Parts of names whose values are secrets.
const SECRET_NAMES: [&str; 12] = [
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "access_key",
    "private_key",
    "api_key",
    "apikey",
    "identified",
];

/// Words and signs that may stand between such a name and its value.
const BETWEEN: [&str; 8] = ["=", ">", ":", "(", ",", "by", "to", "as"];

/// The first `bytes_max` bytes of `text`, without its secrets.
pub(super) fn kept(text: &str, bytes_max: usize) -> String {
    let cut = cut(text, bytes_max);
    let mut kept = hidden(cut);
    if cut.len() < text.len() {
        kept.push('…');
    }
    kept
}

/// The text up to a whole character at or before `bytes_max`.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

fn hidden(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut is_secret = false;
    // The values of EXECUTE are parameters, which are never kept.
    let mut is_execute = false;
    let mut is_first = true;
    // A value in the wrong quotes, as `password = "x"`, is one all the same.
    let mut is_assigned = false;
    while let Some((piece, kind)) = next_piece(rest) {
        rest = rest.get(piece.len()..).unwrap_or_default();
        match kind {
            Piece::Blank => out.push_str(piece),
            Piece::Literal if is_secret || is_execute => {
                out.push_str(HIDDEN);
                is_secret = false;
            }
            Piece::Literal => {
                // A quoted key of a map or of WITH: 'password' = 'x'.
                out.push_str(&without_parameters(&without_userinfo(piece)));
                is_secret = names_a_secret(piece);
            }
            Piece::Word if is_secret && is_assigned && piece.starts_with('"') => {
                out.push_str(HIDDEN);
                is_secret = false;
            }
            Piece::Number if is_execute => out.push_str("***"),
            Piece::Word | Piece::Number => {
                is_execute |= is_first && piece.eq_ignore_ascii_case("execute");
                let between = BETWEEN.iter().any(|b| piece.eq_ignore_ascii_case(b));
                is_secret = names_a_secret(piece) || (is_secret && between);
                out.push_str(piece);
            }
            Piece::Sign => {
                is_secret &= BETWEEN.contains(&piece);
                out.push_str(piece);
            }
        }
        is_first &= kind == Piece::Blank;
        if kind != Piece::Blank {
            is_assigned = piece == "=";
        }
    }
    out
}

fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

/// `scheme://user:password@host` without the password.
fn without_userinfo(literal: &str) -> String {
    let Some((scheme, rest)) = literal.split_once("://") else { return literal.to_owned() };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // A password may contain a slash that nobody escaped: the last '@' of all counts.
    let Some(at) = rest.rfind('@') else { return literal.to_owned() };
    let Some(colon) = rest.get(..at).and_then(|info| info.find(':')) else {
        return literal.to_owned();
    };
    if colon > authority_end {
        return literal.to_owned();
    }
    let (user, host) = (rest.get(..colon).unwrap_or(""), rest.get(at..).unwrap_or(""));
    format!("{scheme}://{user}:***{host}")
}

/// A URL or a list of parameters, as `host=h password=p`, without what is called a password.
fn without_parameters(literal: &str) -> String {
    const NAMES: [&str; 2] = ["password=", "passwd="];
    let lower = literal.to_ascii_lowercase();
    let mut out = String::with_capacity(literal.len());
    let mut at = 0;
    while let Some(rest) = lower.get(at..) {
        let found = NAMES.iter().filter_map(|name| Some((rest.find(name)?, name.len()))).min();
        let Some((begin, length)) = found else { break };
        let value = at + begin + length;
        let end = lower.get(value..).and_then(|v| v.find(['&', ' ', '\'', '#']));
        let end = end.map_or(lower.len(), |end| value + end);
        out.push_str(literal.get(at..value).unwrap_or_default());
        out.push_str("***");
        at = end;
    }
    out.push_str(literal.get(at..).unwrap_or_default());
    out
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// White space and comments.
    Blank,
    /// A name: quoted by a double quote or a backtick, or not at all.
    Word,
    Number,
    /// A string, up to the end of the text where its end is missing.
    Literal,
    Sign,
}

fn next_piece(text: &str) -> Option<(&str, Piece)> {
    let first = text.chars().next()?;
    let up_to = |end: usize| text.get(..end).unwrap_or(text);
    let while_of = |is: fn(char) -> bool| up_to(text.find(|c| !is(c)).unwrap_or(text.len()));
    if first.is_whitespace() {
        return Some((while_of(char::is_whitespace), Piece::Blank));
    }
    if text.starts_with("--") {
        return Some((up_to(text.find('\n').unwrap_or(text.len())), Piece::Blank));
    }
    if text.starts_with("/*") {
        let end = text.find("*/").map_or(text.len(), |at| at + 2);
        return Some((up_to(end), Piece::Blank));
    }
    match first {
        '\'' => Some((quoted(text, '\''), Piece::Literal)),
        '"' | '`' => Some((quoted(text, first), Piece::Word)),
        '$' => Some(match dollar_quoted(text) {
            Some(literal) => (literal, Piece::Literal),
            None => (up_to(1), Piece::Sign),
        }),
        c if c.is_ascii_digit() => {
            Some((while_of(|c| c.is_alphanumeric() || c == '.' || c == '_'), Piece::Number))
        }
        c if c.is_alphanumeric() || c == '_' => {
            let word = while_of(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
            Some((word, Piece::Word))
        }
        c => Some((up_to(c.len_utf8()), Piece::Sign)),
    }
}

/// From a quote to its partner; a doubled one is part of the string.
fn quoted(text: &str, quote: char) -> &str {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            match chars.peek() {
                Some((_, next)) if *next == quote => drop(chars.next()),
                _ => return text.get(..at + c.len_utf8()).unwrap_or(text),
            }
        }
    }
    text
}

/// `$tag$ … $tag$`.
fn dollar_quoted(text: &str) -> Option<&str> {
    let tag_end = text.get(1..)?.find('$')? + 2;
    let tag = text.get(..tag_end)?;
    let inner = tag.get(1..tag.len() - 1)?;
    if !inner.chars().all(|c| c.is_alphanumeric() || c == '_')
        || inner.starts_with(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    let end = text.get(tag_end..)?.find(tag).map_or(text.len(), |at| tag_end + at + tag.len());
    text.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_all_else_is_kept() {
        for (text, expected) in [
            ("SELECT 'x' AS y -- password 'x'", "SELECT 'x' AS y -- password 'x'"),
            (
                "CREATE CATALOG s WITH (url = 'postgres://u:pw@h/d?x=1', password = 'c''anary')",
                "CREATE CATALOG s WITH (url = 'postgres://u:***@h/d?x=1', password = '***')",
            ),
            (
                "url = 'postgres://h/d?PassWord=canary&x=1'",
                "url = 'postgres://h/d?PassWord=***&x=1'",
            ),
            ("url = 'host=h password=canary'", "url = 'host=h password=***'"),
            ("WITH (password = \"canary\", n = 1)", "WITH (password = '***', n = 1)"),
            ("SELECT token AS \"Name\" FROM t", "SELECT token AS \"Name\" FROM t"),
            ("WITH ('secret_key' => $$canary$$, n = 1)", "WITH ('secret_key' => '***', n = 1)"),
            ("ALTER USER u IDENTIFIED BY 'canary'", "ALTER USER u IDENTIFIED BY '***'"),
            ("SET \"Auth.Token\" TO 'canary'", "SET \"Auth.Token\" TO '***'"),
            ("WITH (password /* x */ = 'canary", "WITH (password /* x */ = '***'"),
            ("WITH (password = env('P'))", "WITH (password = env('P'))"),
            ("EXECUTE p('canary', 42)", "EXECUTE p('***', ***)"),
            ("SELECT password FROM u WHERE name = 'x'", "SELECT password FROM u WHERE name = 'x'"),
        ] {
            assert_eq!(kept(text, 1_000), expected);
        }
    }

    #[test]
    fn a_text_is_cut_at_a_character_and_hides_a_secret_that_was_cut() {
        assert_eq!(kept("ääää", 3), "ä…");
        assert_eq!(kept("x PASSWORD 'canary'", 15), "x PASSWORD '***'…");
    }

    #[test]
    fn no_text_makes_it_panic_or_show_the_canary() {
        let mut seed = 11_u64;
        for _ in 0..3_000 {
            let mut text = String::new();
            for _ in 0..12 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let pieces =
                    ["'", "$", "$$", "\"", "ä", "--", "/*", "*/", " ", "=", "x", "\n", "1"];
                text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            }
            let _kept = kept(&text, 20);
        }
    }
}
