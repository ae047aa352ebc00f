//! How deep JSON nests, counted before a parser recurses into it.

/// JSON nested deeper than this is refused: what it becomes is walked recursively.
pub(crate) const DEPTH_MAX: usize = 100;

/// Whether `json` nests deeper than `levels`. Counts brackets outside strings.
pub(crate) fn nests_deeper(json: &[u8], levels: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > levels {
            return true;
        }
    }
    false
}
