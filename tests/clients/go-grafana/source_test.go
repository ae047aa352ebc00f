// Package grafana makes the calls of Grafana's Flight SQL data source through the client library that it uses.
package grafana

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow/go/v12/arrow"
	"github.com/apache/arrow/go/v12/arrow/array"
	"github.com/apache/arrow/go/v12/arrow/flight"
	"github.com/apache/arrow/go/v12/arrow/flight/flightsql"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

var numbers atomic.Int64

// source is a data source as the plugin makes one: a client, and the metadata that goes with every call.
type source struct {
	*flightsql.Client
	metadata metadata.MD
}

func env(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run the tests by pytest", name)
	}
	return value
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newSource dials with gRPC's default receive limit of 4 MiB; TLS trusts the system's roots alone.
func newSource(t *testing.T, address string, secure bool, pairs ...string) *source {
	t.Helper()
	transport := insecure.NewCredentials()
	if secure {
		transport = credentials.NewTLS(&tls.Config{})
	}
	client, err := flightsql.NewClient(address, nil, nil, grpc.WithTransportCredentials(transport))
	must(t, err)
	t.Cleanup(func() { client.Close() })
	return &source{client, metadata.Pairs(pairs...)}
}

func open(t *testing.T) *source {
	t.Helper()
	return newSource(t, env(t, "FJORD_OPEN_ADDRESS"), false)
}

// login exchanges user and password once, as the plugin does when a data source is created.
func login(t *testing.T, address string, secure bool, user, password string) (*source, error) {
	t.Helper()
	made := newSource(t, address, secure)
	ctx, err := made.Client.Client.AuthenticateBasicToken(context.Background(), user, password)
	if err != nil {
		return nil, err
	}
	made.metadata, _ = metadata.FromOutgoingContext(ctx)
	return made, nil
}

func (s *source) context(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return metadata.NewOutgoingContext(ctx, s.metadata)
}

// read follows a FlightInfo as the plugin does: exactly one endpoint, its location ignored.
func (s *source) read(t *testing.T, ctx context.Context, info *flight.FlightInfo) (*flight.Reader, error) {
	t.Helper()
	if len(info.Endpoint) != 1 {
		t.Fatalf("%d endpoints; the plugin takes exactly one", len(info.Endpoint))
	}
	return s.Client.DoGet(ctx, info.Endpoint[0].Ticket)
}

// frame is a result: the schema, and each column's arrays.
type frame struct {
	schema  *arrow.Schema
	columns [][]arrow.Array
	batches int
	rows    int64
}

func (s *source) query(t *testing.T, sql string) (*frame, error) {
	t.Helper()
	ctx := s.context(t)
	info, err := s.Client.Execute(ctx, sql)
	if err != nil {
		return nil, err
	}
	reader, err := s.read(t, ctx, info)
	if err != nil {
		return nil, err
	}
	return collect(reader)
}

func collect(reader *flight.Reader) (*frame, error) {
	defer reader.Release()
	found := &frame{schema: reader.Schema(), columns: make([][]arrow.Array, len(reader.Schema().Fields()))}
	for reader.Next() {
		batch := reader.Record()
		found.batches++
		found.rows += batch.NumRows()
		for i, column := range batch.Columns() {
			column.Retain()
			found.columns[i] = append(found.columns[i], column)
		}
	}
	return found, reader.Err()
}

func (s *source) must(t *testing.T, sql string) *frame {
	t.Helper()
	found, err := s.query(t, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return found
}

func (f *frame) index(t *testing.T, name string) int {
	t.Helper()
	at := f.schema.FieldIndices(name)
	if len(at) != 1 {
		t.Fatalf("column %q in %v", name, f.schema)
	}
	return at[0]
}

// nanoseconds reads a time column the way the plugin does: whatever its unit, as nanoseconds.
func (f *frame) nanoseconds(t *testing.T, name string) (values []int64) {
	t.Helper()
	for _, column := range f.columns[f.index(t, name)] {
		times, ok := column.(*array.Timestamp)
		if !ok {
			t.Fatalf("column %q is %v", name, column.DataType())
		}
		for _, value := range times.TimestampValues() {
			values = append(values, int64(value))
		}
	}
	return values
}

func (f *frame) texts(t *testing.T, name string) (values []string) {
	t.Helper()
	for _, column := range f.columns[f.index(t, name)] {
		for i := 0; i < column.Len(); i++ {
			values = append(values, column.ValueStr(i))
		}
	}
	return values
}

func newSchema(t *testing.T, s *source) string {
	t.Helper()
	name := fmt.Sprintf("gr%d_%d", numbers.Add(1), time.Now().UnixNano()%1_000_000)
	s.must(t, "CREATE SCHEMA "+name)
	return name
}

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
	return float64(user+system) / 100
}
