package fjord;

import static fjord.Servers.one;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.sql.Types;
import java.time.Instant;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What the driver reads of each type (JDBC-14, JDBC-15). */
class TypesTest {
  private Connection connection;

  @BeforeEach
  void connect() throws SQLException {
    connection = Servers.open();
  }

  @AfterEach
  void close() throws SQLException {
    connection.close();
  }

  @Test
  void jdbc14Numbers() throws SQLException {
    String[] kinds = {"Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64"};
    for (String kind : kinds) {
      Object value = one(connection, "SELECT arrow_cast(7, '" + kind + "') AS v");
      assertEquals(7.0, ((Number) value).doubleValue(), kind);
    }
    assertEquals(new BigDecimal("1.50"), one(connection, "SELECT CAST(1.5 AS decimal(38, 2))"));
  }

  @Test
  void jdbc14Texts() throws SQLException {
    String[] kinds = {"Utf8", "LargeUtf8", "Utf8View", "Dictionary(Int32, Utf8)"};
    for (String kind : kinds) {
      assertEquals("ab", one(connection, "SELECT arrow_cast('ab', '" + kind + "') AS v").toString(), kind);
    }
  }

  @Test
  void jdbc14Bytes() throws SQLException {
    for (String kind : new String[] {"Binary", "LargeBinary", "BinaryView"}) {
      byte[] found = (byte[]) one(connection, "SELECT arrow_cast('ab', '" + kind + "') AS v");
      assertEquals("ab", new String(found), kind);
    }
  }

  @Test
  void jdbc14DatesAndTimes() throws SQLException {
    assertEquals("2026-01-02", one(connection, "SELECT DATE '2026-01-02'").toString());
    String time = one(connection, "SELECT arrow_cast('10:20:30', 'Time64(Microsecond)')").toString();
    assertEquals("10:20:30", time.substring(0, 8));
    for (String unit : new String[] {"Second", "Millisecond", "Microsecond", "Nanosecond"}) {
      Object found =
          one(connection, "SELECT arrow_cast('2026-01-02T03:04:05', 'Timestamp(" + unit + ", None)') AS v");
      assertEquals(Timestamp.valueOf("2026-01-02 03:04:05"), found, unit);
    }
  }

  @Test
  void jdbc14NestedTypes() throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet results =
            statement.executeQuery("SELECT [1, 2, 3] AS l, named_struct('a', 1, 'b', 'x') AS s, map(['k'], [5]) AS m")) {
      assertTrue(results.next());
      assertEquals(3, ((Object[]) results.getArray(1).getArray()).length);
      assertTrue(results.getObject(2).toString().contains("x"));
      assertTrue(results.getObject(3).toString().contains("k"));
    }
  }

  @Test
  void jdbc14NullsAndTheNullType() throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet results =
            statement.executeQuery("SELECT NULL AS a, CAST(NULL AS bigint) AS b, CAST(NULL AS timestamp) AS c")) {
      assertTrue(results.next());
      for (int i = 1; i <= 3; i++) assertNull(results.getObject(i));
      assertEquals(0, results.getLong(2));
      assertTrue(results.wasNull());
    }
  }

  @Test
  void jdbc14WhatTheDriverCannotReadIsSentAsSomethingElse() throws SQLException {
    assertEquals(1.5, ((Number) one(connection, "SELECT arrow_cast(1.5, 'Float16') AS v")).doubleValue());
    Object wide = one(connection, "SELECT arrow_cast('12345', 'Decimal256(60, 0)') AS v");
    assertEquals("12345", wide.toString());
  }

  @Test
  void jdbc15TimestampsWithAZoneAreInstants() throws SQLException {
    String sql = "SELECT arrow_cast('2026-01-02T03:04:05Z', 'Timestamp(Microsecond, Some(\"UTC\"))') AS v";
    try (Statement statement = connection.createStatement();
        ResultSet results = statement.executeQuery(sql)) {
      assertEquals(Types.TIMESTAMP_WITH_TIMEZONE, results.getMetaData().getColumnType(1));
      assertTrue(results.next());
      assertEquals(Instant.parse("2026-01-02T03:04:05Z"), results.getTimestamp(1).toInstant());
    }
  }
}
