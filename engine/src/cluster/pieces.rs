//! Parts of files that tasks are dealt.

use std::collections::BTreeMap;

use datafusion::datasource::listing::{FileRange, PartitionedFile};
use datafusion::datasource::physical_plan::FileGroup;

use crate::iceberg::row_groups::RowGroups;

/// Files are not cut into smaller pieces than this, unless a task is to read less.
const PIECE_BYTES_MIN: u64 = 1 << 20;
/// Pieces of each partition of each task: with one each, some would get much more than others.
const PIECES_EACH: usize = 4;

/// A file, from `start` to `end`.
struct Span {
    file: PartitionedFile,
    start: i64,
    end: i64,
}

/// Files and parts of large files for so many `shares`, where a task reads `task_bytes`. Where it is
/// known, a part begins with a row group: the rows of a group are read with its first byte, however
/// little of it belongs to a part.
pub(super) fn pieces(groups: &[FileGroup], shares: usize, task_bytes: u64) -> Vec<PartitionedFile> {
    let spans = spans(groups);
    let total: u64 = spans.iter().map(|span| length(span.start, span.end)).sum();
    let share = total.div_ceil(shares.max(1) as u64);
    let by_bytes = share.max(task_bytes.min(PIECE_BYTES_MIN)).max(1);
    let by_groups =
        total.div_ceil((shares.max(1) * PIECES_EACH) as u64).max(by_bytes.min(PIECE_BYTES_MIN));
    let mut cut = Vec::new();
    for span in spans {
        let starts = span.file.extensions.get_arc::<RowGroups>();
        let ends = match &starts {
            Some(starts) => ends_by_groups(&span, starts.starts(), by_groups),
            None => ends_by_bytes(&span, by_bytes),
        };
        let mut at = span.start;
        for end in ends {
            cut.push(part(&span.file, at, end));
            at = end;
        }
    }
    cut
}

/// The files of a scan, put together again where it has cut them for the cores of one process.
fn spans(groups: &[FileGroup]) -> Vec<Span> {
    let mut spans: BTreeMap<String, Vec<Span>> = BTreeMap::new();
    for file in groups.iter().flat_map(FileGroup::files) {
        let (start, end) = match &file.range {
            Some(range) => (range.start, range.end),
            None => (0, i64::try_from(file.object_meta.size).unwrap_or(i64::MAX)),
        };
        let of_file = spans.entry(file.object_meta.location.to_string()).or_default();
        of_file.push(Span { file: file.clone(), start, end });
    }
    let mut all: Vec<Span> = Vec::new();
    for (_, mut of_file) in spans {
        of_file.sort_by_key(|span| span.start);
        let first = all.len();
        for span in of_file {
            match all.get_mut(first..).and_then(<[Span]>::last_mut) {
                Some(last) if last.end == span.start && span.start < span.end => {
                    last.end = span.end
                }
                _ => all.push(span),
            }
        }
    }
    all
}

fn ends_by_bytes(span: &Span, bytes: u64) -> Vec<i64> {
    let step = i64::try_from(bytes).unwrap_or(i64::MAX);
    let mut ends = Vec::new();
    let mut at = span.start;
    while at < span.end {
        at = at.saturating_add(step).min(span.end);
        ends.push(at);
    }
    // An empty file is somebody's, too.
    if ends.is_empty() {
        ends.push(span.end);
    }
    ends
}

fn ends_by_groups(span: &Span, starts: &[i64], bytes: u64) -> Vec<i64> {
    let mut ends = Vec::new();
    let mut begun = span.start;
    let inside = starts.iter().filter(|start| span.start < **start && **start < span.end);
    // The first group begins behind the file's magic number.
    for start in inside.filter(|start| Some(*start) != starts.first()) {
        if length(begun, *start) >= bytes {
            ends.push(*start);
            begun = *start;
        }
    }
    ends.push(span.end);
    ends
}

fn length(start: i64, end: i64) -> u64 {
    u64::try_from(end.saturating_sub(start)).unwrap_or_default()
}

fn part(file: &PartitionedFile, start: i64, end: i64) -> PartitionedFile {
    let mut part = file.clone();
    let is_whole = start == 0 && u64::try_from(end).is_ok_and(|end| end == file.object_meta.size);
    part.range = (!is_whole).then_some(FileRange { start, end });
    part
}

/// The parts of a task's partition, those of a file that follow each other as one.
pub(super) fn joined(group: &FileGroup) -> FileGroup {
    let spans = spans(std::slice::from_ref(group));
    FileGroup::new(spans.iter().map(|span| part(&span.file, span.start, span.end)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, size: u64, starts: &[i64]) -> PartitionedFile {
        let mut file = PartitionedFile::new(format!("t/{name}.parquet"), size);
        if let Some(starts) = RowGroups::of(starts) {
            file.extensions.insert(starts);
        }
        file
    }

    fn ranges(pieces: &[PartitionedFile]) -> Vec<(String, i64, i64)> {
        let told = pieces.iter().map(|piece| {
            let range = piece.range.as_ref();
            let whole = i64::try_from(piece.object_meta.size).unwrap();
            let (start, end) = range.map_or((0, whole), |range| (range.start, range.end));
            (piece.object_meta.location.filename().unwrap().to_owned(), start, end)
        });
        told.collect()
    }

    #[test]
    fn a_file_is_cut_where_its_row_groups_begin() {
        let mib = 1 << 20;
        let starts: Vec<i64> = (0..10).map(|n| n * 3 * mib + 4).collect();
        let size = u64::try_from(30 * mib + 100).unwrap();
        let whole = FileGroup::new(vec![file("a", size, &starts)]);
        let cut = pieces(std::slice::from_ref(&whole), 2, 32 << 20);
        let told = ranges(&cut);
        assert_eq!(told.len(), 5, "{told:?}");
        assert_eq!((told[0].1, told[4].2), (0, i64::try_from(size).unwrap()));
        for pair in told.windows(2) {
            assert_eq!(pair[0].2, pair[1].1);
            assert!(starts.contains(&pair[1].1), "{told:?}");
        }
        // However a process has cut it before.
        let mut halves = vec![file("a", size, &starts), file("a", size, &starts)];
        let middle = i64::try_from(size / 2).unwrap();
        halves[1].range = Some(FileRange { start: 0, end: middle });
        halves[0].range = Some(FileRange { start: middle, end: i64::try_from(size).unwrap() });
        let halves: Vec<FileGroup> = halves.into_iter().map(|h| FileGroup::new(vec![h])).collect();
        assert_eq!(ranges(&pieces(&halves, 2, 32 << 20)), told);
        // A single row group stays whole, and an empty file somewhere.
        let small = FileGroup::new(vec![file("b", 5 << 20, &[4]), file("c", 0, &[])]);
        let told = ranges(&pieces(&[small], 4, 1));
        assert_eq!(told, [("b.parquet".to_owned(), 0, 5 << 20), ("c.parquet".to_owned(), 0, 0)]);
    }

    #[test]
    fn bytes_cut_a_file_whose_row_groups_nobody_knows() {
        let whole = FileGroup::new(vec![file("a", 10 << 20, &[])]);
        let told = ranges(&pieces(&[whole], 4, 32 << 20));
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told.iter().all(|(_, start, end)| end - start <= (5 << 19)), "{told:?}");
    }

    #[test]
    fn parts_that_follow_each_other_are_read_as_one() {
        let part_of = |start, end| {
            let mut part = file("a", 100, &[]);
            part.range = Some(FileRange { start, end });
            part
        };
        let group = FileGroup::new(vec![
            part_of(20, 40),
            part_of(60, 100),
            part_of(40, 60),
            part_of(0, 10),
        ]);
        let told: Vec<_> = ranges(joined(&group).files()).into_iter().map(|t| (t.1, t.2)).collect();
        assert_eq!(told, [(0, 10), (20, 100)]);
    }
}
