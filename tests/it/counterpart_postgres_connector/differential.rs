//! The same queries with pushdown and without: one answer.

use std::collections::BTreeMap;

use datafusion::physical_plan::{collect, displayable};
use datafusion::prelude::SessionContext;
use fjord_connectors::postgres::Rules;

use super::random::Random;
use super::world::{Remote, remote_lines, say, session, shown};

const QUERIES: usize = 5200;
const PER_RULE_MIN: usize = 50;

const TABLES: &str = "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'Happy');
    CREATE TABLE a (id int PRIMARY KEY, i2 smallint, i8 bigint, n numeric(12, 2), d date, ts timestamp,
      tz timestamptz, t text, icu text COLLATE \"en-x-icu\", ci text COLLATE ci, bp char(4), f float8,
      f4 float4, b bool, u uuid, m mood, v varchar(5));
    INSERT INTO a SELECT i, nullif(i % 9, 4), nullif(i % 40, 0), nullif(i % 13, 6) * 1.25 - 3,
      date '2024-01-01' + nullif(i % 20, 7), timestamp '2024-01-01' + (i % 50) * interval '7 hours',
      timestamptz '2024-01-01+00' + nullif(i % 30, 3) * interval '5 hours',
      CASE i % 10 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE chr(65 + i % 7) || chr(97 + i % 5) END,
      (ARRAY['a', 'B', 'b', 'A', 'Ä', 'ä', 'z', NULL])[i % 8 + 1],
      (ARRAY['x', 'X', 'y', 'Y', NULL])[i % 5 + 1], (ARRAY['a', 'a ', 'ab', '', NULL])[i % 5 + 1],
      CASE i % 11 WHEN 0 THEN 'NaN' WHEN 1 THEN '-0' WHEN 2 THEN 'Infinity' WHEN 3 THEN NULL ELSE i % 6 - 2.5 END,
      (i % 7) / 4.0, nullif(i % 3, 2) = 1, lpad(to_hex(i % 25), 32, '0')::uuid,
      (ARRAY['sad', 'ok', 'Happy', NULL])[i % 4 + 1]::mood, nullif(left('abc', i % 4), 'ab')
    FROM generate_series(1, 300) i;
    CREATE TABLE c (id bigint PRIMARY KEY, t text, icu text COLLATE \"en-x-icu\", n numeric(10, 1), d date,
      u uuid, v varchar(5));
    INSERT INTO c SELECT i, chr(65 + i % 7) || chr(97 + i % 5), (ARRAY['a', 'B', 'b', 'Ä', NULL])[i % 5 + 1],
      nullif(i % 8, 5) * 1.5, date '2024-01-01' + i % 25, lpad(to_hex(i), 32, '0')::uuid, left('abc', i % 4)
    FROM generate_series(0, 45) i; ANALYZE";

/// A column and constants for it.
const COLUMNS: &[(&str, &[&str])] = &[
    ("id", &["7", "150", "299"]),
    ("i2", &["0", "3", "8", "4"]),
    ("i8", &["5", "20", "39"]),
    ("n", &["0.75", "-3", "2.0", "9.5"]),
    ("d", &["DATE '2024-01-08'", "DATE '2024-01-15'"]),
    ("ts", &["TIMESTAMP '2024-01-05 00:00:00'", "TIMESTAMP '2024-01-10 03:00:00'"]),
    ("tz", &["TIMESTAMP '2024-01-02 06:00:00'"]),
    ("t", &["'Aa'", "'Cc'", "''", "'B'", "'Gz'"]),
    ("icu", &["'b'", "'A'", "'Ä'", "'z'"]),
    ("ci", &["'x'", "'X'", "'y'"]),
    ("bp", &["'a'", "'a   '", "'ab  '", "'    '"]),
    ("f", &["1.5", "0.0", "-2.5", "100.0"]),
    ("f4", &["0.5", "1.25"]),
    ("u", &["'00000000-0000-0000-0000-000000000007'", "'x'"]),
    ("m", &["'ok'", "'Happy'", "'none'"]),
    ("v", &["'a'", "'abc'"]),
];
const JOINED: &[(&str, &str)] = &[
    ("i8", "id"),
    ("id", "id"),
    ("t", "t"),
    ("icu", "icu"),
    ("n", "n"),
    ("d", "d"),
    ("u", "u"),
    ("v", "v"),
    ("t", "icu"),
];
/// Which text of a plan says that a rule was used.
const RULES: &[(&str, &str)] = &[
    ("equality", " = '"),
    ("inequality", " <> '"),
    ("order", " >= '"),
    ("text order", "COLLATE \"C\" <"),
    ("in", " IN ("),
    ("not in", "NOT IN ("),
    ("is null", " IS NULL"),
    ("is not null", "IS NOT NULL"),
    ("or", " OR "),
    ("not", "NOT "),
    ("like", " LIKE "),
    ("boolean", "\"b\""),
    ("float", "::float8"),
    ("uuid", "::uuid"),
    ("enum", "::pg_catalog.text COLLATE"),
    ("date", "::date"),
    ("timestamp", "::timestamp"),
    ("decimal", "::numeric"),
    ("limit", " LIMIT "),
    ("first", "ORDER BY"),
    ("count", "count("),
    ("sum", "sum("),
    ("min", "min("),
    ("max", "max("),
    ("group by", "GROUP BY"),
    ("count distinct", "count(DISTINCT"),
    ("filter of an aggregate", "FILTER (WHERE"),
    ("join", ") AS l JOIN"),
    ("left join", "LEFT JOIN"),
    ("semi join", " WHERE EXISTS ("),
    ("anti join", "NOT EXISTS ("),
    ("filter of a join", "dynamic_filters"),
];

fn predicate(r: &mut Random, prefix: &str, depth: usize) -> String {
    let (column, values) = r.pick(COLUMNS);
    let c = format!("{prefix}{column}");
    let value = |r: &mut Random| r.pick(values);
    match r.below(if depth == 0 { 15 } else { 18 }) {
        0..3 => format!("{c} = {}", value(r)),
        3 => format!("{c} <> {}", value(r)),
        4 => format!("{c} < {}", value(r)),
        5 => format!("{c} >= {}", value(r)),
        6 => format!("{c} > {}", value(r)),
        7 => format!("{c} BETWEEN {} AND {}", value(r), value(r)),
        8 => format!("{c} IS NULL"),
        9 => format!("{c} IS NOT NULL"),
        10 | 11 => {
            let items: Vec<_> = (0..=r.below(5)).map(|_| value(r)).chain([values[0]]).collect();
            let list = [
                items.clone(),
                items.iter().rev().copied().collect(),
                vec![values[values.len() - 1]; 2],
            ]
            .concat();
            let not = if r.once_in(2) { "NOT " } else { "" };
            // More than three, so that they stay a list.
            let more = match column {
                "id" | "i2" | "i8" => ", 1, 2, 6, 9",
                "t" | "icu" | "v" | "ci" => ", 'q', 'Bb', 'r', 'Y'",
                _ => "",
            };
            format!("{c} {not}IN ({}{more})", list.join(", "))
        }
        12 => format!(
            "{prefix}{} LIKE '{}'",
            r.pick(&["t", "icu", "v", "bp"]),
            r.pick(&["A%", "%a", "_b%", "a", "%"])
        ),
        13 => format!("{}{prefix}b", r.pick(&["", "NOT "])),
        14 => format!(
            "{prefix}{} = {prefix}{}",
            r.pick(&["i2", "i8", "id"]),
            r.pick(&["id", "i2", "n"])
        ),
        15 => {
            format!("({} OR {})", predicate(r, prefix, depth - 1), predicate(r, prefix, depth - 1))
        }
        16 => format!("NOT ({})", predicate(r, prefix, depth - 1)),
        _ => {
            format!("({} AND {})", predicate(r, prefix, depth - 1), predicate(r, prefix, depth - 1))
        }
    }
}

fn filters(r: &mut Random, prefix: &str) -> String {
    let all: Vec<_> = (0..r.below(3)).map(|_| predicate(r, prefix, 2)).collect();
    if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) }
}

const GROUPED: &[&str] = &["i2", "i8", "n", "d", "t", "icu", "ci", "bp", "b", "u", "m", "v", "f"];

fn total(r: &mut Random, prefix: &str) -> String {
    match r.below(9) {
        0 => "count(*)".to_owned(),
        1 => format!("count({prefix}{})", r.pick(GROUPED)),
        2 => format!("count(DISTINCT {prefix}{})", r.pick(GROUPED)),
        3 | 4 => format!("sum({prefix}{})", r.pick(&["i2", "id", "i8", "n"])),
        5 => format!(
            "min({prefix}{})",
            r.pick(&["i2", "i8", "n", "d", "ts", "tz", "t", "icu", "ci", "bp", "m", "f"])
        ),
        6 | 7 => format!(
            "max({prefix}{})",
            r.pick(&["i2", "i8", "n", "d", "ts", "tz", "t", "icu", "v", "bp", "u"])
        ),
        _ => format!(
            "{} FILTER (WHERE {})",
            r.pick(&["count(*)", "sum(a.i8)"]).replace("a.", prefix),
            predicate(r, prefix, 1)
        ),
    }
}

fn query(r: &mut Random) -> String {
    let (left, right) = r.pick(JOINED);
    match r.below(12) {
        0 | 1 => format!("SELECT id, {} FROM a{}", r.pick(GROUPED), filters(r, "")),
        2 => format!("SELECT {}, {} FROM a{}", total(r, ""), total(r, ""), filters(r, "")),
        3 | 4 => {
            let key = r.pick(GROUPED);
            let having = if r.once_in(3) { " HAVING count(*) > 20" } else { "" };
            format!(
                "SELECT {key}, {} AS x, count(*) FROM a{} GROUP BY {key}{having}",
                total(r, ""),
                filters(r, "")
            )
        }
        5 | 6 => {
            let key =
                r.pick(&["i2", "i8", "n", "d", "ts", "t", "icu", "ci", "bp", "u", "m", "v", "f"]);
            let (way, nulls) = (r.pick(&["ASC", "DESC"]), r.pick(&["FIRST", "LAST"]));
            format!(
                "SELECT id, {key} FROM a{} ORDER BY {key} {way} NULLS {nulls}, id LIMIT {}",
                filters(r, ""),
                1 + r.below(20)
            )
        }
        7 => {
            let outer = if r.once_in(2) { "LEFT " } else { "" };
            format!(
                "SELECT a.id, c.id, c.t FROM a {outer}JOIN c ON a.{left} = c.{right}{}",
                filters(r, "a.")
            )
        }
        8 => format!(
            "SELECT c.icu, count(*), {} FROM a JOIN c ON a.{left} = c.{right}{} GROUP BY c.icu",
            total(r, "a."),
            filters(r, "a.")
        ),
        9 => {
            let not = if r.once_in(2) { "NOT " } else { "" };
            format!(
                "SELECT id FROM a WHERE {not}EXISTS (SELECT 1 FROM c WHERE a.{left} = c.{right} AND c.id < {})",
                5 + r.below(40)
            )
        }
        10 => {
            let (key, own) =
                r.pick(&[("i8", "k"), ("t", "s"), ("id", "k"), ("d", "d"), ("icu", "s")]);
            format!(
                "SELECT a.id, lake.k FROM a JOIN lake ON a.{key} = lake.{own}{}",
                filters(r, "a.")
            )
        }
        // Which rows a limit keeps is not said: how many is.
        _ => format!(
            "SELECT count(*), count(x) FROM (SELECT 1 AS x FROM a{} LIMIT {})",
            filters(r, ""),
            1 + r.below(30)
        ),
    }
}

async fn lake(ctx: &SessionContext) {
    ctx.sql(
        "CREATE TABLE lake AS SELECT CAST(column1 AS bigint) AS k, column2 AS s, CAST(column3 AS date) AS d
         FROM (VALUES (3, 'Aa', '2024-01-04'), (39, 'Ä', '2024-01-11'), (NULL, NULL, NULL), (7, 'b', '2030-01-01'))",
    )
    .await
    .unwrap()
    .collect()
    .await
    .unwrap();
}

async fn pair(remote: &Remote, rules: Rules) -> (SessionContext, SessionContext) {
    let on = remote.open_with(rules, &[]);
    let off = remote.open(&[("pushdown", "false")]);
    let (on, off) =
        (session(on.as_ref(), &["a", "c"]).await, session(off.as_ref(), &["a", "c"]).await);
    lake(&on).await;
    lake(&off).await;
    (on, off)
}

/// The answer and the plan; an error's first words where there is none.
async fn answer(ctx: &SessionContext, sql: &str) -> (Vec<String>, String) {
    let plan = async { ctx.sql(sql).await?.create_physical_plan().await };
    let plan = match plan.await {
        Ok(plan) => plan,
        Err(e) => return (vec!["error".to_owned()], e.to_string()),
    };
    let text = displayable(plan.as_ref()).indent(false).to_string();
    match collect(plan, ctx.task_ctx()).await {
        Ok(batches) => (shown(&batches), text),
        Err(e) => (vec!["error".to_owned()], format!("{text}\n{e}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_queries_answer_alike_with_pushdown_and_without() {
    let Some(remote) = Remote::new() else { return };
    remote.sql(TABLES);
    let (on, off) = pair(&remote, Rules::default()).await;
    let mut random = Random::new(20);
    let mut used: BTreeMap<&str, usize> = RULES.iter().map(|(rule, _)| (*rule, 0)).collect();
    let (mut pushed, mut errors) = (0, 0);
    for n in 0..QUERIES {
        let sql = query(&mut random);
        let (with, plan) = answer(&on, &sql).await;
        let (without, plain) = answer(&off, &sql).await;
        assert_eq!(with, without, "query {n}: {sql}\n{plan}\n{plain}");
        if with == ["error"] {
            errors += 1;
            say(format_args!("failed alike: {sql}: {}", plain.lines().last().unwrap_or_default()));
        }
        let asked = remote_lines(&plan).join("\n");
        let before = used.values().sum::<usize>();
        for (rule, piece) in RULES {
            *used.get_mut(rule).unwrap() += usize::from(asked.contains(piece));
        }
        pushed += usize::from(used.values().sum::<usize>() > before);
    }
    say(format_args!(
        "{pushed} of {QUERIES} pushed something down, {errors} failed alike; {used:?}"
    ));
    assert!(pushed * 10 >= QUERIES * 8, "{pushed} of {QUERIES} pushed something down");
    assert!(errors * 50 < QUERIES, "{errors} queries failed");
    let rare: Vec<_> = used.iter().filter(|(_, count)| **count < PER_RULE_MIN).collect();
    assert!(rare.is_empty(), "{rare:?} of {used:?}");
}

/// Hazard: what a database compares, orders or places otherwise is asked of it. The test above notices a rule that is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn three_wrong_rules_are_noticed() {
    let Some(remote) = Remote::new() else { return };
    remote.sql(TABLES);
    let wrong = [
        Rules { bpchar_as_text: true, ..Rules::default() },
        Rules { text_by_collation: true, ..Rules::default() },
        Rules { nulls_anywhere: true, ..Rules::default() },
    ];
    for rules in wrong {
        let (on, off) = pair(&remote, rules).await;
        let mut random = Random::new(20);
        let mut noticed = None;
        for n in 0..QUERIES {
            let sql = query(&mut random);
            if answer(&on, &sql).await.0 != answer(&off, &sql).await.0 {
                noticed = Some(n);
                break;
            }
        }
        say(format_args!("{rules:?}: noticed at query {noticed:?}"));
        assert!(noticed.is_some(), "{rules:?}");
    }
}
