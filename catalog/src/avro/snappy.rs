//! Snappy's raw format, inflated within a bound.

use super::bound::Bound;
use super::flaw::{Flaw, Sound};

/// The largest length that the format can spell: 32 bits, seven a byte.
const LENGTH_BYTES_MAX: usize = 5;

/// Inflates `block` within `bound`.
pub(super) fn inflate(block: &[u8], bound: Bound) -> Sound<Vec<u8>> {
    let (length, mut rest) = length(block)?;
    bound.check("snappy", length as u64)?;
    let mut out = Vec::with_capacity(length);
    while let Some((tag, after)) = rest.split_first() {
        rest = match tag & 3 {
            0 => literal(&mut out, *tag, after)?,
            kind => copy(&mut out, kind, *tag, after, length)?,
        };
        if out.len() > length {
            return Err(damaged("has more bytes than it says"));
        }
    }
    if out.len() < length {
        return Err(damaged("has fewer bytes than it says"));
    }
    Ok(out)
}

fn damaged(problem: &str) -> Box<Flaw> {
    Flaw::corrupt(format!("snappy data {problem}"))
}

fn length(block: &[u8]) -> Sound<(usize, &[u8])> {
    let mut length = 0_usize;
    for (at, byte) in block.iter().take(LENGTH_BYTES_MAX).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok((length, block.get(at + 1..).unwrap_or_default()));
        }
    }
    Err(damaged("has no length"))
}

/// A little-endian number of `width` bytes, and what follows it.
fn number(bytes: &[u8], width: usize) -> Sound<(usize, &[u8])> {
    let (number, rest) =
        bytes.split_at_checked(width).ok_or_else(|| damaged("ends within an element"))?;
    Ok((number.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest))
}

fn literal<'a>(out: &mut Vec<u8>, tag: u8, rest: &'a [u8]) -> Sound<&'a [u8]> {
    let (length, rest) = match usize::from(tag >> 2) {
        short @ 0..60 => (short, rest),
        long => number(rest, long - 59)?,
    };
    let (bytes, rest) =
        rest.split_at_checked(length + 1).ok_or_else(|| damaged("ends within a literal"))?;
    out.extend_from_slice(bytes);
    Ok(rest)
}

fn copy<'a>(
    out: &mut Vec<u8>,
    kind: u8,
    tag: u8,
    rest: &'a [u8],
    length_max: usize,
) -> Sound<&'a [u8]> {
    let (length, offset, rest) = match kind {
        1 => {
            let (low, rest) = number(rest, 1)?;
            (4 + usize::from(tag >> 2 & 7), usize::from(tag >> 5) << 8 | low, rest)
        }
        kind => {
            let (offset, rest) = number(rest, if kind == 2 { 2 } else { 4 })?;
            (1 + usize::from(tag >> 2), offset, rest)
        }
    };
    let from = out.len().checked_sub(offset).filter(|_| offset > 0);
    let from = from.ok_or_else(|| damaged("copies from before its start"))?;
    if out.len() + length > length_max {
        return Err(damaged("has more bytes than it says"));
    }
    // The copy may overlap what it writes: that is how runs are spelled.
    for at in from..from + length {
        let byte = out.get(at).copied().unwrap_or_default();
        out.push(byte);
    }
    Ok(rest)
}
