package fjord;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.iceberg.AppendFiles;
import org.apache.iceberg.DataFile;
import org.apache.iceberg.FileFormat;
import org.apache.iceberg.PartitionKey;
import org.apache.iceberg.Schema;
import org.apache.iceberg.Table;
import org.apache.iceberg.data.GenericAppenderFactory;
import org.apache.iceberg.data.IcebergGenerics;
import org.apache.iceberg.data.InternalRecordWrapper;
import org.apache.iceberg.data.Record;
import org.apache.iceberg.encryption.EncryptedFiles;
import org.apache.iceberg.encryption.EncryptedOutputFile;
import org.apache.iceberg.encryption.EncryptionKeyMetadata;
import org.apache.iceberg.io.CloseableIterable;
import org.apache.iceberg.io.DataWriter;
import org.apache.iceberg.io.OutputFile;

/** Appending rows, one data file for each partition, and reading them back. */
final class Rows {
  private Rows() {}

  static EncryptedOutputFile newFile(Table table) {
    OutputFile file =
        table.io().newOutputFile(table.locationProvider().newDataLocation(UUID.randomUUID() + ".parquet"));
    return EncryptedFiles.encryptedOutput(file, EncryptionKeyMetadata.EMPTY);
  }

  static Object append(Table table, JsonNode command) throws IOException {
    Schema schema = table.schema();
    InternalRecordWrapper wrapper = new InternalRecordWrapper(schema.asStruct());
    Map<PartitionKey, List<Record>> partitions = new LinkedHashMap<>();
    for (JsonNode row : command.get("rows")) {
      Record record = Values.record(schema.asStruct(), row);
      PartitionKey key = new PartitionKey(table.spec(), schema);
      key.partition(wrapper.wrap(record));
      partitions.computeIfAbsent(key, k -> new ArrayList<>()).add(record);
    }
    GenericAppenderFactory files = new GenericAppenderFactory(schema, table.spec());
    AppendFiles append = table.newAppend();
    List<String> paths = new ArrayList<>();
    for (Map.Entry<PartitionKey, List<Record>> partition : partitions.entrySet()) {
      DataWriter<Record> writer =
          files.newDataWriter(newFile(table), FileFormat.PARQUET, partition.getKey());
      try (writer) {
        partition.getValue().forEach(writer::write);
      }
      DataFile file = writer.toDataFile();
      append.appendFile(file);
      paths.add(file.location());
    }
    append.commit();
    return paths;
  }

  static Object read(Table table, JsonNode command) throws IOException {
    List<Object> rows = new ArrayList<>();
    try (CloseableIterable<Record> records = IcebergGenerics.read(table).build()) {
      records.forEach(record -> rows.add(Values.json(record)));
    }
    return rows;
  }
}
