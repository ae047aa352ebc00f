package fjord;

import static fjord.Servers.one;
import static fjord.Servers.rows;
import static fjord.Servers.run;
import static fjord.Servers.url;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import org.junit.jupiter.api.Test;

/** Connecting: parameters of the URL, login, catalog, cookies (JDBC-01 to JDBC-04). */
class LoginTest {
  private static String everything(Throwable error) {
    StringBuilder text = new StringBuilder();
    for (; error != null; error = error.getCause()) text.append(error.getMessage()).append('\n');
    return text.toString();
  }

  @Test
  void jdbc01WithoutEncryptionWhenTold() throws SQLException {
    try (Connection connection = Servers.open()) {
      assertEquals(1L, ((Number) one(connection, "SELECT 1")).longValue());
      assertTrue(connection.isValid(5));
    }
  }

  @Test
  void jdbc01EncryptionIsTheDefaultAndFailsOnPlainText() {
    assertThrows(SQLException.class, () -> {
      try (Connection connection = DriverManager.getConnection(url(Servers.OPEN, "connectTimeoutMs=5000"))) {
        one(connection, "SELECT 1");
      }
    });
  }

  @Test
  void jdbc01TlsWithOurAuthority() throws SQLException {
    String login = "user=" + Servers.USER + "&password=" + Servers.SECRET;
    String roots = "&useSystemTrustStore=false&tlsRootCerts=" + Servers.AUTHORITY;
    try (Connection connection = DriverManager.getConnection(url(Servers.TLS, login + roots))) {
      assertEquals(1L, ((Number) one(connection, "SELECT 1")).longValue());
    }
    String unverified = "&disableCertificateVerification=true";
    try (Connection connection = DriverManager.getConnection(url(Servers.TLS, login + unverified))) {
      assertEquals(1L, ((Number) one(connection, "SELECT 1")).longValue());
    }
    assertThrows(SQLException.class, () -> DriverManager.getConnection(url(Servers.TLS, login)));
  }

  @Test
  void jdbc01UnknownParametersAreCallHeaders() throws SQLException {
    try (Connection connection = Servers.open("&fjord-output-profile=grafana")) {
      Object value = one(connection, "SELECT CAST(1.5 AS decimal(10, 2)) AS d");
      assertEquals(Double.class, value.getClass());
    }
  }

  @Test
  void jdbc02UserAndPassword() throws SQLException {
    try (Connection connection = Servers.login("")) {
      assertEquals(1L, ((Number) one(connection, "SELECT 1")).longValue());
    }
  }

  @Test
  void jdbc02AWrongPasswordIsRefusedAndNotRepeated() {
    String wrong = url(Servers.PASSWORD, "useEncryption=false&user=" + Servers.USER + "&password=not-it-at-all");
    SQLException error = assertThrows(SQLException.class, () -> DriverManager.getConnection(wrong));
    assertTrue(everything(error).toLowerCase().contains("password"), everything(error));
    assertFalse(everything(error).contains("not-it-at-all"), everything(error));
  }

  @Test
  void jdbc02AMissingPasswordIsRefusedClearly() {
    SQLException error = assertThrows(SQLException.class, () -> {
      try (Connection connection =
          DriverManager.getConnection(url(Servers.PASSWORD, "useEncryption=false&user=" + Servers.USER))) {
        one(connection, "SELECT 1");
      }
    });
    assertTrue(everything(error).toLowerCase().contains("password"), everything(error));
  }

  @Test
  void jdbc02ATokenIsExchangedByHandshake() throws SQLException {
    String token = System.getenv("FJORD_TOKEN");
    try (Connection connection =
        DriverManager.getConnection(url(Servers.PASSWORD, "useEncryption=false&token=" + token))) {
      assertEquals(1L, ((Number) one(connection, "SELECT 1")).longValue());
    }
    assertThrows(SQLException.class, () -> {
      try (Connection connection =
          DriverManager.getConnection(url(Servers.PASSWORD, "useEncryption=false&token=nonsense"))) {
        one(connection, "SELECT 1");
      }
    });
  }

  /** The driver 18.3.0 closes its channel twice, and asks on the closed one to close the session. */
  private static void closeTwice(Connection connection) {
    try {
      connection.close();
    } catch (SQLException error) {
      assertTrue(everything(error).contains("Channel shutdown invoked"), everything(error));
    }
  }

  @Test
  void jdbc03AndP17CatalogIsSetAtConnectAndTheSessionClosed() throws SQLException {
    Connection known = Servers.login("&catalog=iceberg");
    assertEquals("iceberg", String.valueOf(rows(known, "SHOW catalog").get(0).get(1)));
    closeTwice(known);
    Connection anonymous = Servers.open("&catalog=iceberg");
    assertEquals(1L, ((Number) one(anonymous, "SELECT 1")).longValue());
    closeTwice(anonymous);
  }

  @Test
  void jdbc03AnUnknownCatalogFailsToConnect() {
    assertThrows(SQLException.class, () -> Servers.open("&catalog=no_such_catalog").close());
  }

  @Test
  void jdbc04ACookieKeepsTheSessionOfEachConnection() throws SQLException {
    try (Connection one = Servers.open(); Connection two = Servers.open()) {
      String schema = Servers.schema(one);
      run(one, "USE iceberg." + schema);
      run(one, "CREATE TABLE here (id bigint)");
      assertEquals(0L, ((Number) one(one, "SELECT count(*) FROM here")).longValue());
      assertThrows(SQLException.class, () -> one(two, "SELECT count(*) FROM here"));
    }
  }
}
