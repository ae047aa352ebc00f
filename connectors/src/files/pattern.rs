//! Path patterns: `*`, `?` and `[…]` within a path segment, `**` for any number of segments.

/// A path cut before its first segment with a wildcard.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// What to resolve: no wildcard in it.
    pub(super) base: String,
    /// The rest, a segment each; empty when the path has no wildcard.
    pub(super) segments: Vec<String>,
}

impl Pattern {
    pub(super) fn parse(path: &str) -> Self {
        let Some(wildcard) = path.find(['*', '?', '[']) else {
            return Self { base: path.to_owned(), segments: Vec::new() };
        };
        let (base, rest) = match path[..wildcard].rfind('/') {
            // The root of a file system or of a bucket keeps its slash.
            Some(0) => ("/", &path[1..]),
            Some(slash) if path[..slash].ends_with('/') => (&path[..=slash], &path[slash + 1..]),
            Some(slash) if path[..slash].matches('/').count() == 2 && path.contains("://") => {
                (&path[..=slash], &path[slash + 1..])
            }
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (".", path),
        };
        let segments = rest.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect();
        Self { base: base.to_owned(), segments }
    }
}

/// The most paths that the braces of one path stand for.
const ALTERNATIVES_MAX: usize = 1_000;

/// The paths that `a/{b,c}.csv` stands for; `None` for braces without a partner, or too many.
pub(super) fn expand_braces(path: &str) -> Option<Vec<String>> {
    let Some(open) = path.find('{') else { return Some(vec![path.to_owned()]) };
    let close = open + path[open..].find('}')?;
    let inner = &path[open + 1..close];
    // Nested braces are not worth a parser.
    if inner.contains('{') {
        return None;
    }
    let rests = expand_braces(&path[close + 1..])?;
    let mut paths = Vec::new();
    for alternative in inner.split(',') {
        for rest in &rests {
            if paths.len() == ALTERNATIVES_MAX {
                return None;
            }
            paths.push(format!("{}{alternative}{rest}", &path[..open]));
        }
    }
    Some(paths)
}

/// Whether `segments` match the whole of `names`.
pub(super) fn matches_path(segments: &[String], names: &[&str]) -> bool {
    // Dynamic programming instead of backtracking: `**/**/**` must not be exponential.
    let mut reachable = vec![false; names.len() + 1];
    reachable[0] = true;
    for segment in segments {
        let mut next = vec![false; names.len() + 1];
        if segment == "**" {
            let mut open = false;
            for (i, slot) in next.iter_mut().enumerate() {
                open |= reachable[i];
                *slot = open;
            }
        } else {
            for (i, name) in names.iter().enumerate() {
                next[i + 1] = reachable[i] && matches_segment(segment, name);
            }
        }
        reachable = next;
    }
    reachable[names.len()]
}

/// Whether one segment's pattern matches one name.
pub(super) fn matches_segment(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Where to resume after the last star: the greedy algorithm needs to remember one only.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
        } else if let Some(width) = pattern.get(p).and_then(|_| matches_one(&pattern[p..], name[n]))
        {
            p += width;
            n += 1;
        } else if let Some((star_p, star_n)) = star {
            p = star_p + 1;
            n = star_n + 1;
            star = Some((star_p, star_n + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The width of the pattern item at the front if it matches `c`.
fn matches_one(pattern: &[char], c: char) -> Option<usize> {
    match pattern[0] {
        '?' => Some(1),
        '[' => match class_end(pattern) {
            Some(end) => class_holds(&pattern[1..end], c).then_some(end + 1),
            None => (c == '[').then_some(1),
        },
        literal => (literal == c).then_some(1),
    }
}

/// The index of the `]` that ends a class; a `]` in first place is a member.
fn class_end(pattern: &[char]) -> Option<usize> {
    let first = if matches!(pattern.get(1), Some('!' | '^')) { 2 } else { 1 };
    (first + 1..pattern.len()).find(|i| pattern[*i] == ']')
}

fn class_holds(class: &[char], c: char) -> bool {
    let (negated, members) = match class.first() {
        Some('!' | '^') => (true, &class[1..]),
        _ => (false, class),
    };
    let mut held = false;
    let mut i = 0;
    while i < members.len() {
        if i + 2 < members.len() && members[i + 1] == '-' {
            held |= members[i] <= c && c <= members[i + 2];
            i += 3;
        } else {
            held |= members[i] == c;
            i += 1;
        }
    }
    held != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cut_before_its_first_wildcard() {
        for (path, base, segments) in [
            ("/a/b.csv", "/a/b.csv", vec![]),
            ("/a/*.csv", "/a", vec!["*.csv"]),
            ("/*.csv", "/", vec!["*.csv"]),
            ("*.csv", ".", vec!["*.csv"]),
            ("a/b?/**/c[12]", "a", vec!["b?", "**", "c[12]"]),
            ("s3://bucket/*.csv", "s3://bucket/", vec!["*.csv"]),
            ("s3://bucket/x/*.csv", "s3://bucket/x", vec!["*.csv"]),
            ("file:///*.csv", "file:///", vec!["*.csv"]),
        ] {
            let pattern = Pattern::parse(path);
            assert_eq!(
                (pattern.base.as_str(), pattern.segments),
                (base, segments.iter().map(|s| (*s).to_owned()).collect()),
                "{path}"
            );
        }
    }

    #[test]
    fn segments_match_as_shells_match_them() {
        for (pattern, name, expected) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("[!a-c]x", "dx", true),
            ("[]]x", "]x", true),
            ("[x", "[x", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxbxxa", false),
            ("", "", true),
            ("é*", "école", true),
        ] {
            assert_eq!(matches_segment(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn braces_stand_for_alternatives() {
        assert_eq!(
            expand_braces("a/{b,c}{1,2}.csv").unwrap(),
            ["a/b1.csv", "a/b2.csv", "a/c1.csv", "a/c2.csv"]
        );
        assert_eq!(expand_braces("a{").as_deref(), None);
        assert_eq!(expand_braces("{a,{b,c}}").as_deref(), None);
    }

    #[test]
    fn double_star_spans_any_number_of_segments() {
        let segments = |s: &str| s.split('/').map(str::to_owned).collect::<Vec<_>>();
        assert!(matches_path(&segments("**/*.csv"), &["a.csv"]));
        assert!(matches_path(&segments("**/*.csv"), &["x", "y", "a.csv"]));
        assert!(!matches_path(&segments("x/**/y/*.csv"), &["x", "a.csv"]));
        assert!(matches_path(&segments("x/**/y/*.csv"), &["x", "q", "y", "a.csv"]));
        assert!(!matches_path(&segments("*"), &["a", "b"]));
    }
}
