//! Commits of several tables at once (`transactions/commit`).

use reqwest::Method;
use serde_json::{Value, json};

use super::Rest;
use super::client::Call;
use super::failure::Effect;
use super::tables::{branch_of, pinned_at, stale, updates};
use crate::error::{Error, ErrorKind, Result};
use crate::metastore::TableCommit;
use crate::name::TableName;
use crate::spec::TableRequirement;
use crate::table::Table;

/// The protocol's name for it, by which servers offer it.
const OFFERED: &str = "POST /v1/{prefix}/transactions/commit";
/// Tables of one commit.
const TABLES_MAX: usize = 1_000;
/// How often tables are read until all of them are of one commit of Nessie's.
const READS_MAX: usize = 5;

impl Rest {
    pub(super) async fn apply_together(&self, commits: Vec<TableCommit>) -> Result<()> {
        let endpoint = self.endpoint().await?;
        if !endpoint.offers(OFFERED) {
            let text = "the catalog does not commit several tables at once";
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        check(&commits)?;
        let (url, changes) = if endpoint.nessie.is_some() {
            let bases = self.read_at_once(&commits).await?;
            let changes = commits.iter().zip(&bases).map(|(commit, base)| {
                for requirement in &commit.requirements {
                    let holds = requirement.check(Some(base.metadata()));
                    holds.map_err(|e| stale(base.name()).with_source(e))?;
                }
                Ok(change(base.name(), commit, updates(commit, Some(base.metadata()))?))
            });
            let changes = changes.collect::<Result<Vec<_>>>()?;
            let [first, ..] = bases.as_slice() else { return Ok(()) };
            let reference = branch_of(&endpoint, first.name())?;
            let url = endpoint.url_pinned(reference, pinned_at(first)?, "transactions/commit")?;
            (url, changes)
        } else {
            let changes = commits
                .iter()
                .map(|commit| Ok(change(&commit.name, commit, updates(commit, None)?)))
                .collect::<Result<Vec<_>>>()?;
            (endpoint.url("transactions/commit")?, changes)
        };
        let names: Vec<String> = commits.iter().map(|commit| commit.name.to_string()).collect();
        let about = format!("tables {}", names.join(", "));
        let body = json!({ "table-changes": changes });
        let call = Call {
            method: Method::POST,
            url,
            body: Some(&body),
            effect: Effect::Commit,
            what: &about,
            conflict: ErrorKind::Stale,
        };
        self.client.call(call).await.map(drop)
    }

    /// Every table as one commit of Nessie's has it: what the request is pinned to must be the state
    /// that all of them were judged by.
    async fn read_at_once(&self, commits: &[TableCommit]) -> Result<Vec<Table>> {
        let mut tables = Vec::with_capacity(commits.len());
        for _ in 0..READS_MAX {
            tables.clear();
            for commit in commits {
                tables.push(self.read_table(&commit.name).await?);
            }
            let mut hashes = tables.iter().map(pinned_at).collect::<Result<Vec<_>>>()?;
            hashes.dedup();
            if hashes.len() <= 1 {
                return Ok(tables);
            }
        }
        match tables.first() {
            Some(table) => Err(stale(table.name())),
            None => Ok(tables),
        }
    }
}

fn check(commits: &[TableCommit]) -> Result<()> {
    let wrong = |text: String| Err(Error::new(ErrorKind::InvalidArgument, text));
    if commits.is_empty() || commits.len() > TABLES_MAX {
        return wrong(format!(
            "{} tables in one commit; 1 to {TABLES_MAX} are possible",
            commits.len()
        ));
    }
    for (at, commit) in commits.iter().enumerate() {
        let creates = |r: &TableRequirement| matches!(r, TableRequirement::NotExist);
        if commit.staged.is_some() || commit.requirements.iter().any(creates) {
            return wrong(format!("table \"{}\" would be made; make it first", commit.name));
        }
        if commits.iter().take(at).any(|before| before.name == commit.name) {
            return wrong(format!("table \"{}\" is in the commit twice", commit.name));
        }
    }
    Ok(())
}

fn change(name: &TableName, commit: &TableCommit, updates: Vec<Value>) -> Value {
    json!({
        "identifier": {"namespace": name.namespace.levels(), "name": name.name},
        "requirements": commit.requirements,
        "updates": updates,
    })
}
