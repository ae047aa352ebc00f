//! Deleted rows: which of a data file's rows its delete files take away, found while it is read.

mod columns;
mod keys;
mod cache;
mod attach;
mod reader;
mod positions;
mod listed;
mod load;
mod opening;
mod finder;
mod mask;
mod fallible;
mod masked;
mod morsels;
mod wire;

pub(super) use attach::{Attached, Attachments};
pub use cache::DeleteCache;
pub(super) use columns::extended;
pub(super) use listed::{Listed, PositionLister};
pub(super) use load::Loader;
pub(super) use masked::MaskedSource;
pub(super) use morsels::{DeletingMorselizer, ScanDeletes};
pub(super) use opening::{Opening, is_row_number};
pub(super) use wire::{AttachedMessage, DecodedDeletes, DeletesEncoder, DeletesMessage};
