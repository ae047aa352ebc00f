//! Credentials that a server vends with its tables, asked for anew before they expire.
//!
//! Source: the Iceberg REST specification, `storage-credentials` and `config` of `LoadTableResult`,
//! `X-Iceberg-Access-Delegation`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use moka::sync::Cache;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use reqwest::Method;
use serde_json::{Value, json};

use super::Rest;
use super::client::Call;
use super::endpoint::encode_namespace;
use super::failure::Effect;
use super::names::{path, what};
use super::options::Vending;
use super::told::{Keys, Told};
use crate::address;
use crate::create::CreateTable;
use crate::error::{Error, ErrorKind, Result};
use crate::metastore::EntryKind;
use crate::name::TableName;
use crate::storage::s3::{self, S3Credentials, S3Options};

/// The header by which credentials are asked for.
pub(super) const DELEGATION: (&str, &str) = ("x-iceberg-access-delegation", "vended-credentials");

/// Prefixes whose stores are known.
const PREFIXES_MAX: u64 = 10_000;

/// Makes stores of what the server vends.
#[derive(Debug)]
pub(super) struct Vendor {
    vending: Vending,
    known: Cache<String, Arc<Known>>,
}

/// A store that is there already.
#[derive(Debug)]
struct Known {
    options: S3Options,
    keys: Arc<VendedKeys>,
}

/// The keys of one prefix of one table.
#[derive(Debug)]
struct VendedKeys {
    rest: Rest,
    table: TableName,
    prefix: String,
    /// How they were asked for, if the table was not there yet.
    staging: Option<Value>,
    current: Mutex<Keys>,
    /// One asks, the others wait for the answer.
    renewing: tokio::sync::Mutex<()>,
}

impl Vendor {
    pub(super) fn new(vending: Vending) -> Self {
        Self { vending, known: Cache::new(PREFIXES_MAX) }
    }

    /// Takes what came with a table; nothing, if the server vends nothing. `staging` is how it is
    /// asked again for a table that is not there yet.
    ///
    /// # Errors
    /// `PermissionDenied` when the server sends the table's files to an endpoint that is neither
    /// configured nor on its own host.
    pub(super) fn accept(
        &self,
        rest: &Rest,
        table: &TableName,
        location: &str,
        metadata: &Value,
        told: &Told,
        staging: Option<Value>,
    ) -> Result<()> {
        let table_location = metadata.get("location").and_then(Value::as_str).unwrap_or(location);
        for (prefix, keys) in told.keys(table_location) {
            let options = self.options(rest, table, &prefix, told)?;
            if let Some(known) = self.known.get(&prefix)
                && known.options == options
                && known.keys.table == *table
            {
                known.keys.put(keys);
                continue;
            }
            let provider = Arc::new(VendedKeys {
                // It loads the table to renew, and takes nothing but the keys from that.
                rest: Rest { vendor: None, ..rest.clone() },
                table: table.clone(),
                prefix: prefix.clone(),
                staging: staging.clone(),
                current: Mutex::new(keys),
                renewing: tokio::sync::Mutex::default(),
            });
            let mut with_keys = options.clone();
            with_keys.credentials = S3Credentials::Provider(Arc::clone(&provider) as _);
            self.vending.stores.put(&prefix, s3::store(&with_keys)?)?;
            self.known.insert(prefix, Arc::new(Known { options, keys: provider }));
        }
        Ok(())
    }

    /// Where the files at `prefix` are: as configured, else as the server says.
    fn options(
        &self,
        rest: &Rest,
        table: &TableName,
        prefix: &str,
        told: &Told,
    ) -> Result<S3Options> {
        let covers = |place: &str| {
            let place = place.trim_end_matches('/');
            prefix.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let configured = self.vending.places.iter().filter(|(place, _)| covers(place));
        if let Some((_, options)) = configured.max_by_key(|(place, _)| place.len()) {
            return Ok(S3Options { credentials: S3Credentials::Anonymous, ..options.clone() });
        }
        let bucket = prefix.split_once("://").map_or("", |(_, rest)| rest);
        let bucket = bucket.split('/').next().unwrap_or_default();
        let mut options = S3Options::new(bucket, S3Credentials::Anonymous);
        let of_prefix = told.credentials.iter().find(|(vended, _)| vended == prefix);
        let text = |key: &str| {
            let own = of_prefix.and_then(|(_, config)| config.get(key));
            own.or_else(|| told.config.get(key)).cloned()
        };
        options.region = text("client.region").or_else(|| text("s3.region"));
        options.path_style = text("s3.path-style-access").map(|value| value == "true");
        if let Some(endpoint) = text("s3.endpoint") {
            let url = address::of_server("the endpoint that the catalog tells", &endpoint)?;
            if url.host() != rest.client.uri().host() {
                return Err(Error::new(
                    ErrorKind::PermissionDenied,
                    format!(
                        "{}: the catalog says that its files are at {}, which is another server; if that is right, configure it as the endpoint of a section [storage.NAME] for {prefix:?}",
                        what(EntryKind::Table, table),
                        url.origin().ascii_serialization()
                    ),
                ));
            }
            options.endpoint = Some(endpoint);
        }
        Ok(options)
    }
}

impl VendedKeys {
    fn get(&self) -> Keys {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, keys: Keys) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    async fn renew(&self) -> Result<Keys> {
        let told = match (self.rest.told_of(&self.table).await, &self.staging) {
            (Err(e), Some(staging)) if e.kind() == ErrorKind::NotFound => {
                self.rest.told_of_new(&self.table, staging).await?
            }
            (told, _) => told?,
        };
        let found = told.0.keys(&told.1).into_iter().find(|(prefix, _)| *prefix == self.prefix);
        found.map(|(_, keys)| keys).ok_or_else(|| {
            Error::new(
                ErrorKind::PermissionDenied,
                format!(
                    "{}: the catalog vends no credentials for {:?} any more",
                    what(EntryKind::Table, &self.table),
                    self.prefix
                ),
            )
        })
    }
}

#[async_trait]
impl CredentialProvider for VendedKeys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let current = self.get();
        if current.are_fresh() {
            return Ok(current.credential);
        }
        let _one = self.renewing.lock().await;
        let current = self.get();
        if current.are_fresh() {
            return Ok(current.credential);
        }
        match self.renew().await {
            Ok(keys) => {
                self.put(keys.clone());
                Ok(keys.credential)
            }
            Err(error) if current.hold_for(Duration::ZERO) => {
                tracing::warn!(table = %self.table, %error, "vended credentials are not renewed");
                Ok(current.credential)
            }
            Err(error) => {
                Err(object_store::Error::Generic { store: "S3", source: Box::new(error) })
            }
        }
    }
}

impl Rest {
    /// Asks where a table goes that is not there yet, and for credentials to write there, by staging
    /// one that nobody commits. `None` where the server vends none: then tables go where they are
    /// configured to, as they do when it refuses.
    pub(super) async fn ask_for_new(&self, create: &CreateTable) -> Result<Option<String>> {
        let Some(vendor) = &self.vendor else { return Ok(None) };
        let name = &create.name;
        let mut body = json!({
            "name": name.name,
            "schema": create.schema,
            "stage-create": true,
        });
        if let Some(location) = &create.location {
            body["location"] = json!(location);
        }
        match self.told_of_new(name, &body).await {
            Ok((told, location)) if !told.keys(&location).is_empty() => {
                let metadata = json!({ "location": location });
                vendor.accept(self, name, &location, &metadata, &told, Some(body))?;
                Ok(Some(location).filter(|location| !location.is_empty()))
            }
            Ok(_) => Ok(None),
            Err(error) => {
                tracing::debug!(table = %name, %error, "no credentials are vended for a new table");
                Ok(None)
            }
        }
    }

    /// What the server says of the files of a table that is not there yet, and where it would lie.
    async fn told_of_new(&self, table: &TableName, staging: &Value) -> Result<(Told, String)> {
        let path = format!("namespaces/{}/tables", encode_namespace(&table.namespace));
        let about = what(EntryKind::Table, table);
        let call = Call {
            method: Method::POST,
            url: self.endpoint().await?.url(&path)?,
            body: Some(staging),
            effect: Effect::Read,
            what: &about,
            conflict: ErrorKind::AlreadyExists,
        };
        let answer = self.client.call(call).await?;
        let location = answer.pointer("/metadata/location").and_then(Value::as_str);
        Ok((Told::of(&answer), location.unwrap_or_default().to_owned()))
    }

    /// What the server says of a table's files now, and where the table lies.
    async fn told_of(&self, table: &TableName) -> Result<(Told, String)> {
        let (endpoint, bare) = self.at_name(table).await?;
        let url = endpoint.url(&path(EntryKind::Table, &bare))?;
        let about = what(EntryKind::Table, table);
        let answer = self.client.call(Call::read(url, &about)).await?;
        let location = answer.pointer("/metadata/location").and_then(Value::as_str);
        Ok((Told::of(&answer), location.unwrap_or_default().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Namespace;
    use crate::rest::RestOptions;
    use crate::storage::{Storage, VendedStores};

    fn vending(places: Vec<(String, S3Options)>) -> (Rest, VendedStores) {
        let stores = VendedStores::default();
        let mut options = RestOptions::new("http://catalog.example/iceberg", Storage::local());
        options.vending = Some(Vending { stores: stores.clone(), places });
        (Rest::try_new(options).unwrap(), stores)
    }

    fn accept(rest: &Rest, answer: &Value) -> Result<()> {
        let table = TableName::new(Namespace::parse("s").unwrap(), "t").unwrap();
        let vendor = Arc::clone(rest.vendor.as_ref().unwrap());
        let metadata = json!({"location": "s3://b/w/t"});
        vendor.accept(rest, &table, "s3://b/w/t/metadata/x", &metadata, &Told::of(answer), None)
    }

    fn key(id: &str) -> Value {
        json!({"s3.access-key-id": id, "s3.secret-access-key": "canary", "s3.session-token": "canary"})
    }

    #[test]
    fn keys_serve_the_prefix_that_they_were_vended_for() {
        let (rest, stores) = vending(Vec::new());
        let storage = Storage::local().with_vended(stores);
        accept(&rest, &json!({"config": {"region": "x"}})).unwrap();
        assert!(storage.resolve("s3://b/w/t/f").is_err(), "nothing was vended");
        accept(&rest, &json!({"config": key("own")})).unwrap();
        storage.resolve("s3://b/w/t/f").unwrap();
        assert!(storage.resolve("s3://b/w/u/f").is_err());
        let several = json!({"storage-credentials": [
            {"prefix": "s3://b/elsewhere/", "config": key("a")},
            {"prefix": "gs://b/elsewhere/", "config": key("b")},
            {"prefix": "file:///etc/", "config": key("c")},
        ]});
        accept(&rest, &several).unwrap();
        storage.resolve("s3://b/elsewhere/f").unwrap();
        assert!(storage.resolve("gs://b/elsewhere/f").is_err());
        let shown = format!("{rest:?} {storage:?}");
        assert!(!shown.contains("canary"), "{shown}");
    }

    /// Hazard: D5, a server that tells an endpoint sends requests, and whatever answers them, into
    /// a network that it has no business in.
    #[test]
    fn d5_a_told_endpoint_is_the_configured_one_or_on_the_catalogs_host() {
        let at = |endpoint: &str| {
            let mut config = key("k");
            config["s3.endpoint"] = json!(endpoint);
            json!({"config": config})
        };
        for hostile in ["http://169.254.169.254", "http://127.0.0.1:9000", "http://evil.example"] {
            let (rest, stores) = vending(Vec::new());
            let error = accept(&rest, &at(hostile)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{hostile}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
            assert!(Storage::local().with_vended(stores).resolve("s3://b/w/t/f").is_err());
        }
        let (rest, _stores) = vending(Vec::new());
        accept(&rest, &at("http://catalog.example:9000")).unwrap();
        // Where a place is configured, the server gives keys alone.
        let mut place = S3Options::new("b", S3Credentials::Anonymous);
        place.endpoint = Some("http://127.0.0.1:1".to_owned());
        let (rest, _stores) = vending(vec![("s3://b/w/".to_owned(), place)]);
        accept(&rest, &at("http://evil.example")).unwrap();
    }
}
