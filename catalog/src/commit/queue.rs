//! One commit at a time for each table within a process: waiting in line is cheaper than losing races.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, ErrorKind, Result};
use crate::name::TableName;

/// Tables remembered before idle ones are forgotten.
const IDLE_TABLES_MAX: usize = 1024;

/// A fair queue for each table.
#[derive(Debug, Default)]
pub(crate) struct CommitQueue {
    tables: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// The right to commit to one table; given back on drop.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl CommitQueue {
    /// Waits for the table's turn, first come, first served.
    pub(crate) async fn wait(&self, name: &TableName, deadline: Instant) -> Result<Turn> {
        let line = self.line(name);
        match timeout_at(deadline, line.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn { _permit: permit }),
            Ok(Err(closed)) => {
                Err(Error::new(ErrorKind::Bug, "a commit queue was closed").with_source(closed))
            }
            Err(elapsed) => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "table \"{name}\": other commits of this process took all the time allowed"
                ),
            )
            .with_retryable(true)
            .with_source(elapsed)),
        }
    }

    fn line(&self, name: &TableName) -> Arc<Semaphore> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.len() >= IDLE_TABLES_MAX {
            tables.retain(|_, line| Arc::strong_count(line) > 1);
        }
        // Two spellings of one name must wait in one line; two names in one line do no harm.
        let key = name.to_string().to_lowercase();
        Arc::clone(tables.entry(key).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}
