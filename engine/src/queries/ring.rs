//! The ended queries that are remembered: so many, so many bytes, the oldest leave first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use super::info::QueryInfo;

/// Bytes of all remembered queries together.
const RING_BYTES_MAX: usize = 32 << 20;

#[derive(Debug)]
pub(super) struct Ring {
    entries: VecDeque<Arc<QueryInfo>>,
    by_id: HashMap<Uuid, Arc<QueryInfo>>,
    entries_max: usize,
    bytes: usize,
}

impl Ring {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { entries: VecDeque::new(), by_id: HashMap::new(), entries_max, bytes: 0 }
    }

    pub(super) fn push(&mut self, info: Arc<QueryInfo>) {
        self.bytes += info.size_bytes();
        self.by_id.insert(info.id, Arc::clone(&info));
        self.entries.push_back(info);
        while self.entries.len() > self.entries_max || self.bytes > RING_BYTES_MAX {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.size_bytes();
            self.by_id.remove(&oldest.id);
        }
    }

    /// Oldest first.
    pub(super) fn entries(&self) -> Vec<Arc<QueryInfo>> {
        self.entries.iter().map(Arc::clone).collect()
    }

    pub(super) fn find(&self, id: Uuid) -> Option<Arc<QueryInfo>> {
        self.by_id.get(&id).map(Arc::clone)
    }
}
