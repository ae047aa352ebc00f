//! Backslash commands: short forms of SHOW and DESCRIBE, and the shell's own switches.

/// What a backslash command asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Helper {
    /// Run this statement.
    Sql(String),
    /// Show how long statements take, or no longer.
    Timing,
    /// One value a line, or no longer.
    Expanded,
    /// List the commands.
    Help,
    /// Leave.
    Quit,
    /// None of them.
    Unknown(String),
}

pub(super) const HELP: &str = "\
\\d         tables of the current schema      \\d NAME   columns of a table or view
\\dt        tables       \\dv  views            \\dn       schemas      \\l  catalogs
\\x         one value a line, on or off       \\timing   time of each statement, on or off
\\?         this help                         \\q        leave (also Ctrl-D)
Statements end with a semicolon. Ctrl-C cancels a running statement or clears the line.";

/// Reads a line that begins with a backslash.
pub(super) fn parse(line: &str) -> Helper {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (command, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = argument.trim();
    let in_schema = |statement: &str| {
        let from = if argument.is_empty() { String::new() } else { format!(" FROM {argument}") };
        Helper::Sql(format!("{statement}{from}"))
    };
    match command {
        "\\d" | "\\d+" if !argument.is_empty() => Helper::Sql(format!("DESCRIBE {argument}")),
        "\\d" | "\\d+" | "\\dt" => in_schema("SHOW TABLES"),
        "\\dv" => in_schema("SHOW VIEWS"),
        "\\dn" => in_schema("SHOW SCHEMAS"),
        "\\l" => Helper::Sql("SHOW CATALOGS".to_owned()),
        "\\timing" => Helper::Timing,
        "\\x" => Helper::Expanded,
        "\\?" | "\\h" | "\\help" => Helper::Help,
        "\\q" | "\\quit" => Helper::Quit,
        other => Helper::Unknown(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_become_statements() {
        let sql = |text: &str| Helper::Sql(text.to_owned());
        assert_eq!(parse("\\d"), sql("SHOW TABLES"));
        assert_eq!(parse("\\d gold.\"My Table\" ;"), sql("DESCRIBE gold.\"My Table\""));
        assert_eq!(parse("\\dt iceberg.gold"), sql("SHOW TABLES FROM iceberg.gold"));
        assert_eq!(parse("\\dn"), sql("SHOW SCHEMAS"));
        assert_eq!(parse("\\l"), sql("SHOW CATALOGS"));
        assert_eq!(parse("\\timing"), Helper::Timing);
        assert_eq!(parse("\\nope x"), Helper::Unknown("\\nope".to_owned()));
    }
}
