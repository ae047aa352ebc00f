//! What the operating system says of this process.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// A process since its start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    started: Instant,
    started_at: Duration,
}

impl Process {
    /// The process, taken to start now.
    pub(super) fn begin() -> Self {
        let started_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_at }
    }

    pub(super) fn uptime_seconds(self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    pub(super) fn start_time_seconds(self) -> f64 {
        self.started_at.as_secs_f64()
    }
}

/// Bytes of physical memory.
pub(super) fn resident_bytes() -> u64 {
    let pid = Pid::from_u32(std::process::id());
    let mut system = System::new();
    let kind = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, kind);
    system.process(pid).map_or(0, sysinfo::Process::memory)
}

/// Open file descriptors; `None` where the system does not list them.
pub(super) fn open_files() -> Option<u64> {
    let listed = ["/proc/self/fd", "/dev/fd"].into_iter().find_map(|at| std::fs::read_dir(at).ok());
    listed.map(|entries| entries.count() as u64)
}
