//! `fjord backup` and `fjord restore`: the pointers of an embedded catalog to a file, and back.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use fjord_catalog::embedded::{BackupContents, Embedded, RestoreMode};

use crate::cli::{BackupArgs, RestoreArgs, Settings};
use crate::compose::Lakehouse;
use crate::report::note;

/// Writes a backup.
pub(crate) async fn back_up(arguments: &BackupArgs, settings: &Settings) -> Result<ExitCode> {
    let lakehouse = Lakehouse::open(settings).await?;
    let done =
        async { Ok(embedded(&lakehouse, &arguments.catalog)?.back_up(&arguments.file).await?) };
    let done: Result<BackupContents> = done.await;
    lakehouse.close().await;
    note(&format!("{} to {}", told("backed up", &done?), arguments.file.display()));
    Ok(ExitCode::SUCCESS)
}

/// Restores one.
pub(crate) async fn restore(arguments: &RestoreArgs, settings: &Settings) -> Result<ExitCode> {
    let lakehouse = Lakehouse::open(settings).await?;
    let mode = if arguments.replace { RestoreMode::Replace } else { RestoreMode::IntoEmpty };
    let done = async {
        let catalog = embedded(&lakehouse, &arguments.catalog)?;
        let there = arguments.from_catalog.as_deref().unwrap_or(catalog.catalog_name());
        Ok(catalog.restore(&arguments.file, there, mode).await?)
    };
    let done: Result<BackupContents> = done.await;
    lakehouse.close().await;
    note(&told("restored", &done?));
    Ok(ExitCode::SUCCESS)
}

fn embedded<'a>(lakehouse: &'a Lakehouse, name: &str) -> Result<&'a Embedded> {
    lakehouse.embedded(name).ok_or_else(|| {
        anyhow!(
            "there is no embedded catalog {name:?}; other kinds are backed up where they are served"
        )
    })
}

fn told(what: &str, contents: &BackupContents) -> String {
    format!("{what} {} tables and {} views", contents.tables, contents.views)
}
