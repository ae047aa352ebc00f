//! Files made by hand: what honest writers write passes and means the same, everything else is an
//! error that says where and why.

use std::io::Write;

use flate2::Compression;
use flate2::Crc;
use flate2::write::DeflateEncoder;
use serde_json::{Value, json};

use super::cursor::{Cursor, put_long};
use super::{Held, check};
use crate::error::{Error, ErrorKind};

const AT: &str = "file:///w/t/metadata/m0.avro";
const SYNC: [u8; 16] = *b"0123456789abcdef";

/// Bytes in the making.
#[derive(Clone, Default)]
struct Out(Vec<u8>);

impl Out {
    fn long(mut self, number: i64) -> Self {
        put_long(&mut self.0, number);
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.long(i64::try_from(text.len()).unwrap()).raw(text.as_bytes())
    }
}

fn out() -> Out {
    Out::default()
}

fn record(fields: Value) -> Value {
    json!({"type": "record", "name": "entry", "fields": fields})
}

fn header(schema: &Value, codec: Option<&str>) -> Vec<u8> {
    let keys = 1 + i64::from(codec.is_some());
    let mut header = out().raw(b"Obj\x01").long(keys).text("avro.schema").text(&schema.to_string());
    if let Some(codec) = codec {
        header = header.text("avro.codec").text(codec);
    }
    header.long(0).raw(&SYNC).0
}

fn block(count: i64, data: &[u8]) -> Vec<u8> {
    out().long(count).long(i64::try_from(data.len()).unwrap()).raw(data).raw(&SYNC).0
}

fn file(schema: &Value, codec: Option<&str>, blocks: &[(i64, &[u8])]) -> Vec<u8> {
    let mut file = header(schema, codec);
    for (count, data) in blocks {
        file.extend(block(*count, data));
    }
    file
}

fn refusal(bytes: &[u8]) -> Error {
    let error = check("manifest", AT, bytes, Held::Entry).unwrap_err();
    assert!(error.to_string().starts_with(&format!("manifest {AT:?} cannot be decoded: ")));
    error
}

#[track_caller]
fn refused(bytes: &[u8], kind: ErrorKind, part: &str) {
    let error = refusal(bytes);
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(error.to_string().contains(part), "{error}");
}

#[track_caller]
fn refused_entry(fields: Value, data: Out, part: &str) {
    refused(&file(&record(fields), None, &[(1, &data.0)]), ErrorKind::Corrupt, part);
}

#[track_caller]
fn refused_schema(schema: &Value, kind: ErrorKind, part: &str) {
    refused(&file(schema, None, &[]), kind, part);
}

#[track_caller]
fn unchanged(bytes: &[u8]) {
    assert_eq!(&*check("manifest", AT, bytes, Held::Entry).unwrap().bytes, bytes);
}

#[test]
fn every_form_that_the_specification_allows_passes_unchanged() {
    let schema = record(json!([
        {"name": "null", "type": "null"},
        {"name": "flag", "type": "boolean"},
        {"name": "int", "type": {"type": "int", "logicalType": "date"}},
        {"name": "long", "type": {"type": "long", "logicalType": "timestamp-micros", "adjust-to-utc": true}},
        {"name": "float", "type": "float"},
        {"name": "double", "type": "double"},
        {"name": "union", "type": ["null", "string", {"type": "array", "items": "int"}], "default": null},
        {"name": "fixed", "type": {"type": "fixed", "name": "fixed_3", "size": 3}},
        {"name": "again", "type": ["null", "fixed_3"]},
        {"name": "price", "type": {"type": "fixed", "name": "decimal_9_2", "size": 4,
            "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "uuid", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "map", "type": {"type": "map", "values": "null"}},
        {"name": "bounds", "type": {"type": "array", "logicalType": "map", "items":
            {"type": "record", "name": "k1_v2", "fields": [
                {"name": "key", "type": "int"}, {"name": "value", "type": "bytes"}]}}},
        {"name": "kind", "type": {"type": "enum", "name": "kinds", "symbols": ["a", "b"]}},
    ]));
    let start = out().raw(&[1]).long(-5).long(i64::MIN).raw(&[0; 12]).long(2);
    // An array in two blocks: one with its size in bytes, one without.
    let union = start.long(-2).long(2).long(7).long(8).long(1).long(9).long(0);
    let fixed = union.raw(b"abc").long(1).raw(b"abc").raw(&[0; 4]);
    let uuid = fixed.text("12345678-1234-1234-1234-123456789012");
    let maps = uuid.long(2).text("").text("x").long(0).long(-1).long(3).long(4).text("b").long(0);
    let entry = maps.long(1);
    let twice = entry.clone().raw(&entry.0);
    unchanged(&file(&schema, None, &[(1, &entry.0), (2, &twice.0)]));
    unchanged(&file(&schema, Some("null"), &[]));
}

#[test]
fn the_header_may_come_in_blocks_with_sizes() {
    let schema = record(json!([{"name": "a", "type": "int"}])).to_string();
    let first = out().text("avro.schema").text(&schema).0;
    let second = out().text("x").text("y").0;
    let header = out().raw(b"Obj\x01").long(-1).long(i64::try_from(first.len()).unwrap());
    let header = header.raw(&first).long(1).raw(&second).long(0).raw(&SYNC);
    unchanged(&header.raw(&block(1, &[2])).0);
}

/// The library takes a block without entries for the end of the file and drops what follows.
#[test]
fn hazard_a_block_without_entries_does_not_end_the_file() {
    let schema = record(json!([{"name": "a", "type": "int"}]));
    let holes: [(i64, &[u8]); 5] = [(0, &[]), (1, &[2]), (0, &[]), (2, &[2, 4]), (0, &[])];
    let bytes = file(&schema, None, &holes);
    let expected = file(&schema, None, &[(1, &[2]), (2, &[2, 4])]);
    assert_eq!(&*check("manifest", AT, &bytes, Held::Entry).unwrap().bytes, expected);
}

/// The library reserves memory for as many items as a file claims.
#[test]
fn hazard_a_forged_count_or_length_is_refused_where_it_stands() {
    let list = json!([{"name": "x", "type": "int"},
        {"name": "list", "type": ["null", {"type": "array", "items": "long"}]}]);
    for claimed in [3, 1 << 40, i64::MAX] {
        let data = out().long(0).long(1).long(claimed).raw(&[0, 0]);
        let part =
            format!("entry 0, field \"list\": an array claims {claimed} items where 2 bytes");
        refused_entry(list.clone(), data, &part);
    }
    let data = out().long(0).long(1).long(i64::MIN).long(1).raw(&[0, 0]);
    refused_entry(list.clone(), data, "an array claims 9223372036854775808 items");
    let data = out().long(0).long(1).long(-1).long(99).raw(&[0, 0]);
    refused_entry(list.clone(), data, "a length of 99 where 2 bytes remain");
    let data = out().long(0).long(1).long(-1).long(2).raw(&[0, 0]);
    refused_entry(list.clone(), data, "a block that ends elsewhere than its size says");
    refused_entry(list, out().long(0).long(2), "option 2 of a union that has 2");
    let map = json!([{"name": "map", "type": {"type": "map", "values": "long"}}]);
    refused_entry(map, out().long(1 << 50).raw(&[0; 9]), "field \"map\": a map claims");
    let text = json!([{"name": "text", "type": "string"}]);
    refused_entry(text.clone(), out().long(-7), "field \"text\": a length of -7 where 0 bytes");
    refused_entry(text.clone(), out().long(1 << 30).raw(b"ab"), "a length of 1073741824 where 2");
    let wide =
        json!([{"name": "wide", "type": {"type": "fixed", "name": "f", "size": 1_u64 << 50}}]);
    let bytes = file(&record(wide), None, &[(1, &[0; 20])]);
    refused(&bytes, ErrorKind::Corrupt, "block 0 at byte");
    let bytes = file(&record(text.clone()), None, &[(i64::MAX, &[0; 20])]);
    refused(&bytes, ErrorKind::Corrupt, "it claims 9223372036854775807 entries in 20 bytes");
    let bytes = file(&record(text.clone()), None, &[(-1, &[0; 20])]);
    refused(&bytes, ErrorKind::Corrupt, "it claims -1 entries");
    let bytes = file(&record(text), None, &[(1, &[2, b'a', 0])]);
    refused(&bytes, ErrorKind::Corrupt, "1 bytes follow its 1 entries");
}

#[test]
fn values_that_no_writer_writes_are_refused() {
    let one = |ty: &str| json!([{"name": "a", "type": ty}, {"name": "b", "type": "null"}]);
    refused_entry(one("boolean"), out().raw(&[2]), "a boolean is 2");
    refused_entry(one("int"), out().long(1 << 31), "2147483648 where a 32-bit number");
    refused_entry(one("long"), out().raw(&[0xff; 10]), "a number has more than 64 bits");
    refused_entry(one("long"), out().raw(&[0xff; 3]), "the bytes end within a number");
    refused_entry(one("double"), out().raw(&[0; 7]), "block 0");
    let kinds = json!([{"name": "a", "type": {"type": "enum", "name": "k", "symbols": ["x"]}}]);
    refused_entry(kinds, out().long(1), "symbol 1 of an enumeration that has 1");
}

#[test]
fn headers_that_no_writer_writes_are_refused() {
    let schema = record(json!([{"name": "a", "type": "int"}]));
    let good = file(&schema, None, &[(1, &[2])]);
    for cut in 1..good.len() - 19 {
        refused(&good[..cut], ErrorKind::Corrupt, "header: ");
    }
    for cut in good.len() - 18..good.len() {
        refused(&good[..cut], ErrorKind::Corrupt, "block 0 at byte");
    }
    let mut wrong = good.clone();
    wrong[3] = 2;
    refused(&wrong, ErrorKind::Corrupt, "does not begin as an avro file does");
    *wrong.last_mut().unwrap() ^= 1;
    wrong[3] = 1;
    refused(&wrong, ErrorKind::Corrupt, "its sync marker is not the file's");
    let many = out().raw(b"Obj\x01").long(1 << 40).0;
    refused(&many, ErrorKind::LimitExceeded, "claims 1099511627776 keys");
    let none = out().raw(b"Obj\x01").long(0).raw(&SYNC).0;
    refused(&none, ErrorKind::Corrupt, "it has no schema");
    let twice = out().raw(b"Obj\x01").long(2).text("avro.codec").text("null");
    let twice = twice.text("avro.codec").text("null").long(0).raw(&SYNC).0;
    refused(&twice, ErrorKind::Corrupt, "it has key \"avro.codec\" twice");
    let xz = file(&schema, Some("xz"), &[]);
    refused(&xz, ErrorKind::Unsupported, "codec is \"xz\": null, deflate, snappy and zstandard");
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let deep = out().raw(b"Obj\x01").long(1).text("schema").text(&deep).long(0).raw(&SYNC).0;
    refused(&deep, ErrorKind::LimitExceeded, "key \"schema\" nests deeper than 100 levels");
}

#[test]
fn schemas_that_no_value_or_any_number_of_values_fits_are_refused() {
    use ErrorKind::{Corrupt, Unsupported};
    let within =
        |ty: Value| record(json!([{"name": "a", "type": "int"}, {"name": "b", "type": ty}]));
    refused_schema(&json!("int"), Corrupt, "not that of records with content");
    refused_schema(&record(json!([])), Corrupt, "not that of records with content");
    refused_schema(&within(json!("entry")), Unsupported, "refers to \"entry\"");
    refused_schema(
        &within(json!(["null", "entry"])),
        Unsupported,
        "field \"b\": its schema refers",
    );
    refused_schema(&within(json!("nothing")), Corrupt, "has no type \"nothing\"");
    refused_schema(&within(json!(7)), Corrupt, "has 7 where a type should be");
    refused_schema(&within(json!([])), Corrupt, "has [] where a type should be");
    let nulls = json!({"type": "array", "items": "null"});
    refused_schema(&within(nulls), Corrupt, "an array of items without content");
    let wrong = json!({"type": "fixed", "name": "fixed_4", "size": 9});
    refused_schema(&within(json!([wrong, "fixed_4"])), Unsupported, "refers to \"fixed_4\"");
    let uuid = json!({"type": "fixed", "name": "uuid_fixed", "size": 16, "logicalType": "uuid"});
    refused_schema(&within(uuid), Unsupported, "uuids of fixed length");
    let unnamed = json!({"type": "fixed", "size": 16});
    refused_schema(&within(unnamed), Corrupt, "a type without a name");
    for name in ["", "k!17_v118", "1st", "a..b", "a."] {
        let named = json!({"type": "fixed", "name": name, "size": 1});
        refused_schema(&within(named), Corrupt, &format!("a type named {name:?}"));
    }
    let alias = json!({"type": "fixed", "name": "f", "aliases": ["?"], "size": 1});
    refused_schema(&within(alias), Corrupt, "a type named \"?\"");
    refused_schema(&json!({"type": "record", "name": "x"}), Corrupt, "a record without fields");
    let bytes = out().raw(b"Obj\x01").long(1).text("avro.schema").text("{").long(0).raw(&SYNC).0;
    refused(&bytes, Corrupt, "its schema is not JSON");
}

#[test]
fn a_schema_of_too_many_types_is_refused() {
    let fields: Vec<Value> =
        (0..30_000).map(|n| json!({"name": format!("f{n}"), "type": ["null"]})).collect();
    let schema = record(json!(fields));
    refused_schema(&schema, ErrorKind::LimitExceeded, "more than 50000 types");
}

#[test]
fn entries_that_would_take_too_much_memory_are_refused() {
    // A long name is copied into every decoded entry.
    let name = "n".repeat(1 << 20);
    let schema = record(json!([{"name": name, "type": "boolean"}]));
    let data = vec![0; 3_000];
    let bytes = file(&schema, None, &[(3_000, &data)]);
    unchanged(&bytes);
    let error = check("manifest list", AT, &bytes, Held::File).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.to_string().contains("more than 2147483648 bytes of memory"), "{error}");
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Snappy's raw format with a checksum: a literal, then a copy of it that overlaps itself.
fn snappy_run(piece: &[u8], copied: usize) -> Vec<u8> {
    let mut length = piece.len() + copied;
    let mut data = vec![];
    while length >= 0x80 {
        data.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    data.push(u8::try_from(length).unwrap());
    data.push(60 << 2);
    data.push(u8::try_from(piece.len() - 1).unwrap());
    data.extend(piece);
    let mut left = copied;
    while left > 0 {
        let run = left.min(64);
        data.push(u8::try_from((run - 1) << 2 | 2).unwrap());
        data.extend(u16::try_from(piece.len()).unwrap().to_le_bytes());
        left -= run;
    }
    let all: Vec<u8> = piece.iter().copied().cycle().take(piece.len() + copied).collect();
    let mut crc = Crc::new();
    crc.update(&all);
    data.extend(crc.sum().to_be_bytes());
    data
}

/// A frame of raw blocks, or of runs of one byte.
fn zstd_frame(blocks: &[(u32, &[u8])]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    for (index, (run, data)) in blocks.iter().enumerate() {
        let last = u32::from(index == blocks.len() - 1);
        let (kind, size) =
            if *run > 0 { (1, *run) } else { (0, u32::try_from(data.len()).unwrap()) };
        frame.extend(&(size << 3 | kind << 1 | last).to_le_bytes()[..3]);
        frame.extend(*data);
    }
    frame
}

fn texts() -> (Value, Vec<u8>) {
    let schema = record(json!([{"name": "a", "type": "string"}]));
    (schema, out().text("ab").0)
}

#[test]
fn what_is_compressed_is_handed_on_uncompressed() {
    let (schema, piece) = texts();
    let count = 400;
    let data = piece.repeat(count);
    let expected = file(&schema, None, &[(i64::try_from(count).unwrap(), &data), (1, &piece)]);
    // Some writers cut zlib's envelope off and leave part of its checksum.
    let sloppy = [deflate(&data), vec![1, 2, 3]].concat();
    let frames = [zstd_frame(&[(0, &data[..100])]), zstd_frame(&[(0, &data[100..])])].concat();
    let skipped = [vec![0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9], frames].concat();
    let copied = data.len() - piece.len();
    let packed = [
        ("deflate", sloppy, deflate(&piece)),
        ("snappy", snappy_run(&piece, copied), snappy_run(&piece, 0)),
        ("zstandard", skipped, zstd_frame(&[(0, &piece)])),
    ];
    for (codec, first, second) in packed {
        let blocks = [(i64::try_from(count).unwrap(), &first[..]), (1, &second[..])];
        let bytes = file(&schema, Some(codec), &blocks);
        let checked = check("manifest", AT, &bytes, Held::Entry).unwrap();
        assert_eq!(&*checked.bytes, expected, "{codec}");
        assert_eq!(checked.fields, ["a"]);
        for cut in 1..first.len() - 3 {
            let cut = file(&schema, Some(codec), &[(400, &first[..cut])]);
            refused(&cut, ErrorKind::Corrupt, "block 0 at byte");
        }
    }
}

#[test]
fn a_bomb_is_refused_before_it_inflates() {
    let (schema, _) = texts();
    let zeros = deflate(&vec![0; 20 << 20]);
    let run: &[u8] = &[0];
    let frame = zstd_frame(&vec![(128 << 10, run); 1_000]);
    let snappy = out().raw(&[0xff, 0xff, 0xff, 0xff, 0x0f]).raw(&[0; 10]).0;
    for (codec, data) in [("deflate", zeros), ("zstandard", frame), ("snappy", snappy)] {
        let bytes = file(&schema, Some(codec), &[(1, &data)]);
        refused(&bytes, ErrorKind::LimitExceeded, "a block may inflate 1000-fold, or to 16777216");
    }
}

#[test]
fn the_blocks_of_a_file_share_one_limit() {
    let schema =
        record(json!([{"name": "a", "type": {"type": "fixed", "name": "f", "size": 1 << 24}}]));
    let zeros = deflate(&vec![0; 1 << 24]);
    let blocks: Vec<(i64, &[u8])> = vec![(1, &zeros); 33];
    let bytes = file(&schema, Some("deflate"), &blocks);
    refused(&bytes, ErrorKind::LimitExceeded, "block 32 at byte");
}

#[test]
fn damaged_snappy_and_zstandard_are_refused() {
    let (schema, piece) = texts();
    let mut snappy = snappy_run(&piece, 60);
    *snappy.last_mut().unwrap() ^= 1;
    refused(&file(&schema, Some("snappy"), &[(21, &snappy)]), ErrorKind::Corrupt, "its checksum");
    let early = out().raw(&[9, 2 | 4 << 2, 1, 0]).raw(&[0; 4]).0;
    let bytes = file(&schema, Some("snappy"), &[(1, &early)]);
    refused(&bytes, ErrorKind::Corrupt, "copies from before its start");
    let mut frame = zstd_frame(&[(0, &piece)]);
    frame[6] |= 6;
    let bytes = file(&schema, Some("zstandard"), &[(1, &frame)]);
    refused(&bytes, ErrorKind::Corrupt, "a block of no known type");
    frame[0] = 0;
    let bytes = file(&schema, Some("zstandard"), &[(1, &frame)]);
    refused(&bytes, ErrorKind::Corrupt, "a wrong magic number");
}

#[test]
fn numbers_are_read_as_they_are_written() {
    for number in [0, 1, -1, 63, 64, -64, -65, i64::from(i32::MAX), i64::MAX, i64::MIN] {
        let bytes = out().long(number).0;
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(cursor.long().unwrap(), number);
        assert!(cursor.is_empty());
    }
}
