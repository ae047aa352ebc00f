//! A place in bytes that are not trusted: nothing is read past their end.

use super::flaw::{Flaw, Sound};

/// Ten groups of seven bits hold any 64-bit number.
const NUMBER_BYTES_MAX: usize = 10;

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What has been read since `before`, an earlier state of this cursor.
    pub(super) fn since(&self, before: Self) -> &'a [u8] {
        let length = before.rest.len().saturating_sub(self.rest.len());
        before.rest.get(..length).unwrap_or_default()
    }

    /// The next `length` bytes.
    pub(super) fn take(&mut self, length: usize) -> Sound<&'a [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(Flaw::corrupt(format!(
                "{length} bytes are needed where {} remain",
                self.rest.len()
            )));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Sound<u8> {
        let Some((byte, rest)) = self.rest.split_first() else {
            return Err(Flaw::corrupt("the bytes end where a value should be"));
        };
        self.rest = rest;
        Ok(*byte)
    }

    /// A number: variable length, zigzag.
    pub(super) fn long(&mut self) -> Sound<i64> {
        let mut value = 0_u64;
        for (at, byte) in self.rest.iter().take(NUMBER_BYTES_MAX).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                if at == NUMBER_BYTES_MAX - 1 && *byte > 1 {
                    break;
                }
                self.rest = self.rest.get(at + 1..).unwrap_or_default();
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(Flaw::corrupt(if self.rest.len() < NUMBER_BYTES_MAX {
            "the bytes end within a number"
        } else {
            "a number has more than 64 bits"
        }))
    }

    /// The length of something that follows, which must fit in what remains.
    pub(super) fn length(&mut self) -> Sound<usize> {
        let claimed = self.long()?;
        usize::try_from(claimed).ok().filter(|length| *length <= self.rest.len()).ok_or_else(|| {
            Flaw::corrupt(format!("a length of {claimed} where {} bytes remain", self.rest.len()))
        })
    }
}

/// Appends `number` as [`Cursor::long`] reads it.
pub(super) fn put_long(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        let [low, ..] = rest.to_le_bytes();
        out.push(low | 0x80);
        rest >>= 7;
    }
    let [low, ..] = rest.to_le_bytes();
    out.push(low);
}
