//! The history on disk: JSON lines that are appended, and rewritten when they become too many.
//!
//! A query has a line when it starts and one when it ends; the later one counts. A query whose last
//! line says that it runs was ended by the end of its process. The lines are written by a thread
//! of their own, which nobody waits for: what does not fit its queue is not written.

use std::collections::{HashMap, HashSet};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::info::{QueryInfo, QueryState};
use super::line;
use super::ring::Ring;

/// Bytes of the file before it is rewritten.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Bytes of one line; a statement of 8 KiB is less, however it is escaped.
const LINE_BYTES_MAX: u64 = 128 << 10;

/// Lines that wait to be written.
const PENDING_MAX: usize = 4_096;

/// Queries that are known to run, for the next rewriting.
const STARTED_MAX: usize = 4_096;

/// After a failed write, such as on a full disk.
const RETRY_AFTER: Duration = Duration::from_secs(10);

const FILE: &str = "history.jsonl";
const NEW_FILE: &str = "history.jsonl.new";
const LOCK_FILE: &str = "lock";

#[derive(Debug)]
enum Event {
    Started(Arc<QueryInfo>),
    Ended(Arc<QueryInfo>),
}

/// The writing end.
#[derive(Debug)]
pub(super) struct Journal {
    events: Option<SyncSender<Event>>,
    writer: Option<JoinHandle<()>>,
    lost: AtomicU64,
}

impl Journal {
    /// Reads what is in `directory` into `ring`, and goes on from there.
    ///
    /// # Errors
    /// For a directory that cannot be used, or that another process writes its history to.
    pub(super) fn open(directory: &Path, ring: &Arc<Mutex<Ring>>) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let lock = private().create(true).truncate(false).open(directory.join(LOCK_FILE))?;
        lock.try_lock().map_err(|_| {
            io::Error::new(io::ErrorKind::WouldBlock, "another process writes its history there")
        })?;
        let path = directory.join(FILE);
        {
            let mut ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
            for info in load(&path)? {
                ring.push(Arc::new(info));
            }
        }
        let mut lines = Lines {
            directory: directory.to_owned(),
            ring: Arc::clone(ring),
            started: HashMap::new(),
            file: None,
            bytes: 0,
            failed: None,
            _lock: lock,
        };
        // Begins with a whole file of ended queries: nothing is appended to a torn line.
        lines.rewrite()?;
        let (events, pending) = sync_channel(PENDING_MAX);
        let writer = thread::Builder::new()
            .name("fjord-history".to_owned())
            .spawn(move || lines.write_all(&pending))?;
        Ok(Self { events: Some(events), writer: Some(writer), lost: AtomicU64::new(0) })
    }

    pub(super) fn started(&self, info: Arc<QueryInfo>) {
        self.send(Event::Started(info));
    }

    pub(super) fn ended(&self, info: Arc<QueryInfo>) {
        self.send(Event::Ended(info));
    }

    fn send(&self, event: Event) {
        let Some(events) = &self.events else { return };
        if events.try_send(event).is_err() {
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            if lost.is_power_of_two() {
                tracing::warn!(lost, "lines of the query history were not written");
            }
        }
    }
}

impl Drop for Journal {
    /// Waits for the lines that are on their way.
    fn drop(&mut self) {
        drop(self.events.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::warn!("the writer of the query history ended with a panic");
        }
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// The queries of a file, in the order of their beginning; what was torn or damaged is left out.
fn load(path: &Path) -> io::Result<Vec<QueryInfo>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let length = file.metadata()?.len();
    let skipped = length.saturating_sub(2 * FILE_BYTES_MAX);
    file.seek(SeekFrom::Start(skipped))?;
    let mut reader = BufReader::new(file);
    let mut queries: HashMap<Uuid, QueryInfo> = HashMap::new();
    let mut damaged = 0_u64;
    let mut line = Vec::new();
    while read_line(&mut reader, &mut line)? {
        match line::read(&line) {
            Some(info) => drop(queries.insert(info.id, info)),
            None => damaged += 1,
        }
    }
    if damaged > 0 {
        tracing::warn!(lines = damaged, "lines of the query history could not be read");
    }
    let mut queries: Vec<QueryInfo> = queries.into_values().map(aborted_if_alive).collect();
    queries.sort_by_key(|info| info.id);
    Ok(queries)
}

/// Reads one line of at most [`LINE_BYTES_MAX`]; of a longer one, a part that is no line.
fn read_line(reader: &mut BufReader<File>, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    io::Read::take(reader, LINE_BYTES_MAX).read_until(b'\n', line).map(|read| read > 0)
}

fn aborted_if_alive(mut info: QueryInfo) -> QueryInfo {
    if !info.state.is_over() {
        info.state = QueryState::Aborted;
        info.error = Some("the server ended while the query ran".to_owned());
    }
    info
}

/// The file, as its one writer sees it.
struct Lines {
    directory: PathBuf,
    ring: Arc<Mutex<Ring>>,
    started: HashMap<Uuid, Arc<QueryInfo>>,
    file: Option<BufWriter<File>>,
    bytes: u64,
    failed: Option<Instant>,
    // Held, not read: one process writes one file.
    _lock: File,
}

impl Lines {
    fn write_all(&mut self, pending: &Receiver<Event>) {
        while let Ok(first) = pending.recv() {
            let mut outcome = self.write(first);
            while let Ok(next) = pending.try_recv() {
                outcome = outcome.and(self.write(next));
            }
            // To the operating system, which outlives us: a power cut may cost the last lines.
            if let Err(e) = outcome.and_then(|()| self.flush()) {
                tracing::warn!(error = %e, "the query history cannot be written");
                // What a failed write left is torn; the next rewriting puts it right.
                self.file = None;
                self.failed = Some(Instant::now());
            }
        }
    }

    fn write(&mut self, event: Event) -> io::Result<()> {
        let info = match &event {
            Event::Started(info) if self.started.len() < STARTED_MAX => {
                self.started.insert(info.id, Arc::clone(info));
                info
            }
            Event::Started(info) => info,
            Event::Ended(info) => {
                self.started.remove(&info.id);
                info
            }
        };
        let failed_lately = self.failed.is_some_and(|at| at.elapsed() < RETRY_AFTER);
        if self.file.is_none() && failed_lately {
            return Ok(());
        }
        if self.file.is_none() || self.bytes > FILE_BYTES_MAX {
            self.rewrite()?;
        }
        let Some(line) = line::write(info) else { return Ok(()) };
        self.bytes += line.len() as u64;
        match &mut self.file {
            Some(file) => file.write_all(&line),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }

    /// Writes what is remembered to a new file and puts it in the place of the old one.
    fn rewrite(&mut self) -> io::Result<()> {
        let ended = self.ring.lock().unwrap_or_else(PoisonError::into_inner).entries();
        let over: HashSet<Uuid> = ended.iter().map(|info| info.id).collect();
        self.started.retain(|id, _| !over.contains(id));
        // The newest, in half of the file: the other half is for what comes.
        let mut lines = Vec::new();
        let mut bytes = 0;
        let newest_first = self.started.values().chain(ended.iter().rev());
        for line in newest_first.filter_map(|info| line::write(info)) {
            bytes += line.len() as u64;
            if bytes > FILE_BYTES_MAX / 2 {
                break;
            }
            lines.push(line);
        }
        let new = self.directory.join(NEW_FILE);
        let file = private().create(true).truncate(true).open(&new)?;
        let mut file = BufWriter::new(file);
        for line in lines.iter().rev() {
            file.write_all(line)?;
        }
        file.flush()?;
        std::fs::rename(&new, self.directory.join(FILE))?;
        self.file = Some(file);
        self.bytes = bytes;
        Ok(())
    }
}
