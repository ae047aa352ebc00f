SELECT snapshot_id, committed_at, operation
FROM iceberg.bronze."purchases$snapshots"
ORDER BY committed_at DESC
LIMIT 2;
