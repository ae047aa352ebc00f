//! What all queries of a process share: their slots, the living, the dead.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use super::admission::Admission;
use super::history::History;
use super::info::QueryRequest;
use super::options::QueriesOptions;
use super::record::Record;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) admission: Arc<Admission>,
    pub(super) history: History,
    pub(super) options: QueriesOptions,
    // Bounded by the slots and the queues: who has neither is not in here.
    live: Mutex<HashMap<Uuid, Arc<Record>>>,
    is_closed: AtomicBool,
    /// Told whenever a query has ended.
    pub(super) ended: Notify,
}

impl Shared {
    pub(super) fn new(options: QueriesOptions) -> Self {
        Self {
            admission: Arc::new(Admission::new(
                options.running_max,
                options.heavy_running_max.unwrap_or(options.running_max),
                options.queued_max,
            )),
            history: History::open(options.history_entries_max, options.history_dir.as_deref()),
            options,
            live: Mutex::default(),
            is_closed: AtomicBool::new(false),
            ended: Notify::new(),
        }
    }

    fn live(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Record>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a query among the living; `None` when nobody is taken in any more.
    pub(super) fn insert(&self, mut request: QueryRequest) -> Option<Arc<Record>> {
        let mut live = self.live();
        if self.is_closed() {
            return None;
        }
        // An id stands for one query: a ticket that is read again is another.
        request.id =
            request.id.filter(|id| !live.contains_key(id) && self.history.find(*id).is_none());
        let record = Arc::new(Record::new(request));
        live.insert(record.id, Arc::clone(&record));
        Some(record)
    }

    pub(super) fn remove(&self, id: Uuid) {
        self.live().remove(&id);
        self.ended.notify_waiters();
    }

    /// Lets nobody in from now on.
    pub(super) fn close(&self) {
        let _live = self.live();
        self.is_closed.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    pub(super) fn record(&self, id: Uuid) -> Option<Arc<Record>> {
        self.live().get(&id).map(Arc::clone)
    }

    /// The living, in the order of their arrival.
    pub(super) fn records(&self) -> Vec<Arc<Record>> {
        let mut records: Vec<_> = self.live().values().map(Arc::clone).collect();
        records.sort_by_key(|record| record.id);
        records
    }
}
