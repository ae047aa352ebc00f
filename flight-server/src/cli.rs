//! The command line, and what it and the configuration file amount to.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::client::{RemoteArgs, RemoteOptions};
use crate::config::{self, Config, ConfigError, MemoryLimit};

/// The file that is read when no flag names one, if it exists.
const DEFAULT_CONFIG: &str = "fjord.toml";
const DEFAULT_DATA_DIR: &str = "fjord-data";

/// A lakehouse engine in one binary: Iceberg tables, SQL, nothing else to install.
#[derive(Debug, Parser)]
#[command(name = "fjord", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct CommonArgs {
    /// Configuration file [default: ./fjord.toml if it exists]
    #[arg(long, global = true, env = "FJORD_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Directory of the catalog and, by default, of the tables [default: ./fjord-data]
    #[arg(long, global = true, env = "FJORD_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Memory for all operators together, such as 4GB or 50% [default: a share of the machine's]
    #[arg(long, global = true, env = "FJORD_MEMORY_LIMIT", value_name = "SIZE")]
    pub(crate) memory_limit: Option<String>,
    /// What is logged to standard error, such as warn or info,fjord_engine=debug
    #[expect(clippy::doc_markdown, reason = "this is shown to people at a terminal")]
    #[arg(long, global = true, env = "FJORD_LOG", value_name = "FILTER", default_value = "warn")]
    pub(crate) log: String,
    /// How log lines are written
    #[arg(long, global = true, env = "FJORD_LOG_FORMAT", value_enum, default_value_t)]
    pub(crate) log_format: LogFormat,
}

/// How log lines are written to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A SQL shell; reads standard input when that is not a terminal
    Sql(SqlArgs),
    /// The server: SQL over Arrow Flight, health and metrics over HTTP
    Serve(ServeArgs),
    /// Works for a server: takes parts of its queries
    Worker(WorkerArgs),
    /// Bronze, silver and gold from a real data set, in seconds
    Demo(DemoArgs),
    /// Writes an embedded catalog's schemas, table pointers and views to a new file, while others write
    Backup(BackupArgs),
    /// Puts back what backup has written, into the same catalog or into another
    Restore(RestoreArgs),
    /// A line for a server's password file; asks for the password, or reads it from standard input
    Passwd(PasswdArgs),
}

/// Flags of `fjord serve`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where Flight SQL listens; port 0 takes a free one
    #[arg(long, env = "FJORD_FLIGHT", value_name = "ADDR", default_value = "127.0.0.1:32010")]
    pub(crate) flight: SocketAddr,
    /// Where health, readiness and metrics are served
    #[arg(long, env = "FJORD_HTTP", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) http: SocketAddr,
    /// Allows listening beyond loopback without authentication or TLS
    #[arg(long, env = "FJORD_INSECURE")]
    pub(crate) insecure: bool,
}

/// Flags of `fjord demo`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct DemoArgs {
    /// A PostgreSQL database to join with, write to and land from: postgres://USER@HOST:PORT/DATABASE.
    /// Its password is taken from the variable PGPASSWORD
    #[arg(long, env = "FJORD_DEMO_POSTGRES", value_name = "URL")]
    pub(crate) postgres: Option<String>,
    /// Runs what reads tables on so many workers, started here, and shows it
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=16))]
    pub(crate) workers: u8,
}

/// Flags of `fjord worker`.
#[derive(Clone, Debug, Args)]
pub(crate) struct WorkerArgs {
    /// The server to work for: its Flight address
    #[arg(
        long,
        env = "FJORD_COORDINATOR",
        value_name = "ADDR",
        default_value = "grpc://127.0.0.1:32010"
    )]
    pub(crate) coordinator: String,
    /// Where plans are taken; port 0 takes a free one
    #[arg(long, env = "FJORD_WORKER_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// What others call this worker, such as `grpc://worker-1:32011` [default: where it listens]
    #[arg(long, env = "FJORD_WORKER_ADVERTISE", value_name = "ADDR")]
    pub(crate) advertise: Option<String>,
    /// Where health, readiness and metrics are served; port 0 takes a free one
    #[arg(long, env = "FJORD_WORKER_HTTP", value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) http: SocketAddr,
    /// Does not register: the server names this worker in its configuration
    #[arg(long)]
    pub(crate) unregistered: bool,
    /// Allows listening beyond loopback, where plans and rows travel in plain text
    #[arg(long, env = "FJORD_INSECURE")]
    pub(crate) insecure: bool,
}

/// Flags of `fjord backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The file to make
    pub(crate) file: PathBuf,
    /// Which catalog
    #[arg(long, value_name = "NAME", default_value = "iceberg")]
    pub(crate) catalog: String,
}

/// Flags of `fjord restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// A file that backup has made
    pub(crate) file: PathBuf,
    /// Into which catalog
    #[arg(long, value_name = "NAME", default_value = "iceberg")]
    pub(crate) catalog: String,
    /// The catalog's name in the file [default: the same]
    #[arg(long, value_name = "NAME")]
    pub(crate) from_catalog: Option<String>,
    /// Forgets what the catalog holds now; files stay where they are
    #[arg(long)]
    pub(crate) replace: bool,
}

/// Flags of `fjord passwd`.
#[derive(Debug, Args)]
pub(crate) struct PasswdArgs {
    /// The name that the user logs in with
    pub(crate) user: String,
}

/// Flags of `fjord sql`.
#[derive(Debug, Default, Args)]
pub(crate) struct SqlArgs {
    /// Statements to run, separated by ';'; may be given several times
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    pub(crate) commands: Vec<String>,
    /// A file of statements; after those of -c
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// How results are written
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// How results are written to standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns
    #[default]
    Table,
    /// Comma-separated values with a header; NULL is empty, an empty string is ""
    Csv,
    /// One JSON object per row and line
    Json,
}

/// Flags, variables and file, merged: flags win over variables, variables over the file.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) memory_limit: Option<MemoryLimit>,
    pub(crate) file: Config,
    /// The file's name, for messages.
    pub(crate) origin: String,
}

impl Cli {
    /// The server to work on; `None` to work in this process.
    ///
    /// # Errors
    /// For flags that contradict each other and files that cannot be read.
    pub(crate) fn remote(&self) -> Result<Option<RemoteOptions>, ConfigError> {
        match &self.command {
            Command::Sql(arguments) => arguments.remote.options(self.common.data_dir.as_deref()),
            Command::Serve(_)
            | Command::Worker(_)
            | Command::Demo(_)
            | Command::Backup(_)
            | Command::Restore(_)
            | Command::Passwd(_) => Ok(None),
        }
    }
}

impl CommonArgs {
    /// # Errors
    /// For a file that cannot be read and any value that is not accepted.
    pub(crate) fn settings(&self) -> Result<Settings, ConfigError> {
        let file = match &self.config {
            Some(path) => read_config(path)?,
            None if Path::new(DEFAULT_CONFIG).exists() => read_config(Path::new(DEFAULT_CONFIG))?,
            None => Config::default(),
        };
        let flag = "--memory-limit (or FJORD_MEMORY_LIMIT)";
        let memory_limit = match &self.memory_limit {
            Some(text) => {
                Some(MemoryLimit::parse(text).map_err(|p| ConfigError::new(flag, "", p))?)
            }
            None => file.memory_limit,
        };
        let data_dir = self
            .data_dir
            .clone()
            .or_else(|| file.data_dir.clone())
            .unwrap_or_else(|| PathBuf::from(DEFAULT_DATA_DIR));
        let origin = match &self.config {
            Some(path) => path.display().to_string(),
            None => DEFAULT_CONFIG.to_owned(),
        };
        Ok(Settings { data_dir, memory_limit, file, origin })
    }
}

fn read_config(path: &Path) -> Result<Config, ConfigError> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path)
        .map_err(|e| ConfigError::new(&name, "", format!("cannot be read: {e}")))?;
    config::parse(&bytes, &name)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_win_over_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.toml");
        std::fs::write(&path, "data_dir = \"from-file\"\nmemory_limit = \"1GB\"\n").unwrap();
        let path = path.to_str().unwrap();
        let cli = Cli::parse_from(["fjord", "sql", "--config", path, "--data-dir", "from-flag"]);
        let settings = cli.common.settings().unwrap();
        assert_eq!(settings.data_dir, PathBuf::from("from-flag"));
        assert_eq!(settings.memory_limit, Some(MemoryLimit::Bytes(1_000_000_000)));
    }

    #[test]
    fn a_file_that_is_named_must_exist() {
        let cli = Cli::parse_from(["fjord", "--config", "/no/such/fjord.toml", "demo"]);
        let error = cli.common.settings().unwrap_err().to_string();
        assert!(error.starts_with("/no/such/fjord.toml: cannot be read"), "{error}");
    }
}
