// Package clients holds tests with Go clients against servers whose addresses come from the environment.
package clients

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-adbc/go/adbc"
	"github.com/apache/arrow-adbc/go/adbc/driver/flightsql"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

const ticksASecond = 100

var numbers atomic.Int64

func env(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run the tests by pytest", name)
	}
	return value
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// open connects to the open server; options are pairs of name and value.
func open(t *testing.T, options ...string) adbc.Connection {
	t.Helper()
	return connect(t, "grpc://"+env(t, "FJORD_OPEN_ADDRESS"), options...)
}

func login(t *testing.T, options ...string) adbc.Connection {
	t.Helper()
	who := []string{adbc.OptionKeyUsername, env(t, "FJORD_USER"), adbc.OptionKeyPassword, env(t, "FJORD_SECRET")}
	return connect(t, "grpc://"+env(t, "FJORD_PASSWORD_ADDRESS"), append(who, options...)...)
}

func connect(t *testing.T, uri string, options ...string) adbc.Connection {
	t.Helper()
	all := map[string]string{adbc.OptionKeyURI: uri}
	for i := 0; i < len(options); i += 2 {
		all[options[i]] = options[i+1]
	}
	database, err := flightsql.NewDriver(memory.DefaultAllocator).NewDatabase(all)
	must(t, err)
	connection, err := database.Open(limited(t))
	must(t, err)
	t.Cleanup(func() { connection.Close(); database.Close() })
	return connection
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func statement(t *testing.T, connection adbc.Connection, sql string) adbc.Statement {
	t.Helper()
	made, err := connection.NewStatement()
	must(t, err)
	t.Cleanup(func() { made.Close() })
	if sql != "" {
		must(t, made.SetSqlQuery(sql))
	}
	return made
}

func update(t *testing.T, connection adbc.Connection, sql string) int64 {
	t.Helper()
	count, err := statement(t, connection, sql).ExecuteUpdate(limited(t))
	must(t, err)
	return count
}

// drain reads a result to its end: its rows, and every cell as text.
func drain(t *testing.T, reader array.RecordReader) (rows [][]string) {
	t.Helper()
	defer reader.Release()
	for reader.Next() {
		batch := reader.RecordBatch()
		for i := 0; i < int(batch.NumRows()); i++ {
			var row []string
			for _, column := range batch.Columns() {
				row = append(row, column.ValueStr(i))
			}
			rows = append(rows, row)
		}
	}
	must(t, reader.Err())
	return rows
}

func query(t *testing.T, connection adbc.Connection, sql string) [][]string {
	t.Helper()
	reader, _, err := statement(t, connection, sql).ExecuteQuery(limited(t))
	must(t, err)
	return drain(t, reader)
}

func one(t *testing.T, connection adbc.Connection, sql string) string {
	t.Helper()
	rows := query(t, connection, sql)
	if len(rows) != 1 || len(rows[0]) != 1 {
		t.Fatalf("%s: %v", sql, rows)
	}
	return rows[0][0]
}

func newSchema(t *testing.T, connection adbc.Connection) string {
	t.Helper()
	name := fmt.Sprintf("g%d_%d", numbers.Add(1), time.Now().UnixNano()%1_000_000)
	update(t, connection, "CREATE SCHEMA "+name)
	return name
}

func int64s(values ...int64) arrow.Array {
	builder := array.NewInt64Builder(memory.DefaultAllocator)
	builder.AppendValues(values, nil)
	return builder.NewArray()
}

func batch(name string, column arrow.Array) arrow.RecordBatch {
	schema := arrow.NewSchema([]arrow.Field{{Name: name, Type: column.DataType(), Nullable: true}}, nil)
	return array.NewRecordBatch(schema, []arrow.Array{column}, int64(column.Len()))
}

// busy tells how many cores the open server uses over 0.3 s.
func busy(t *testing.T) float64 {
	t.Helper()
	before := cpuSeconds(t)
	time.Sleep(300 * time.Millisecond)
	return (cpuSeconds(t) - before) / 0.3
}

func cpuSeconds(t *testing.T) float64 {
	t.Helper()
	data, err := os.ReadFile("/proc/" + env(t, "FJORD_OPEN_PID") + "/stat")
	must(t, err)
	text := string(data)
	fields := strings.Fields(text[strings.LastIndex(text, ")")+2:])
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return float64(user+system) / ticksASecond
}

func awaitWork(t *testing.T) {
	t.Helper()
	for i := 0; i < 60; i++ {
		if busy(t) > 0.5 {
			return
		}
	}
	t.Fatal("the query never used the processor")
}

func assertIdleWithinTwoSeconds(t *testing.T) {
	t.Helper()
	for i := 0; i < 6; i++ {
		if busy(t) < 0.2 {
			return
		}
	}
	t.Fatal("the server still works two seconds later")
}
