//! Which schemas and tables are asked for.

/// What a listed relation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableKind {
    /// A table.
    BaseTable,
    /// A relation of the information schema.
    SystemTable,
    /// A view.
    View,
}

impl TableKind {
    /// Every kind, sorted by name.
    pub const ALL: [Self; 3] = [Self::BaseTable, Self::SystemTable, Self::View];

    /// What SQL calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::BaseTable => "BASE TABLE",
            Self::SystemTable => "SYSTEM TABLE",
            Self::View => "VIEW",
        }
    }

    /// The kind of this name, regardless of case; JDBC's `TABLE` is SQL's `BASE TABLE`.
    pub fn by_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("TABLE") {
            return Some(Self::BaseTable);
        }
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

/// Which schemas. Patterns are LIKE's, with a backslash before what is meant literally, and match
/// regardless of case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaFilter {
    /// The name of a catalog; `None`: all.
    pub catalog: Option<String>,
    /// A pattern for schemas; `None`: all.
    pub schema_pattern: Option<String>,
}

/// Whether columns are loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Columns {
    /// Names alone: no metadata is read.
    #[default]
    Skipped,
    /// Each table's metadata is read, each view is planned.
    Loaded,
}

/// Which tables and views.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFilter {
    /// Where they lie.
    pub schemas: SchemaFilter,
    /// A pattern for names; `None`: all.
    pub table_pattern: Option<String>,
    /// Which kinds; `None`: all.
    pub kinds: Option<Vec<TableKind>>,
    /// Whether columns are loaded.
    pub columns: Columns,
}

/// The one name that a pattern is written as; `None` where it has `%`. An underscore that nobody
/// escaped stands for itself: most clients pass names on as they are.
pub(super) fn name_in(pattern: &str) -> Option<String> {
    let mut name = String::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '%' => return None,
            '\\' => name.push(letters.next().unwrap_or(letter)),
            letter => name.push(letter),
        }
    }
    Some(name)
}

/// The pattern that finds `name` alone.
pub(super) fn literal(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    for letter in name.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}
