package fjord;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.iceberg.Table;
import org.apache.iceberg.catalog.TableIdentifier;
import org.apache.iceberg.jdbc.JdbcCatalog;

/**
 * Runs commands on the tables of a data directory, one JSON object a line on standard input, and
 * answers each with one line: {@code {"ok": …}} or {@code {"error": "…"}}.
 */
public final class IcebergWriter {
  private static final ObjectMapper JSON = new ObjectMapper();

  private IcebergWriter() {}

  public static void main(String[] arguments) throws Exception {
    String directory = arguments[0];
    try (BufferedReader lines =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        System.out.println(answer(directory, line));
        System.out.flush();
      }
    }
  }

  /** A connection for each command: one that stays open does not see what others commit. */
  private static String answer(String directory, String line) throws Exception {
    try (JdbcCatalog catalog = new JdbcCatalog()) {
      catalog.initialize(
          "iceberg",
          Map.of(
              "uri", "jdbc:sqlite:" + directory + "/catalog.db",
              "warehouse", "file://" + directory + "/warehouse",
              "jdbc.schema-version", "V1"));
      JsonNode command = JSON.readTree(line);
      return JSON.writeValueAsString(Map.of("ok", run(catalog, command)));
    } catch (Exception e) {
      return JSON.writeValueAsString(Map.of("error", String.valueOf(e)));
    }
  }

  private static Object run(JdbcCatalog catalog, JsonNode command) throws Exception {
    TableIdentifier name = TableIdentifier.parse(command.get("table").asText());
    String verb = command.get("do").asText();
    if (verb.equals("create")) {
      return Tables.create(catalog, name, command);
    }
    Table table = catalog.loadTable(name);
    return switch (verb) {
      case "append" -> Rows.append(table, command);
      case "read" -> Rows.read(table, command);
      case "delete_positions" -> Deletes.positions(table, command);
      case "delete_vector" -> Deletes.vector(table, command);
      case "delete_equal" -> Deletes.equality(table, command);
      case "alter" -> Tables.alter(table, command);
      default -> throw new IllegalArgumentException("no command " + verb);
    };
  }
}
