package fjord;

import static fjord.Servers.one;
import static fjord.Servers.rows;
import static fjord.Servers.run;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.Date;
import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Time;
import java.sql.Timestamp;
import java.sql.Types;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Bound parameters of every type that a table has (JDBC-07, JDBC-08). */
class ParametersTest {
  private Connection connection;
  private String table;

  @BeforeEach
  void connect() throws SQLException {
    connection = Servers.open();
    table = Servers.schema(connection) + ".t";
  }

  @AfterEach
  void close() throws SQLException {
    connection.close();
  }

  private interface Setter {
    void set(PreparedStatement statement, int index) throws SQLException;
  }

  /** Writes by a parameter, finds the row again by a parameter, and returns its column. */
  private Object throughTheTable(String type, Setter setter) throws SQLException {
    run(connection, "CREATE OR REPLACE TABLE " + table + " (v " + type + ")");
    try (PreparedStatement insert = connection.prepareStatement("INSERT INTO " + table + " VALUES (?)")) {
      setter.set(insert, 1);
      assertEquals(1, insert.executeUpdate());
    }
    try (PreparedStatement query = connection.prepareStatement("SELECT v FROM " + table + " WHERE v = ?")) {
      setter.set(query, 1);
      var rows = rows(query.executeQuery());
      assertEquals(1, rows.size(), type + ": the row is not found by the value that was written");
      return rows.get(0).get(0);
    }
  }

  @Test
  void jdbc07Boolean() throws SQLException {
    assertEquals(true, throughTheTable("boolean", (s, i) -> s.setBoolean(i, true)));
  }

  @Test
  void jdbc07IntegersByAnyNumber() throws SQLException {
    assertEquals(-7, ((Number) throughTheTable("int", (s, i) -> s.setInt(i, -7))).intValue());
    assertEquals(7, ((Number) throughTheTable("int", (s, i) -> s.setLong(i, 7))).intValue());
    assertEquals(7, ((Number) throughTheTable("bigint", (s, i) -> s.setInt(i, 7))).intValue());
    assertEquals(1L << 40, throughTheTable("bigint", (s, i) -> s.setLong(i, 1L << 40)));
    assertEquals(5, ((Number) throughTheTable("bigint", (s, i) -> s.setShort(i, (short) 5))).intValue());
    assertEquals(4, ((Number) throughTheTable("bigint", (s, i) -> s.setByte(i, (byte) 4))).intValue());
  }

  @Test
  void jdbc07Floats() throws SQLException {
    assertEquals(1.5, ((Number) throughTheTable("double", (s, i) -> s.setDouble(i, 1.5))).doubleValue());
    assertEquals(2.5, ((Number) throughTheTable("real", (s, i) -> s.setFloat(i, 2.5f))).doubleValue());
  }

  @Test
  void jdbc07Decimal() throws SQLException {
    BigDecimal value = new BigDecimal("1234567.89");
    assertEquals(value, throughTheTable("decimal(18, 2)", (s, i) -> s.setBigDecimal(i, value)));
  }

  @Test
  void jdbc07Text() throws SQLException {
    String value = "naïve 'quoted' ☃";
    assertEquals(value, throughTheTable("varchar", (s, i) -> s.setString(i, value)).toString());
  }

  @Test
  void jdbc07Bytes() throws SQLException {
    byte[] value = {0, 1, -1};
    assertArrayEquals(value, (byte[]) throughTheTable("varbinary", (s, i) -> s.setBytes(i, value)));
  }

  @Test
  void jdbc07Date() throws SQLException {
    Date value = Date.valueOf("2026-02-28");
    assertEquals(value.toString(), throughTheTable("date", (s, i) -> s.setDate(i, value)).toString());
  }

  @Test
  void jdbc07Time() throws SQLException {
    Time value = Time.valueOf("12:34:56");
    assertEquals("12:34:56", throughTheTable("time", (s, i) -> s.setTime(i, value)).toString().substring(0, 8));
  }

  @Test
  void jdbc07NullOfEveryType() throws SQLException {
    String[] types = {
      "boolean", "int", "bigint", "real", "double", "decimal(10, 2)", "varchar", "varbinary", "date", "time",
      "timestamp", "timestamp with time zone"
    };
    for (String type : types) {
      run(connection, "CREATE OR REPLACE TABLE " + table + " (v " + type + ")");
      try (PreparedStatement insert = connection.prepareStatement("INSERT INTO " + table + " VALUES (?)")) {
        insert.setNull(1, Types.NULL);
        assertEquals(1, insert.executeUpdate(), type);
      }
      Object found = one(connection, "SELECT count(*) FROM " + table + " WHERE v IS NULL");
      assertEquals(1L, ((Number) found).longValue(), type);
    }
  }

  @Test
  void jdbc07AndP07TwelveParametersStandInOrderAndHaveTypes() throws SQLException {
    StringBuilder sql = new StringBuilder("SELECT concat(");
    for (int i = 0; i < 12; i++) sql.append(i == 0 ? "" : ", ").append("CAST(? AS varchar)");
    try (PreparedStatement query = connection.prepareStatement(sql.append(") AS s").toString())) {
      ParameterMetaData parameters = query.getParameterMetaData();
      assertEquals(12, parameters.getParameterCount());
      for (int i = 1; i <= 12; i++) {
        assertNotEquals(Types.NULL, parameters.getParameterType(i));
        query.setString(i, Character.toString('a' + i - 1));
      }
      try (ResultSet results = query.executeQuery()) {
        results.next();
        assertEquals("abcdefghijkl", results.getString(1));
      }
    }
  }

  @Test
  void jdbc07TypesComeFromTheComparand() throws SQLException {
    run(connection, "CREATE TABLE " + table + " (id int, who varchar, total decimal(10, 2))");
    String sql = "SELECT id FROM " + table + " WHERE id > ? AND who LIKE ? AND total BETWEEN ? AND ? AND id IN (?, ?)";
    try (PreparedStatement query = connection.prepareStatement(sql)) {
      ParameterMetaData parameters = query.getParameterMetaData();
      int[] expected = {
        Types.INTEGER, Types.VARCHAR, Types.DECIMAL, Types.DECIMAL, Types.INTEGER, Types.INTEGER
      };
      for (int i = 0; i < expected.length; i++) assertEquals(expected[i], parameters.getParameterType(i + 1));
    }
  }

  @Test
  void jdbc07TooFewAreAnErrorOfTheDriverOrTheServer() throws SQLException {
    Connection other = Servers.open();
    try (PreparedStatement query = other.prepareStatement("SELECT CAST(? AS bigint) + CAST(? AS bigint)")) {
      query.setLong(1, 1);
      assertThrows(Exception.class, () -> rows(query.executeQuery()));
    }
    try {
      other.close();
    } catch (SQLException error) {
      // The driver does not give back the memory of the values that it did not send.
      assertTrue(String.valueOf(error.getMessage()).contains("leaked"), String.valueOf(error.getMessage()));
    }
  }

  @Test
  void jdbc07AStatementIsUsedAgainWithOtherValues() throws SQLException {
    try (PreparedStatement query = connection.prepareStatement("SELECT CAST(? AS bigint) * 2 AS n")) {
      for (long n = 0; n < 20; n++) {
        query.setLong(1, n);
        assertEquals(2 * n, ((Number) rows(query.executeQuery()).get(0).get(0)).longValue());
      }
    }
  }

  @Test
  void jdbc08TimestampsKeepTheirInstant() throws SQLException {
    Timestamp value = Timestamp.valueOf("2026-02-28 12:30:01.123");
    run(connection, "CREATE TABLE " + table + " (v timestamp)");
    try (PreparedStatement insert = connection.prepareStatement("INSERT INTO " + table + " VALUES (?)")) {
      insert.setTimestamp(1, value);
      assertEquals(1, insert.executeUpdate());
    }
    assertEquals(1L, ((Number) one(connection, "SELECT count(*) FROM " + table
        + " WHERE v = TIMESTAMP '2026-02-28 12:30:01.123'")).longValue());
    try (PreparedStatement query = connection.prepareStatement("SELECT v FROM " + table + " WHERE v = ?")) {
      query.setTimestamp(1, value);
      try (ResultSet results = query.executeQuery()) {
        results.next();
        assertEquals(value, results.getTimestamp(1));
      }
    }
  }

  @Test
  void jdbc08TimestampsWithATimeZoneKeepTheirInstant() throws SQLException {
    Timestamp value = Timestamp.valueOf("2026-02-28 12:30:01.5");
    run(connection, "CREATE TABLE " + table + " (v timestamp with time zone)");
    try (PreparedStatement insert = connection.prepareStatement("INSERT INTO " + table + " VALUES (?)")) {
      insert.setTimestamp(1, value);
      assertEquals(1, insert.executeUpdate());
    }
    assertEquals(1L, ((Number) one(connection, "SELECT count(*) FROM " + table
        + " WHERE v = TIMESTAMP '2026-02-28 12:30:01.5Z'")).longValue());
  }

  @Test
  void jdbc08ABatchOfTimestamps() throws SQLException {
    run(connection, "CREATE TABLE " + table + " (v timestamp)");
    try (PreparedStatement insert = connection.prepareStatement("INSERT INTO " + table + " VALUES (?)")) {
      for (int i = 0; i < 3; i++) {
        insert.setTimestamp(1, Timestamp.valueOf("2026-01-0" + (i + 1) + " 00:00:00"));
        insert.addBatch();
      }
      insert.executeBatch();
    }
    try (Statement statement = connection.createStatement();
        ResultSet results = statement.executeQuery("SELECT min(v), max(v) FROM " + table)) {
      results.next();
      assertEquals(Timestamp.valueOf("2026-01-01 00:00:00"), results.getTimestamp(1));
      assertEquals(Timestamp.valueOf("2026-01-03 00:00:00"), results.getTimestamp(2));
    }
  }
}
