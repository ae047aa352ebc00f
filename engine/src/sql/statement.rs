//! A parsed statement, with its text.

/// One statement of a script.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its own text, trimmed, without the final semicolon.
    pub text: String,
}
