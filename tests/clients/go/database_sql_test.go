package clients

import (
	"database/sql"
	"testing"

	_ "github.com/apache/arrow-go/v18/arrow/flight/flightsql/driver"
)

// arrow-go's database/sql driver sends Basic with every call and makes no handshake.
func TestAdbc02BasicWithEveryCallByDatabaseSql(t *testing.T) {
	database, err := sql.Open("flightsql",
		"flightsql://"+env(t, "FJORD_USER")+":"+env(t, "FJORD_SECRET")+"@"+env(t, "FJORD_PASSWORD_ADDRESS")+"?timeout=30s")
	must(t, err)
	defer database.Close()
	var n int64
	for range 3 {
		must(t, database.QueryRowContext(limited(t), "SELECT 41 + 1 AS n").Scan(&n))
	}
	if n != 42 {
		t.Fatal(n)
	}
}

func TestAdbc07ParametersByDatabaseSql(t *testing.T) {
	database, err := sql.Open("flightsql", "flightsql://"+env(t, "FJORD_OPEN_ADDRESS")+"?timeout=30s")
	must(t, err)
	defer database.Close()
	var n int64
	row := database.QueryRowContext(limited(t), "SELECT value FROM generate_series(1, 9) WHERE value = ?", int64(7))
	must(t, row.Scan(&n))
	if n != 7 {
		t.Fatal(n)
	}
	prepared, err := database.PrepareContext(limited(t), "SELECT CAST(? AS varchar) AS s")
	must(t, err)
	defer prepared.Close()
	for _, text := range []string{"a", "b"} {
		var got string
		must(t, prepared.QueryRowContext(limited(t), text).Scan(&got))
		if got != text {
			t.Fatal(got)
		}
	}
}

func TestAdbc02AWrongPasswordByDatabaseSql(t *testing.T) {
	database, err := sql.Open("flightsql",
		"flightsql://"+env(t, "FJORD_USER")+":wrong@"+env(t, "FJORD_PASSWORD_ADDRESS")+"?timeout=30s")
	must(t, err)
	defer database.Close()
	var n int64
	if err := database.QueryRowContext(limited(t), "SELECT 1").Scan(&n); err == nil {
		t.Fatal("a wrong password was taken")
	}
}
