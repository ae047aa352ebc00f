//! What a compressed block may inflate to.

use super::flaw::{Flaw, Sound};

/// What all blocks of a file may inflate to, in bytes.
const FILE_BYTES_MAX: usize = 512 << 20;
/// Manifests of equal entries compress well; no honest one compresses better than this …
const RATIO_MAX: usize = 1_000;
/// … and no one is asked below this size.
const FREE_BYTES: usize = 16 << 20;

/// A bound, in bytes, and the rule that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) bytes: usize,
    by_ratio: bool,
}

impl Bound {
    /// For `block`, in a file whose earlier blocks came to `before` bytes.
    pub(super) fn of(block: &[u8], before: usize) -> Self {
        let by_file = FILE_BYTES_MAX.saturating_sub(before);
        let by_ratio = block.len().saturating_mul(RATIO_MAX).max(FREE_BYTES);
        Self { bytes: by_file.min(by_ratio), by_ratio: by_ratio < by_file }
    }

    /// Refuses what inflates, or says that it does, to more.
    pub(super) fn check(self, codec: &str, inflated: u64) -> Sound<()> {
        if inflated <= self.bytes as u64 {
            return Ok(());
        }
        let rule = if self.by_ratio {
            format!("a block may inflate {RATIO_MAX}-fold, or to {FREE_BYTES} bytes")
        } else {
            format!("the blocks of a file may inflate to {FILE_BYTES_MAX} bytes together")
        };
        Err(Flaw::limit(format!("{codec} data inflates to more than {} bytes: {rule}", self.bytes)))
    }
}
