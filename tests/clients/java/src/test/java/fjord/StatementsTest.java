package fjord;

import static fjord.Servers.one;
import static fjord.Servers.rows;
import static fjord.Servers.run;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Statements, their counts, batches, autocommit, cancel (JDBC-05, 06, 09 to 11, 16, 17). */
class StatementsTest {
  private static final String HEAVY =
      "SELECT sum(value % 7) AS n FROM generate_series(1, 500000000000)";

  private Connection connection;
  private String schema;

  @BeforeEach
  void connect() throws SQLException {
    connection = Servers.open();
    schema = Servers.schema(connection);
  }

  @AfterEach
  void close() throws SQLException {
    connection.close();
  }

  @Test
  void jdbc05DdlAndDmlAreUpdatesAndQueriesAreQueries() throws SQLException {
    try (Statement statement = connection.createStatement()) {
      assertFalse(statement.execute("CREATE TABLE " + schema + ".t (id bigint, who varchar)"));
      assertTrue(statement.getUpdateCount() <= 0);
      assertFalse(statement.execute("INSERT INTO " + schema + ".t VALUES (1, 'a'), (2, 'b')"));
      assertEquals(2, statement.getUpdateCount());
      assertEquals(1, statement.executeUpdate("INSERT INTO " + schema + ".t VALUES (3, NULL)"));
      assertTrue(statement.execute("SELECT id FROM " + schema + ".t"));
      assertEquals(3, rows(statement.getResultSet()).size());
      assertEquals(3, statement.executeUpdate("DELETE FROM " + schema + ".t"));
    }
  }

  @Test
  void jdbc05AnUpdateRunsOnce() throws SQLException {
    run(connection, "CREATE TABLE " + schema + ".t (id bigint)");
    run(connection, "INSERT INTO " + schema + ".t VALUES (1)");
    try (PreparedStatement insert = connection.prepareStatement("INSERT INTO " + schema + ".t VALUES (2)")) {
      assertEquals(1L, ((Number) one(connection, "SELECT count(*) FROM " + schema + ".t")).longValue());
      assertEquals(1, insert.executeUpdate());
    }
    assertEquals(2L, ((Number) one(connection, "SELECT count(*) FROM " + schema + ".t")).longValue());
  }

  @Test
  void jdbc05ShowAndExplainAreQueries() throws SQLException {
    for (String sql : List.of("SHOW SCHEMAS", "EXPLAIN SELECT 1", "DESCRIBE SELECT 1 AS a")) {
      assertFalse(rows(connection, sql).isEmpty(), sql);
    }
  }

  @Test
  void jdbc06ColumnsAreDescribedBeforeAnyRowIsRead() throws SQLException {
    run(connection, "CREATE TABLE " + schema + ".t (id bigint, total decimal(12, 3), who varchar)");
    try (PreparedStatement query =
        connection.prepareStatement("SELECT id, total, who AS name FROM " + schema + ".t")) {
      ResultSetMetaData columns = query.getMetaData();
      assertEquals(3, columns.getColumnCount());
      assertEquals("id", columns.getColumnLabel(1));
      assertEquals("name", columns.getColumnLabel(3));
      assertEquals(Types.BIGINT, columns.getColumnType(1));
      assertEquals(Types.DECIMAL, columns.getColumnType(2));
      assertEquals(Types.VARCHAR, columns.getColumnType(3));
      assertEquals(12, columns.getPrecision(2));
      assertEquals(3, columns.getScale(2));
      assertFalse(columns.getColumnTypeName(1).isEmpty());
    }
  }

  @Test
  void jdbc06TheTableOfAColumnIsNamed() throws SQLException {
    run(connection, "CREATE TABLE " + schema + ".t (id bigint)");
    try (PreparedStatement query = connection.prepareStatement("SELECT id, 1 AS one FROM " + schema + ".t")) {
      ResultSetMetaData columns = query.getMetaData();
      assertEquals("iceberg", columns.getCatalogName(1));
      assertEquals(schema, columns.getSchemaName(1));
      assertEquals("t", columns.getTableName(1));
      assertFalse(columns.isAutoIncrement(1));
    }
  }

  @Test
  void jdbc09QuestionMarksInTextsAndCommentsAreNoParameters() throws SQLException {
    String sql = "SELECT '?' AS a, ? AS b /* ? */ -- ?\n FROM (SELECT 1 AS \"?\") t WHERE \"?\" = ?";
    try (PreparedStatement query = connection.prepareStatement(sql.replace("? AS b", "CAST(? AS bigint) AS b"))) {
      assertEquals(2, query.getParameterMetaData().getParameterCount());
      query.setLong(1, 5);
      query.setLong(2, 1);
      List<Object> row = rows(query.executeQuery()).get(0);
      assertEquals("?", row.get(0).toString());
      assertEquals(5L, ((Number) row.get(1)).longValue());
    }
  }

  @Test
  void jdbc10ABatchIsOnePutWithOneCount() throws SQLException {
    run(connection, "CREATE TABLE " + schema + ".t (id bigint, who varchar)");
    try (PreparedStatement insert = connection.prepareStatement("INSERT INTO " + schema + ".t VALUES (?, ?)")) {
      for (int i = 0; i < 10; i++) {
        insert.setLong(1, i);
        insert.setString(2, "p" + i);
        insert.addBatch();
      }
      int total = 0;
      for (int count : insert.executeBatch()) total += count;
      assertEquals(10, total);
    }
    assertEquals(10L, ((Number) one(connection, "SELECT count(DISTINCT who) FROM " + schema + ".t")).longValue());
  }

  @Test
  void jdbc11AutocommitIsOnAndCommitDoesNoHarm() throws SQLException {
    connection.setAutoCommit(true);
    run(connection, "CREATE TABLE " + schema + ".t (id bigint)");
    run(connection, "INSERT INTO " + schema + ".t VALUES (1)");
    try (Connection other = Servers.open()) {
      assertEquals(1L, ((Number) one(other, "SELECT count(*) FROM " + schema + ".t")).longValue());
    }
  }

  @Test
  void jdbc16ALargeResultIsReadToItsEnd() throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet results =
            statement.executeQuery("SELECT value AS n, repeat('x', 200) AS s FROM generate_series(1, 300000)")) {
      long rows = 0;
      long sum = 0;
      while (results.next()) {
        rows++;
        sum += results.getLong(1);
      }
      assertEquals(300_000, rows);
      assertEquals(300_000L * 300_001 / 2, sum);
    }
  }

  @Test
  void jdbc16AnEmptyResultHasColumnsAndNoRows() throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet results = statement.executeQuery("SELECT value AS n FROM generate_series(1, 5) WHERE value > 9")) {
      assertEquals("n", results.getMetaData().getColumnLabel(1));
      assertFalse(results.next());
    }
  }

  @Test
  void jdbc17CancelFromAnotherThreadStopsTheWork() throws Exception {
    Servers.assertIdleWithinTwoSeconds();
    try (Statement statement = connection.createStatement()) {
      Thread canceller = new Thread(() -> {
        try {
          Servers.awaitWork();
          statement.cancel();
        } catch (Exception e) {
          throw new AssertionError(e);
        }
      });
      canceller.start();
      assertThrows(Exception.class, () -> rows(statement.executeQuery(HEAVY)));
      canceller.join();
    }
    Servers.assertIdleWithinTwoSeconds();
  }

  @Test
  void jdbc17AQueryTimeoutEndsTheWaitAndTheWork() throws Exception {
    try (Statement statement = connection.createStatement()) {
      statement.setQueryTimeout(2);
      long start = System.nanoTime();
      assertThrows(Exception.class, () -> rows(statement.executeQuery(HEAVY)));
      assertTrue(System.nanoTime() - start < 15e9);
    }
    Servers.assertIdleWithinTwoSeconds();
  }

  @Test
  void jdbc17AResultClosedEarlyStopsTheWork() throws Exception {
    try (Statement statement = connection.createStatement()) {
      ResultSet results =
          statement.executeQuery("SELECT value, repeat('x', 500) AS s FROM generate_series(1, 50000000)");
      assertTrue(results.next());
      results.close();
    }
    Servers.assertIdleWithinTwoSeconds();
  }

  @Test
  void jdbc17AnErrorOfTheServerSaysWhatIsWrong() {
    SQLException error = assertThrows(SQLException.class, () -> rows(connection, "SELECT * FROM no_such.table_here"));
    StringBuilder text = new StringBuilder();
    for (Throwable e = error; e != null; e = e.getCause()) text.append(e.getMessage());
    assertTrue(text.toString().contains("no_such"), text.toString());
  }
}
