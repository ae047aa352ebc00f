//! A length of time as users write it: `500ms`, `30s`, `10min`, `24h`, `7d`.

use std::time::Duration;

/// Longer than anybody waits; timers reach it.
const DURATION_MAX: Duration = Duration::from_hours(24 * 365);
const ACCEPTED: &str = "a time with its unit such as 500ms, 30s, 10min, 24h or 7d, at most 365d";

/// Parses a length of time that is more than nothing.
///
/// # Errors
/// A sentence with what was found and what is accepted.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    parse(text).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        format!("found {shown:?}; accepted: {ACCEPTED}")
    })
}

fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let unit_ms: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    let time = Duration::from_millis(number.checked_mul(unit_ms)?);
    (!time.is_zero() && time <= DURATION_MAX).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, expected) in [
            ("500ms", Duration::from_millis(500)),
            ("30s", Duration::from_secs(30)),
            ("10 min", Duration::from_secs(600)),
            ("24H", Duration::from_secs(86_400)),
            ("7d", Duration::from_secs(604_800)),
        ] {
            assert_eq!(parse_duration(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_what_is_accepted() {
        for text in
            ["", "30", "-1s", "0s", "1.5h", "366d", "99999999999999999999s", "5 weeks", "ms"]
        {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains("accepted") && error.contains("30s"), "{text}: {error}");
        }
    }
}
