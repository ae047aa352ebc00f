//! The port to whatever holds the pointers to table metadata: embedded SQLite now, REST, Nessie and
//! Hive next. One conformance suite ([`crate::suite`]) is what an implementation must pass.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;

use crate::create::CreateTable;
use crate::error::{Error, ErrorKind, Result};
use crate::name::{Namespace, TableName};
use crate::spec::{TableRequirement, TableUpdate};
use crate::table::Table;

/// What a name in a namespace stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// An Iceberg table.
    Table,
    /// A view.
    View,
}

/// One listed name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The stored name.
    pub name: TableName,
    /// Table or view.
    pub kind: EntryKind,
}

/// A view: SQL text and how to read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Its name.
    pub name: TableName,
    /// The query, as it was written.
    pub sql: String,
    /// Column names that `CREATE VIEW v (a, b)` gave; empty when the query names them.
    pub columns: Vec<String>,
    /// The catalog that unqualified names in `sql` resolve in.
    pub default_catalog: String,
    /// The schema that unqualified names in `sql` resolve in.
    pub default_namespace: Namespace,
    /// `COMMENT`, owner and the like.
    pub properties: BTreeMap<String, String>,
}

/// One atomic change of one table.
#[derive(Clone, Debug)]
pub struct TableCommit {
    /// Which table.
    pub name: TableName,
    /// What must hold of the current metadata. `NotExist` makes it a create.
    pub requirements: Vec<TableRequirement>,
    /// What to change, in order.
    pub updates: Vec<TableUpdate>,
    /// For a create, the metadata to publish when the table is absent; the updates have already
    /// been applied to it.
    pub staged: Option<Table>,
}

/// What a kind of metastore can do; the suite skips, by name, what it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Views can be stored.
    pub views: bool,
    /// Tables can be renamed, across namespaces too.
    pub rename: bool,
    /// Namespaces may have several levels.
    pub nested_namespaces: bool,
    /// Several tables can be committed at once, all or none.
    pub together: bool,
}

/// What a catalog's own log says of a table since some state of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Metadata files, newest first, without that state's own.
    pub metadata_files: Vec<String>,
    /// Whether these are all.
    pub is_complete: bool,
}

/// Holds the current metadata location of every table.
///
/// Names are matched as given first and regardless of case second; two stored names that differ by
/// case alone make a differently spelt one ambiguous, which is an error.
#[async_trait]
pub trait Metastore: fmt::Debug + Send + Sync {
    /// What this kind can do.
    fn capabilities(&self) -> Capabilities;

    /// Where new tables go, when the server decides that; a URI.
    async fn warehouse(&self) -> Result<Option<String>> {
        Ok(None)
    }

    /// Whether a new table must begin with a snapshot, if an empty one: on a server that does not
    /// enforce "there is no snapshot yet", the first commits of two writers would both be taken, and
    /// the rows of one be gone.
    async fn needs_first_snapshot(&self) -> Result<bool> {
        Ok(false)
    }

    /// Whether a table has branches and tags of its own. Where it has not, they are the catalog's.
    fn has_table_references(&self) -> bool {
        true
    }

    /// Learns what the server is, if there is one and it was not asked yet: what
    /// [`has_table_references`](Self::has_table_references) and
    /// [`rights_to`](Self::rights_to) say is final then.
    async fn connect(&self) -> Result<()> {
        Ok(())
    }

    /// The same catalog at another of its references; `None` where it has none of its own.
    fn at_reference(&self, reference: &str) -> Option<std::sync::Arc<dyn Metastore>> {
        let _unused = reference;
        None
    }

    /// The tables whose rights `name` asks for: where a name may carry a reference (`t@dev`), those
    /// to the table. More than one while it is not known which it is.
    fn rights_to<'n>(&self, name: &'n str) -> Vec<&'n str> {
        vec![name]
    }

    /// The metadata files that the table has had since `base`, by the catalog's own log; `None`
    /// where it keeps none, and the table's metadata does.
    async fn history_since(&self, base: &Table) -> Result<Option<History>> {
        let _unused = base;
        Ok(None)
    }

    /// Every namespace, of all levels, sorted.
    async fn list_namespaces(&self) -> Result<Vec<Namespace>>;

    /// Makes an empty namespace. `AlreadyExists` if it is there.
    async fn create_namespace(
        &self,
        namespace: &Namespace,
        properties: BTreeMap<String, String>,
    ) -> Result<()>;

    /// The namespace's stored spelling and properties. `NotFound` if absent.
    async fn load_namespace(
        &self,
        namespace: &Namespace,
    ) -> Result<(Namespace, BTreeMap<String, String>)>;

    /// Sets (`Some`) and removes (`None`) properties.
    async fn update_namespace(
        &self,
        namespace: &Namespace,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<()>;

    /// Drops an empty namespace; `InvalidArgument` names what is still in it.
    async fn drop_namespace(&self, namespace: &Namespace) -> Result<()>;

    /// Tables and views of a namespace, sorted by name. `NotFound` if the namespace is absent.
    async fn list(&self, namespace: &Namespace) -> Result<Vec<Entry>>;

    /// Tables and views of all namespaces, in any order, where that takes no more than listing one;
    /// `None` elsewhere.
    async fn list_all(&self) -> Result<Option<Vec<Entry>>> {
        Ok(None)
    }

    /// The table's current metadata. `NotFound` says when the name is a view instead.
    async fn load_table(&self, name: &TableName) -> Result<Table>;

    /// Gets ready for the files of a table that is not there yet: a catalog that vends credentials
    /// says where they go, and is asked for what it takes to write there. `None` leaves it to us.
    async fn place_new(&self, create: &CreateTable) -> Result<Option<String>> {
        let _unused = create;
        Ok(None)
    }

    /// Makes a table of metadata that is there already; it is read by the implementation, which
    /// refuses what is no table. `AlreadyExists` as a create.
    async fn register_table(&self, name: &TableName, metadata_location: &str) -> Result<Table> {
        let _unused = metadata_location;
        Err(Error::new(
            ErrorKind::Unsupported,
            format!("table \"{name}\": this kind of catalog cannot register tables"),
        ))
    }

    /// Applies a commit atomically.
    ///
    /// # Errors
    /// `Stale` when a requirement failed or the compare-and-set lost: definitely not applied.
    /// `AlreadyExists` when a create finds the name taken, by a table or a view, in any case.
    /// `NotFound` when the table, or the namespace of a create, is absent.
    /// `CommitUnknown` when it may or may not have been applied.
    async fn commit(&self, commit: TableCommit) -> Result<Table>;

    /// Applies commits of several tables, all or none. None of them makes a table.
    ///
    /// # Errors
    /// As [`commit`](Self::commit), without saying which table was in the way where the server does
    /// not; `Unsupported` where one table at a time is all that is possible.
    async fn commit_together(&self, commits: Vec<TableCommit>) -> Result<()> {
        Err(Error::new(
            ErrorKind::Unsupported,
            format!("this kind of catalog commits one table at a time, not {}", commits.len()),
        ))
    }

    /// Forgets a table, leaving its files. Returns what it pointed to; `None` when that cannot be
    /// read, being lost or damaged: such a table must be possible to forget.
    async fn drop_table(&self, name: &TableName) -> Result<Option<Table>>;

    /// Renames a table or view; `AlreadyExists` if the target is taken by either.
    async fn rename(&self, kind: EntryKind, from: &TableName, to: &TableName) -> Result<()>;

    /// The stored view. `NotFound` says when the name is a table instead.
    async fn load_view(&self, name: &TableName) -> Result<View>;

    /// Stores a view; with `replace` an existing *view* is replaced, never a table.
    async fn put_view(&self, view: View, replace: bool) -> Result<()>;

    /// Drops a view.
    async fn drop_view(&self, name: &TableName) -> Result<()>;
}
