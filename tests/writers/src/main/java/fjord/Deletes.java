package fjord;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.iceberg.DataFile;
import org.apache.iceberg.DataFiles;
import org.apache.iceberg.DeleteFile;
import org.apache.iceberg.FileFormat;
import org.apache.iceberg.FileScanTask;
import org.apache.iceberg.PartitionSpec;
import org.apache.iceberg.RowDelta;
import org.apache.iceberg.Schema;
import org.apache.iceberg.StructLike;
import org.apache.iceberg.Table;
import org.apache.iceberg.data.BaseDeleteLoader;
import org.apache.iceberg.data.GenericAppenderFactory;
import org.apache.iceberg.data.Record;
import org.apache.iceberg.data.parquet.GenericParquetReaders;
import org.apache.iceberg.deletes.BaseDVFileWriter;
import org.apache.iceberg.deletes.EqualityDeleteWriter;
import org.apache.iceberg.deletes.PositionDelete;
import org.apache.iceberg.deletes.PositionDeleteWriter;
import org.apache.iceberg.io.CloseableIterable;
import org.apache.iceberg.io.DeleteWriteResult;
import org.apache.iceberg.io.OutputFileFactory;
import org.apache.iceberg.parquet.Parquet;
import org.apache.iceberg.types.TypeUtil;
import org.apache.iceberg.util.StructLikeMap;

/** Committing delete files of every kind. */
final class Deletes {
  private Deletes() {}

  /** Rows of one data file, by position. */
  private record Found(DataFile file, PartitionSpec spec, List<DeleteFile> deletes, List<Long> positions) {}

  /** Where the rows with {@code ids} in the column {@code id} are. */
  private static List<Found> find(Table table, JsonNode ids) throws IOException {
    Schema id = table.schema().select("id");
    Map<Long, Boolean> wanted = new HashMap<>();
    ids.forEach(n -> wanted.put(n.asLong(), true));
    List<Found> found = new ArrayList<>();
    try (CloseableIterable<FileScanTask> tasks = table.newScan().planFiles()) {
      for (FileScanTask task : tasks) {
        Found here = new Found(task.file(), task.spec(), task.deletes(), new ArrayList<>());
        try (CloseableIterable<Record> rows =
            Parquet.read(table.io().newInputFile(task.file().location()))
                .project(id)
                .createReaderFunc(schema -> GenericParquetReaders.buildReader(id, schema))
                .build()) {
          long position = 0;
          for (Record row : rows) {
            if (wanted.containsKey(((Number) row.getField("id")).longValue())) {
              here.positions().add(position);
            }
            position++;
          }
        }
        if (!here.positions().isEmpty()) {
          found.add(here);
        }
      }
    }
    return found;
  }

  /** Files of position deletes: one for each partition, or with {@code each_file} for each data file. */
  static Object positions(Table table, JsonNode command) throws IOException {
    boolean eachFile = command.path("each_file").asBoolean(false);
    Map<Integer, StructLikeMap<TreeMap<String, Found>>> partitions = new LinkedHashMap<>();
    RowDelta delta = table.newRowDelta();
    int files = 0;
    for (Found found : find(table, command.get("ids"))) {
      if (eachFile) {
        delta.addDeletes(positionFile(table, List.of(found)));
        files++;
      } else {
        partitions
            .computeIfAbsent(found.spec().specId(), k -> StructLikeMap.create(found.spec().partitionType()))
            .computeIfAbsent(found.file().partition(), k -> new TreeMap<>())
            .put(found.file().location(), found);
      }
    }
    for (StructLikeMap<TreeMap<String, Found>> spec : partitions.values()) {
      for (TreeMap<String, Found> partition : spec.values()) {
        delta.addDeletes(positionFile(table, List.copyOf(partition.values())));
        files++;
      }
    }
    delta.commit();
    return files;
  }

  private static DeleteFile positionFile(Table table, List<Found> found) throws IOException {
    PartitionSpec spec = found.get(0).spec();
    GenericAppenderFactory files = new GenericAppenderFactory(table.schema(), spec);
    PositionDeleteWriter<Record> writer =
        files.newPosDeleteWriter(Rows.newFile(table), FileFormat.PARQUET, found.get(0).file().partition());
    PositionDelete<Record> row = PositionDelete.create();
    try (writer) {
      for (Found file : found) {
        for (long position : file.positions()) {
          writer.write(row.set(file.file().location(), position, null));
        }
      }
    }
    return writer.toDeleteFile();
  }

  /** Deletion vectors, which take up the deletes by position that were there before. */
  static Object vector(Table table, JsonNode command) throws IOException {
    List<Found> all = find(table, command.get("ids"));
    Map<String, List<DeleteFile>> before = new HashMap<>();
    for (Found found : all) {
      before.put(found.file().location(),
          found.deletes().stream().filter(d -> d.content() == org.apache.iceberg.FileContent.POSITION_DELETES).toList());
    }
    BaseDeleteLoader loader = new BaseDeleteLoader(file -> table.io().newInputFile(file.location()));
    BaseDVFileWriter writer = new BaseDVFileWriter(
        OutputFileFactory.builderFor(table, 1, 1).format(FileFormat.PUFFIN).build(),
        path -> before.getOrDefault(path, List.of()).isEmpty()
            ? null : loader.loadPositionDeletes(before.get(path), path));
    for (Found found : all) {
      for (long position : found.positions()) {
        writer.delete(found.file().location(), position, found.spec(), found.file().partition());
      }
    }
    writer.close();
    DeleteWriteResult result = writer.result();
    RowDelta delta = table.newRowDelta().validateFromSnapshot(table.currentSnapshot().snapshotId());
    result.deleteFiles().forEach(delta::addDeletes);
    result.rewrittenDeleteFiles().forEach(delta::removeDeletes);
    delta.commit();
    return result.deleteFiles().size();
  }

  /** One file of equality deletes, in {@code partition} of the spec {@code spec} (the newest). */
  static Object equality(Table table, JsonNode command) throws IOException {
    Schema schema = table.schema();
    int[] ids = new int[command.get("by").size()];
    for (int n = 0; n < ids.length; n++) {
      ids[n] = schema.findField(command.get("by").get(n).asText()).fieldId();
    }
    java.util.Set<Integer> wanted = new java.util.HashSet<>();
    for (int id : ids) {
      wanted.add(id);
    }
    Schema keys = TypeUtil.select(schema, wanted);
    PartitionSpec spec = table.specs().get(command.path("spec").asInt(table.spec().specId()));
    StructLike partition =
        spec.isUnpartitioned() ? null : DataFiles.data(spec, command.get("partition").asText());
    GenericAppenderFactory files = new GenericAppenderFactory(schema, spec, ids, keys, null);
    EqualityDeleteWriter<Record> writer =
        files.newEqDeleteWriter(Rows.newFile(table), FileFormat.PARQUET, partition);
    try (writer) {
      for (JsonNode row : command.get("rows")) {
        writer.write(Values.record(keys.asStruct(), row));
      }
    }
    table.newRowDelta().addDeletes(writer.toDeleteFile()).commit();
    return command.get("rows").size();
  }
}
