//! The databases of this process for plans that came from another one.

use std::sync::Arc;

use datafusion::execution::TaskContext;
use fjord_connectors::codec::RemoteDatabase;
use fjord_connectors::connector::{Connector, Connectors};

use crate::foreign::catalog::ForeignCatalog;
use crate::services::Services;

impl Connectors for Services {
    fn connector(
        &self,
        catalog: &str,
        identity: &str,
        _context: &TaskContext,
    ) -> Result<Arc<dyn Connector>, fjord_connectors::Error> {
        let missing = |message: String| {
            fjord_connectors::Error::new(fjord_connectors::ErrorKind::NotFound, message)
        };
        let is_meant = |found: &Arc<ForeignCatalog>| found.identity().as_deref() == Some(identity);
        let mut found = self.foreign(catalog);
        if !found.as_ref().is_some_and(is_meant) {
            // A statement on another node may have made or changed it.
            self.look_for_kept();
            found = self.foreign(catalog);
        }
        let Some(found) = found else {
            return Err(missing(format!(
                "no database is mounted as catalog \"{catalog}\" on this node of the cluster: give \
                 it the coordinator's [catalog.{catalog}], or its data directory"
            )));
        };
        let connector = found.connector().map_err(|e| missing(e.to_string()))?;
        let here = connector.identity();
        if here != identity {
            return Err(missing(format!(
                "catalog \"{catalog}\" is {here} on this node of the cluster, and {identity} on its \
                 coordinator: give both the same [catalog.{catalog}]"
            )));
        }
        Ok(Arc::clone(connector))
    }
}

impl Services {
    /// What other nodes know the mounted databases by, as they are now.
    pub(crate) fn database_keys(&self) -> Vec<u64> {
        self.look_for_kept();
        let mounted = self.foreign_catalogs();
        let known = mounted.iter().filter_map(|mounted| {
            let (catalog, identity) = (mounted.name().to_owned(), mounted.identity()?);
            Some(RemoteDatabase { catalog, identity }.key())
        });
        known.collect()
    }

    fn look_for_kept(&self) {
        if let Err(error) = self.refresh_kept() {
            tracing::warn!(%error, "the kept catalogs cannot be read");
        }
    }

    /// Takes over what statements have made, changed and dropped in other processes meanwhile.
    /// Connections of what is gone end with the queries that use them.
    ///
    /// # Errors
    /// Where the definitions cannot be read.
    fn refresh_kept(&self) -> crate::error::Result<()> {
        let Some(home) = self.databases.home.as_deref() else { return Ok(()) };
        // Whoever mounts now knows what is kept.
        let Ok(_turn) = self.mounting.try_lock() else { return Ok(()) };
        // Those that were made are mounted by asking for all; read before what is kept, so that
        // none that is made just now looks dropped.
        let mounted = self.foreign_catalogs();
        let kept = home.definitions()?;
        for mounted in mounted {
            // One of the configuration has none, and comes first.
            let Some(known) = mounted.definition() else { continue };
            match kept.iter().find(|kept| kept.name.eq_ignore_ascii_case(&known.name)) {
                None => drop(self.exchange_foreign(mounted.name(), None)),
                Some(now) if now != known => {
                    let changed = self.databases.open_kept(now.clone());
                    drop(self.exchange_foreign(mounted.name(), Some(changed)));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}
