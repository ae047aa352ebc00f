//! Checks of namespaces.

use std::collections::BTreeMap;

use futures::FutureExt;

use crate::error::ErrorKind;
use crate::name::{Namespace, TableName};
use crate::suite::fixture::{Fixture, Outcome, fails, mentions, same};
use crate::suite::{Check, Needs};

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            name: "a_namespace_can_be_made_listed_and_dropped",
            needs: Needs::Nothing,
            run: |f| lifecycle(f).boxed(),
        },
        Check {
            name: "a_namespace_keeps_its_properties",
            needs: Needs::Nothing,
            run: |f| properties(f).boxed(),
        },
        Check {
            name: "a_namespace_that_holds_something_is_not_dropped",
            needs: Needs::Nothing,
            run: |f| not_empty(f).boxed(),
        },
        Check {
            name: "namespaces_nest",
            needs: Needs::NestedNamespaces,
            run: |f| nested(f).boxed(),
        },
    ]
}

async fn lifecycle(f: Fixture) -> Outcome {
    let namespace = f.unique("life")?;
    fails("load absent", f.metastore.load_namespace(&namespace).await, ErrorKind::NotFound)?;
    fails("list absent", f.metastore.list(&namespace).await, ErrorKind::NotFound)?;
    fails("drop absent", f.metastore.drop_namespace(&namespace).await, ErrorKind::NotFound)?;
    f.metastore.create_namespace(&namespace, BTreeMap::new()).await?;
    let again = f.metastore.create_namespace(&namespace, BTreeMap::new()).await;
    fails("create twice", again, ErrorKind::AlreadyExists)?;
    same("listed", f.metastore.list_namespaces().await?.contains(&namespace), true)?;
    same("entries", f.metastore.list(&namespace).await?, vec![])?;
    f.metastore.drop_namespace(&namespace).await?;
    same("listed after drop", f.metastore.list_namespaces().await?.contains(&namespace), false)
}

/// Without where the server puts tables, which some tell as a property.
fn own<T>((name, mut properties): (T, BTreeMap<String, String>)) -> (T, BTreeMap<String, String>) {
    properties.remove("location");
    (name, properties)
}

async fn properties(f: Fixture) -> Outcome {
    let namespace = f.unique("props")?;
    let text = |s: &str| s.to_owned();
    let initial = BTreeMap::from([(text("a"), text("1")), (text("it's"), text("größe \"x\""))]);
    f.metastore.create_namespace(&namespace, initial.clone()).await?;
    same("as created", own(f.metastore.load_namespace(&namespace).await?).1, initial)?;
    let changes =
        BTreeMap::from([(text("a"), None), (text("b"), Some(text("2"))), (text("absent"), None)]);
    f.metastore.update_namespace(&namespace, changes).await?;
    let expected = BTreeMap::from([(text("b"), text("2")), (text("it's"), text("größe \"x\""))]);
    same("as changed", own(f.metastore.load_namespace(&namespace).await?).1, expected)?;
    let all = BTreeMap::from([(text("b"), None), (text("it's"), None)]);
    f.metastore.update_namespace(&namespace, all).await?;
    same(
        "after the last one went",
        own(f.metastore.load_namespace(&namespace).await?),
        (namespace, BTreeMap::new()),
    )
}

async fn not_empty(f: Fixture) -> Outcome {
    let namespace = f.namespace("full").await?;
    let name = TableName::new(namespace.clone(), "kept")?;
    f.table(&name).await?;
    let error =
        fails("drop", f.metastore.drop_namespace(&namespace).await, ErrorKind::InvalidArgument)?;
    mentions(&error, "kept")?;
    f.metastore.drop_table(&name).await?;
    f.metastore.drop_namespace(&namespace).await?;
    Ok(())
}

async fn nested(f: Fixture) -> Outcome {
    let outer = f.namespace("outer").await?;
    let inner = Namespace::new(outer.levels().iter().cloned().chain(["inner".to_owned()]))?;
    f.metastore.create_namespace(&inner, BTreeMap::new()).await?;
    let name = TableName::new(inner.clone(), "t")?;
    f.table(&name).await?;
    same("entries of the outer one", f.metastore.list(&outer).await?, vec![])?;
    same("entries of the inner one", f.metastore.list(&inner).await?.len(), 1)?;
    fails(
        "drop the outer one",
        f.metastore.drop_namespace(&outer).await,
        ErrorKind::InvalidArgument,
    )?;
    f.metastore.drop_table(&name).await?;
    f.metastore.drop_namespace(&inner).await?;
    f.metastore.drop_namespace(&outer).await?;
    Ok(())
}
