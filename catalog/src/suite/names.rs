//! Checks of names: any case finds them, awkward ones round-trip.

use std::collections::BTreeMap;

use futures::FutureExt;

use crate::error::ErrorKind;
use crate::metastore::EntryKind;
use crate::name::{Namespace, TableName};
use crate::suite::fixture::{Fixture, Outcome, fails, same};
use crate::suite::{Check, Needs};

const AWKWARD: [&str; 9] = [
    "with space",
    "it's",
    "dou\"ble",
    "größe",
    "表",
    "semi;colon--",
    "$dollar$x",
    "per%cent_",
    "a.dot",
];

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            name: "a_table_is_found_in_any_case_and_keeps_its_spelling",
            needs: Needs::Nothing,
            run: |f| any_case(f).boxed(),
        },
        Check {
            name: "a_name_that_differs_by_case_alone_is_taken",
            needs: Needs::Nothing,
            run: |f| taken_in_any_case(f).boxed(),
        },
        Check {
            name: "awkward_names_round_trip",
            needs: Needs::Nothing,
            run: |f| awkward(f).boxed(),
        },
        Check {
            name: "a_rename_may_change_the_case_alone",
            needs: Needs::Rename,
            run: |f| recase(f).boxed(),
        },
    ]
}

fn upper(name: &TableName) -> Result<TableName, crate::error::Error> {
    let levels = name.namespace.levels().iter().map(|l| l.to_uppercase());
    TableName::new(Namespace::new(levels)?, name.name.to_uppercase())
}

async fn any_case(f: Fixture) -> Outcome {
    let name = TableName::new(f.namespace("Case").await?, "Größe_ÉTÉ")?;
    let table = f.table(&name).await?;
    let shouted = upper(&TableName::new(name.namespace.clone(), "grÖsse")?)?;
    fails("another name", f.metastore.load_table(&shouted).await, ErrorKind::NotFound)?;
    let differently = TableName { name: "größe_été".to_owned(), ..upper(&name)? };
    let found = f.metastore.load_table(&differently).await?;
    same("uuid", found.metadata().uuid(), table.metadata().uuid())?;
    same("spelling", found.name(), &name)?;
    let namespace = f.metastore.load_namespace(&differently.namespace).await?.0;
    same("spelling of the namespace", &namespace, &name.namespace)?;
    let commit = crate::metastore::TableCommit {
        name: differently.clone(),
        ..Fixture::property(&table, "k", "v")
    };
    same("spelling after a commit", f.metastore.commit(commit).await?.name(), &name)?;
    same("entries", f.metastore.list(&differently.namespace).await?.len(), 1)?;
    f.metastore.drop_table(&differently).await?;
    Ok(())
}

async fn taken_in_any_case(f: Fixture) -> Outcome {
    let namespace = f.namespace("taken").await?;
    f.table(&TableName::new(namespace.clone(), "Orders")?).await?;
    let other = TableName::new(namespace.clone(), "orders")?;
    fails("a table", f.table(&other).await, ErrorKind::AlreadyExists)?;
    let shouted = upper(&other)?.namespace;
    let created = f.metastore.create_namespace(&shouted, BTreeMap::new()).await;
    fails("a namespace", created, ErrorKind::AlreadyExists)?;
    Ok(())
}

async fn awkward(f: Fixture) -> Outcome {
    let namespace = f.namespace("awk'ward ß \"q\"").await?;
    let mut expected = Vec::new();
    for awkward in AWKWARD {
        let name = TableName::new(namespace.clone(), awkward)?;
        let table = f.table(&name).await?;
        f.metastore.commit(Fixture::property(&table, awkward, awkward)).await?;
        let loaded = f.metastore.load_table(&name).await?;
        same("name", loaded.name(), &name)?;
        same(
            "property",
            loaded.metadata().properties().get(awkward).map(String::as_str),
            Some(awkward),
        )?;
        expected.push(name);
    }
    expected.sort();
    let listed: Vec<TableName> =
        f.metastore.list(&namespace).await?.into_iter().map(|e| e.name).collect();
    same("entries", listed, expected)
}

async fn recase(f: Fixture) -> Outcome {
    let namespace = f.namespace("recase").await?;
    let (lower, upper) = (
        TableName::new(namespace.clone(), "orders")?,
        TableName::new(namespace.clone(), "Orders")?,
    );
    f.table(&lower).await?;
    f.metastore.rename(EntryKind::Table, &lower, &upper).await?;
    same("spelling", f.metastore.load_table(&lower).await?.name(), &upper)
}
