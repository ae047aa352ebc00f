//! The conformance suite on real servers, which `tests/counterparts/run` starts; skipped without.

use std::sync::Arc;

use super::{OAuth2, Rest, RestAuth, RestOptions, SigV4};
use crate::metastore::Metastore;
use crate::secret::Secret;
use crate::storage::Storage;
use crate::storage::s3::{self, S3Credentials, S3Options};
use crate::suite;

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
    assert!(report.passed.len() + known.len() >= 19, "{report:?}");
}

/// What SeaweedFS 4.48 answers otherwise than the protocol says.
const SEAWEEDS_OWN: [&str; 7] = [
    // Names are of a-z, 0-9, '_' and '-': "table name must start with a letter or digit".
    "a_table_is_found_in_any_case_and_keeps_its_spelling",
    "a_name_that_differs_by_case_alone_is_taken",
    "awkward_names_round_trip",
    "a_rename_may_change_the_case_alone",
    "a_view_can_be_stored_loaded_and_dropped",
    // A drop without purge deletes the files all the same.
    "a_table_can_be_made_loaded_and_dropped",
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
