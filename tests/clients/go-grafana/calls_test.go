package grafana

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v12/arrow"
	"github.com/apache/arrow/go/v12/arrow/array"
	"github.com/apache/arrow/go/v12/arrow/flight"
	"github.com/apache/arrow/go/v12/arrow/flight/flightsql"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestGraf01ALoginOnceIsGoodForTheLifeOfTheSource(t *testing.T) {
	source, err := login(t, env(t, "FJORD_PASSWORD_ADDRESS"), false, env(t, "FJORD_USER"), env(t, "FJORD_SECRET"))
	must(t, err)
	for range 3 {
		source.must(t, "select 1")
	}
	_, err = login(t, env(t, "FJORD_PASSWORD_ADDRESS"), false, env(t, "FJORD_USER"), "wrong")
	if status.Code(err) != codes.Unauthenticated {
		t.Fatal(err)
	}
	_, err = newSource(t, env(t, "FJORD_PASSWORD_ADDRESS"), false).query(t, "select 1")
	if status.Code(err) != codes.Unauthenticated || len(status.Convert(err).Message()) < 15 {
		t.Fatal(err)
	}
}

func TestGraf01ATokenOfTheSettingsGoesWithEveryCall(t *testing.T) {
	token := env(t, "FJORD_TOKEN")
	source := newSource(t, env(t, "FJORD_PASSWORD_ADDRESS"), false, "authorization", "Bearer "+token)
	source.must(t, "select 1")
}

func TestGraf02TlsTrustsTheRootsOfTheSystem(t *testing.T) {
	// The harness puts our authority among the system's roots by SSL_CERT_FILE.
	env(t, "SSL_CERT_FILE")
	source, err := login(t, env(t, "FJORD_TLS_ADDRESS"), true, env(t, "FJORD_USER"), env(t, "FJORD_SECRET"))
	must(t, err)
	source.must(t, "select 1")
}

func TestGraf03HealthWithoutCatalogAndSchema(t *testing.T) {
	found := open(t).must(t, "select 1")
	if found.rows != 1 || len(found.schema.Fields()) != 1 {
		t.Fatal(found.schema, found.rows)
	}
}

func TestGraf04OneEndpointForEveryStatement(t *testing.T) {
	source := open(t)
	schema := newSchema(t, source)
	for _, sql := range []string{
		"select 1",
		"CREATE TABLE " + schema + ".t AS SELECT value AS n FROM generate_series(1, 2000000)",
		"SELECT n FROM " + schema + ".t",
		"SELECT n FROM " + schema + ".t WHERE n < 0",
		"SHOW SCHEMAS",
	} {
		source.must(t, sql)
	}
	if found := source.must(t, "SELECT n FROM "+schema+".t"); found.rows != 2_000_000 {
		t.Fatal(found.rows)
	}
}

func TestGraf05AndP01NoMessageOfFourMebibytes(t *testing.T) {
	found := open(t).must(t, "SELECT repeat('x', 1000) AS s FROM generate_series(1, 20000)")
	if found.rows != 20_000 || found.batches < 5 {
		t.Fatal(found.rows, found.batches)
	}
}

func tables(t *testing.T, source *source, options *flightsql.GetTablesOpts) *frame {
	t.Helper()
	ctx := source.context(t)
	info, err := source.Client.GetTables(ctx, options)
	must(t, err)
	reader, err := source.read(t, ctx, info)
	must(t, err)
	found, err := collect(reader)
	must(t, err)
	return found
}

func TestGraf06TablesOfBothSpellings(t *testing.T) {
	source := open(t)
	schema := newSchema(t, source)
	source.must(t, "CREATE TABLE "+schema+".readings (time timestamp, v double)")
	for _, types := range [][]string{{"BASE TABLE", "table"}, {"table"}, {"base table"}, {"TABLE"}} {
		found := tables(t, source, &flightsql.GetTablesOpts{TableTypes: types, DbSchemaFilterPattern: &schema})
		if names := found.texts(t, "table_name"); len(names) != 1 || names[0] != "readings" {
			t.Fatal(types, names)
		}
	}
	all := tables(t, source, &flightsql.GetTablesOpts{TableTypes: []string{"BASE TABLE", "table"}})
	if !strings.Contains(strings.Join(all.texts(t, "table_name"), " "), "readings") {
		t.Fatal(all.texts(t, "table_name"))
	}
}

func TestGraf06ColumnsOfATable(t *testing.T) {
	source := open(t)
	schema := newSchema(t, source)
	source.must(t, "CREATE TABLE "+schema+".columns_here (time timestamp, v double, host varchar)")
	table := "columns_here"
	found := tables(t, source, &flightsql.GetTablesOpts{TableNameFilterPattern: &table, IncludeSchema: true})
	if found.rows != 1 {
		t.Fatal(found.rows)
	}
	bytes := found.columns[found.index(t, "table_schema")][0].(*array.Binary).Value(0)
	told, err := flight.DeserializeSchema(bytes, nil)
	must(t, err)
	var names []string
	for _, field := range told.Fields() {
		names = append(names, field.Name)
	}
	if strings.Join(names, " ") != "time v host" {
		t.Fatal(names)
	}
}

func TestGraf06AnUnknownTableIsAStreamWithoutABatch(t *testing.T) {
	table := "no_such_table_anywhere"
	found := tables(t, open(t), &flightsql.GetTablesOpts{TableNameFilterPattern: &table, IncludeSchema: true})
	if found.batches != 0 {
		t.Fatalf("%d batches: the plugin panics at a batch without rows", found.batches)
	}
}

func TestGraf07EverySqlInfoIsOfAKindThatThePluginReads(t *testing.T) {
	source := open(t)
	ctx := source.context(t)
	info, err := source.Client.GetSqlInfo(ctx, nil)
	must(t, err)
	reader, err := source.read(t, ctx, info)
	must(t, err)
	found, err := collect(reader)
	must(t, err)
	if found.rows < 20 {
		t.Fatal(found.rows)
	}
	for _, column := range found.columns[found.index(t, "value")] {
		union := column.(*array.DenseUnion)
		for i := 0; i < union.Len(); i++ {
			name := union.UnionType().Fields()[union.ChildID(i)].Name
			if name == "int32_to_int32_list_map" {
				t.Fatal("a value is a map")
			}
		}
	}
}

// Grafana takes every timestamp for nanoseconds: others land in 1970.
func TestGraf08And09ATimeSeriesHasTheRightTimesAndTypes(t *testing.T) {
	source := open(t)
	schema := newSchema(t, source)
	source.must(t, "CREATE TABLE "+schema+".m (time timestamp, host varchar, v double)")
	source.must(t, "INSERT INTO "+schema+".m VALUES (TIMESTAMP '2026-03-01 00:00:00', 'a', 1.5), "+
		"(TIMESTAMP '2026-03-01 00:01:00', 'b', 2.5), (TIMESTAMP '2026-03-01 00:02:00.000123', 'a', NULL)")
	found := source.must(t, "SELECT time, host, v FROM "+schema+".m ORDER BY time")
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	times := found.nanoseconds(t, "time")
	wanted := []time.Time{start, start.Add(time.Minute), start.Add(2*time.Minute + 123*time.Microsecond)}
	for i, at := range wanted {
		if len(times) != 3 || times[i] != at.UnixNano() {
			t.Fatalf("%v, wanted %v", times, at)
		}
	}
	if kind := found.schema.Field(1).Type.ID(); kind != arrow.STRING {
		t.Fatal(kind)
	}
	if kind := found.schema.Field(2).Type.ID(); kind != arrow.FLOAT64 {
		t.Fatal(kind)
	}
}

func TestGraf09EachUnitOfTimeBecomesNanoseconds(t *testing.T) {
	source := open(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano()
	for _, unit := range []string{"Second", "Millisecond", "Microsecond", "Nanosecond"} {
		for _, zone := range []string{"None", `Some("UTC")`} {
			sql := fmt.Sprintf("SELECT arrow_cast('2026-01-02T03:04:05', 'Timestamp(%s, %s)') AS time", unit, zone)
			if got := source.must(t, sql).nanoseconds(t, "time"); len(got) != 1 || got[0] != at {
				t.Fatalf("%s %s: %v", unit, zone, got)
			}
		}
	}
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC).UnixNano()
	if got := source.must(t, "SELECT DATE '2026-01-02' AS time").nanoseconds(t, "time"); got[0] != day {
		t.Fatal(got)
	}
}

func TestGraf09WhatThePluginCannotReadIsSentAsSomethingThatItCan(t *testing.T) {
	source := open(t)
	for expression, wanted := range map[string]struct {
		kind arrow.Type
		text string
	}{
		"CAST(1.5 AS decimal(10, 2))":                   {arrow.FLOAT64, "1.5"},
		"arrow_cast('1.5', 'Decimal256(50, 2)')":        {arrow.FLOAT64, "1.5"},
		"arrow_cast('a', 'LargeUtf8')":                  {arrow.STRING, "a"},
		"arrow_cast('a', 'Utf8View')":                   {arrow.STRING, "a"},
		"arrow_cast('a', 'Dictionary(Int32, Utf8)')":    {arrow.STRING, "a"},
		"arrow_cast('10:20:30', 'Time64(Microsecond)')": {arrow.STRING, "10:20:30"},
		"[1, 2]":               {arrow.STRING, "[1,2]"},
		"named_struct('a', 1)": {arrow.STRING, `{"a":1}`},
		"true":                 {arrow.BOOL, "true"},
		"1":                    {arrow.INT64, "1"},
		"'x'":                  {arrow.STRING, "x"},
	} {
		found := source.must(t, "SELECT "+expression+" AS v")
		got := found.texts(t, "v")
		if found.schema.Field(0).Type.ID() != wanted.kind || len(got) != 1 || !strings.HasPrefix(got[0], wanted.text) {
			t.Errorf("%s: %v %q, wanted %v %q", expression, found.schema.Field(0).Type, got, wanted.kind, wanted.text)
		}
	}
	for _, expression := range []string{"NULL", "X'00ff'", "CAST(NULL AS decimal(10, 2))"} {
		found := source.must(t, "SELECT "+expression+" AS v")
		switch kind := found.schema.Field(0).Type.ID(); kind {
		case arrow.STRING, arrow.FLOAT64:
		default:
			t.Errorf("%s: %v", expression, kind)
		}
	}
}

func TestGraf10ASeriesOfAMillionRowsIsDroppedCleanly(t *testing.T) {
	source := open(t)
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(context.Background(), source.metadata))
	defer cancel()
	info, err := source.Client.Execute(ctx, "SELECT value AS v FROM generate_series(1, 2000000000)")
	must(t, err)
	reader, err := source.read(t, ctx, info)
	must(t, err)
	var rows int64
	for rows < 1_000_000 && reader.Next() {
		rows += reader.Record().NumRows()
	}
	must(t, reader.Err())
	reader.Release()
	cancel()
	for i := 0; i < 6; i++ {
		if busy(t) < 0.2 {
			source.must(t, "select 1")
			return
		}
	}
	t.Fatal("the server still works two seconds after the stream was dropped")
}

const (
	from = "2026-03-01T00:00:00Z"
	to   = "2026-03-01T01:00:00Z"
)

func TestGraf11MacrosAsThePluginExpandsThem(t *testing.T) {
	source := open(t)
	schema := newSchema(t, source)
	source.must(t, "CREATE TABLE "+schema+".m (naive timestamp, zoned timestamp with time zone, v double)")
	source.must(t, "INSERT INTO "+schema+".m VALUES "+
		"(TIMESTAMP '2026-02-28 23:59:59', TIMESTAMP '2026-02-28 23:59:59Z', 1.0), "+
		"(TIMESTAMP '2026-03-01 00:00:30', TIMESTAMP '2026-03-01 00:00:30Z', 2.0), "+
		"(TIMESTAMP '2026-03-01 00:00:40', TIMESTAMP '2026-03-01 00:00:40Z', 3.0), "+
		"(TIMESTAMP '2026-03-01 00:59:00', TIMESTAMP '2026-03-01 00:59:00Z', 4.0), "+
		"(TIMESTAMP '2026-03-01 01:00:01', TIMESTAMP '2026-03-01 01:00:01Z', 5.0)")
	for _, column := range []string{"naive", "zoned"} {
		filter := fmt.Sprintf("%s >= '%s' AND %s <= '%s'", column, from, column, to)
		found := source.must(t, fmt.Sprintf("SELECT %s AS time, v FROM %s.m WHERE %s ORDER BY 1", column, schema, filter))
		if values := strings.Join(found.texts(t, "v"), " "); values != "2 3 4" {
			t.Errorf("$__timeFilter(%s): %s", column, values)
		}
		binned := fmt.Sprintf("SELECT date_bin(interval '60 second', %s, timestamp '1970-01-01T00:00:00Z') AS %s_binned, "+
			"sum(v) AS v FROM %s.m WHERE %s GROUP BY 1 ORDER BY 1", column, column, schema, filter)
		found = source.must(t, binned)
		if values := strings.Join(found.texts(t, "v"), " "); values != "5 4" {
			t.Errorf("$__dateBin(%s): %s", column, values)
		}
		first := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixNano()
		if times := found.nanoseconds(t, column+"_binned"); len(times) != 2 || times[0] != first {
			t.Errorf("$__dateBin(%s): %v", column, times)
		}
		grouped := fmt.Sprintf("SELECT datepart('hour', %[1]s), datepart('day', %[1]s), datepart('month', %[1]s), "+
			"datepart('year', %[1]s), count(*) AS n FROM %[2]s.m WHERE %[3]s "+
			"GROUP BY datepart('hour', %[1]s), datepart('day', %[1]s), datepart('month', %[1]s), datepart('year', %[1]s)",
			column, schema, filter)
		if found = source.must(t, grouped); found.rows != 1 || found.texts(t, "n")[0] != "3" {
			t.Errorf("$__timeGroup(%s): %v", column, found.texts(t, "n"))
		}
		ends := fmt.Sprintf("SELECT count(*) AS n FROM %s.m WHERE %s BETWEEN cast('%s' as timestamp) AND cast('%s' as timestamp)",
			schema, column, from, to)
		if got := source.must(t, ends).texts(t, "n"); got[0] != "3" {
			t.Errorf("$__timeFrom and $__timeTo(%s): %v", column, got)
		}
	}
	source.must(t, "SELECT now() + interval '60 second' AS time")
}

func TestGraf11AnIntervalOfZeroIsAClearError(t *testing.T) {
	source := open(t)
	_, err := source.query(t, "SELECT date_bin(interval '0 second', timestamp '2026-01-01T00:00:00Z', timestamp '1970-01-01T00:00:00Z') AS time")
	if err == nil || status.Code(err) == codes.Unavailable {
		t.Fatalf("%v", err)
	}
	if text := strings.ToLower(err.Error()); !strings.Contains(text, "interval") && !strings.Contains(text, "stride") && !strings.Contains(text, "zero") {
		t.Fatal(err)
	}
	source.must(t, "select 1")
}

func TestGraf12VariablesAreQuotedTexts(t *testing.T) {
	found := open(t).must(t, "SELECT host FROM (VALUES ('it''s'), ('b')) AS t (host) WHERE host IN ('it''s') ORDER BY host")
	if got := found.texts(t, "host"); len(got) != 1 || got[0] != "it's" {
		t.Fatal(got)
	}
}
