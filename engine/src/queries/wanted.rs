//! Whether anybody still waits for a query.
//!
//! A task is cancelled when it yields, and some operators do not for long. They ask here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by who waits and who works. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    is_withdrawn: Arc<AtomicBool>,
}

impl Wanted {
    /// Nobody waits any more. There is no way back.
    pub fn withdraw(&self) {
        self.is_withdrawn.store(true, Ordering::Relaxed);
    }

    /// Whether [`Wanted::withdraw`] was called.
    pub fn is_withdrawn(&self) -> bool {
        self.is_withdrawn.load(Ordering::Relaxed)
    }

    /// Withdraws when the returned value is dropped, unless it is told not to.
    #[must_use]
    pub fn while_kept(&self) -> Kept {
        Kept { wanted: Some(self.clone()) }
    }
}

/// Withdraws when it is dropped.
#[derive(Debug)]
pub struct Kept {
    wanted: Option<Wanted>,
}

impl Kept {
    /// What was wanted is there: dropping this means nothing any more.
    pub fn release(mut self) {
        self.wanted = None;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(wanted) = &self.wanted {
            wanted.withdraw();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_unreleased_is_withdrawn_for_all_who_share_it() {
        let wanted = Wanted::default();
        wanted.while_kept().release();
        assert!(!wanted.is_withdrawn());
        let worker = wanted.clone();
        drop(wanted.while_kept());
        assert!(worker.is_withdrawn());
    }
}
