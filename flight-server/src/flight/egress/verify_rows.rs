//! Checks what a message says of its rows against the bytes it brings, before Arrow reads them:
//! there, a buffer outside the body or a bitmap that is too short is a panic, and a count is
//! believed.

use arrow::datatypes::DataType;
use arrow_ipc as ipc;

use super::malformed::{Checked, Malformed, ensure};

/// Rows that a message may claim however small it is: columns of nulls take no bytes at all.
const FREE_ROWS_MAX: usize = 1 << 20;
/// What the compressed buffers of a message may become.
const DECOMPRESSED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Before a compressed buffer stands its length.
const LENGTH_PREFIX_BYTES: usize = 8;

/// Checks that `rows` describe columns of `types` within `body`.
pub(super) fn verify_rows<'t>(
    rows: ipc::RecordBatch<'_>,
    body: &[u8],
    types: impl Iterator<Item = &'t DataType>,
) -> Checked<()> {
    let mut walk = Walk::try_new(rows, body)?;
    walk.count(rows.length(), "the number of rows")?;
    for data_type in types {
        walk.column(data_type)?;
    }
    ensure(walk.variadic.is_empty(), || "more counts of view buffers than view columns".into())
}

/// What is left to be matched with columns, the next one last.
struct Walk {
    /// Lengths and null counts.
    nodes: Vec<(i64, i64)>,
    /// Lengths of buffers, when decompressed.
    buffers: Vec<usize>,
    variadic: Vec<i64>,
    rows_max: usize,
}

impl Walk {
    fn try_new(rows: ipc::RecordBatch<'_>, body: &[u8]) -> Checked<Self> {
        let is_compressed = match rows.compression() {
            None => false,
            Some(compression) => {
                // A frame of LZ4 says nothing that bounds what it becomes.
                ensure(compression.codec() == ipc::CompressionType::ZSTD, || {
                    "bodies compressed with LZ4 are not accepted: send zstd, or no compression"
                        .into()
                })?;
                true
            }
        };
        let mut buffers = Vec::new();
        let (mut named, mut bytes) = (0_usize, 0_usize);
        for buffer in rows.buffers().into_iter().flatten() {
            let content = slice_of(body, buffer.offset(), buffer.length())?;
            let length = match is_compressed && !content.is_empty() {
                true => decompressed_length(content)?,
                false => content.len(),
            };
            named = named.saturating_add(content.len());
            bytes = bytes.saturating_add(length);
            buffers.push(length);
        }
        // Each may be copied to lie aligned, so none may stand for many.
        ensure(named <= body.len(), || "buffers overlap in the body".into())?;
        ensure(!is_compressed || bytes <= DECOMPRESSED_BYTES_MAX, || {
            format!("decompressed, a message would exceed {DECOMPRESSED_BYTES_MAX} bytes")
        })?;
        buffers.reverse();
        let nodes = rows.nodes().into_iter().flatten();
        let mut nodes = nodes.map(|node| (node.length(), node.null_count())).collect::<Vec<_>>();
        nodes.reverse();
        let mut variadic = rows.variadicBufferCounts().into_iter().flatten().collect::<Vec<_>>();
        variadic.reverse();
        let rows_max = FREE_ROWS_MAX.max(bytes.max(body.len()).saturating_mul(8));
        Ok(Self { nodes, buffers, variadic, rows_max })
    }

    fn count(&self, claimed: i64, what: &str) -> Checked<usize> {
        usize::try_from(claimed).ok().filter(|count| *count <= self.rows_max).ok_or_else(|| {
            Malformed::new(format!("{what}, {claimed}, is not possible for the bytes it came with"))
        })
    }

    /// The next column's length, and whether it has nulls.
    fn node(&mut self) -> Checked<(usize, bool)> {
        let Some((length, nulls)) = self.nodes.pop() else {
            return Err(Malformed::new("fewer columns than the schema has"));
        };
        let length = self.count(length, "the length of a column")?;
        let nulls = self.count(nulls, "the number of nulls")?;
        ensure(nulls <= length, || format!("{nulls} nulls in a column of {length}"))?;
        Ok((length, nulls > 0))
    }

    /// The next buffer, which must have at least `bytes`.
    fn buffer(&mut self, bytes: usize) -> Checked<()> {
        let Some(length) = self.buffers.pop() else {
            return Err(Malformed::new("fewer buffers than the schema needs"));
        };
        ensure(length >= bytes, || format!("a buffer of {length} bytes where {bytes} are needed"))
    }

    fn validity(&mut self, length: usize, has_nulls: bool) -> Checked<()> {
        self.buffer(if has_nulls { length.div_ceil(8) } else { 0 })
    }

    fn buffers_of_any_length(&mut self, count: usize) -> Checked<()> {
        (0..count).try_for_each(|_| self.buffer(0))
    }

    /// Takes the nodes and buffers of a column in the order in which Arrow reads them. Lengths that
    /// Arrow itself checks are left to it.
    fn column(&mut self, data_type: &DataType) -> Checked<()> {
        let (length, has_nulls) = self.node()?;
        match data_type {
            DataType::Null => Ok(()),
            // The schema has been checked: there are none.
            DataType::RunEndEncoded(_, _) | DataType::Union(_, _) => {
                Err(Malformed::new("runs and unions are not accepted"))
            }
            other => {
                self.validity(length, has_nulls)?;
                self.content(other, length)
            }
        }
    }

    /// What follows the validity.
    fn content(&mut self, data_type: &DataType, length: usize) -> Checked<()> {
        match data_type {
            DataType::Utf8 | DataType::Binary | DataType::LargeUtf8 | DataType::LargeBinary => {
                self.buffers_of_any_length(2)
            }
            DataType::Utf8View | DataType::BinaryView => {
                let Some(count) = self.variadic.pop() else {
                    return Err(Malformed::new("fewer counts of view buffers than view columns"));
                };
                let count = usize::try_from(count)
                    .map_err(|_| Malformed::new(format!("a view column with {count} buffers")))?;
                self.buffer(length.saturating_mul(16))?;
                self.buffers_of_any_length(count)
            }
            DataType::List(item) | DataType::LargeList(item) | DataType::Map(item, _) => {
                self.buffers_of_any_length(1)?;
                self.column(item.data_type())
            }
            DataType::ListView(item) | DataType::LargeListView(item) => {
                self.buffers_of_any_length(2)?;
                self.column(item.data_type())
            }
            DataType::FixedSizeList(item, _) => self.column(item.data_type()),
            DataType::Struct(fields) => {
                fields.iter().try_for_each(|field| self.column(field.data_type()))
            }
            _ => self.buffers_of_any_length(1),
        }
    }
}

/// The part of the body that a message names.
fn slice_of(body: &[u8], offset: i64, length: i64) -> Checked<&[u8]> {
    let range = || {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        body.get(start..end)
    };
    range().ok_or_else(|| {
        Malformed::new(format!(
            "a buffer of {length} bytes at {offset} in a body of {} bytes",
            body.len()
        ))
    })
}

fn decompressed_length(content: &[u8]) -> Checked<usize> {
    let Some((prefix, rest)) = content.split_first_chunk::<LENGTH_PREFIX_BYTES>() else {
        return Err(Malformed::new("a compressed buffer without its length"));
    };
    match i64::from_le_bytes(*prefix) {
        -1 => Ok(rest.len()),
        length => usize::try_from(length)
            .ok()
            .filter(|l| *l <= DECOMPRESSED_BYTES_MAX)
            .ok_or_else(|| Malformed::new(format!("a buffer of {length} bytes when decompressed"))),
    }
}
