//! LIKE over names: `%` for any characters, `_` for one, regardless of case as names are.

use crate::sql::ddl::ast::LikePattern;

enum Part {
    Any,
    One,
    Literal(char),
}

/// A pattern ready to be matched.
pub(crate) struct Matcher(Option<Pattern>);

struct Pattern {
    parts: Vec<Part>,
    /// Characters that a name needs at least.
    letters: usize,
}

impl Matcher {
    /// `None` matches every name.
    pub(crate) fn new(pattern: Option<&LikePattern>) -> Self {
        let Some(pattern) = pattern else { return Self(None) };
        let mut parts = Vec::new();
        let mut letters = pattern.pattern.chars();
        while let Some(letter) = letters.next() {
            if Some(letter) == pattern.escape {
                // An escape at the very end stands for itself.
                let literal = letters.next().unwrap_or(letter);
                parts.extend(literal.to_lowercase().map(Part::Literal));
                continue;
            }
            match letter {
                // A run of them says no more than one, and would be walked for every name.
                '%' if matches!(parts.last(), Some(Part::Any)) => {}
                '%' => parts.push(Part::Any),
                '_' => parts.push(Part::One),
                _ => parts.extend(letter.to_lowercase().map(Part::Literal)),
            }
        }
        let letters = parts.iter().filter(|part| !matches!(part, Part::Any)).count();
        Self(Some(Pattern { parts, letters }))
    }

    /// A pattern as clients send it to find names: a backslash takes the next character literally.
    pub(crate) fn of_names(pattern: Option<&str>) -> Self {
        let escape = Some('\\');
        let like = |pattern: &str| LikePattern { pattern: pattern.to_owned(), escape };
        Self::new(pattern.map(like).as_ref())
    }

    /// Whether the name matches.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let Some(Pattern { parts, letters }) = &self.0 else { return true };
        let name: Vec<char> = name.to_lowercase().chars().collect();
        // Clients ask for tables whose name is the text of a statement.
        if name.len() < *letters {
            return false;
        }
        let (mut at, mut part) = (0, 0);
        // Where to go on when the characters after the last `%` do not match.
        let mut retry: Option<(usize, usize)> = None;
        while at < name.len() {
            match parts.get(part) {
                Some(Part::Any) => {
                    retry = Some((part + 1, at));
                    part += 1;
                    continue;
                }
                Some(Part::One) => {
                    at += 1;
                    part += 1;
                    continue;
                }
                Some(Part::Literal(letter)) if *letter == name[at] => {
                    at += 1;
                    part += 1;
                    continue;
                }
                _ => {}
            }
            let Some((after_any, from)) = retry else { return false };
            retry = Some((after_any, from + 1));
            part = after_any;
            at = from + 1;
        }
        parts[part..].iter().all(|p| matches!(p, Part::Any))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, escape: Option<char>, name: &str) -> bool {
        Matcher::new(Some(&LikePattern { pattern: pattern.to_owned(), escape })).matches(name)
    }

    #[test]
    fn patterns_match_as_like_does_regardless_of_case() {
        assert!(check("cust%", None, "Customers"));
        assert!(check("%e%s", None, "customers"));
        assert!(check("_b%", None, "abc"));
        assert!(check("%", None, ""));
        assert!(!check("_", None, ""));
        assert!(!check("cust", None, "customers"));
        assert!(!check("%x", None, "customers"));
        assert!(check("a\\_b", Some('\\'), "a_b"));
        assert!(!check("a\\_b", Some('\\'), "axb"));
        assert!(check("%ab%ab", None, "abab"));
        assert!(check("%%%s%%", None, "customers"));
        assert!(!check("customers_", None, "customers"));
        assert!(Matcher::new(None).matches("anything"));
        assert!(Matcher::of_names(Some(r"a\_\%b")).matches("A_%b"));
        assert!(!Matcher::of_names(Some(r"a\_b")).matches("axb"));
    }

    #[test]
    fn a_hostile_pattern_is_walked_once_a_name() {
        let started = std::time::Instant::now();
        let names: Vec<String> = (0..5_000).map(|i| format!("table_{i}")).collect();
        for pattern in ["%".repeat(1 << 20) + "x", "%a".repeat(1 << 20), "_".repeat(1 << 20)] {
            let matcher = Matcher::of_names(Some(&pattern));
            assert!(!names.iter().any(|name| matcher.matches(name)));
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(5));
    }
}
