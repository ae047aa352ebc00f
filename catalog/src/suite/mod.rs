//! The conformance suite that every metastore passes, as many small checks against a live one.
//!
//! Each check works in a namespace of its own, so that it can run against a shared server.

mod fixture;
mod namespaces;
mod tables;
mod names;
mod views;
mod together;

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::metastore::{Capabilities, Metastore};
use crate::storage::Storage;
pub use crate::suite::fixture::Problem;
use crate::suite::fixture::{Fixture, Outcome};

/// What a check needs of a metastore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Views,
    Rename,
    ViewsAndRename,
    NestedNamespaces,
    Together,
}

impl Needs {
    fn met_by(self, capabilities: Capabilities) -> bool {
        match self {
            Needs::Nothing => true,
            Needs::Views => capabilities.views,
            Needs::Rename => capabilities.rename,
            Needs::ViewsAndRename => capabilities.views && capabilities.rename,
            Needs::NestedNamespaces => capabilities.nested_namespaces,
            Needs::Together => capabilities.together,
        }
    }
}

/// One check.
struct Check {
    name: &'static str,
    needs: Needs,
    run: fn(Fixture) -> BoxFuture<'static, Outcome>,
}

/// What became of the checks, by name.
#[derive(Debug, Default)]
pub struct Report {
    /// Held.
    pub passed: Vec<&'static str>,
    /// Not run, because the metastore says that it cannot do such things.
    pub skipped: Vec<&'static str>,
    /// Did not hold, and why.
    pub failed: Vec<(&'static str, Problem)>,
}

/// Runs every check that the metastore's capabilities allow. Tables go below `warehouse`, whose
/// files `storage` can write.
pub async fn run(metastore: Arc<dyn Metastore>, storage: Storage, warehouse: &str) -> Report {
    let mut report = Report::default();
    let capabilities = metastore.capabilities();
    for check in checks() {
        if !check.needs.met_by(capabilities) {
            report.skipped.push(check.name);
            continue;
        }
        let fixture = Fixture::new(Arc::clone(&metastore), storage.clone(), warehouse);
        match (check.run)(fixture).await {
            Ok(()) => report.passed.push(check.name),
            Err(problem) => report.failed.push((check.name, problem)),
        }
    }
    report
}

fn checks() -> Vec<Check> {
    let mut checks = namespaces::checks();
    checks.extend(tables::checks());
    checks.extend(names::checks());
    checks.extend(views::checks());
    checks.extend(together::checks());
    checks
}
