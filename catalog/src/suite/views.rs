//! Checks of views, and of names shared between views and tables.

use futures::FutureExt;

use crate::error::ErrorKind;
use crate::metastore::{Entry, EntryKind};
use crate::name::TableName;
use crate::suite::fixture::{Fixture, Outcome, fails, mentions, same};
use crate::suite::{Check, Needs};

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            name: "a_view_can_be_stored_loaded_and_dropped",
            needs: Needs::Views,
            run: |f| lifecycle(f).boxed(),
        },
        Check {
            name: "a_view_is_replaced_only_on_request",
            needs: Needs::Views,
            run: |f| replace(f).boxed(),
        },
        Check {
            name: "a_name_is_a_table_or_a_view_never_both",
            needs: Needs::Views,
            run: |f| collide(f).boxed(),
        },
        Check {
            name: "a_view_can_be_renamed_but_not_onto_a_table",
            needs: Needs::ViewsAndRename,
            run: |f| rename(f).boxed(),
        },
    ]
}

async fn lifecycle(f: Fixture) -> Outcome {
    let namespace = f.namespace("views").await?;
    let name = TableName::new(namespace.clone(), "V iew")?;
    fails("load absent", f.metastore.load_view(&name).await, ErrorKind::NotFound)?;
    fails("drop absent", f.metastore.drop_view(&name).await, ErrorKind::NotFound)?;
    let view = Fixture::view(&name, "SELECT 'it''s', \"größe\"\nFROM t -- ;");
    f.metastore.put_view(view.clone(), false).await?;
    same("view", f.metastore.load_view(&name).await?, view.clone())?;
    let other_case = TableName::new(namespace.clone(), "v IEW")?;
    same("in another case", f.metastore.load_view(&other_case).await?, view)?;
    let entry = Entry { name: name.clone(), kind: EntryKind::View };
    same("entries", f.metastore.list(&namespace).await?, vec![entry])?;
    let dropped = f.metastore.drop_namespace(&namespace).await;
    fails("drop the namespace", dropped, ErrorKind::InvalidArgument)?;
    f.metastore.drop_view(&other_case).await?;
    fails("load dropped", f.metastore.load_view(&name).await, ErrorKind::NotFound)?;
    let nowhere = TableName::new(f.unique("nowhere")?, "v")?;
    let stored = f.metastore.put_view(Fixture::view(&nowhere, "SELECT 1"), false).await;
    fails("in no namespace", stored, ErrorKind::NotFound)?;
    Ok(())
}

async fn replace(f: Fixture) -> Outcome {
    let name = TableName::new(f.namespace("replace").await?, "v")?;
    f.metastore.put_view(Fixture::view(&name, "SELECT 1"), true).await?;
    let again = f.metastore.put_view(Fixture::view(&name, "SELECT 2"), false).await;
    fails("without replace", again, ErrorKind::AlreadyExists)?;
    same("unchanged", f.metastore.load_view(&name).await?.sql, "SELECT 1".to_owned())?;
    f.metastore.put_view(Fixture::view(&name, "SELECT 2"), true).await?;
    same("replaced", f.metastore.load_view(&name).await?.sql, "SELECT 2".to_owned())?;
    same("entries", f.metastore.list(&name.namespace).await?.len(), 1)
}

async fn collide(f: Fixture) -> Outcome {
    let namespace = f.namespace("collide").await?;
    let (t, v) = (TableName::new(namespace.clone(), "t")?, TableName::new(namespace.clone(), "v")?);
    f.table(&t).await?;
    f.metastore.put_view(Fixture::view(&v, "SELECT 1"), false).await?;
    for spelling in ["t", "T"] {
        let name = TableName::new(namespace.clone(), spelling)?;
        for replace in [false, true] {
            let stored = f.metastore.put_view(Fixture::view(&name, "SELECT 1"), replace).await;
            fails("a view over a table", stored, ErrorKind::AlreadyExists)?;
        }
    }
    for spelling in ["v", "V"] {
        let name = TableName::new(namespace.clone(), spelling)?;
        fails("a table over a view", f.table(&name).await, ErrorKind::AlreadyExists)?;
    }
    let error =
        fails("load a view as a table", f.metastore.load_table(&v).await, ErrorKind::NotFound)?;
    mentions(&error, "view")?;
    let error =
        fails("load a table as a view", f.metastore.load_view(&t).await, ErrorKind::NotFound)?;
    mentions(&error, "table")?;
    fails("drop a view as a table", f.metastore.drop_table(&v).await, ErrorKind::NotFound)?;
    fails("drop a table as a view", f.metastore.drop_view(&t).await, ErrorKind::NotFound)?;
    same("entries", f.metastore.list(&namespace).await?.len(), 2)
}

async fn rename(f: Fixture) -> Outcome {
    let namespace = f.namespace("rename").await?;
    let name = |n: &str| TableName::new(namespace.clone(), n);
    f.table(&name("t")?).await?;
    f.metastore.put_view(Fixture::view(&name("v")?, "SELECT 1"), false).await?;
    let over = f.metastore.rename(EntryKind::View, &name("v")?, &name("T")?).await;
    fails("a view onto a table", over, ErrorKind::AlreadyExists)?;
    let over = f.metastore.rename(EntryKind::Table, &name("t")?, &name("V")?).await;
    fails("a table onto a view", over, ErrorKind::AlreadyExists)?;
    let wrong = f.metastore.rename(EntryKind::Table, &name("v")?, &name("w")?).await;
    fails("a view as a table", wrong, ErrorKind::NotFound)?;
    f.metastore.rename(EntryKind::View, &name("v")?, &name("w")?).await?;
    same("renamed", f.metastore.load_view(&name("w")?).await?.sql, "SELECT 1".to_owned())
}
