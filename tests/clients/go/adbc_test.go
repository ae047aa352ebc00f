package clients

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-adbc/go/adbc"
	"github.com/apache/arrow-adbc/go/adbc/driver/flightsql"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

const (
	heavy     = "SELECT sum(value % 7) AS n FROM generate_series(1, 500000000000)"
	numbers10 = "SELECT value FROM generate_series(1, 10) ORDER BY value"
)

func code(err error) adbc.Status {
	var known adbc.Error
	if errors.As(err, &known) {
		return known.Code
	}
	return adbc.StatusUnknown
}

func TestAdbc01APasswordIsExchangedAndABadOneRefused(t *testing.T) {
	if got := one(t, login(t), "SELECT 1"); got != "1" {
		t.Fatal(got)
	}
	database, err := flightsql.NewDriver(nil).NewDatabase(map[string]string{
		adbc.OptionKeyURI:      "grpc://" + env(t, "FJORD_PASSWORD_ADDRESS"),
		adbc.OptionKeyUsername: env(t, "FJORD_USER"),
		adbc.OptionKeyPassword: "wrong",
	})
	must(t, err)
	defer database.Close()
	if _, err = database.Open(limited(t)); code(err) != adbc.StatusUnauthenticated {
		t.Fatalf("a wrong password: %v", err)
	}
}

func TestAdbc10UnpreparedQueryUpdateAndSchema(t *testing.T) {
	connection := open(t)
	schema := newSchema(t, connection)
	update(t, connection, "CREATE TABLE "+schema+".t (id bigint, who varchar)")
	if count := update(t, connection, "INSERT INTO "+schema+".t VALUES (1, 'a'), (2, 'b')"); count != 2 {
		t.Fatalf("%d rows", count)
	}
	rows := query(t, connection, "SELECT id, who FROM "+schema+".t ORDER BY id")
	if len(rows) != 2 || rows[1][1] != "b" {
		t.Fatal(rows)
	}
	described := statement(t, connection, "SELECT id, who FROM "+schema+".t").(adbc.StatementExecuteSchema)
	told, err := described.ExecuteSchema(limited(t))
	must(t, err)
	if told.NumFields() != 2 || told.Field(0).Type.ID() != arrow.INT64 || told.Field(1).Type.ID() != arrow.STRING {
		t.Fatal(told)
	}
}

func TestAdbc10AnInsertThroughExecuteQueryRunsOnce(t *testing.T) {
	connection := open(t)
	schema := newSchema(t, connection)
	update(t, connection, "CREATE TABLE "+schema+".t (id bigint)")
	query(t, connection, "INSERT INTO "+schema+".t VALUES (1)")
	if got := one(t, connection, "SELECT count(*) FROM "+schema+".t"); got != "1" {
		t.Fatalf("%s rows", got)
	}
}

func TestAdbc07AndP06PreparedAHundredTimes(t *testing.T) {
	connection := open(t)
	prepared := statement(t, connection, "SELECT CAST(? AS bigint) + 1 AS n")
	must(t, prepared.Prepare(limited(t)))
	for n := int64(0); n < 100; n++ {
		must(t, prepared.Bind(limited(t), batch("0", int64s(n))))
		reader, _, err := prepared.ExecuteQuery(limited(t))
		must(t, err)
		rows := drain(t, reader)
		if len(rows) != 1 || rows[0][0] != int64s(n+1).ValueStr(0) {
			t.Fatalf("%d: %v", n, rows)
		}
	}
}

func TestAdbc07ThreeRowsAreThreeExecutions(t *testing.T) {
	prepared := statement(t, open(t), "SELECT value FROM generate_series(1, 3) WHERE value <= ? ORDER BY value")
	must(t, prepared.Prepare(limited(t)))
	parameters, err := prepared.GetParameterSchema()
	must(t, err)
	if parameters.NumFields() != 1 || parameters.Field(0).Type.ID() != arrow.INT64 {
		t.Fatal(parameters)
	}
	must(t, prepared.Bind(limited(t), batch("0", int64s(2, 1, 3))))
	reader, _, err := prepared.ExecuteQuery(limited(t))
	must(t, err)
	if rows := drain(t, reader); len(rows) != 6 {
		t.Fatal(rows)
	}
}

func TestAdbc08ManyRowsAreSummed(t *testing.T) {
	connection := open(t)
	schema := newSchema(t, connection)
	update(t, connection, "CREATE TABLE "+schema+".t (id bigint)")
	insert := statement(t, connection, "INSERT INTO "+schema+".t VALUES (?)")
	must(t, insert.Prepare(limited(t)))
	must(t, insert.Bind(limited(t), batch("0", int64s(1, 2, 3, 4))))
	count, err := insert.ExecuteUpdate(limited(t))
	must(t, err)
	if count != 4 {
		t.Fatal(count)
	}
}

func TestAdbc11IngestOfAStream(t *testing.T) {
	connection := open(t)
	schema := newSchema(t, connection)
	var batches []arrow.RecordBatch
	for n := int64(0); n < 20; n++ {
		batches = append(batches, batch("id", int64s(n, n+100, n+200)))
	}
	reader, err := array.NewRecordReader(batches[0].Schema(), batches)
	must(t, err)
	ingest := statement(t, connection, "")
	must(t, ingest.SetOption(adbc.OptionKeyIngestTargetTable, "t"))
	must(t, ingest.SetOption(adbc.OptionValueIngestTargetDBSchema, schema))
	must(t, ingest.SetOption(adbc.OptionKeyIngestMode, adbc.OptionValueIngestModeCreate))
	must(t, ingest.BindStream(limited(t), reader))
	count, err := ingest.ExecuteUpdate(limited(t))
	must(t, err)
	if got := one(t, connection, "SELECT count(DISTINCT id) FROM "+schema+".t"); count != 60 || got != "60" {
		t.Fatal(count, got)
	}
}

func TestAdbc13And14InfoAndObjectsOfEveryDepth(t *testing.T) {
	connection := open(t)
	schema := newSchema(t, connection)
	update(t, connection, "CREATE TABLE "+schema+".t (id bigint)")
	reader, err := connection.GetInfo(limited(t), nil)
	must(t, err)
	if text := strings.Join(flat(drain(t, reader)), " "); !strings.Contains(text, "Fjord") {
		t.Fatal(text)
	}
	depths := []adbc.ObjectDepth{
		adbc.ObjectDepthCatalogs, adbc.ObjectDepthDBSchemas, adbc.ObjectDepthTables, adbc.ObjectDepthColumns,
	}
	wanted := []string{"iceberg", schema, `"table_name":"t"`, `"column_name":"id"`}
	for i, depth := range depths {
		objects, err := connection.GetObjects(limited(t), depth, nil, &schema, nil, nil, nil)
		must(t, err)
		if text := strings.Join(flat(drain(t, objects)), " "); !strings.Contains(text, wanted[i]) {
			t.Fatalf("depth %d: %s", depth, text)
		}
	}
}

func flat(rows [][]string) (cells []string) {
	for _, row := range rows {
		cells = append(cells, row...)
	}
	return cells
}

func TestAdbc15TableSchema(t *testing.T) {
	connection := open(t)
	schema := newSchema(t, connection)
	update(t, connection, "CREATE TABLE "+schema+".t (id bigint, at timestamp)")
	told, err := connection.GetTableSchema(limited(t), nil, &schema, "t")
	must(t, err)
	if told.NumFields() != 2 || told.Field(1).Type.(*arrow.TimestampType).Unit != arrow.Microsecond {
		t.Fatal(told)
	}
	if _, err = connection.GetTableSchema(limited(t), nil, &schema, "none"); code(err) != adbc.StatusNotFound {
		t.Fatal(err)
	}
}

func TestAdbc16And17SessionOptionsOfATokenOfItsOwn(t *testing.T) {
	one, two := login(t), login(t)
	schema := newSchema(t, one)
	options := one.(adbc.GetSetOptions)
	must(t, options.SetOption(adbc.OptionKeyCurrentDbSchema, schema))
	if got, err := options.GetOption(adbc.OptionKeyCurrentDbSchema); err != nil || got != schema {
		t.Fatal(got, err)
	}
	if got, err := two.(adbc.GetSetOptions).GetOption(adbc.OptionKeyCurrentDbSchema); err != nil || got == schema {
		t.Fatal(got, err)
	}
	catalog, err := options.GetOption(adbc.OptionKeyCurrentCatalog)
	if err != nil || catalog != "iceberg" {
		t.Fatal(catalog, err)
	}
	if err := options.SetOption(flightsql.OptionSessionOptionPrefix+"nonsense", "1"); err == nil {
		t.Fatal("an option that does not exist was taken")
	}
	must(t, options.SetOption(flightsql.OptionEraseSessionOptionPrefix+"schema", ""))
	if got, err := options.GetOption(adbc.OptionKeyCurrentDbSchema); err == nil && got == schema {
		t.Fatal("the schema was not erased")
	}
}

func TestAdbc19ACancelledContextStopsTheWork(t *testing.T) {
	connection := open(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	running := statement(t, connection, heavy)
	go func() {
		reader, _, err := running.ExecuteQuery(ctx)
		if err == nil {
			for reader.Next() {
			}
			err = reader.Err()
			reader.Release()
		}
		done <- err
	}()
	awaitWork(t)
	cancel()
	select {
	case err := <-done:
		if err == nil {
			t.Fatal("a cancelled query succeeded")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the call did not return")
	}
	assertIdleWithinTwoSeconds(t)
}

func TestAdbc20AReaderReleasedEarlyStopsTheWork(t *testing.T) {
	connection := open(t)
	reader, _, err := statement(t, connection, "SELECT value, repeat('x', 500) AS s FROM generate_series(1, 50000000)").
		ExecuteQuery(context.Background())
	must(t, err)
	if !reader.Next() {
		t.Fatal(reader.Err())
	}
	reader.Release()
	assertIdleWithinTwoSeconds(t)
}

func TestAdbc21PartitionsAreReadByAnotherConnection(t *testing.T) {
	_, partitions, _, err := statement(t, open(t), numbers10).ExecutePartitions(limited(t))
	must(t, err)
	if partitions.NumPartitions != 1 {
		t.Fatal(partitions.NumPartitions)
	}
	for range 2 {
		reader, err := open(t).ReadPartition(limited(t), partitions.PartitionIDs[0])
		must(t, err)
		if rows := drain(t, reader); len(rows) != 10 || rows[9][0] != "10" {
			t.Fatal(rows)
		}
	}
}

func TestAdbc22IncrementalExecutionPollsToTheEnd(t *testing.T) {
	polled := statement(t, open(t), numbers10)
	must(t, polled.SetOption(adbc.OptionKeyIncremental, adbc.OptionValueEnabled))
	var tickets [][]byte
	for round := 0; ; round++ {
		if round > 50 {
			t.Fatal("never done")
		}
		_, partitions, _, err := polled.ExecutePartitions(limited(t))
		must(t, err)
		if partitions.NumPartitions == 0 {
			break
		}
		tickets = append(tickets, partitions.PartitionIDs...)
	}
	if len(tickets) != 1 {
		t.Fatal(len(tickets))
	}
	reader, err := open(t).ReadPartition(limited(t), tickets[0])
	must(t, err)
	if rows := drain(t, reader); len(rows) != 10 {
		t.Fatal(rows)
	}
}

func TestAdbc25ATimeoutStopsTheWork(t *testing.T) {
	connection := open(t, flightsql.OptionTimeoutFetch, "1.5", flightsql.OptionTimeoutQuery, "1.5")
	reader, _, err := statement(t, connection, heavy).ExecuteQuery(limited(t))
	if err == nil {
		for reader.Next() {
		}
		err = reader.Err()
		reader.Release()
	}
	if err == nil || !strings.Contains(strings.ToLower(err.Error()), "deadline") {
		t.Fatal(err)
	}
	assertIdleWithinTwoSeconds(t)
}

func TestAdbc27StatementHeadersChooseAProfile(t *testing.T) {
	chosen := statement(t, open(t), "SELECT CAST(1.5 AS decimal(10, 2)) AS d")
	must(t, chosen.SetOption(flightsql.OptionRPCCallHeaderPrefix+"fjord-output-profile", "grafana"))
	reader, _, err := chosen.ExecuteQuery(limited(t))
	must(t, err)
	kind := reader.Schema().Field(0).Type.ID()
	drain(t, reader)
	if kind != arrow.FLOAT64 {
		t.Fatal(kind)
	}
}

func TestAdbc30CodesAndDetails(t *testing.T) {
	connection := open(t)
	for sql, wanted := range map[string]adbc.Status{
		"SELEC 1":                 adbc.StatusInvalidArgument,
		"SELECT * FROM none.such": adbc.StatusNotFound,
	} {
		_, _, err := statement(t, connection, sql).ExecuteQuery(limited(t))
		if code(err) != wanted {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func TestP05AnUpdateIsMadeOnceByEveryWay(t *testing.T) {
	connection := open(t)
	schema := newSchema(t, connection)
	update(t, connection, "CREATE TABLE "+schema+".t (id bigint)")
	insert := "INSERT INTO " + schema + ".t VALUES (1)"
	update(t, connection, insert)
	prepared := statement(t, connection, insert)
	must(t, prepared.Prepare(limited(t)))
	reader, _, err := prepared.ExecuteQuery(limited(t))
	must(t, err)
	drain(t, reader)
	_, partitions, _, err := statement(t, connection, insert).ExecutePartitions(limited(t))
	must(t, err)
	for _, id := range partitions.PartitionIDs {
		for range 2 {
			again, err := connection.ReadPartition(limited(t), bytes.Clone(id))
			must(t, err)
			drain(t, again)
		}
	}
	if got := one(t, connection, "SELECT count(*) FROM "+schema+".t"); got != "3" {
		t.Fatalf("%s rows", got)
	}
}
