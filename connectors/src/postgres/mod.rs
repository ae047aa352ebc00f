//! PostgreSQL as a catalog: read by binary COPY on several connections under one snapshot, asked
//! for answers instead of rows where that is proven equal, and written by COPY in one transaction.
//!
//! ```text
//! options ─ tls ─ paced ─ tap ─ tapped ─ link ─ pool ─ session   connections, and what they are set to
//! quote ─ wire ─ columns ─ metadata       names, types, what is there
//! numeric ─ decode ─ encode               values
//! literal ─ condition ─ derive ─ federate  what the database is asked to do, and is proven to do alike
//! stored ─ encode ─ create ─ transaction ─ write   rows and definitions the other way
//! relation ─ snapshot ─ scan ─ exec       from a plan's leaf to record batches
//! ```

mod options;
mod tls;
mod paced;
mod tap;
mod tapped;
mod link;
mod failure;
mod session;
mod pool;
mod quote;
mod wire;
mod columns;
mod metadata;
mod numeric;
mod decode;
mod copy;
mod database;
mod snapshot;
mod relation;
mod scan;
mod exec;
mod literal;
mod condition;
mod derive;
mod federate;
mod dynamic;
mod stored;
mod encode;
mod create;
mod transaction;
mod write;
mod pass_through;
mod connector;

use std::sync::Arc;

use crate::connector::{Connector, ConnectorKind, ConnectorOptions};
use crate::error::Error;

pub use exec::RemoteSqlExec;
pub use federate::Federate;
#[doc(hidden)]
pub use options::Rules;
pub use write::RemoteWriteExec;

/// The kind `postgres`.
#[derive(Debug, Default)]
pub struct Postgres {
    rules: Rules,
}

impl Postgres {
    /// One that pushes down what it must not.
    #[doc(hidden)]
    pub fn with_rules(rules: Rules) -> Self {
        Self { rules }
    }
}

impl ConnectorKind for Postgres {
    fn name(&self) -> &'static str {
        options::KIND
    }

    fn open(&self, options: ConnectorOptions) -> Result<Arc<dyn Connector>, Error> {
        Ok(Arc::new(connector::PostgresConnector::try_new(options, self.rules)?))
    }
}
