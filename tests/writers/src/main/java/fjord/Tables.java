package fjord;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.HashMap;
import java.util.Map;
import org.apache.iceberg.PartitionSpec;
import org.apache.iceberg.Schema;
import org.apache.iceberg.SchemaParser;
import org.apache.iceberg.Table;
import org.apache.iceberg.UpdatePartitionSpec;
import org.apache.iceberg.UpdateSchema;
import org.apache.iceberg.catalog.TableIdentifier;
import org.apache.iceberg.expressions.Expressions;
import org.apache.iceberg.jdbc.JdbcCatalog;
import org.apache.iceberg.types.Types;

/** Making tables and changing their shape. */
final class Tables {
  private Tables() {}

  static Object create(JdbcCatalog catalog, TableIdentifier name, JsonNode command) {
    if (!catalog.namespaceExists(name.namespace())) {
      catalog.createNamespace(name.namespace());
    }
    Schema schema = SchemaParser.fromJson(command.get("schema").toString());
    PartitionSpec.Builder spec = PartitionSpec.builderFor(schema);
    command.path("partition_by").forEach(column -> spec.identity(column.asText()));
    Map<String, String> properties = new HashMap<>();
    properties.put("format-version", command.path("format").asText("2"));
    command.path("properties").fields().forEachRemaining(p -> properties.put(p.getKey(), p.getValue().asText()));
    Table table = catalog.createTable(name, schema, spec.build(), properties);
    return table.location();
  }

  static Object alter(Table table, JsonNode command) {
    if (command.has("format")) {
      table.updateProperties().set("format-version", command.get("format").asText()).commit();
    }
    UpdateSchema schema = table.updateSchema();
    command.path("rename").fields().forEachRemaining(r -> schema.renameColumn(r.getKey(), r.getValue().asText()));
    command.path("drop").forEach(column -> schema.deleteColumn(column.asText()));
    command.path("add").fields().forEachRemaining(
        a -> schema.addColumn(a.getKey(), Types.fromPrimitiveString(a.getValue().asText())));
    command.path("promote").fields().forEachRemaining(
        p -> schema.updateColumn(p.getKey(), Types.fromPrimitiveString(p.getValue().asText())));
    schema.commit();
    UpdatePartitionSpec spec = table.updateSpec();
    command.path("partition_add").forEach(column -> spec.addField(Expressions.ref(column.asText())));
    command.path("partition_drop").forEach(column -> spec.removeField(column.asText()));
    spec.commit();
    return table.spec().specId();
  }
}
