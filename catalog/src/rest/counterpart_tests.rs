//! The conformance suite on real servers, which `tests/counterparts/run` starts; skipped without.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use iceberg::spec::{
    Operation, SnapshotReference, SnapshotRetention, Summary, TableMetadataBuilder,
};
use uuid::Uuid;

use super::{OAuth2, Rest, RestAuth, RestOptions, SigV4};
use crate::error::ErrorKind;
use crate::metastore::{Metastore, TableCommit};
use crate::name::{Namespace, TableName};
use crate::secret::Secret;
use crate::spec::{
    FormatVersion, NestedField, PrimitiveType, Schema, Snapshot, SortOrder, TableRequirement,
    TableUpdate, Type, UnboundPartitionSpec,
};
use crate::storage::Storage;
use crate::storage::s3::{self, S3Credentials, S3Options};
use crate::suite;
use crate::table::Table;

#[expect(clippy::disallowed_methods, reason = "servers of tests are told by variables")]
fn variable(name: &str) -> Option<String> {
    std::env::var(format!("FJORD_TEST_{name}")).ok()
}

/// Local disk, and the bucket of the server.
fn storage() -> Option<Storage> {
    let mut options = S3Options::new(
        variable("S3_BUCKET")?,
        S3Credentials::Keys {
            access_key_id: variable("S3_KEY")?,
            secret_access_key: Secret::new(variable("S3_SECRET")?),
            session_token: None,
        },
    );
    options.endpoint = Some(variable("S3_ENDPOINT")?);
    let mut storage = Storage::local();
    // The tables of the REST endpoint lie in a bucket of their own.
    for bucket in [options.bucket.clone(), "tables".to_owned()] {
        options.bucket.clone_from(&bucket);
        let store = s3::store(&options).unwrap();
        storage = storage.with_store(&format!("s3://{bucket}/"), store).unwrap();
    }
    Some(storage)
}

/// Runs the suite; what fails but for `known` is a failure.
async fn passes(options: RestOptions, warehouse: &str, known: &[&str]) {
    let storage = options.storage.clone();
    let metastore: Arc<dyn Metastore> = Arc::new(Rest::try_new(options).unwrap());
    let report = suite::run(metastore, storage, warehouse).await;
    let unexpected: Vec<String> = report
        .failed
        .iter()
        .filter(|(name, _)| !known.contains(name))
        .map(|(name, problem)| format!("{name}: {problem}"))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    assert!(report.passed.len() + known.len() >= 22, "{report:?}");
}

/// What `SeaweedFS` 4.48 answers otherwise than the protocol says.
const SEAWEEDS_OWN: [&str; 8] = [
    // Names are of a-z, 0-9, '_' and '-': "table name must start with a letter or digit".
    "a_table_is_found_in_any_case_and_keeps_its_spelling",
    "a_name_that_differs_by_case_alone_is_taken",
    "awkward_names_round_trip",
    "a_rename_may_change_the_case_alone",
    "a_view_can_be_stored_loaded_and_dropped",
    // A drop without purge deletes the files all the same.
    "a_table_can_be_made_loaded_and_dropped",
    "a_dropped_table_can_be_registered_again",
    // `assert-create` is not atomic: several creates at once are all answered with 200.
    "racing_creates_have_one_winner",
];

#[tokio::test]
async fn counterpart_nessie_passes_the_suite() {
    let (Some(uri), Some(storage)) = (variable("NESSIE_URI"), storage()) else {
        println!("skipped: nessie");
        return;
    };
    let warehouse = variable("NESSIE_WAREHOUSE").unwrap();
    passes(RestOptions::new(uri, storage), &warehouse, &[]).await;
}

#[tokio::test]
async fn counterpart_rest_passes_the_suite_with_tokens_and_with_signatures() {
    let (Some(uri), Some(storage)) = (variable("REST_URI"), storage()) else {
        println!("skipped: rest");
        return;
    };
    let (key, secret) = (variable("S3_KEY").unwrap(), Secret::new(variable("S3_SECRET").unwrap()));
    let tokens = RestAuth::OAuth2(OAuth2 {
        token_uri: None,
        client_id: key.clone(),
        client_secret: secret.clone(),
        scope: None,
    });
    let signatures = RestAuth::SigV4(SigV4 {
        access_key_id: key,
        secret_access_key: secret,
        session_token: None,
        region: "us-east-1".to_owned(),
        service: "s3tables".to_owned(),
    });
    for auth in [tokens, signatures] {
        let mut options = RestOptions::new(uri.clone(), storage.clone());
        options.auth = auth;
        options.warehouse = variable("REST_WAREHOUSE");
        let warehouse = Rest::try_new(options.clone()).unwrap().warehouse().await.unwrap().unwrap();
        passes(options, &warehouse, &SEAWEEDS_OWN).await;
    }
}

/// A commit that makes `snapshot_id` the first snapshot of a table that must have none.
fn first_commit(table: &Table, snapshot_id: i64) -> TableCommit {
    let metadata = table.metadata();
    let list = format!("{}/metadata/snap-{snapshot_id}.avro", metadata.location());
    let summary = Summary { operation: Operation::Append, additional_properties: HashMap::new() };
    let snapshot = Snapshot::builder()
        .with_snapshot_id(snapshot_id)
        .with_sequence_number(1)
        .with_timestamp_ms(metadata.last_updated_ms() + 1)
        .with_manifest_list(list)
        .with_summary(summary)
        .with_schema_id(metadata.current_schema_id())
        .build();
    let retention = SnapshotRetention::branch(None, None, None);
    TableCommit {
        name: table.name().clone(),
        requirements: vec![
            TableRequirement::UuidMatch { uuid: metadata.uuid() },
            TableRequirement::RefSnapshotIdMatch { r#ref: "main".to_owned(), snapshot_id: None },
        ],
        updates: vec![
            TableUpdate::AddSnapshot { snapshot },
            TableUpdate::SetSnapshotRef {
                ref_name: "main".to_owned(),
                reference: SnapshotReference::new(snapshot_id, retention),
            },
        ],
        staged: None,
    }
}

/// Hazard: Nessie takes both of two commits that say that there is no snapshot yet; the rows of one
/// are gone.
#[tokio::test]
async fn counterpart_nessie_takes_one_of_two_first_commits() {
    let (Some(uri), Some(storage)) = (variable("NESSIE_URI"), storage()) else {
        println!("skipped: nessie");
        return;
    };
    let rest = Rest::try_new(RestOptions::new(uri, storage)).unwrap();
    let namespace = Namespace::new([format!("first_{}", Uuid::new_v4().simple())]).unwrap();
    rest.create_namespace(&namespace, BTreeMap::new()).await.unwrap();
    let name = TableName::new(namespace, "t").unwrap();
    let id = NestedField::required(1, "id", Type::Primitive(PrimitiveType::Long));
    let built = TableMetadataBuilder::new(
        Schema::builder().with_fields([id.into()]).build().unwrap(),
        UnboundPartitionSpec::default(),
        SortOrder::unsorted_order(),
        format!("{}/{}", variable("NESSIE_WAREHOUSE").unwrap(), Uuid::new_v4().simple()),
        FormatVersion::V2,
        HashMap::new(),
    );
    let built = built.unwrap().build().unwrap();
    let create = TableCommit {
        name: name.clone(),
        requirements: vec![TableRequirement::NotExist],
        updates: built.changes,
        staged: Some(Table::staged(name, built.metadata)),
    };
    let table = rest.commit(create).await.unwrap();
    let (one, other) = (first_commit(&table, 101), first_commit(&table, 102));
    let outcomes = tokio::join!(rest.commit(one), rest.commit(other));
    let outcomes = [outcomes.0, outcomes.1].map(|outcome| outcome.map_err(|e| e.kind()).map(drop));
    assert!(
        outcomes.contains(&Ok(())) && outcomes.contains(&Err(ErrorKind::Stale)),
        "{outcomes:?}"
    );
    let third = rest.commit(first_commit(&table, 103)).await.unwrap_err();
    assert_eq!(third.kind(), ErrorKind::Stale);
}
