"""Walks every table of a lake with PyIceberg and says whether its commits are whole.

One chain of snapshots (parent = the one before, sequence number + 1, one table uuid, also through the
metadata log), every referenced file there with its size and rows, no file live twice, totals that add up.
Usage: check_commits.py DATA_DIRECTORY…
"""

import os
import sys
from urllib.parse import unquote, urlparse

import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.serializers import FromInputFile


def local(uri):
    return unquote(urlparse(uri).path) if uri.startswith("file:") else uri


def open_catalog(directory):
    directory = os.path.abspath(directory)
    return SqlCatalog(
        "iceberg",
        uri=f"sqlite:///{directory}/catalog.db",
        warehouse=f"file://{directory}/warehouse",
    )


def check_chain(metadata, problems):
    by_id = {snapshot.snapshot_id: snapshot for snapshot in metadata.snapshots}
    chain, at = [], metadata.current_snapshot_id
    while at is not None:
        if at not in by_id:
            problems.append(f"snapshot {at} is missing from the chain")
            break
        chain.append(by_id.pop(at))
        at = chain[-1].parent_snapshot_id
    for snapshot_id in by_id:
        problems.append(f"snapshot {snapshot_id} is not an ancestor of the current one")
    chain.reverse()
    for before, after in zip(chain, chain[1:]):
        if after.sequence_number != before.sequence_number + 1:
            problems.append(
                f"snapshot {after.snapshot_id} has sequence number {after.sequence_number}"
                f" after {before.sequence_number}"
            )
    ids = [snapshot.summary.additional_properties.get("engine.op-id") for snapshot in chain]
    ids = [op_id for op_id in ids if op_id]
    if len(ids) != len(set(ids)):
        problems.append("one operation was committed twice")
    return chain


def check_log(table, chain, problems):
    """Each metadata file of the log that is still there belongs to the same history."""
    position = {snapshot.snapshot_id: index for index, snapshot in enumerate(chain)}
    cleans_up = table.metadata.properties.get("write.metadata.delete-after-commit.enabled") == "true"
    last = -1
    for entry in table.metadata.metadata_log:
        if not os.path.exists(local(entry.metadata_file)):
            if not cleans_up:
                problems.append(f"{entry.metadata_file} of the metadata log is missing")
            continue
        older = FromInputFile.table_metadata(table.io.new_input(entry.metadata_file))
        if older.table_uuid != table.metadata.table_uuid:
            problems.append(f"{entry.metadata_file} has another table uuid")
        if older.current_snapshot_id is None:
            continue
        at = position.get(older.current_snapshot_id)
        if at is None or at < last:
            problems.append(f"{entry.metadata_file} is not of this history")
        else:
            last = at


def live_files(table, manifest, seen, problems):
    """Path and rows of the manifest's live files; files never change, so each is looked at once."""
    if manifest.manifest_path not in seen:
        length = os.path.getsize(local(manifest.manifest_path))
        if length != manifest.manifest_length:
            problems.append(f"{manifest.manifest_path} has {length} bytes")
        files = [entry.data_file for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)]
        for file in files:
            if file.file_path not in seen:
                seen[file.file_path] = True
                check_file(file, problems)
        seen[manifest.manifest_path] = [(file.file_path, file.record_count) for file in files]
    return seen[manifest.manifest_path]


def check_files(table, snapshot, seen, problems):
    files, rows = set(), 0
    for manifest in snapshot.manifests(table.io):
        for path, records in live_files(table, manifest, seen, problems):
            if path in files:
                problems.append(f"snapshot {snapshot.snapshot_id}: {path} is live twice")
            files.add(path)
            rows += records
    for key, found in (("total-data-files", len(files)), ("total-records", rows)):
        said = snapshot.summary.additional_properties.get(key)
        if said != str(found):
            problems.append(f"snapshot {snapshot.snapshot_id}: {key} is {said}, found {found}")


def check_file(file, problems):
    path = local(file.file_path)
    if not os.path.exists(path):
        problems.append(f"{file.file_path} is referenced and missing")
    elif os.path.getsize(path) != file.file_size_in_bytes:
        problems.append(f"{file.file_path} has {os.path.getsize(path)} bytes")
    elif pq.read_metadata(path).num_rows != file.record_count:
        problems.append(f"{file.file_path} has {pq.read_metadata(path).num_rows} rows")


def check_table(table):
    """The table's problems, and how many snapshots it has."""
    problems = []
    chain = check_chain(table.metadata, problems)
    check_log(table, chain, problems)
    seen = {}
    for snapshot in chain:
        try:
            check_files(table, snapshot, seen, problems)
        except (OSError, ValueError) as e:
            problems.append(f"snapshot {snapshot.snapshot_id}: {e}")
    return problems, len(chain)


def check_lake(directory):
    """Prints what is wrong; returns the number of tables, snapshots and problems."""
    catalog = open_catalog(directory)
    totals = [0, 0, 0]
    for namespace in catalog.list_namespaces():
        for name in catalog.list_tables(namespace):
            problems, snapshots = check_table(catalog.load_table(name))
            for problem in problems:
                print(f"{'.'.join(name)}: {problem}")
            totals = [totals[0] + 1, totals[1] + snapshots, totals[2] + len(problems)]
    return totals


def main(directories):
    failed = False
    for directory in directories:
        tables, snapshots, problems = check_lake(directory)
        print(f"{directory}: {tables} tables, {snapshots} snapshots, {problems} problems")
        failed = failed or problems > 0 or tables == 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
