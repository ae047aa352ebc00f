//! A memory limit as users write it: `4GB`, `512MiB`, `50%`.

/// The least that a query engine can do anything with.
const LIMIT_BYTES_MIN: u64 = 64 << 20;
const ACCEPTED: &str = "a size of at least 64MiB such as 4GB or 512MiB, or a share of the machine's memory such as 50%";

/// How much memory all operators of the process may hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLimit {
    /// So many bytes.
    Bytes(u64),
    /// So many hundredths of the machine's memory, 1 to 95.
    Percent(u8),
}

impl MemoryLimit {
    /// Parses a size or a share.
    ///
    /// # Errors
    /// A sentence with what was found and what is accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse(text).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            format!("found {shown:?}; accepted: {ACCEPTED}")
        })
    }
}

fn parse(text: &str) -> Option<MemoryLimit> {
    let text = text.trim();
    if let Some(percent) = text.strip_suffix('%') {
        let percent: u8 = percent.trim().parse().ok()?;
        return (1..=95).contains(&percent).then_some(MemoryLimit::Percent(percent));
    }
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_bytes: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = u32::try_from(fraction.len()).ok().filter(|d| (1..=6).contains(d))?;
    let whole: u64 = whole.parse().ok()?;
    let fraction: u64 = fraction.parse().ok()?;
    let part = fraction.checked_mul(unit_bytes)? / 10_u64.pow(digits);
    let bytes = whole.checked_mul(unit_bytes)?.checked_add(part)?;
    (bytes >= LIMIT_BYTES_MIN).then_some(MemoryLimit::Bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_shares_are_read() {
        for (text, expected) in [
            ("4GB", MemoryLimit::Bytes(4_000_000_000)),
            ("1.5 GiB", MemoryLimit::Bytes(1_610_612_736)),
            ("512mib", MemoryLimit::Bytes(512 << 20)),
            ("100000000", MemoryLimit::Bytes(100_000_000)),
            ("50%", MemoryLimit::Percent(50)),
        ] {
            assert_eq!(MemoryLimit::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_what_is_accepted() {
        for text in
            ["", "4 Gigs", "-1GB", "0%", "100%", "1KB", "1..5GB", "99999999999TB", "1.GB", "½GB"]
        {
            let error = MemoryLimit::parse(text).unwrap_err();
            assert!(error.contains("accepted"), "{text}: {error}");
        }
    }
}
