//! The PostgreSQL that `tests/counterparts/run` has started, as its variables describe it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fjord_catalog::embedded::{Embedded, EmbeddedDatabase, EmbeddedOptions, PostgresOptions};
use fjord_catalog::secret::Secret;
use url::Url;

use crate::counterpart::variable;

/// A real server.
#[derive(Clone, Debug)]
pub struct PostgresServer {
    url: Url,
    programs: PathBuf,
}

/// A database on it that nobody else uses.
#[derive(Clone, Debug)]
pub struct PostgresDatabase {
    server: PostgresServer,
    name: String,
}

/// The certificate that vouches for the server's, which is for `localhost`.
pub fn authority() -> Option<String> {
    variable("FJORD_TEST_POSTGRES_CA")
}

impl PostgresServer {
    /// The server, if there is one; `None` where a test has to be skipped.
    pub fn find() -> Option<Self> {
        let url = variable("FJORD_TEST_POSTGRES_URL")?.parse().ok()?;
        let programs = variable("FJORD_TEST_POSTGRES_BIN")?.into();
        Some(Self { url, programs })
    }

    /// A new database, `options` being what follows its name in CREATE DATABASE.
    pub fn create(&self, options: &str) -> Result<PostgresDatabase> {
        let name = format!("t{:016x}", fastrand::u64(..));
        self.run(
            self.url.path().trim_start_matches('/'),
            &format!("CREATE DATABASE {name} {options}"),
        )?;
        Ok(PostgresDatabase { server: self.clone(), name })
    }

    fn run(&self, database: &str, sql: &str) -> Result<String> {
        let mut url = self.url.clone();
        url.set_path(database);
        let psql = self.programs.join("psql");
        let output = Command::new(psql)
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--set", "ON_ERROR_STOP=1", "--command", sql, url.as_str()])
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{sql}: {errors}");
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

impl PostgresDatabase {
    /// Runs SQL with `psql`; values separated by `|`, a row a line.
    ///
    /// # Errors
    /// With what `psql` says.
    pub fn sql(&self, sql: &str) -> Result<String> {
        self.server.run(&self.name, sql)
    }

    /// The same in the background.
    ///
    /// # Errors
    /// When `psql` cannot be started.
    pub fn start(&self, sql: &str) -> Result<std::process::Child> {
        let mut url = self.server.url.clone();
        url.set_path(&self.name);
        let mut command = Command::new(self.server.programs.join("psql"));
        command.args(["--no-psqlrc", "--quiet", "--command", sql, url.as_str()]);
        Ok(command.stdout(std::process::Stdio::null()).spawn()?)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the server listens.
    pub fn port(&self) -> u16 {
        self.server.url.port().unwrap_or(5432)
    }

    /// The superuser's password.
    pub fn password(&self) -> Secret {
        Secret::new(self.server.url.password().unwrap_or_default())
    }

    /// `postgres://USER@127.0.0.1:PORT/DATABASE`, the port being another's where something stands
    /// between.
    pub fn url(&self, port: u16) -> String {
        format!(
            "postgres://{}@127.0.0.1:{port}/{}?sslmode=disable",
            self.server.url.username(),
            self.name
        )
    }

    /// How to open an embedded catalog on it.
    ///
    /// # Errors
    /// Never, unless the variables are nonsense.
    pub fn options(&self, port: u16, warehouse: &str) -> Result<EmbeddedOptions> {
        let options = PostgresOptions::try_new(&self.url(port), Some(self.password()))?;
        Ok(EmbeddedOptions::on(EmbeddedDatabase::Postgres(options), warehouse))
    }

    /// An embedded catalog on it.
    ///
    /// # Errors
    /// Those of the catalog.
    pub async fn open(&self, warehouse: &str) -> Result<Embedded> {
        let options = self.options(self.port(), warehouse)?;
        Embedded::open(options).await.context("an embedded catalog on PostgreSQL")
    }
}
