//! From a parsed command line to an exit status.

use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command, CommonArgs, Settings};
use crate::compose::Lakehouse;
use crate::report::{error_text, note};
use crate::{demo, shell};

/// Bad flags and bad configuration, as clap has it.
const STATUS_USAGE: u8 = 2;
/// Enough for plans as deep as the engine admits, in builds without optimisation.
const STACK_BYTES: usize = 8 << 20;

/// Runs a command: 0 when it went well, 1 when a statement or start-up failed, 2 for bad
/// configuration, 130 after Ctrl-C.
pub fn run(cli: &Cli) -> ExitCode {
    let settings = match start_logging(&cli.common).and_then(|()| cli.common.settings()) {
        Ok(settings) => settings,
        Err(e) => return complain(&e, STATUS_USAGE),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(e) => return complain(&e, 1),
    };
    let outcome = runtime.block_on(Box::pin(run_command(&cli.command, &settings)));
    // A reader of standard input may sit in a blocking thread: do not wait for it.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        Err(e) => complain(e.as_ref(), 1),
    }
}

async fn run_command(command: &Command, settings: &Settings) -> anyhow::Result<ExitCode> {
    // Read scripts before anything is opened: a file that is missing should leave no trace.
    match command {
        Command::Sql(arguments) => {
            let source = shell::Source::open(arguments)?;
            let lakehouse = Lakehouse::open(settings).await?;
            let code = shell::run(&lakehouse, source, arguments.format).await;
            lakehouse.close().await;
            code
        }
        Command::Demo => {
            let lakehouse = Lakehouse::open(settings).await?;
            let code = demo::run(&lakehouse).await;
            lakehouse.close().await;
            code
        }
    }
}

fn start_logging(common: &CommonArgs) -> Result<(), crate::config::ConfigError> {
    let filter = EnvFilter::try_new(&common.log).map_err(|e| {
        let problem =
            format!("found {:?}: {e}; accepted: warn, info,fjord_engine=debug, …", common.log);
        crate::config::ConfigError::new("--log (or FJORD_LOG)", "", problem)
    })?;
    // A second start in one process (a test) keeps the first one's logging.
    let started =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    drop(started);
    Ok(())
}

/// Reports an error and gives the status to end with.
fn complain(error: &(dyn std::error::Error + 'static), status: u8) -> ExitCode {
    note(&error_text(error));
    ExitCode::from(status)
}
