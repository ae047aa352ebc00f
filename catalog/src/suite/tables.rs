//! Checks of tables: create, commit, lose a race, rename, drop.

use futures::FutureExt;
use futures::future::try_join_all;

use crate::error::ErrorKind;
use crate::metastore::{Entry, EntryKind, TableCommit};
use crate::name::TableName;
use crate::spec::TableRequirement;
use crate::suite::fixture::{Fixture, Outcome, Problem, fails, same};
use crate::suite::{Check, Needs};
use crate::table::Table;

/// Commits that several writers race for, each.
const RACE_COMMITS: usize = 5;
const RACERS: usize = 4;

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            name: "a_table_can_be_made_loaded_and_dropped",
            needs: Needs::Nothing,
            run: |f| lifecycle(f).boxed(),
        },
        Check {
            name: "a_create_needs_a_free_name_and_a_namespace",
            needs: Needs::Nothing,
            run: |f| create_refused(f).boxed(),
        },
        Check {
            name: "a_commit_is_what_the_next_load_sees",
            needs: Needs::Nothing,
            run: |f| commit(f).boxed(),
        },
        Check {
            name: "a_commit_whose_requirement_fails_is_stale_and_changes_nothing",
            needs: Needs::Nothing,
            run: |f| stale(f).boxed(),
        },
        Check {
            name: "a_commit_to_an_absent_table_is_not_found",
            needs: Needs::Nothing,
            run: |f| absent(f).boxed(),
        },
        Check {
            name: "racing_commits_lose_no_update",
            needs: Needs::Nothing,
            run: |f| race(f).boxed(),
        },
        Check {
            name: "racing_creates_have_one_winner",
            needs: Needs::Nothing,
            run: |f| create_race(f).boxed(),
        },
        Check {
            name: "a_table_can_be_renamed_across_namespaces",
            needs: Needs::Rename,
            run: |f| rename(f).boxed(),
        },
        Check {
            name: "a_rename_never_hides_another_table",
            needs: Needs::Rename,
            run: |f| rename_refused(f).boxed(),
        },
    ]
}

async fn lifecycle(f: Fixture) -> Outcome {
    let namespace = f.namespace("life").await?;
    let name = TableName::new(namespace.clone(), "t")?;
    fails("load absent", f.metastore.load_table(&name).await, ErrorKind::NotFound)?;
    fails("drop absent", f.metastore.drop_table(&name).await, ErrorKind::NotFound)?;
    let created = f.table(&name).await?;
    let loaded = f.metastore.load_table(&name).await?;
    same("metadata", loaded.metadata().as_ref(), created.metadata().as_ref())?;
    same("location", loaded.metadata_location(), created.metadata_location())?;
    let entry = Entry { name: name.clone(), kind: EntryKind::Table };
    same("entries", f.metastore.list(&namespace).await?, vec![entry])?;
    let dropped = f.metastore.drop_table(&name).await?;
    let dropped = dropped.as_ref().and_then(Table::metadata_location).unwrap_or_default();
    same("what the drop returns", Some(dropped), created.metadata_location())?;
    fails("load dropped", f.metastore.load_table(&name).await, ErrorKind::NotFound)?;
    let kept = f.storage.exists(dropped).await?;
    same("files after the drop", kept, true)?;
    f.table(&name).await?;
    Ok(())
}

async fn create_refused(f: Fixture) -> Outcome {
    let namespace = f.namespace("taken").await?;
    let name = TableName::new(namespace, "t")?;
    let first = f.table(&name).await?;
    fails("create twice", f.table(&name).await, ErrorKind::AlreadyExists)?;
    same(
        "the first one",
        f.metastore.load_table(&name).await?.metadata().uuid(),
        first.metadata().uuid(),
    )?;
    let nowhere = TableName::new(f.unique("nowhere")?, "t")?;
    fails("create in no namespace", f.table(&nowhere).await, ErrorKind::NotFound)?;
    Ok(())
}

async fn commit(f: Fixture) -> Outcome {
    let name = TableName::new(f.namespace("commit").await?, "t")?;
    let mut table = f.table(&name).await?;
    for i in 0..5 {
        let before = table.metadata_location().map(str::to_owned);
        table = f.metastore.commit(Fixture::property(&table, "n", &i.to_string())).await?;
        same("location moved", table.metadata_location() != before.as_deref(), true)?;
        let loaded = f.metastore.load_table(&name).await?;
        same("property", loaded.metadata().properties().get("n").cloned(), Some(i.to_string()))?;
        same("location", loaded.metadata_location(), table.metadata_location())?;
    }
    Ok(())
}

async fn stale(f: Fixture) -> Outcome {
    let name = TableName::new(f.namespace("stale").await?, "t")?;
    let base = f.table(&name).await?;
    let winner = f.metastore.commit(Fixture::column(&base, "winner")?).await?;
    fails("loser", f.metastore.commit(Fixture::column(&base, "loser")?).await, ErrorKind::Stale)?;
    let other = TableCommit {
        requirements: vec![TableRequirement::UuidMatch { uuid: uuid::Uuid::new_v4() }],
        ..Fixture::property(&base, "k", "v")
    };
    fails("another uuid", f.metastore.commit(other).await, ErrorKind::Stale)?;
    let loaded = f.metastore.load_table(&name).await?;
    same("location", loaded.metadata_location(), winner.metadata_location())
}

async fn absent(f: Fixture) -> Outcome {
    let name = TableName::new(f.namespace("absent").await?, "t")?;
    let table = f.table(&name).await?;
    f.metastore.drop_table(&name).await?;
    fails(
        "commit",
        f.metastore.commit(Fixture::property(&table, "k", "v")).await,
        ErrorKind::NotFound,
    )?;
    Ok(())
}

async fn race(f: Fixture) -> Outcome {
    let name = TableName::new(f.namespace("race").await?, "t")?;
    f.table(&name).await?;
    let racers = (0..RACERS).map(|racer| {
        let (f, name) = (f.clone(), name.clone());
        async move {
            for i in 0..RACE_COMMITS {
                add_column(&f, &name, &format!("c{racer}_{i}")).await?;
            }
            Ok::<_, Problem>(())
        }
    });
    try_join_all(racers).await?;
    let table = f.metastore.load_table(&name).await?;
    let columns = table.metadata().current_schema().as_struct().fields().len();
    same("columns", columns, 1 + RACERS * RACE_COMMITS)
}

/// Adds a column as a retrying client does.
async fn add_column(f: &Fixture, name: &TableName, column: &str) -> Result<Table, Problem> {
    loop {
        let base = f.metastore.load_table(name).await?;
        match f.metastore.commit(Fixture::column(&base, column)?).await {
            Ok(table) => return Ok(table),
            // Each lost race is another's success, so this ends.
            Err(e) if e.kind() == ErrorKind::Stale => {}
            Err(e) => return Err(e.into()),
        }
    }
}

async fn create_race(f: Fixture) -> Outcome {
    let name = TableName::new(f.namespace("create_race").await?, "t")?;
    let attempts = futures::future::join_all((0..RACERS).map(|_| f.table(&name))).await;
    let mut winners = Vec::new();
    for attempt in attempts {
        match attempt {
            Ok(table) => winners.push(table.metadata().uuid()),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e.into()),
        }
    }
    same("winners", winners, vec![f.metastore.load_table(&name).await?.metadata().uuid()])
}

async fn rename(f: Fixture) -> Outcome {
    let from = TableName::new(f.namespace("from").await?, "t")?;
    let to = TableName::new(f.namespace("to").await?, "u")?;
    let table = f.table(&from).await?;
    f.metastore.rename(EntryKind::Table, &from, &to).await?;
    fails("the old name", f.metastore.load_table(&from).await, ErrorKind::NotFound)?;
    let moved = f.metastore.load_table(&to).await?;
    same("uuid", moved.metadata().uuid(), table.metadata().uuid())?;
    same("name", moved.name(), &to)?;
    f.metastore.commit(Fixture::property(&moved, "k", "v")).await?;
    Ok(())
}

async fn rename_refused(f: Fixture) -> Outcome {
    let namespace = f.namespace("rename").await?;
    let (a, b) = (TableName::new(namespace.clone(), "a")?, TableName::new(namespace.clone(), "b")?);
    let (first, second) = (f.table(&a).await?, f.table(&b).await?);
    fails(
        "onto another",
        f.metastore.rename(EntryKind::Table, &a, &b).await,
        ErrorKind::AlreadyExists,
    )?;
    let nowhere = TableName::new(f.unique("nowhere")?, "a")?;
    fails(
        "into nowhere",
        f.metastore.rename(EntryKind::Table, &a, &nowhere).await,
        ErrorKind::NotFound,
    )?;
    let absent = TableName::new(namespace, "absent")?;
    fails(
        "an absent one",
        f.metastore.rename(EntryKind::Table, &absent, &b).await,
        ErrorKind::NotFound,
    )?;
    same("a", f.metastore.load_table(&a).await?.metadata().uuid(), first.metadata().uuid())?;
    same("b", f.metastore.load_table(&b).await?.metadata().uuid(), second.metadata().uuid())
}
