//! Zstandard frames: how far they can inflate at most, and their content.
//!
//! The format library inflates Zstandard only inside Puffin files and without a bound, so the
//! frames are measured first (RFC 8878, section 3.1.1) and then read through that door.

use bytes::Bytes;
use futures::executor::block_on;
use iceberg::io::FileIO;
use iceberg::puffin::{BlobMetadata, PuffinReader};
use serde_json::json;

use super::bound::Bound;
use super::flaw::{Flaw, Sound};

const MAGIC: u32 = 0xfd2f_b528;
/// Sixteen magic numbers of frames whose content is skipped; the lowest four bits differ.
const SKIPPED_MAGIC: u32 = 0x184d_2a50;
/// No block of a frame holds more.
const BLOCK_BYTES_MAX: u64 = 128 << 10;

/// Inflates `block` within `bound`.
pub(super) fn inflate(block: &[u8], bound: Bound) -> Sound<Vec<u8>> {
    bound.check("zstandard", inflated_max(block)?)?;
    let damaged = || Flaw::corrupt("zstandard data is damaged");
    let blob = json!({
        "type": "avro-block", "fields": [], "snapshot-id": 0, "sequence-number": 0,
        "offset": 0, "length": block.len(), "compression-codec": "zstd",
    });
    let blob: BlobMetadata = serde_json::from_value(blob).map_err(|e| damaged().with_source(e))?;
    let bytes = Bytes::copy_from_slice(block);
    let read = block_on(async {
        let (memory, at) = (FileIO::new_with_memory(), "memory:///block");
        memory.new_output(at)?.write(bytes).await?;
        PuffinReader::new(memory.new_input(at)?).blob(&blob).await
    });
    let inflated = read.map_err(|e| damaged().with_source(e))?.data().to_vec();
    Ok(inflated)
}

/// The bytes that the frames of `data` can inflate to at most.
fn inflated_max(data: &[u8]) -> Sound<u64> {
    let mut frames = Frames { rest: data };
    let mut most = 0_u64;
    while !frames.rest.is_empty() {
        most = most.saturating_add(frames.next()?);
    }
    Ok(most)
}

struct Frames<'a> {
    rest: &'a [u8],
}

impl Frames<'_> {
    fn skip(&mut self, bytes: usize) -> Sound<()> {
        let rest = self.rest.get(bytes..);
        self.rest = rest.ok_or_else(|| Flaw::corrupt("zstandard data is cut short"))?;
        Ok(())
    }

    /// A little-endian number of `width` bytes.
    fn number(&mut self, width: usize) -> Sound<u32> {
        let bytes = self.rest.iter().take(width).rev();
        let number = bytes.fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        self.skip(width)?;
        Ok(number)
    }

    /// Passes over one frame; what it can inflate to.
    fn next(&mut self) -> Sound<u64> {
        let magic = self.number(4)?;
        if magic & !0xf == SKIPPED_MAGIC {
            let length = self.number(4)?;
            self.skip(usize::try_from(length).unwrap_or(usize::MAX))?;
            return Ok(0);
        }
        if magic != MAGIC {
            return Err(Flaw::corrupt("zstandard data has a wrong magic number"));
        }
        let descriptor = self.number(1)?;
        let single_segment = descriptor & 0x20 != 0;
        let window = usize::from(!single_segment);
        let dictionary_id = [0, 1, 2, 4][(descriptor & 3) as usize];
        let content_size = match descriptor >> 6 {
            0 => usize::from(single_segment),
            wide => 1 << wide,
        };
        self.skip(window + dictionary_id + content_size)?;
        let mut most = 0_u64;
        loop {
            let header = self.number(3)?;
            let size = header >> 3;
            let (stored, inflated) = match header >> 1 & 3 {
                0 => (size, u64::from(size)),
                1 => (1, u64::from(size)),
                2 => (size, BLOCK_BYTES_MAX),
                _ => return Err(Flaw::corrupt("zstandard data has a block of no known type")),
            };
            if inflated > BLOCK_BYTES_MAX {
                return Err(Flaw::corrupt("zstandard data has a block beyond the largest size"));
            }
            most = most.saturating_add(inflated);
            self.skip(usize::try_from(stored).unwrap_or(usize::MAX))?;
            if header & 1 == 1 {
                break;
            }
        }
        self.skip(if descriptor & 4 == 0 { 0 } else { 4 })?;
        Ok(most)
    }
}
