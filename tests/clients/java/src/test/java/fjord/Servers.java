package fjord;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

/** The servers that the harness started, and short ways to ask them something. */
final class Servers {
  static final String OPEN = env("FJORD_OPEN_ADDRESS");
  static final String PASSWORD = env("FJORD_PASSWORD_ADDRESS");
  static final String TLS = env("FJORD_TLS_ADDRESS");
  static final String AUTHORITY = env("FJORD_TLS_AUTHORITY");
  static final String USER = env("FJORD_USER");
  static final String SECRET = env("FJORD_SECRET");

  private static final AtomicInteger NUMBERS = new AtomicInteger();
  private static final double TICKS_A_SECOND = 100;

  private Servers() {}

  private static String env(String name) {
    String value = System.getenv(name);
    if (value == null) throw new IllegalStateException(name + " is not set: run the tests by pytest");
    return value;
  }

  static String url(String address, String parameters) {
    return "jdbc:arrow-flight-sql://" + address + "/?" + parameters;
  }

  static Connection open() throws SQLException {
    return open("");
  }

  static Connection open(String more) throws SQLException {
    return DriverManager.getConnection(url(OPEN, "useEncryption=false" + more));
  }

  static Connection login(String more) throws SQLException {
    return DriverManager.getConnection(
        url(PASSWORD, "useEncryption=false&user=" + USER + "&password=" + SECRET + more));
  }

  /** A new schema with a name of its own. */
  static String schema(Connection connection) throws SQLException {
    String name = "j" + NUMBERS.incrementAndGet() + "_" + System.nanoTime() % 1_000_000;
    run(connection, "CREATE SCHEMA " + name);
    return name;
  }

  static void run(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  /** All rows, each as a list of objects. */
  static List<List<Object>> rows(ResultSet results) throws SQLException {
    List<List<Object>> rows = new ArrayList<>();
    try (results) {
      int columns = results.getMetaData().getColumnCount();
      while (results.next()) {
        List<Object> row = new ArrayList<>();
        for (int i = 1; i <= columns; i++) row.add(results.getObject(i));
        rows.add(row);
      }
    }
    return rows;
  }

  static List<List<Object>> rows(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      return rows(statement.executeQuery(sql));
    }
  }

  static Object one(Connection connection, String sql) throws SQLException {
    List<List<Object>> rows = rows(connection, sql);
    assertTrue(rows.size() == 1 && rows.get(0).size() == 1, rows.toString());
    return rows.get(0).get(0);
  }

  /** One column of a metadata result. */
  static List<String> column(ResultSet results, String name) throws SQLException {
    List<String> values = new ArrayList<>();
    try (results) {
      while (results.next()) values.add(results.getString(name));
    }
    return values;
  }

  /** Cores that the open server uses over 0.3 s. */
  static double busy() throws Exception {
    double before = cpuSeconds();
    Thread.sleep(300);
    return (cpuSeconds() - before) / 0.3;
  }

  static void awaitWork() throws Exception {
    for (int i = 0; i < 60; i++) if (busy() > 0.5) return;
    throw new AssertionError("the query never used the processor");
  }

  static void assertIdleWithinTwoSeconds() throws Exception {
    for (int i = 0; i < 6; i++) if (busy() < 0.2) return;
    assertFalse(true, "the server still works two seconds later");
  }

  private static double cpuSeconds() throws Exception {
    String stat = Files.readString(Path.of("/proc/" + env("FJORD_OPEN_PID") + "/stat"));
    String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
    return (Long.parseLong(fields[11]) + Long.parseLong(fields[12])) / TICKS_A_SECOND;
  }
}
