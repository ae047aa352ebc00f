package fjord;

import static fjord.Servers.column;
import static fjord.Servers.run;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLFeatureNotSupportedException;
import java.sql.Types;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** DatabaseMetaData, every call of it (JDBC-12, JDBC-13, JDBC-18). */
class MetadataTest {
  private Connection connection;
  private DatabaseMetaData metadata;
  private String schema;

  @BeforeEach
  void connect() throws SQLException {
    connection = Servers.open();
    metadata = connection.getMetaData();
    schema = Servers.schema(connection);
    run(connection, "CREATE TABLE " + schema + ".orders (id bigint NOT NULL, total decimal(10, 2), at timestamp)");
    run(connection, "CREATE TABLE " + schema + ".customers (name varchar)");
    run(connection, "CREATE VIEW " + schema + ".big AS SELECT id FROM " + schema + ".orders");
  }

  @AfterEach
  void close() throws SQLException {
    connection.close();
  }

  @Test
  void jdbc12Catalogs() throws SQLException {
    assertTrue(column(metadata.getCatalogs(), "TABLE_CAT").contains("iceberg"));
  }

  @Test
  void jdbc12Schemas() throws SQLException {
    assertTrue(column(metadata.getSchemas(), "TABLE_SCHEM").contains(schema));
    assertEquals(List.of(schema), column(metadata.getSchemas("iceberg", schema), "TABLE_SCHEM"));
    assertEquals(List.of(), column(metadata.getSchemas("no_such_catalog", "%"), "TABLE_SCHEM"));
  }

  @Test
  void jdbc12Tables() throws SQLException {
    assertEquals(
        List.of("big", "customers", "orders"),
        column(metadata.getTables("iceberg", schema, "%", null), "TABLE_NAME").stream().sorted().toList());
    String[] types = {"VIEW"};
    assertEquals(List.of("big"), column(metadata.getTables("iceberg", schema, "%", types), "TABLE_NAME"));
    assertEquals(List.of("orders"), column(metadata.getTables(null, schema, "ord_rs", null), "TABLE_NAME"));
    String[] table = {"TABLE"};
    assertEquals(2, column(metadata.getTables(null, schema, "%", table), "TABLE_NAME").size());
  }

  @Test
  void jdbc12TableTypes() throws SQLException {
    assertTrue(column(metadata.getTableTypes(), "TABLE_TYPE").containsAll(List.of("BASE TABLE", "VIEW")));
  }

  @Test
  void jdbc12Columns() throws SQLException {
    try (ResultSet columns = metadata.getColumns("iceberg", schema, "orders", "%")) {
      List<String> found = new ArrayList<>();
      while (columns.next()) {
        found.add(columns.getString("COLUMN_NAME") + " " + columns.getInt("DATA_TYPE") + " "
            + columns.getInt("ORDINAL_POSITION") + " " + columns.getString("IS_NULLABLE"));
        assertEquals(schema, columns.getString("TABLE_SCHEM"));
        assertFalse(columns.getString("TYPE_NAME").isEmpty());
      }
      assertEquals(
          List.of("id " + Types.BIGINT + " 1 NO", "total " + Types.DECIMAL + " 2 YES", "at " + Types.TIMESTAMP + " 3 YES"),
          found);
    }
    assertEquals(List.of("total"), column(metadata.getColumns(null, schema, "%", "tot%"), "COLUMN_NAME"));
  }

  @Test
  void jdbc12KeysAreEmptyResults() throws SQLException {
    List<ResultSet> results = List.of(
        metadata.getPrimaryKeys("iceberg", schema, "orders"),
        metadata.getImportedKeys("iceberg", schema, "orders"),
        metadata.getExportedKeys("iceberg", schema, "orders"),
        metadata.getCrossReference("iceberg", schema, "orders", "iceberg", schema, "customers"));
    for (ResultSet keys : results) {
      try (keys) {
        assertFalse(keys.next());
      }
    }
  }

  @Test
  void jdbc13EveryGetterAnswers() throws Exception {
    List<String> failed = new ArrayList<>();
    int called = 0;
    for (Method method : DatabaseMetaData.class.getMethods()) {
      Class<?> type = method.getReturnType();
      boolean isValue = type.isPrimitive() || type == String.class;
      if (method.getParameterCount() != 0 || !isValue || method.getDeclaringClass() != DatabaseMetaData.class) continue;
      called++;
      try {
        Object value = method.invoke(metadata);
        if (value == null && !method.getName().equals("getUserName")) failed.add(method.getName() + ": null");
      } catch (InvocationTargetException e) {
        if (!(e.getCause() instanceof SQLFeatureNotSupportedException)) {
          failed.add(method.getName() + ": " + e.getCause());
        }
      }
    }
    assertTrue(called > 120, "only " + called + " getters were called");
    assertEquals(List.of(), failed);
  }

  @Test
  void jdbc13TheGettersSayWhatIsTrue() throws SQLException {
    assertEquals("Fjord", metadata.getDatabaseProductName());
    assertTrue(metadata.getDatabaseProductVersion().matches("\\d+\\.\\d+\\.\\d+.*"));
    assertEquals("\"", metadata.getIdentifierQuoteString());
    assertFalse(metadata.isReadOnly());
    assertTrue(metadata.nullsAreSortedAtEnd());
    assertTrue(metadata.getStringFunctions().toLowerCase().contains("substr"));
    assertTrue(metadata.getNumericFunctions().toLowerCase().contains("abs"));
    assertTrue(metadata.supportsBatchUpdates());
    assertFalse(metadata.supportsSavepoints());
    assertTrue(metadata.supportsGroupBy());
    assertTrue(metadata.supportsUnion());
  }

  @Test
  void jdbc18ATreeIsWalkedFromCatalogsToColumns() throws SQLException {
    boolean found = false;
    for (String catalog : column(metadata.getCatalogs(), "TABLE_CAT")) {
      for (String name : column(metadata.getSchemas(catalog, null), "TABLE_SCHEM")) {
        if (!name.equals(schema)) continue;
        String[] types = {"BASE TABLE", "VIEW"};
        for (String table : column(metadata.getTables(catalog, name, null, types), "TABLE_NAME")) {
          found |= column(metadata.getColumns(catalog, name, table, null), "COLUMN_NAME").contains("total");
          column(metadata.getPrimaryKeys(catalog, name, table), "COLUMN_NAME");
        }
      }
    }
    assertTrue(found, "the column is not reached by the tree");
  }
}
