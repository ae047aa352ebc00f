//! A database of a test's own, and sessions that read it.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use super::server::{PostgresDatabase, PostgresServer};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use fjord_connectors::connector::{Connector, ConnectorKind, ConnectorOptions, RemoteName, Secret};
use fjord_connectors::postgres::{Postgres, Rules};

/// Tells the person who runs the tests.
pub(super) fn say(words: std::fmt::Arguments<'_>) {
    std::io::stderr().write_all(format!("{words}\n").as_bytes()).unwrap();
}

/// A database, empty at first.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) database: PostgresDatabase,
}

impl Remote {
    /// `None`, saying so, where there is no server.
    pub(super) fn new() -> Option<Self> {
        let Some(server) = PostgresServer::find() else {
            say(format_args!("skipped: no FJORD_TEST_POSTGRES_URL"));
            return None;
        };
        Some(Self { database: server.create("").unwrap() })
    }

    pub(super) fn sql(&self, sql: &str) -> String {
        self.database.sql(sql).unwrap()
    }

    pub(super) fn open(&self, options: &[(&str, &str)]) -> Arc<dyn Connector> {
        self.open_at(self.database.port(), options).unwrap()
    }

    pub(super) fn open_with(&self, rules: Rules, options: &[(&str, &str)]) -> Arc<dyn Connector> {
        self.open_kind(&Postgres::with_rules(rules), self.database.port(), options).unwrap()
    }

    pub(super) fn open_at(
        &self,
        port: u16,
        options: &[(&str, &str)],
    ) -> Result<Arc<dyn Connector>, fjord_connectors::Error> {
        self.open_kind(&Postgres::default(), port, options)
    }

    fn open_kind(
        &self,
        kind: &Postgres,
        port: u16,
        options: &[(&str, &str)],
    ) -> Result<Arc<dyn Connector>, fjord_connectors::Error> {
        let mut all = BTreeMap::from([("url".to_owned(), self.url(port))]);
        all.extend(options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let password = Secret {
            value: self.database.password().expose().to_owned(),
            reference: "env('SALES_PASSWORD')".to_owned(),
        };
        kind.open(ConnectorOptions {
            catalog: "sales".to_owned(),
            options: all,
            secrets: BTreeMap::from([("password".to_owned(), password)]),
            metadata_ttl: Duration::from_secs(60),
        })
    }

    pub(super) fn url(&self, port: u16) -> String {
        let url = self.database.url(port);
        url.split_once('?').map_or(url.clone(), |(url, _)| url.to_owned())
    }

    /// What is open on the database, but for the one who asks.
    pub(super) fn activity(&self) -> Vec<String> {
        let sql = "SELECT state || ': ' || query FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name = 'fjord' \
               AND state <> 'idle'";
        self.sql(sql).lines().map(str::to_owned).collect()
    }

    pub(super) fn connections(&self) -> usize {
        let sql = "SELECT count(*) FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name = 'fjord'";
        self.sql(sql).parse().unwrap()
    }
}

/// A session that knows the relations of `public` by their names.
pub(super) async fn session(connector: &dyn Connector, tables: &[&str]) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(4);
    let mut state = SessionStateBuilder::new().with_config(config).with_default_features();
    for rule in fjord_connectors::optimizer_rules() {
        state = state.with_optimizer_rule(rule);
    }
    let state = state.build();
    let ctx = SessionContext::new_with_state(state);
    for table in tables {
        let name = RemoteName { schema: "public".to_owned(), name: (*table).to_owned() };
        let provider = connector.table(&name).await.unwrap().unwrap();
        ctx.register_table(*table, provider).unwrap();
    }
    ctx
}

pub(super) async fn rows(
    ctx: &SessionContext,
    sql: &str,
) -> datafusion::error::Result<Vec<String>> {
    Ok(shown(&ctx.sql(sql).await?.collect().await?))
}

/// What the database is asked in `sql`, a line for each scan.
pub(super) async fn remote_sql(ctx: &SessionContext, sql: &str) -> Vec<String> {
    let plan = ctx.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    remote_lines(&displayable(plan.as_ref()).indent(false).to_string())
}

/// The same of a plan that is shown.
pub(super) fn remote_lines(plan: &str) -> Vec<String> {
    plan.lines()
        .filter_map(|line| {
            Some(line.split_once("RemoteSqlExec: catalog=sales, sql=")?.1.to_owned())
        })
        .collect()
}

/// A relation of the schema that is there from the beginning.
pub(super) fn public(name: &str) -> RemoteName {
    RemoteName { schema: "public".to_owned(), name: name.to_owned() }
}

/// The rows as text, sorted.
pub(super) fn shown(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::new().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<_> = columns.iter().map(|c| c.value(row).to_string()).collect();
            rows.push(cells.join("|"));
        }
    }
    rows.sort();
    rows
}
