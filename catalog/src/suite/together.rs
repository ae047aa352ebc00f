//! Checks of what reaches beyond one table: commits of several at once, and tables of metadata that is
//! there already.

use futures::FutureExt;

use crate::error::ErrorKind;
use crate::name::TableName;
use crate::spec::TableRequirement;
use crate::suite::fixture::{Fixture, Outcome, fails, same};
use crate::suite::{Check, Needs};
use crate::table::Table;

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            name: "several_tables_are_committed_together",
            needs: Needs::Together,
            run: |f| together(f).boxed(),
        },
        Check {
            name: "several_tables_are_committed_together_or_not_at_all",
            needs: Needs::Together,
            run: |f| not_at_all(f).boxed(),
        },
        Check {
            name: "a_dropped_table_can_be_registered_again",
            needs: Needs::Nothing,
            run: |f| register(f).boxed(),
        },
    ]
}

fn value(table: &Table) -> Option<&str> {
    table.metadata().properties().get("k").map(String::as_str)
}

async fn together(f: Fixture) -> Outcome {
    let namespace = f.namespace("together").await?;
    let mut tables = Vec::new();
    for name in ["one", "other"] {
        tables.push(f.table(&TableName::new(namespace.clone(), name)?).await?);
    }
    for turn in ["first", "second"] {
        let commits = tables.iter().map(|table| Fixture::property(table, "k", turn)).collect();
        f.metastore.commit_together(commits).await?;
        for table in &tables {
            let now = f.metastore.load_table(table.name()).await?;
            same("the property", value(&now), Some(turn))?;
        }
    }
    Ok(())
}

async fn not_at_all(f: Fixture) -> Outcome {
    let namespace = f.namespace("none").await?;
    let one = f.table(&TableName::new(namespace.clone(), "one")?).await?;
    let other = f.table(&TableName::new(namespace.clone(), "other")?).await?;
    let good = Fixture::property(&one, "k", "v");
    let mut bad = Fixture::property(&other, "k", "v");
    bad.requirements =
        vec![TableRequirement::LastAssignedFieldIdMatch { last_assigned_field_id: 99 }];
    for commits in [vec![good.clone(), bad.clone()], vec![bad, good.clone()]] {
        let refused = f.metastore.commit_together(commits).await;
        fails("a commit of which one part is stale", refused, ErrorKind::Stale)?;
    }
    let absent = Fixture::property(
        &Table::staged(TableName::new(namespace, "absent")?, one.metadata().as_ref().clone()),
        "k",
        "v",
    );
    let refused = f.metastore.commit_together(vec![good.clone(), absent]).await;
    same("a commit of which one table is absent", refused.is_err(), true)?;
    let refused = f.metastore.commit_together(vec![good.clone(), good]).await;
    fails("a table twice", refused, ErrorKind::InvalidArgument)?;
    for table in [&one, &other] {
        let now = f.metastore.load_table(table.name()).await?;
        same("the property", value(&now), None)?;
    }
    Ok(())
}

async fn register(f: Fixture) -> Outcome {
    let namespace = f.namespace("registered").await?;
    let name = TableName::new(namespace.clone(), "t")?;
    let table = f.table(&name).await?;
    let committed = f.metastore.commit(Fixture::property(&table, "k", "v")).await?;
    let location = committed.metadata_location().unwrap_or_default().to_owned();
    f.metastore.drop_table(&name).await?;
    let again = TableName::new(namespace, "again")?;
    let registered = f.metastore.register_table(&again, &location).await?;
    same("its uuid", registered.metadata().uuid(), table.metadata().uuid())?;
    let loaded = f.metastore.load_table(&again).await?;
    same("the property", value(&loaded), Some("v"))?;
    let twice = f.metastore.register_table(&again, &location).await;
    fails("a name that is taken", twice, ErrorKind::AlreadyExists)?;
    Ok(())
}
