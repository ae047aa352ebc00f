//! Manifest lists and manifests that say too much, or that come from the first format.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use iceberg::spec::ManifestWriterBuilder;

use super::fixture::*;
use crate::avro::{Held, check};
use crate::catalog::Catalog;
use crate::change::{CommitOptions, RowsChange};
use crate::error::{ErrorKind, Result};
use crate::manifest::{decode_list, decode_manifest};
use crate::predicate::Predicate;
use crate::spec::{DataContentType, DataFileBuilder, FormatVersion, ManifestFile};
use crate::storage::Storage;
use crate::table::Table;

/// The parts of an Avro file that has one block.
struct Parts {
    header: Vec<u8>,
    count: Vec<u8>,
    data: Vec<u8>,
    sync: Vec<u8>,
}

impl Parts {
    fn of(bytes: &[u8]) -> Self {
        let sync = bytes[bytes.len() - 16..].to_vec();
        let header = bytes.windows(16).position(|window| window == sync).unwrap() + 16;
        assert!(header < bytes.len(), "the file has a block");
        let end = |at: usize| at + bytes[at..].iter().position(|b| b & 0x80 == 0).unwrap() + 1;
        let (size, data) = (end(header), end(end(header)));
        Self {
            header: bytes[..header].to_vec(),
            count: bytes[header..size].to_vec(),
            data: bytes[data..bytes.len() - 16].to_vec(),
            sync,
        }
    }

    fn plain(&self, data: &[u8]) -> Vec<u8> {
        let length = long(i64::try_from(data.len()).unwrap());
        [&self.header[..], &self.count, &length, data, &self.sync].concat()
    }

    fn deflated(&self, data: &[u8]) -> Vec<u8> {
        let (null, deflate) = (b"\x14avro.codec\x08null", b"\x14avro.codec\x0edeflate");
        let at = self.header.windows(null.len()).position(|w| w == null).unwrap();
        let mut header = self.header.clone();
        header.splice(at..at + null.len(), deflate.iter().copied());
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).unwrap();
        let parts =
            Self { header, count: self.count.clone(), data: Vec::new(), sync: self.sync.clone() };
        parts.plain(&encoder.finish().unwrap())
    }
}

fn long(number: i64) -> Vec<u8> {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [long(i64::try_from(text.len()).unwrap()), text.as_bytes().to_vec()].concat()
}

/// A table with a few manifests; its list and one of its manifests.
async fn written(fixture: &Fixture) -> (Table, Vec<u8>, ManifestFile, Vec<u8>) {
    let mut table = fixture.create("t", FormatVersion::V2).await;
    for part in ["a", "b", "c"] {
        let files = vec![file(&table, &format!("{part}.parquet"), part, 1, 9)];
        table = fixture.append(&table, files).await;
    }
    let snapshot = table.current_snapshot().unwrap();
    let list = fixture.catalog.load_manifest_list(&table, snapshot).await.unwrap();
    let list_bytes = std::fs::read(local(snapshot.manifest_list())).unwrap();
    let manifest_bytes = std::fs::read(local(&list[0].manifest_path)).unwrap();
    let manifest = list[0].clone();
    (table, list_bytes, manifest, manifest_bytes)
}

/// Puts huge numbers at every place of the block in turn; `decode` may refuse, not end the process.
fn forge_everywhere(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<usize>) {
    let parts = Parts::of(bytes);
    let right = decode(bytes).unwrap();
    assert_eq!(decode(&parts.plain(&parts.data)).unwrap(), right);
    assert_eq!(decode(&parts.deflated(&parts.data)).unwrap(), right);
    let mut refused = 0;
    for at in 0..parts.data.len() {
        for number in [1 << 59, -(1 << 59), 1 << 33, i64::MIN, 500_000_000] {
            let mut data = parts.data.clone();
            data.splice(at..=at, long(number));
            let (plain, deflated) = (decode(&parts.plain(&data)), decode(&parts.deflated(&data)));
            assert_eq!(plain.is_err(), deflated.is_err(), "{number} at {at}");
            let Err(e) = plain else { continue };
            refused += 1;
            assert_ne!(e.kind(), ErrorKind::Bug);
            assert!(e.to_string().contains("/metadata/"), "{number} at {at}: {e}");
        }
    }
    assert!(refused > parts.data.len(), "only {refused} were refused");
}

#[tokio::test]
async fn hazard_no_number_in_a_manifest_list_ends_the_process() {
    let fixture = Fixture::new().await;
    let (table, bytes, ..) = written(&fixture).await;
    let uri = table.current_snapshot().unwrap().manifest_list();
    forge_everywhere(&bytes, |bytes| {
        decode_list(uri, bytes, FormatVersion::V2).map(|list| list.len())
    });
}

#[tokio::test]
async fn hazard_no_number_in_a_manifest_ends_the_process() {
    let fixture = Fixture::new().await;
    let (_, _, manifest, bytes) = written(&fixture).await;
    forge_everywhere(&bytes, |bytes| {
        decode_manifest(&manifest, bytes).map(|entries| entries.len())
    });
}

/// A manifest list with the columns that the first format requires, and no other.
fn list_of_format_1(manifests: &[ManifestFile]) -> Vec<u8> {
    let schema = r#"{"type":"record","name":"manifest_file","fields":[
        {"name":"manifest_path","type":"string","field-id":500},
        {"name":"manifest_length","type":"long","field-id":501},
        {"name":"partition_spec_id","type":"int","field-id":502},
        {"name":"added_snapshot_id","type":["null","long"],"default":null,"field-id":503}]}"#;
    let mut data = Vec::new();
    for manifest in manifests {
        data.extend(text(&manifest.manifest_path));
        data.extend(long(manifest.manifest_length));
        data.extend(long(i64::from(manifest.partition_spec_id)));
        data.extend(long(1));
        data.extend(long(manifest.added_snapshot_id));
    }
    let sync = [7; 16];
    let header =
        [b"Obj\x01".to_vec(), long(1), text("avro.schema"), text(schema), long(0)].concat();
    let (count, size) = (manifests.len(), data.len());
    let block = [long(i64::try_from(count).unwrap()), long(i64::try_from(size).unwrap()), data];
    [header, sync.to_vec(), block.concat(), sync.to_vec()].concat()
}

/// Replaces the metadata of the current snapshot by that which the first format would have had.
async fn take_back_to_format_1(table: &Table, parts: &[&str]) {
    let snapshot = table.current_snapshot().unwrap();
    let metadata = table.metadata();
    let io = Storage::local().file_io().unwrap();
    let mut manifests = Vec::new();
    for part in parts {
        let uri = format!("{}/metadata/{part}-m0.avro", metadata.location());
        let schema = Arc::clone(metadata.current_schema());
        let spec = metadata.default_partition_spec().as_ref().clone();
        let output = io.new_output(&uri).unwrap();
        let id = snapshot.snapshot_id();
        let mut writer = ManifestWriterBuilder::new(output, Some(id), schema, spec).build_v1();
        writer.add_file(file(table, &format!("{part}.parquet"), part, 1, 9), 0).unwrap();
        manifests.push(writer.write_manifest_file().await.unwrap());
    }
    std::fs::write(local(snapshot.manifest_list()), list_of_format_1(&manifests)).unwrap();
}

async fn planned(catalog: &Catalog, table: &Table, filter: Predicate) -> Vec<String> {
    let snapshot = table.current_snapshot().unwrap();
    let plan = catalog.plan_files(table, snapshot, &filter).await.unwrap();
    let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let mut names: Vec<String> = plan.files.iter().map(|f| name(f.file.file_path())).collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_manifest_list_of_an_upgraded_table_may_be_of_format_1() {
    for version in [FormatVersion::V2, FormatVersion::V3] {
        let fixture = Fixture::new().await;
        let table = fixture.create("t", version).await;
        let files =
            vec![file(&table, "a.parquet", "a", 1, 9), file(&table, "b.parquet", "b", 1, 9)];
        let table = fixture.append(&table, files).await;
        take_back_to_format_1(&table, &["a", "b"]).await;

        let catalog = fixture.another().await;
        let entries = live(&catalog, &table).await;
        assert_eq!(paths(&entries), ["a.parquet", "b.parquet"]);
        assert!(entries.iter().all(|entry| entry.sequence_number == Some(0)), "{entries:?}");
        assert_eq!(planned(&catalog, &table, part_is("b")).await, ["b.parquet"]);

        // What is carried on has the counts that the first format lacks.
        let change = RowsChange::Append { files: vec![file(&table, "c.parquet", "c", 1, 9)] };
        let done = catalog.commit_rows(&table, change, CommitOptions::default()).await.unwrap();
        assert_eq!(
            paths(&live(&catalog, &done.table).await),
            ["a.parquet", "b.parquet", "c.parquet"]
        );
        let snapshot = done.table.current_snapshot().unwrap();
        let list = catalog.load_manifest_list(&done.table, snapshot).await.unwrap();
        let counted = list.iter().filter_map(|manifest| manifest.added_files_count);
        let kept = list.iter().filter_map(|manifest| manifest.existing_files_count);
        assert_eq!(counted.chain(kept).sum::<u32>(), 3, "{list:?}");

        let change = RowsChange::OverwriteWhere { filter: part_is("a"), files: vec![] };
        let done =
            catalog.commit_rows(&done.table, change, CommitOptions::default()).await.unwrap();
        assert_eq!(paths(&live(&catalog, &done.table).await), ["b.parquet", "c.parquet"]);
        assert_eq!(done.removed_rows, 9);
    }
}

/// The walk must stay cheap beside the decoding that it guards: a third of the time at most where
/// only the library is optimised, as in the tests' profile, and far less where both are.
#[tokio::test]
async fn the_walk_is_a_small_share_of_decoding_ten_thousand_entries() {
    let fixture = Fixture::new().await;
    let table = fixture.create("t", FormatVersion::V2).await;
    let columns = |each: u64| (1..=16).map(|id| (id, each)).collect::<HashMap<i32, u64>>();
    let files = (0..10_000).map(|n| {
        let path = format!("{}/data/part=a/{n:032}.parquet", table.metadata().location());
        let base = file(&table, "x", "a", n, n + 99_999);
        DataFileBuilder::default()
            .content(DataContentType::Data)
            .file_path(path)
            .file_format(base.file_format())
            .partition(base.partition().clone())
            .partition_spec_id(table.metadata().default_partition_spec_id())
            .record_count(100_000)
            .file_size_in_bytes(12_345_678)
            .column_sizes(columns(1_234_567))
            .value_counts(columns(100_000))
            .null_value_counts(columns(0))
            .lower_bounds(base.lower_bounds().clone())
            .upper_bounds(base.upper_bounds().clone())
            .split_offsets(Some(vec![4]))
            .build()
            .unwrap()
    });
    let table = fixture.append(&table, files.collect()).await;
    let snapshot = table.current_snapshot().unwrap();
    let list = fixture.catalog.load_manifest_list(&table, snapshot).await.unwrap();
    let manifest = &list[0];
    let bytes = std::fs::read(local(&manifest.manifest_path)).unwrap();

    let begun = Instant::now();
    check("manifest", &manifest.manifest_path, &bytes, Held::Entry).unwrap();
    let walk = begun.elapsed();
    let begun = Instant::now();
    assert_eq!(decode_manifest(manifest, &bytes).unwrap().len(), 10_000);
    let all = begun.elapsed();
    println!("measured: {} bytes: walk {walk:?} of {all:?}", bytes.len());
    assert!(walk < all / 2, "the walk takes {walk:?} of {all:?}");
}
