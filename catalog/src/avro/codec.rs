//! How the blocks of a file are compressed, and inflating them within bounds.

use std::borrow::Cow;
use std::io::Read;

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::bound::Bound;
use super::flaw::{Flaw, Sound};
use super::{snappy, zstd};

/// A checksum follows Snappy's data.
const CHECKSUM_BYTES: usize = 4;

/// The compression of a file's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
}

impl Codec {
    /// The codec of that name in `avro.codec`.
    pub(super) fn named(name: &[u8]) -> Sound<Self> {
        match name {
            b"null" => Ok(Self::Null),
            b"deflate" => Ok(Self::Deflate),
            b"snappy" => Ok(Self::Snappy),
            b"zstandard" => Ok(Self::Zstandard),
            other => Err(Flaw::unsupported(format!(
                "its codec is {:?}: null, deflate, snappy and zstandard are supported",
                String::from_utf8_lossy(other.get(..other.len().min(64)).unwrap_or_default())
            ))),
        }
    }

    /// The content of `block`, in a file whose earlier blocks came to `before` bytes.
    pub(super) fn inflate(self, block: &[u8], before: usize) -> Sound<Cow<'_, [u8]>> {
        let bound = Bound::of(block, before);
        let inflated = match self {
            Self::Null => return Ok(Cow::Borrowed(block)),
            Self::Deflate => inflate_deflate(block, bound)?,
            Self::Snappy => inflate_snappy(block, bound)?,
            Self::Zstandard => zstd::inflate(block, bound)?,
        };
        Ok(Cow::Owned(inflated))
    }
}

fn inflate_deflate(block: &[u8], bound: Bound) -> Sound<Vec<u8>> {
    let mut inflated = Vec::new();
    // Some writers leave a part of a checksum behind the data, which the decoder does not touch.
    DeflateDecoder::new(block)
        .take((bound.bytes as u64).saturating_add(1))
        .read_to_end(&mut inflated)
        .map_err(|e| Flaw::corrupt("deflate data is damaged").with_source(e))?;
    bound.check("deflate", inflated.len() as u64)?;
    Ok(inflated)
}

fn inflate_snappy(block: &[u8], bound: Bound) -> Sound<Vec<u8>> {
    let split = block.len().checked_sub(CHECKSUM_BYTES);
    let (data, checksum) = split
        .and_then(|at| block.split_at_checked(at))
        .ok_or_else(|| Flaw::corrupt("snappy data has no checksum"))?;
    let inflated = snappy::inflate(data, bound)?;
    let mut crc = Crc::new();
    crc.update(&inflated);
    if crc.sum().to_be_bytes() != checksum {
        return Err(Flaw::corrupt("snappy data does not match its checksum"));
    }
    Ok(inflated)
}
