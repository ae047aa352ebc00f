//! What has arrived of a result so far, and what the server has read for it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::progress::Figures;

/// Counts while a result is read.
#[derive(Debug, Default)]
pub(crate) struct Received {
    rows: AtomicU64,
    bytes: AtomicU64,
    rows_read: AtomicU64,
    bytes_read: AtomicU64,
}

impl Received {
    pub(super) fn add_rows(&self, rows: usize) {
        self.rows.fetch_add(u64::try_from(rows).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn tell(&self, server: Figures) {
        self.rows_read.store(server.rows_read, Ordering::Relaxed);
        self.bytes_read.store(server.bytes_read, Ordering::Relaxed);
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// As the server last told.
    pub(crate) fn server(&self) -> Figures {
        Figures {
            rows_read: self.rows_read.load(Ordering::Relaxed),
            bytes_read: self.bytes_read.load(Ordering::Relaxed),
        }
    }
}
