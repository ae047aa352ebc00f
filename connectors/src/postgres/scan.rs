//! Reading a query of one database: several connections under one snapshot fill one queue, from
//! which all partitions take.
//!
//! ```text
//! lead ─ BEGIN, export ─ part ─ part ─ … ┐
//! helper ─ BEGIN, import ── part ─ part ─┼─ queue (bounded) ─ partition 0, 1, …
//! helper ─ …                             ┘
//! ```
//!
//! A scan waits for one connection only, and takes others where they are to be had at once: it ends
//! with one. All scans of a statement see one state of the database (`snapshot`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::task::JoinSet;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::columns::{Class, RemoteColumn};
use super::copy::{CopyReader, ReadColumn};
use super::database::{Database, begin_in_sql};
use super::failure::is_changed;
use super::pool::{Lease, Turn};
use super::quote;
use super::relation::Base;
use super::snapshot::{Member, Ran};
use super::wire::Wire;
use crate::connector::RemoteName;
use crate::error::{Error, ErrorKind};

/// Batches in the queue, for each connection.
const QUEUED_BATCHES: usize = 2;
/// A part has at least so many pages: smaller ones cost more than they bring.
const PART_PAGES_MIN: i64 = 1024;
/// Parts for each connection, so that all end at about the same time.
const PARTS_PER_CONNECTION: i64 = 8;
/// Partitions, and so parts, of one table.
const LEAVES_MAX: usize = 10_000;

/// Where the rows of a table are: the table itself, or the leaves of a partitioned one. Leaves are
/// read in the parent's place only where the same rows are seen: no policies on rows, and a right of
/// their own.
const LEAVES: &str = "WITH tree AS ( \
       SELECT relid::oid AS oid, isleaf FROM pg_partition_tree($1::int8::oid::regclass)), \
     rel AS (SELECT oid FROM tree WHERE isleaf \
       UNION ALL SELECT $1::int8::oid WHERE NOT EXISTS (SELECT FROM tree)) \
     SELECT n.nspname::text, c.relname::text, \
            c.relkind IN ('r', 'm') AND coalesce(am.amname = 'heap', false), \
            CASE WHEN c.relkind IN ('r', 'm') THEN pg_relation_size(c.oid) ELSE 0 END::int8 \
              / current_setting('block_size')::int8, \
            has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE') \
              AND NOT EXISTS (SELECT FROM pg_class s WHERE s.relrowsecurity \
                AND s.oid IN (SELECT oid FROM tree)), \
            c.oid = $1::int8::oid \
     FROM rel JOIN pg_class c ON c.oid = rel.oid \
     JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am am ON am.oid = c.relam \
     ORDER BY c.oid";

/// A column of a scan.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct ScanColumn {
    pub(super) name: String,
    pub(super) nullable: bool,
    pub(super) wire: Wire,
    pub(super) oid: u32,
    pub(super) select: String,
    pub(super) reference: String,
    pub(super) class: Class,
}

impl ScanColumn {
    pub(super) fn new(column: &RemoteColumn) -> Self {
        let RemoteColumn { name, nullable, wire, oid, select, reference, class, .. } =
            column.clone();
        Self { name, nullable, wire, oid, select, reference, class }
    }
}

/// All that a process needs to read, but for who it is: that is the catalog's, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct ScanSpec {
    pub(super) catalog: String,
    /// What is read, for messages.
    pub(super) relation: String,
    pub(super) columns: Vec<ScanColumn>,
    pub(super) base: Base,
    /// All of them hold.
    pub(super) conditions: Vec<String>,
    /// ORDER BY and LIMIT.
    pub(super) tail: String,
    /// Whether some of it was written by a user.
    pub(super) has_text: bool,
}

impl ScanSpec {
    /// The query.
    pub(super) fn to_sql(&self) -> String {
        self.select_from(&self.base.to_sql(), &[])
    }

    /// Whether any cut of the rows gives the same answer.
    pub(super) fn may_be_cut(&self) -> bool {
        matches!(self.base, Base::Table { stored: true, .. }) && self.tail.is_empty()
    }

    fn select_from(&self, from: &str, more: &[String]) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|c| c.select.as_str()).collect();
        let conditions: Vec<&str> =
            self.conditions.iter().chain(more).map(String::as_str).collect();
        let mut sql = format!("SELECT {} FROM {from}", columns.join(", "));
        if !conditions.is_empty() {
            sql.push_str(" WHERE ");
            sql.push_str(&conditions.join(" AND "));
        }
        sql.push_str(&self.tail);
        sql
    }
}

/// A part of the rows.
#[derive(Debug)]
struct Part {
    from: String,
    range: Option<String>,
}

struct Queued {
    batch: RecordBatch,
    bytes: usize,
}

/// A scan that runs. Dropping it stops everything.
pub(super) struct ScanRun {
    queue: AsyncMutex<mpsc::Receiver<Queued>>,
    reservation: Arc<MemoryReservation>,
    outcome: Arc<OnceLock<Result<(), Failure>>>,
    database: Arc<Database>,
    _work: JoinSet<()>,
}

/// Why a scan failed: each partition is told.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    kind: ErrorKind,
    message: String,
}

impl From<&Error> for Failure {
    fn from(e: &Error) -> Self {
        Self { kind: e.kind(), message: e.to_string() }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Error::new(failure.kind, failure.message)
    }
}

struct Scan {
    database: Arc<Database>,
    spec: ScanSpec,
    schema: SchemaRef,
    rows_max: usize,
    parts: Mutex<VecDeque<Part>>,
    queue: mpsc::Sender<Queued>,
    reservation: Arc<MemoryReservation>,
}

impl ScanRun {
    /// Begins to read; must be called within a runtime.
    pub(super) fn start(
        database: Arc<Database>,
        spec: ScanSpec,
        schema: SchemaRef,
        context: &TaskContext,
        member: Arc<Member>,
    ) -> Arc<Self> {
        let connections = database.settings().scan_connections_max;
        let (send, receive) = mpsc::channel(QUEUED_BATCHES * connections);
        let consumer = MemoryConsumer::new(format!("RemoteSqlExec({})", spec.relation));
        let reservation = Arc::new(consumer.register(context.memory_pool()));
        let scan = Arc::new(Scan {
            database: Arc::clone(&database),
            spec,
            schema,
            rows_max: context.session_config().batch_size(),
            parts: Mutex::default(),
            queue: send,
            reservation: Arc::clone(&reservation),
        });
        let outcome = Arc::new(OnceLock::new());
        let mut work = JoinSet::new();
        let told = Arc::clone(&outcome);
        work.spawn(async move {
            let done = Arc::clone(&scan).lead(&member).await;
            // Before the queue ends: whoever finds its end asks how it was.
            let _first = told.set(done.map_err(|e| Failure::from(&e)));
        });
        let queue = AsyncMutex::new(receive);
        Arc::new(Self { queue, reservation, outcome, database, _work: work })
    }

    /// The next batch, `None` after the last.
    pub(super) async fn next(&self) -> Result<Option<RecordBatch>, Error> {
        if let Some(Queued { batch, bytes }) = self.queue.lock().await.recv().await {
            self.reservation.shrink(bytes);
            return Ok(Some(batch));
        }
        match self.outcome.get() {
            Some(Ok(())) => Ok(None),
            Some(Err(failure)) => Err(failure.clone().into()),
            None => {
                let what = "reading stopped before its end; run the statement again";
                Err(self.database.pool.error(ErrorKind::Unavailable, what))
            }
        }
    }
}

impl Scan {
    fn failed(&self, e: tokio_postgres::Error) -> Error {
        let what = format!("reading {}", self.spec.relation);
        if is_changed(&e) {
            return self.database.changed(&what, e);
        }
        self.database.pool.failed_reading(&what, e)
    }

    fn next_part(&self) -> Option<Part> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn remaining(&self) -> usize {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    async fn lead(self: Arc<Self>, member: &Member) -> Result<(), Error> {
        let reading = member.begin(&self.database).await?;
        let lease = reading.lease()?;
        let client = lease.client()?;
        self.check_types(client).await?;
        let parts = self.cut(client).await?;
        let snapshot = match (parts.len(), reading.exported()) {
            (0 | 1, _) => None,
            (_, Some(name)) => Some(name.to_owned()),
            (_, None) => Some(self.export(client).await?),
        };
        *self.parts.lock().unwrap_or_else(PoisonError::into_inner) = parts;
        let mut helpers: JoinSet<Result<(), Error>> = JoinSet::new();
        let mut reader = self.reader();
        while let Some(part) = self.next_part() {
            let helpers_max = self.database.settings().scan_connections_max.saturating_sub(1);
            while let Some(snapshot) = &snapshot
                && helpers.len() < helpers_max.min(self.remaining())
                && let Some(turn) = self.database.pool.try_turn()
            {
                let (scan, snapshot) = (Arc::clone(&self), snapshot.clone());
                helpers.spawn(async move { scan.help(turn, &snapshot).await });
            }
            self.read(lease, part, &mut reader).await?;
            while let Some(done) = helpers.try_join_next() {
                self.joined(done)?;
            }
        }
        self.flush(&mut reader).await?;
        // The snapshot lives as long as this transaction.
        while let Some(done) = helpers.join_next().await {
            self.joined(done)?;
        }
        let ran = if self.spec.has_text { Ran::Text } else { Ran::Ours };
        reading.end(&self.database, ran).await
    }

    fn joined(&self, done: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), Error> {
        done.unwrap_or_else(|e| {
            let what = format!("reading {} was stopped", self.spec.relation);
            Err(self.database.pool.error(ErrorKind::Unavailable, what).with_source(e))
        })
    }

    async fn help(self: Arc<Self>, turn: Turn, snapshot: &str) -> Result<(), Error> {
        let lease = match self.database.pool.lease(turn).await {
            Ok(lease) => lease,
            // One connection less; what there is to read is read by the others.
            Err(e) => {
                tracing::debug!(error = %e, "a scan goes on with fewer connections");
                return Ok(());
            }
        };
        let client = lease.client()?;
        match client.batch_execute(&begin_in_sql(snapshot)).await {
            Ok(()) => {}
            Err(e) if e.as_db_error().is_none() => {
                tracing::debug!(error = %e, "a scan goes on with fewer connections");
                return Ok(());
            }
            Err(e) => return Err(self.failed(e)),
        }
        self.check_types(client).await?;
        let mut reader = self.reader();
        while let Some(part) = self.next_part() {
            self.read(&lease, part, &mut reader).await?;
        }
        self.flush(&mut reader).await?;
        self.database.end_read(lease).await
    }

    fn reader(&self) -> CopyReader {
        let columns = self
            .spec
            .columns
            .iter()
            .map(|c| ReadColumn { name: c.name.clone(), wire: c.wire.clone() })
            .collect();
        let context = format!("catalog {:?}: {}", self.spec.catalog, self.spec.relation);
        CopyReader::new(columns, Arc::clone(&self.schema), self.rows_max, context)
    }

    /// The types are those of the plan, and stay so: the database keeps its locks on what a
    /// statement names until the transaction ends.
    async fn check_types(&self, client: &Client) -> Result<(), Error> {
        let statement = client.prepare(&self.spec.to_sql()).await.map_err(|e| self.failed(e))?;
        for (found, planned) in statement.columns().iter().zip(&self.spec.columns) {
            if found.type_().oid() != planned.oid {
                let what = format!(
                    "reading {}: column {:?} is of type {} now, and was not when the query was \
                     planned",
                    self.spec.relation,
                    planned.name,
                    found.type_().name()
                );
                return Err(self.database.changed_otherwise(&what));
            }
        }
        Ok(())
    }

    async fn export(&self, client: &Client) -> Result<String, Error> {
        let rows = client
            .query_typed("SELECT pg_export_snapshot()", &[])
            .await
            .map_err(|e| self.failed(e))?;
        let row = rows.first().ok_or_else(|| {
            let what = "a snapshot was exported without a name";
            self.database.pool.error(ErrorKind::Corrupt, what)
        })?;
        row.try_get(0).map_err(|e| self.failed(e))
    }

    async fn cut(&self, client: &Client) -> Result<VecDeque<Part>, Error> {
        let whole = || VecDeque::from([Part { from: self.spec.base.to_sql(), range: None }]);
        let Base::Table { oid, .. } = &self.spec.base else { return Ok(whole()) };
        if !self.spec.may_be_cut() || !self.reads_all_pages(client).await? {
            return Ok(whole());
        }
        let rows = client
            .query_typed(LEAVES, &[(&i64::from(*oid), Type::INT8)])
            .await
            .map_err(|e| self.failed(e))?;
        let mut leaves = Vec::new();
        for row in &rows {
            let get = || {
                let name = RemoteName { schema: row.try_get(0)?, name: row.try_get(1)? };
                Ok((name, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?, row.try_get(5)?))
            };
            let (name, by_pages, pages, may_read, is_itself): (_, bool, i64, bool, bool) =
                get().map_err(|e| self.failed(e))?;
            if !may_read && !is_itself {
                return Ok(whole());
            }
            leaves.push((quote::relation(&name), by_pages, pages));
        }
        if leaves.is_empty() || leaves.len() > LEAVES_MAX {
            return Ok(whole());
        }
        let total: i64 = leaves.iter().map(|(_, _, pages)| pages).sum();
        let connections = self.database.settings().scan_connections_max as i64;
        let pages_each = (total / (connections * PARTS_PER_CONNECTION)).max(PART_PAGES_MIN);
        Ok(leaves
            .into_iter()
            .flat_map(|(from, by_pages, pages)| {
                let parts = if by_pages { (pages / pages_each).max(1) } else { 1 };
                (0..parts).map(move |part| Part {
                    from: from.clone(),
                    range: pages_range(part, parts, pages_each),
                })
            })
            .collect())
    }

    /// Whether the database would go through the table. Each part of what an index finds would have
    /// to look for all of it.
    async fn reads_all_pages(&self, client: &Client) -> Result<bool, Error> {
        if self.spec.conditions.is_empty() {
            return Ok(true);
        }
        let sql = format!("EXPLAIN (COSTS OFF) {}", self.spec.to_sql());
        let lines = client.simple_query(&sql).await.map_err(|e| self.failed(e))?;
        Ok(lines.iter().any(|line| match line {
            SimpleQueryMessage::Row(row) => {
                row.get(0).is_some_and(|line| line.contains("Seq Scan"))
            }
            _ => false,
        }))
    }

    async fn read(&self, lease: &Lease, part: Part, reader: &mut CopyReader) -> Result<(), Error> {
        let range: Vec<String> = part.range.into_iter().collect();
        let select = self.spec.select_from(&part.from, &range);
        let sql = format!("COPY ({select}) TO STDOUT (FORMAT BINARY)");
        let begun = lease.tap()?.copy_out(lease.client()?, &sql).await;
        let mut rows = begun.map_err(|e| self.failed(e))?;
        reader.restart();
        while let Some(piece) = rows.next().await.map_err(|e| self.failed(e))? {
            if let Some(batch) = reader.feed(piece)? {
                self.send(batch).await?;
            }
        }
        reader.end()
    }

    async fn flush(&self, reader: &mut CopyReader) -> Result<(), Error> {
        match reader.take()? {
            Some(batch) => self.send(batch).await,
            None => Ok(()),
        }
    }

    async fn send(&self, batch: RecordBatch) -> Result<(), Error> {
        let bytes = batch.get_array_memory_size();
        self.reservation.try_grow(bytes).map_err(|e| {
            let what = format!("no memory for rows of {}", self.spec.relation);
            self.database.pool.error(ErrorKind::LimitExceeded, what).with_source(e)
        })?;
        self.queue.send(Queued { batch, bytes }).await.map_err(|_| {
            let what = format!("nobody reads the rows of {} any more", self.spec.relation);
            self.database.pool.error(ErrorKind::Unavailable, what)
        })
    }
}

/// The pages of one part; the last has all that were added since they were counted.
fn pages_range(part: i64, parts: i64, pages_each: i64) -> Option<String> {
    let (begin, end) = (part * pages_each, (part + 1) * pages_each);
    match (part > 0, part + 1 < parts) {
        (false, false) => None,
        (false, true) => Some(format!("ctid < '({end},0)'::tid")),
        (true, false) => Some(format!("ctid >= '({begin},0)'::tid")),
        (true, true) => Some(format!("ctid >= '({begin},0)'::tid AND ctid < '({end},0)'::tid")),
    }
}
