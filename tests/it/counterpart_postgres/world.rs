//! A database, a data directory, and lakes on both.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use fjord_catalog::commit::CommitLimits;
use fjord_catalog::embedded::Embedded;
use fjord_tests::lake::{Lake, LakeOptions};
use fjord_tests::postgres::{PostgresDatabase, PostgresServer};

/// A database of one test's own, and a directory.
#[derive(Debug)]
pub(super) struct World {
    pub(super) database: PostgresDatabase,
    pub(super) directory: tempfile::TempDir,
}

impl World {
    /// `None`, saying so, where there is no server.
    pub(super) fn new() -> Option<Self> {
        Self::with("")
    }

    /// The same with options for CREATE DATABASE.
    pub(super) fn with(options: &str) -> Option<Self> {
        let Some(server) = PostgresServer::find() else {
            let mut out = std::io::stderr();
            writeln!(out, "skipped: no FJORD_TEST_POSTGRES_URL").unwrap();
            return None;
        };
        let database = server.create(options).unwrap();
        Some(Self { database, directory: tempfile::tempdir().unwrap() })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn warehouse(&self) -> String {
        format!("file://{}/warehouse", self.path().canonicalize().unwrap().display())
    }

    pub(super) async fn open(&self) -> Embedded {
        self.database.open(&self.warehouse()).await.unwrap()
    }

    /// A lake whose catalog reaches the database through `port`.
    pub(super) async fn lake_at(&self, port: u16, limits: Option<CommitLimits>) -> Lake {
        let options = self.database.options(port, &self.warehouse()).unwrap();
        let embedded = Embedded::open(options).await.unwrap();
        let options = LakeOptions { commit_limits: limits, ..LakeOptions::default() };
        Lake::open(self.path(), options, |_| Arc::new(embedded)).await.unwrap()
    }

    pub(super) async fn lake(&self) -> Lake {
        self.lake_at(self.database.port(), None).await
    }

    /// Writes `fjord.toml` and returns what makes a process use it.
    pub(super) fn configure(&self, port: u16) -> impl Fn(&mut Command) + use<> {
        let file = self.path().join("fjord.toml");
        let text = format!(
            "[catalog.iceberg]\ntype = \"embedded\"\nurl = {:?}\npassword = {{ env = \"PG_SECRET\" }}\n\
             [catalog.local]\ntype = \"embedded\"\n",
            self.database.url(port)
        );
        std::fs::write(&file, text).unwrap();
        let password = self.database.password();
        move |command: &mut Command| {
            command.arg("--config").arg(&file).env("PG_SECRET", password.expose());
        }
    }
}

/// The only number of the only row.
pub(super) async fn number(lake: &Lake, sql: &str) -> i64 {
    let rows = lake.run(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    rows[0].column(0).as_primitive::<Int64Type>().value(0)
}
