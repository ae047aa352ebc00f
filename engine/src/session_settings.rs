//! Settings of a session that are ours, beside those of DataFusion.

use std::time::Duration;

use datafusion::common::extensions_options;
use datafusion::config::ConfigExtension;

use crate::queries::SessionLimits;

/// What the names of our settings begin with.
pub(crate) const PREFIX: &str = "fjord";

extensions_options! {
    /// Zero means: what the server has.
    pub(crate) struct SessionSettings {
        /// Seconds that a query of this session may take; 0: as long as the server lets it
        pub query_time_seconds: u64, default = 0
        /// Rows that a result of this session may have; 0: as many as the server lets it
        pub query_rows_max: u64, default = 0
        /// Bytes that the operators of one query may hold; 0: as many as the server lets them
        pub query_memory_bytes: usize, default = 0
        /// Bytes that a query must read to run on workers, where there are any; unset: as the server says
        pub cluster_bytes_min: Option<u64>, default = None
        /// The branch or tag at which this session works on Nessie catalogs; empty: the configured one
        pub nessie_reference: String, default = String::new()
    }
}

impl ConfigExtension for SessionSettings {
    const PREFIX: &'static str = PREFIX;
}

impl SessionSettings {
    /// Bytes below which a query runs in one place, if the session says so.
    pub(crate) fn cluster_bytes_min(&self) -> Option<u64> {
        self.cluster_bytes_min
    }

    /// The limits that the session asks for.
    pub(crate) fn limits(&self) -> SessionLimits {
        SessionLimits {
            time: (self.query_time_seconds > 0)
                .then(|| Duration::from_secs(self.query_time_seconds)),
            rows: (self.query_rows_max > 0).then_some(self.query_rows_max),
            memory_bytes: (self.query_memory_bytes > 0).then_some(self.query_memory_bytes),
        }
    }
}
