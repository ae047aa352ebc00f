//! From a parsed command line to an exit status.

use std::process::ExitCode;
use std::time::Duration;

use crate::cli::{Cli, Command, Settings};
use crate::client::RemoteOptions;
use crate::compose::Lakehouse;
use crate::config::ConfigError;
use crate::report::{error_text, note};
use crate::{auth, backup, demo, serve, sql, telemetry, worker};

/// Bad flags and bad configuration, as clap has it.
const STATUS_USAGE: u8 = 2;
/// Enough for plans as deep as the engine admits, in builds without optimisation.
const STACK_BYTES: usize = 8 << 20;
/// How long the last traces may take on their way.
const TRACES_TIME: Duration = Duration::from_secs(2);

/// Runs a command: 0 when it went well, 1 when a statement or start-up failed, 2 for bad
/// configuration, 130 after Ctrl-C.
pub fn run(cli: &Cli) -> ExitCode {
    let (settings, remote) = match configure(cli) {
        Ok(configured) => configured,
        Err(e) => return complain(&e, STATUS_USAGE),
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().thread_stack_size(STACK_BYTES);
    if let Command::Serve(_) | Command::Worker(_) = cli.command {
        runtime.worker_threads(serve::engine_threads());
    }
    let runtime = runtime.build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(e) => return complain(&e, 1),
    };
    let telemetry = {
        let _entered = runtime.enter();
        let endpoint = settings.file.telemetry.otlp_endpoint.as_deref();
        telemetry::start(&cli.common.log, cli.common.log_format, endpoint)
    };
    let telemetry = match telemetry {
        Ok(telemetry) => telemetry,
        Err(e) => return complain(&e, STATUS_USAGE),
    };
    let outcome = runtime.block_on(Box::pin(run_command(&cli.command, &settings, remote.as_ref())));
    telemetry.shutdown(TRACES_TIME);
    // A reader of standard input may sit in a blocking thread: do not wait for it.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        // Some of the configuration is known to be bad only when it is put together.
        Err(e) if e.is::<ConfigError>() => complain(e.as_ref(), STATUS_USAGE),
        Err(e) => complain(e.as_ref(), 1),
    }
}

fn configure(cli: &Cli) -> Result<(Settings, Option<RemoteOptions>), ConfigError> {
    Ok((cli.common.settings()?, cli.remote()?))
}

async fn run_command(
    command: &Command,
    settings: &Settings,
    remote: Option<&RemoteOptions>,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Sql(arguments) => sql::run(arguments, settings, remote).await,
        Command::Demo(arguments) => {
            let lakehouse = Lakehouse::open(settings).await?;
            let code = demo::run(&lakehouse, arguments).await;
            lakehouse.close().await;
            code
        }
        Command::Serve(arguments) => serve::run(settings, arguments).await,
        Command::Worker(arguments) => worker::run(settings, arguments).await,
        Command::Backup(arguments) => backup::back_up(arguments, settings).await,
        Command::Restore(arguments) => backup::restore(arguments, settings).await,
        Command::Passwd(arguments) => auth::run_passwd(&arguments.user).map(|()| ExitCode::SUCCESS),
    }
}

/// Reports an error and gives the status to end with.
fn complain(error: &(dyn std::error::Error + 'static), status: u8) -> ExitCode {
    note(&error_text(error));
    ExitCode::from(status)
}
