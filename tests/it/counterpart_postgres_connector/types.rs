//! Every type with the values at its edges: exact, or refused with the column's name.

use fjord_connectors::connector::RemoteName;

use super::world::{Remote, rows, session};

const PLAIN: &str = "CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE DOMAIN price AS numeric(10, 2);
    CREATE TYPE pair AS (a int, b text);
    CREATE TABLE plain (
      id int PRIMARY KEY, b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8,
      n numeric(38, 10), nn numeric, t text, v varchar(10), c char(5), y bytea, d date,
      ts timestamp, tz timestamptz, ti time, tt timetz, iv interval, u uuid, j json, jb jsonb,
      m mood, po positive, pr price, mo money, ip inet, r int4range, p pair, x xml, q \"char\",
      na name, o oid, bi bit(3));
    INSERT INTO plain (id) VALUES (0);
    INSERT INTO plain VALUES (1, true, -32768, -2147483648, -9223372036854775808, 'NaN', '-Infinity',
      -9999999999999999999999999999.9999999999, 12345678901234567890123456789.123456789,
      'Ünïcode '' \\ \"', 'v', 'c', '\\x00ff', '4713-01-01 BC', '4713-01-01 00:00:00 BC',
      '0044-03-15 12:00:00.000001+00 BC', '23:59:59.999999', '12:34:56.789+05:30',
      '-1 year 2 mons -3 days 04:05:06.789', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11',
      '{\"a\":  1}', '{\"a\":  1}', 'ok', 7, 1.5, 12.34, '10.1.2.3/24', '[1,5)', '(1,x)', '<a/>', 'q',
      'name', 4294967295, '101'),
      (2, false, 32767, 2147483647, 9223372036854775807, 'Infinity', '-0', 0.0000000001, 0, '', '',
      '', '', '9999-12-31', '9999-12-31 00:00:00', '2024-02-29 23:59:59.999999+14',
      '00:00:00', '00:00:00-15', '178000000 years', '00000000-0000-0000-0000-000000000000', '[]',
      'null', 'sad', 1, 0, -1, '::1', 'empty', '(,)', '', '', '', 0, '000')";

const FIRST: &str = "1|true|-32768|-2147483648|-9223372036854775808|NaN|-inf\
    |-9999999999999999999999999999.9999999999|12345678901234567890123456789.123456789\
    |Ünïcode ' \\ \"|v|c    |00ff|-4712-01-01|-4712-01-01T00:00:00|-0043-03-15T12:00:00.000001Z\
    |23:59:59.999999|12:34:56.789+05:30|-10 mons -3 days 4 hours 5 mins 6.789000000 secs\
    |a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|{\"a\":  1}|{\"a\": 1}|ok|7|1.50|$12.34|10.1.2.3/24\
    |[1,5)|(1,x)|<a/>|q|name|4294967295|101";
const SECOND: &str = "2|false|32767|2147483647|9223372036854775807|inf|-0.0|0.0000000001|0.000000000\
    |||     ||9999-12-31|9999-12-31T00:00:00|2024-02-29T09:59:59.999999Z|00:00:00|00:00:00-15\
    |2136000000 mons|00000000-0000-0000-0000-000000000000|[]|null|sad|1|0.00|-$1.00|::1/128|empty\
    |(,)||||0|000";
const TYPES: &str = "id Int32, b Boolean, i2 Int16, i4 Int32, i8 Int64, f4 Float32, f8 Float64, \
    n Decimal128(38, 10), nn Decimal128(38, 9), t Utf8, v Utf8, c Utf8, y Binary, d Date32, \
    ts Timestamp(µs), tz Timestamp(µs, \"UTC\"), ti Time64(µs), tt Utf8, iv Interval(MonthDayNano), \
    u Utf8, j Utf8, jb Utf8, m Utf8, po Int32, pr Decimal128(10, 2), mo Utf8, ip Utf8, r Utf8, \
    p Utf8, x Utf8, q Utf8, na Utf8, o Int64, bi Utf8";

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_read_as_it_is() {
    let Some(remote) = Remote::new() else { return };
    remote.sql(PLAIN);
    let connector = remote.open(&[]);
    let ctx = session(connector.as_ref(), &["plain"]).await;
    let found = rows(&ctx, "SELECT * FROM plain").await.unwrap();
    assert_eq!(found, [format!("0{}", "|NULL".repeat(33)).as_str(), FIRST, SECOND]);
    let name = RemoteName { schema: "public".into(), name: "plain".into() };
    let schema = connector.table(&name).await.unwrap().unwrap().schema();
    let types: Vec<_> =
        schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
    assert_eq!(types.join(", "), TYPES);
    // The last days that the database and Arrow both have; what shows them does not.
    remote.sql(
        "CREATE TABLE late (d date, s timestamp);
         INSERT INTO late VALUES ('5874897-12-31', '294246-12-31')",
    );
    let ctx = session(connector.as_ref(), &["late"]).await;
    let sql = "SELECT CAST(d AS int), arrow_cast(s, 'Int64') FROM late";
    assert_eq!(rows(&ctx, sql).await.unwrap(), ["2145042905|9223371158400000000"]);
}

/// Hazard: values that have no place in the type of their column.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_without_a_place_is_refused_with_its_column() {
    let Some(remote) = Remote::new() else { return };
    let sixty = "123456789012345678901234567890123456789012345678901234567890";
    let cases = [
        ("numeric", "'NaN'", "NaN"),
        ("numeric", "'Infinity'", "Infinity"),
        ("numeric", "'-Infinity'", "-Infinity"),
        ("numeric(10,2)", "'NaN'", "NaN"),
        ("numeric", sixty, sixty),
        ("numeric", "0.0000000001", "0.0000000001"),
        ("numeric(60,5)", sixty.get(..50).unwrap(), "123456"),
        ("date", "'infinity'", "infinity"),
        ("date", "'-infinity'", "-infinity"),
        ("timestamp", "'infinity'", "infinity"),
        ("timestamptz", "'-infinity'", "-infinity"),
        ("timestamp", "'294276-12-31 23:00'", "294276"),
        ("time", "'24:00:00'", "24:00:00"),
        ("int[]", "'{{1,2},{3,4}}'", "2 dimensions"),
        ("int[]", "'[0:1]={1,2}'", "first index is 0"),
        ("interval", "'3000000 hours'", "interval"),
    ];
    let connector = remote.open(&[("metadata_ttl_seconds", "0")]);
    for (ty, value, shown) in cases {
        remote.sql(&format!(
            "DROP TABLE IF EXISTS odd; CREATE TABLE odd (id int, \"the column\" {ty}); \
             INSERT INTO odd VALUES (1, NULL), (2, {value})"
        ));
        let ctx = session(connector.as_ref(), &["odd"]).await;
        let error = rows(&ctx, "SELECT * FROM odd").await.unwrap_err().to_string();
        assert!(error.contains("\"the column\"") && error.contains(shown), "{ty} {value}: {error}");
        // The column alone is refused.
        assert_eq!(rows(&ctx, "SELECT id FROM odd").await.unwrap(), ["1", "2"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_give_digits_as_text_and_infinite_dates_as_null() {
    let Some(remote) = Remote::new() else { return };
    remote.sql(
        "CREATE TABLE odd (id int NOT NULL, n numeric, d date NOT NULL, s timestamp);
         INSERT INTO odd VALUES (1, 'NaN', 'infinity', '-infinity'),
           (2, '-Infinity', '2024-01-01', '2024-01-01'),
           (3, 1234567890123456789012345678901234567890123456789012345678901.50, '0001-01-01 BC', NULL),
           (4, -0.00010, '2000-01-01', NULL), (5, 1e20, '2000-01-01', NULL), (6, 0.000, '2000-01-01', NULL),
           (7, 10000.0001, '2000-01-01', NULL), (8, 1e-30, '2000-01-01', NULL)",
    );
    let connector = remote.open(&[("numeric", "text"), ("infinite", "null")]);
    let ctx = session(connector.as_ref(), &["odd"]).await;
    let found = rows(&ctx, "SELECT id, n, d, s FROM odd").await.unwrap();
    let psql = remote.sql(
        "SELECT id, n, CASE WHEN isfinite(d) THEN d END, CASE WHEN isfinite(s) THEN s END FROM odd \
         ORDER BY id",
    );
    let numbers: Vec<_> = psql.lines().map(|l| l.split('|').nth(1).unwrap().to_owned()).collect();
    let ours: Vec<_> = found.iter().map(|l| l.split('|').nth(1).unwrap().to_owned()).collect();
    assert_eq!(ours, numbers);
    assert!(found[0].ends_with("|NULL|NULL"), "{}", found[0]);
    assert!(found[2].contains("|0000-01-01|") || found[2].contains("-0000"), "{}", found[2]);
    // NULL is what the filter sees too.
    assert_eq!(rows(&ctx, "SELECT id FROM odd WHERE d > '2023-01-01'").await.unwrap(), ["2"]);
    assert_eq!(rows(&ctx, "SELECT id FROM odd WHERE d IS NULL").await.unwrap(), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_of_one_dimension_are_lists() {
    let Some(remote) = Remote::new() else { return };
    remote.sql(
        "CREATE TYPE mood AS ENUM ('sad', 'ok');
         CREATE TABLE lists (id int, i int[], t text[], n numeric(5,2)[], u uuid[], m mood[],
           ip inet[], d date[]);
         INSERT INTO lists VALUES (1, '{1,NULL,3}', '{a,NULL,\"\"}', '{1.5,NULL}',
           '{00000000-0000-0000-0000-000000000001}', '{ok,sad}', '{10.0.0.1}', '{2024-01-01,NULL}'),
           (2, '{}', '{}', '{}', '{}', '{}', '{}', '{}'); INSERT INTO lists VALUES (3)",
    );
    let connector = remote.open(&[]);
    let ctx = session(connector.as_ref(), &["lists"]).await;
    let found = rows(&ctx, "SELECT * FROM lists").await.unwrap();
    let expected = [
        "1|[1, NULL, 3]|[a, NULL, ]|[1.50, NULL]|[00000000-0000-0000-0000-000000000001]|[ok, sad]\
         |[10.0.0.1/32]|[2024-01-01, NULL]",
        "2|[]|[]|[]|[]|[]|[]|[]",
        "3|NULL|NULL|NULL|NULL|NULL|NULL|NULL",
    ];
    assert_eq!(found, expected);
}

/// Hazard: a column or a type that changed after the statement was planned.
#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_changed_after_planning_is_an_error() {
    let Some(remote) = Remote::new() else { return };
    remote.sql(
        "CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE moving (a int, m mood);
         INSERT INTO moving VALUES (1, 'sad')",
    );
    let connector = remote.open(&[]);
    let ctx = session(connector.as_ref(), &["moving"]).await;
    // A label that came later is text as any other.
    remote.sql("ALTER TYPE mood ADD VALUE 'new'");
    remote.sql("INSERT INTO moving VALUES (2, 'new')");
    assert_eq!(rows(&ctx, "SELECT a, m FROM moving").await.unwrap(), ["1|sad", "2|new"]);
    for ty in ["float4", "text", "bigint", "oid"] {
        remote.sql(&format!("ALTER TABLE moving ALTER a TYPE {ty} USING (1::int::{ty})"));
        let error = rows(&ctx, "SELECT a, m FROM moving").await.unwrap_err().to_string();
        assert!(error.contains("column \"a\" is of type"), "{ty}: {error}");
        remote.sql("ALTER TABLE moving ALTER a TYPE int USING 1");
    }
}
