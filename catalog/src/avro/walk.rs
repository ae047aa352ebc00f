//! The walk over the values of a block: where each ends, and whether it can be as long as it says.

use super::cursor::Cursor;
use super::flaw::{Flaw, Sound};
use super::schema::{Items, Node, Record};

/// What the library may come to hold, by estimate, in bytes.
const MEMORY_MAX: u64 = 2 << 30;
/// A value of any kind in the library's memory, with room to grow.
const VALUE_MEMORY: u64 = 72;
/// A key in a map, beside its bytes.
const KEY_MEMORY: u64 = 40;
/// What remains of an item of an array (a metric of a column) after its entry is converted.
const ITEM_KEPT: u64 = 64;
/// What remains of an entry, beside its items and bytes.
const ENTRY_KEPT: u64 = 640;

/// What the library holds as plain values at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// One entry: each is converted before the next is read.
    Entry,
    /// All entries of the file.
    File,
}

/// Walks entries and estimates what they will take in memory. Allocates nothing.
#[derive(Debug)]
pub(super) struct Walker {
    held: Held,
    /// Plain values.
    values: u64,
    /// Converted entries.
    kept: u64,
}

impl Walker {
    pub(super) fn new(held: Held) -> Self {
        Self { held, values: 0, kept: 0 }
    }

    /// Walks over one entry.
    pub(super) fn entry(&mut self, entry: &Record, cursor: &mut Cursor<'_>) -> Sound<()> {
        if self.held == Held::Entry {
            self.values = 0;
        }
        self.kept += ENTRY_KEPT;
        self.record(entry, cursor)
    }

    fn value(&mut self, node: &Node, cursor: &mut Cursor<'_>) -> Sound<()> {
        match node {
            Node::Null => Ok(()),
            Node::Int => int(cursor).map(drop),
            Node::Long => cursor.long().map(drop),
            Node::Boolean => match cursor.byte()? {
                0 | 1 => Ok(()),
                other => Err(Flaw::corrupt(format!("a boolean is {other}, not 0 or 1"))),
            },
            Node::Fixed(size) => {
                cursor.take(*size)?;
                self.hold(*size as u64, *size as u64)
            }
            Node::Bytes => self.bytes(cursor),
            Node::Union(options) => {
                let index = cursor.long()?;
                let option = usize::try_from(index).ok().and_then(|index| options.get(index));
                let option = option.ok_or_else(|| {
                    let count = options.len();
                    Flaw::corrupt(format!("option {index} of a union that has {count}"))
                })?;
                self.values += VALUE_MEMORY;
                self.value(option, cursor)
            }
            Node::Record(record) => self.record(record, cursor),
            Node::Array(items) => self.items(items, cursor, "an array", 0, |walker, cursor| {
                walker.value(&items.item, cursor)
            }),
            Node::Map(items) => self.items(items, cursor, "a map", KEY_MEMORY, |walker, cursor| {
                walker.bytes(cursor)?;
                walker.value(&items.item, cursor)
            }),
            Node::Enum { symbols, memory } => {
                let index = int(cursor)?;
                if usize::try_from(index).is_ok_and(|index| index < *symbols) {
                    return self.hold(*memory, 0);
                }
                Err(Flaw::corrupt(format!("symbol {index} of an enumeration that has {symbols}")))
            }
        }
    }

    fn record(&mut self, record: &Record, cursor: &mut Cursor<'_>) -> Sound<()> {
        self.hold(record.memory, 0)?;
        for (name, node) in &record.fields {
            self.value(node, cursor).map_err(|flaw| flaw.within(name))?;
        }
        Ok(())
    }

    fn bytes(&mut self, cursor: &mut Cursor<'_>) -> Sound<()> {
        let length = cursor.length()?;
        cursor.take(length)?;
        self.hold(length as u64, length as u64)
    }

    /// Blocks of items until one of none. A negative count says that the block's size in bytes
    /// follows, for readers that skip.
    fn items<'a>(
        &mut self,
        items: &Items,
        cursor: &mut Cursor<'a>,
        what: &str,
        extra_memory: u64,
        mut one: impl FnMut(&mut Self, &mut Cursor<'a>) -> Sound<()>,
    ) -> Sound<()> {
        loop {
            let claimed = cursor.long()?;
            if claimed == 0 {
                return Ok(());
            }
            let end = if claimed < 0 { Some(cursor.length()?) } else { None };
            let end = end.map(|bytes| cursor.remaining().saturating_sub(bytes));
            let (count, remaining) = (claimed.unsigned_abs(), cursor.remaining());
            if count > (remaining / items.bytes_min) as u64 {
                return Err(Flaw::corrupt(format!(
                    "{what} claims {count} items where {remaining} bytes remain"
                )));
            }
            self.hold(count * (VALUE_MEMORY + extra_memory), count * ITEM_KEPT)?;
            for _ in 0..count {
                one(self, cursor)?;
            }
            if end.is_some_and(|end| end != cursor.remaining()) {
                return Err(Flaw::corrupt(format!(
                    "{what} has a block that ends elsewhere than its size says"
                )));
            }
        }
    }

    fn hold(&mut self, values: u64, kept: u64) -> Sound<()> {
        self.values = self.values.saturating_add(values);
        self.kept = self.kept.saturating_add(kept);
        let most = match self.held {
            Held::Entry => self.values.max(self.kept),
            Held::File => self.values.saturating_add(self.kept),
        };
        if most <= MEMORY_MAX {
            return Ok(());
        }
        Err(Flaw::limit(format!("decoded, it would take more than {MEMORY_MAX} bytes of memory")))
    }
}

fn int(cursor: &mut Cursor<'_>) -> Sound<i32> {
    let number = cursor.long()?;
    i32::try_from(number)
        .map_err(|_| Flaw::corrupt(format!("{number} where a 32-bit number should be")))
}
