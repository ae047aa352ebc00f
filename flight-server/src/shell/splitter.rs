//! Cuts a script at its semicolons, outside quotes and comments. What a statement means is the
//! engine's business; where it ends must be known before, so that earlier ones run first.

/// A statement's text and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a str,
    /// Bytes of the script before it.
    pub(crate) offset: usize,
}

impl Piece<'_> {
    /// The text with as many line breaks and blanks before it as in the script, so that the
    /// engine's line and column numbers are the script's.
    pub(crate) fn padded(&self, script: &str) -> String {
        let before = &script[..self.offset];
        let lines = before.matches('\n').count();
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
        format!("{}{}{}", "\n".repeat(lines), " ".repeat(column), self.text)
    }
}

/// The statements of a script, and whether the last one still lacks its semicolon.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Split<'a> {
    pub(crate) pieces: Vec<Piece<'a>>,
    pub(crate) is_open: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Plain,
    Quoted(u8),
    LineComment,
    BlockComment(usize),
}

/// Splits `script`. Pieces of blanks and comments alone are left out.
pub(crate) fn split(script: &str) -> Split<'_> {
    let bytes = script.as_bytes();
    let (mut pieces, mut start, mut i) = (Vec::new(), 0, 0);
    let mut state = State::Plain;
    // Where the current statement's first word is; comments before it are not part of it.
    let mut first: Option<usize> = None;
    while i < bytes.len() {
        let (byte, next) = (bytes[i], bytes.get(i + 1).copied());
        let mut width = 1;
        match state {
            State::Plain => match (byte, next) {
                (b'\'' | b'"' | b'`', _) => {
                    first.get_or_insert(i);
                    state = State::Quoted(byte);
                }
                (b'-', Some(b'-')) => (state, width) = (State::LineComment, 2),
                (b'/', Some(b'*')) => (state, width) = (State::BlockComment(1), 2),
                (b';', _) => {
                    if let Some(offset) = first.take() {
                        pieces.push(Piece { text: script[offset..i].trim_end(), offset });
                    }
                    start = i + 1;
                }
                (b'$', _) => {
                    first.get_or_insert(i);
                    width = dollar_quoted(&script[i..]);
                }
                (byte, _) if !byte.is_ascii_whitespace() => {
                    first.get_or_insert(i);
                }
                _ => {}
            },
            // A doubled quote closes and opens again, which comes to the same.
            State::Quoted(quote) if byte == quote => state = State::Plain,
            State::LineComment if byte == b'\n' => state = State::Plain,
            State::BlockComment(depth) => match (byte, next) {
                (b'*', Some(b'/')) => {
                    width = 2;
                    state = if depth == 1 { State::Plain } else { State::BlockComment(depth - 1) };
                }
                (b'/', Some(b'*')) => (state, width) = (State::BlockComment(depth + 1), 2),
                _ => {}
            },
            _ => {}
        }
        i += width;
    }
    let in_comment = matches!(state, State::BlockComment(_));
    let is_open = first.is_some() || in_comment;
    if let Some(offset) = first {
        pieces.push(Piece { text: script[offset..].trim_end(), offset });
    } else if in_comment {
        // The engine will say what is wrong with it.
        pieces.push(Piece { text: script[start..].trim_end(), offset: start });
    }
    Split { pieces, is_open }
}

/// The width of a `$tag$ … $tag$` at the front, or of a lone dollar.
fn dollar_quoted(text: &str) -> usize {
    let Some(tag_end) = text[1..].find('$').map(|i| i + 2) else { return 1 };
    let tag = &text[..tag_end];
    let is_tag = tag[1..tag.len() - 1].chars().all(|c| c.is_alphanumeric() || c == '_')
        && !tag[1..].starts_with(|c: char| c.is_ascii_digit());
    if !is_tag {
        return 1;
    }
    text[tag_end..].find(tag).map_or(text.len(), |end| tag_end + end + tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: &str) -> Vec<&str> {
        split(script).pieces.iter().map(|p| p.text).collect()
    }

    #[test]
    fn semicolons_in_quotes_and_comments_do_not_split() {
        assert_eq!(texts("select ';' ; select \"a;b\""), ["select ';'", "select \"a;b\""]);
        assert_eq!(texts("select 'it''s; ' ;"), ["select 'it''s; '"]);
        assert_eq!(
            texts("-- one; two\nselect 1; /* ; /* ; */ ; */ select 2"),
            ["select 1", "select 2"]
        );
        assert_eq!(
            texts("select $a$ ; $b$ ; $a$; select 1"),
            ["select $a$ ; $b$ ; $a$", "select 1"]
        );
        assert_eq!(texts("execute p($1); select 1"), ["execute p($1)", "select 1"]);
        assert_eq!(texts(" ; ;\n-- nothing\n;"), Vec::<&str>::new());
        assert_eq!(texts("select 'é;'; select 2"), ["select 'é;'", "select 2"]);
    }

    #[test]
    fn a_statement_is_open_until_its_semicolon() {
        for (script, is_open) in [
            ("select 1", true),
            ("select 1;", false),
            ("select 1; -- done", false),
            ("select ';", true),
            ("/* ; ", true),
            ("-- ;", false),
            ("", false),
        ] {
            assert_eq!(split(script).is_open, is_open, "{script:?}");
        }
    }

    #[test]
    fn padding_keeps_lines_and_columns() {
        let script = "select 1;\n  select 2";
        assert_eq!(split(script).pieces[1].padded(script), "\n  select 2");
    }
}
