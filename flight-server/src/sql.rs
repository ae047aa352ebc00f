//! `fjord sql`: the shell on a data directory, or on a server.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::{Settings, SqlArgs};
use crate::client::{RemoteOptions, RemoteSession};
use crate::compose::Lakehouse;
use crate::shell::{self, Place, Source};

/// In the data directory.
const LOCAL_HISTORY: &str = "sql_history";
/// In the home directory: what was typed for servers.
const REMOTE_HISTORY: &str = ".fjord_sql_history";

/// Runs the shell and gives the status to end with.
pub(crate) async fn run(
    arguments: &SqlArgs,
    settings: &Settings,
    remote: Option<&RemoteOptions>,
) -> anyhow::Result<ExitCode> {
    // Read scripts before anything is opened: a file that is missing should leave no trace.
    let source = Source::open(arguments)?;
    match remote {
        Some(options) => on_server(arguments, source, options).await,
        None => in_process(arguments, source, settings).await,
    }
}

async fn in_process(
    arguments: &SqlArgs,
    source: Source,
    settings: &Settings,
) -> anyhow::Result<ExitCode> {
    let lakehouse = Lakehouse::open(settings).await?;
    let place = Place {
        name: lakehouse.data_dir().display().to_string(),
        history: Some(lakehouse.data_dir().join(LOCAL_HISTORY)),
    };
    let code = shell::run(lakehouse.session(), place, source, arguments.format).await;
    lakehouse.close().await;
    code
}

async fn on_server(
    arguments: &SqlArgs,
    source: Source,
    options: &RemoteOptions,
) -> anyhow::Result<ExitCode> {
    let session = RemoteSession::open(options).await?;
    let place = Place {
        name: session.address().to_string(),
        history: std::env::home_dir().map(|home: PathBuf| home.join(REMOTE_HISTORY)),
    };
    let code = shell::run(session.clone(), place, source, arguments.format).await;
    session.close().await;
    code
}
