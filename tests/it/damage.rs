//! What may happen to a file: bytes flipped, lost, doubled, cut off, lengths and offsets made up.

use fastrand::Rng;

/// A damaged file.
#[derive(Debug)]
pub(crate) struct Damaged {
    pub(crate) bytes: Vec<u8>,
    /// What was done, for the report of a failure.
    pub(crate) what: String,
    pub(crate) demand: Demand,
}

/// What reading a damaged file may come to. Never a panic, never a hang.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// An error that names the file.
    Error,
    /// An error that names the file or, where the damage does not matter, the right rows.
    ErrorOrRight,
    /// An error or any rows: nothing in the format could tell.
    Anything,
}

/// Damage that knows nothing of the format.
pub(crate) fn anywhere(rng: &mut Rng, bytes: &[u8]) -> Damaged {
    let mut bytes = bytes.to_vec();
    let length = bytes.len();
    let at = rng.usize(..length);
    let run = rng.usize(1..=64).min(length - at);
    let what = match rng.u8(..8) {
        0 | 1 => {
            let flips = rng.usize(1..=8);
            for _ in 0..flips {
                let at = rng.usize(..length);
                bytes[at] ^= 1 << rng.u8(..8);
            }
            format!("{flips} bits flipped")
        }
        2 => {
            rng.fill(&mut bytes[at..at + run]);
            format!("{run} random bytes at {at}")
        }
        3 => {
            let inserted: Vec<u8> = (0..run).map(|_| rng.u8(..)).collect();
            bytes.splice(at..at, inserted);
            format!("{run} bytes inserted at {at}")
        }
        4 => {
            bytes.drain(at..at + run);
            format!("{run} bytes deleted at {at}")
        }
        5 => {
            let copy = bytes[at..at + run].to_vec();
            bytes.splice(at..at, copy);
            format!("{run} bytes doubled at {at}")
        }
        6 => {
            bytes[at..at + run].fill(if rng.bool() { 0xff } else { 0 });
            format!("{run} bytes at {at} all alike")
        }
        _ => return truncated(rng, &bytes),
    };
    Damaged { bytes, what, demand: Demand::Anything }
}

/// The file ends early.
pub(crate) fn truncated(rng: &mut Rng, bytes: &[u8]) -> Damaged {
    let kept = rng.usize(..bytes.len());
    let what = format!("cut off at {kept}");
    Damaged { bytes: bytes[..kept].to_vec(), what, demand: Demand::Error }
}

/// The first or last bytes are not what they must be.
pub(crate) fn wrong_magic(rng: &mut Rng, bytes: &[u8], range: std::ops::Range<usize>) -> Damaged {
    let mut bytes = bytes.to_vec();
    let at = rng.usize(range);
    bytes[at] ^= 1 << rng.u8(..8);
    Damaged { bytes, what: format!("wrong magic at {at}"), demand: Demand::Error }
}

/// An Avro file with a block's count or size made up, a number in a block made up, its header or
/// its sync marker damaged.
pub(crate) fn avro(rng: &mut Rng, bytes: &[u8]) -> Damaged {
    let sync = bytes[bytes.len() - 16..].to_vec();
    let header = bytes.windows(16).position(|w| w == sync).unwrap() + 16;
    let count = varint_end(bytes, header);
    let size = varint_end(bytes, count);
    let number = [i64::MAX, i64::MIN, -1, 1 << 40, 1 << 31, 0x7fff_ffff][rng.usize(..6)];
    let (range, what) = match rng.u8(..6) {
        0 => return wrong_magic(rng, bytes, 0..4),
        1 => (header..count, "block count"),
        2 => (count..size, "block size"),
        3 => {
            let last = bytes.len() - 16;
            let mut damaged = wrong_magic(rng, bytes, last..last + 16);
            damaged.what = damaged.what.replace("magic", "sync marker");
            return damaged;
        }
        _ => return avro_number(rng, bytes, count, size),
    };
    let mut damaged = bytes.to_vec();
    damaged.splice(range, varint(number));
    Damaged { bytes: damaged, what: format!("{what} {number}"), demand: Demand::Error }
}

/// Somewhere in a block, where a count or a length may be, a large one. The block's size is right.
fn avro_number(rng: &mut Rng, bytes: &[u8], count: usize, size: usize) -> Damaged {
    let length = bytes.len() - 16 - size;
    let at = rng.usize(..length);
    let number = 1_i64 << rng.u32(20..62);
    let number = if rng.bool() { number } else { -number };
    let mut block = bytes[size..size + length].to_vec();
    block.splice(at..=at, varint(number));
    let mut damaged = bytes[..count].to_vec();
    damaged.extend(varint(i64::try_from(block.len()).unwrap()));
    damaged.extend(block);
    damaged.extend(&bytes[bytes.len() - 16..]);
    let what = format!("{number} at {at} of the block");
    Damaged { bytes: damaged, what, demand: Demand::Anything }
}

fn varint_end(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().position(|b| b & 0x80 == 0).unwrap() + 1
}

fn varint(number: i64) -> Vec<u8> {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
    bytes
}

/// A JSON document with one value replaced, removed or doubled.
pub(crate) fn json(rng: &mut Rng, bytes: &[u8]) -> Damaged {
    let mut document: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    let steps = rng.usize(1..=6);
    let mut at = &mut document;
    let mut path = String::new();
    for _ in 0..steps {
        let length = match &at {
            serde_json::Value::Object(map) => map.len(),
            serde_json::Value::Array(items) => items.len(),
            _ => 0,
        };
        if length == 0 {
            break;
        }
        let index = rng.usize(..length);
        at = match at {
            serde_json::Value::Object(map) => {
                let (key, value) = map.iter_mut().nth(index).unwrap();
                path = format!("{path}.{key}");
                value
            }
            serde_json::Value::Array(items) => {
                path = format!("{path}[{index}]");
                &mut items[index]
            }
            _ => break,
        };
    }
    let new = [
        serde_json::Value::Null,
        (-1).into(),
        i64::MAX.into(),
        i64::MIN.into(),
        u64::MAX.into(),
        0.5.into(),
        "x".into(),
        String::from("\u{0}../../etc").into(),
        "bucket[0]".into(),
        "truncate[4294967295]".into(),
        "fixed[18446744073709551615]".into(),
        "decimal(99, 120)".into(),
        serde_json::Value::Array(vec![at.clone(), at.clone()]),
        serde_json::json!({}),
    ];
    let new = new[rng.usize(..new.len())].clone();
    let what = format!("{path} = {new}");
    *at = new;
    Damaged { bytes: serde_json::to_vec(&document).unwrap(), what, demand: Demand::Anything }
}

/// A configuration with a line that no version accepts.
pub(crate) fn toml(rng: &mut Rng, text: &str) -> Damaged {
    let lines = [
        "memory_limit = 99999999999999999999999999",
        "memory_limit = \"999999999999999TB\"",
        "memory_limit = -1",
        "x = [[[[[[[[[[[[[[[[",
        "data_dir = 1979-05-27",
        "catalog = 7",
        "[catalog.iceberg]",
        "[[catalog]]",
        "= 1",
        "type = \"\\uD800\"",
        "warehouse = \"\"\"",
        "unknown = true",
    ];
    let line = lines[rng.usize(..lines.len())];
    let mut all: Vec<&str> = text.lines().collect();
    let at = rng.usize(..all.len());
    all.insert(at, line);
    let what = format!("line {at} is {line:?}");
    Damaged { bytes: all.join("\n").into_bytes(), what, demand: Demand::Error }
}
