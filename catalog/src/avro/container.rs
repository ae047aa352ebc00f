//! An Avro file from its first to its last byte.

use std::borrow::Cow;
use std::ops::Range;

use super::codec::Codec;
use super::cursor::{Cursor, put_long};
use super::flaw::{Flaw, Sound};
use super::header::Header;
use super::schema::Record;
use super::walk::{Held, Walker};
use crate::error::Result;

/// A file that holds what it says.
#[derive(Debug)]
pub(crate) struct Checked<'a> {
    /// The file without compression and without empty blocks: what a reader may be given.
    pub(crate) bytes: Cow<'a, [u8]>,
    /// The names of the fields of its entries.
    pub(crate) fields: Vec<String>,
}

/// Walks the file `bytes`, of which the library will hold so much at one time.
///
/// # Errors
/// `Corrupt`, `LimitExceeded` or `Unsupported`; the message names the file (a `what`, at `uri`), the
/// block, the field, and what is wrong.
pub(crate) fn check<'a>(what: &str, uri: &str, bytes: &'a [u8], held: Held) -> Result<Checked<'a>> {
    walk(bytes, held).map_err(|flaw| flaw.into_error(what, uri))
}

fn walk(bytes: &[u8], held: Held) -> Sound<Checked<'_>> {
    let mut cursor = Cursor::new(bytes);
    let header = Header::read(&mut cursor)?;
    let entry_type = header.entry_type()?;
    let mut walker = Walker::new(held);
    let mut safe = Safe::new(bytes, &header);
    for number in 0_u64.. {
        if cursor.is_empty() {
            break;
        }
        let start = bytes.len() - cursor.remaining();
        let place = || format!("block {number} at byte {start}");
        let block = Block::read(&mut cursor, header.sync).map_err(|flaw| flaw.at(place))?;
        let content =
            header.codec.inflate(block.data, safe.inflated).map_err(|flaw| flaw.at(place))?;
        walk_block(&mut walker, &entry_type, block.count, &content, place)?;
        safe.add(&block, &content, start..bytes.len() - cursor.remaining());
    }
    let fields = entry_type.fields.into_iter().map(|(name, _)| name).collect();
    Ok(Checked { bytes: safe.into_bytes(), fields })
}

fn walk_block(
    walker: &mut Walker,
    entry_type: &Record,
    count: u64,
    content: &[u8],
    place: impl Fn() -> String,
) -> Sound<()> {
    if count > (content.len() / entry_type.bytes_min) as u64 {
        let bytes = content.len();
        let flaw = Flaw::corrupt(format!("it claims {count} entries in {bytes} bytes"));
        return Err(flaw.at(place));
    }
    let mut cursor = Cursor::new(content);
    for entry in 0..count {
        walker
            .entry(entry_type, &mut cursor)
            .map_err(|flaw| flaw.at(|| format!("{}, entry {entry}", place())))?;
    }
    if cursor.is_empty() {
        return Ok(());
    }
    let rest = cursor.remaining();
    Err(Flaw::corrupt(format!("{rest} bytes follow its {count} entries")).at(place))
}

/// A block as it stands in the file.
struct Block<'a> {
    count: u64,
    data: &'a [u8],
}

impl<'a> Block<'a> {
    fn read(cursor: &mut Cursor<'a>, sync: &[u8]) -> Sound<Self> {
        let claimed = cursor.long()?;
        let count = u64::try_from(claimed)
            .map_err(|_| Flaw::corrupt(format!("it claims {claimed} entries")))?;
        let length = cursor.length()?;
        let data = cursor.take(length)?;
        if cursor.take(sync.len())? != sync {
            return Err(Flaw::corrupt("its sync marker is not the file's"));
        }
        Ok(Self { count, data })
    }
}

/// The file that the library is given: the original where it serves.
struct Safe<'a> {
    original: &'a [u8],
    sync: &'a [u8],
    /// The uncompressed file, if the original is compressed.
    rewritten: Option<Vec<u8>>,
    /// Where the original has blocks without entries: the library takes one for the end.
    empty: Vec<Range<usize>>,
    inflated: usize,
}

impl<'a> Safe<'a> {
    fn new(original: &'a [u8], header: &Header<'a>) -> Self {
        let compressed = header.codec != Codec::Null;
        let rewritten = compressed.then(|| header.uncompressed());
        Self { original, sync: header.sync, rewritten, empty: Vec::new(), inflated: 0 }
    }

    fn add(&mut self, block: &Block<'_>, content: &[u8], range: Range<usize>) {
        self.inflated += content.len();
        if block.count == 0 {
            self.empty.push(range);
            return;
        }
        let Some(out) = &mut self.rewritten else { return };
        put_long(out, block.count.cast_signed());
        put_long(out, (content.len() as u64).cast_signed());
        out.extend_from_slice(content);
        out.extend_from_slice(self.sync);
    }

    fn into_bytes(self) -> Cow<'a, [u8]> {
        if let Some(rewritten) = self.rewritten {
            return Cow::Owned(rewritten);
        }
        if self.empty.is_empty() {
            return Cow::Borrowed(self.original);
        }
        let mut kept = Vec::with_capacity(self.original.len());
        let mut from = 0;
        for range in self.empty {
            kept.extend_from_slice(self.original.get(from..range.start).unwrap_or_default());
            from = range.end;
        }
        kept.extend_from_slice(self.original.get(from..).unwrap_or_default());
        Cow::Owned(kept)
    }
}
