//! `[storage.NAME]`: which places there are, how a bucket is reached, and whether a server's
//! statements may name files there.

use std::path::PathBuf;

use fjord_catalog::secret::Secret;
use fjord_catalog::storage::s3::{Instance, S3Credentials, S3Options, check_endpoint};
use toml::Table;

use super::environment;
use super::error::ConfigError;
use super::reader::{Section, join};

/// The most sections.
const STORAGE_MAX: usize = 256;
const ACCEPTED: &str = "a prefix that ends in '/': a bucket or a part of one, such as \"s3://lake/\", or an absolute directory, such as \"file:///srv/exchange/\"";
/// Keys of a directory.
const DIRECTORY_KEYS: &[&str] = &["files", "prefix"];
/// Keys of a bucket.
pub(super) const S3_KEYS: &[&str] = &[
    "access_key_id",
    "attempt_time",
    "credentials",
    "endpoint",
    "files",
    "path_style",
    "prefix",
    "region",
    "secret_access_key",
    "session_token",
];

/// One `[storage.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageConfig {
    /// The section's name.
    pub name: String,
    /// What it describes.
    pub place: StoragePlace,
    /// May `read_*` and COPY use it?
    pub files: bool,
}

/// Where a storage is.
#[derive(Clone, Debug, PartialEq)]
pub enum StoragePlace {
    /// A local directory, absolute, without `.` and `..`.
    Directory(PathBuf),
    /// A bucket, or what is below a prefix of it.
    S3 {
        /// `s3://bucket/` or `s3://bucket/prefix/`.
        prefix: String,
        /// How to reach it.
        options: Box<S3Options>,
    },
}

impl StorageConfig {
    /// The prefix as a URI that ends in `/`.
    pub fn prefix(&self) -> String {
        match &self.place {
            StoragePlace::Directory(directory) => format!("file://{}/", directory.display()),
            StoragePlace::S3 { prefix, .. } => prefix.clone(),
        }
    }
}

pub(super) fn parse(
    file: &str,
    sections: Vec<(String, Table)>,
) -> Result<Vec<StorageConfig>, ConfigError> {
    if sections.len() > STORAGE_MAX {
        let problem = format!("found {} sections; accepted: at most {STORAGE_MAX}", sections.len());
        return Err(ConfigError::new(file, "storage", problem));
    }
    let mut parsed: Vec<StorageConfig> = Vec::new();
    for (name, table) in sections {
        let store = parse_one(file, name, table)?;
        if let Some(twin) = parsed.iter().find(|other| other.prefix() == store.prefix()) {
            let problem =
                format!("is the prefix of storage.{} too; accepted: one section each", twin.name);
            return Err(ConfigError::new(
                file,
                join(&join("storage", &store.name), "prefix"),
                problem,
            ));
        }
        parsed.push(store);
    }
    Ok(parsed)
}

fn parse_one(file: &str, name: String, table: Table) -> Result<StorageConfig, ConfigError> {
    let path = join("storage", &name);
    // The prefix decides which keys there are, so it is looked at before the others.
    let prefix = table.get("prefix").and_then(toml::Value::as_str).unwrap_or_default();
    let is_s3 = prefix.starts_with("s3://");
    let keys = if is_s3 { S3_KEYS } else { DIRECTORY_KEYS };
    let mut section = Section::new(file, path, table, keys)?;
    let Some(prefix) = section.text("prefix")? else {
        return Err(section.error("prefix", format!("is missing; accepted: {ACCEPTED}")));
    };
    let files = section.boolean("files")?.unwrap_or(false);
    let place = if is_s3 {
        bucket(&prefix).map(|bucket| s3(&mut section, prefix.clone(), bucket)).transpose()?
    } else {
        directory(&prefix).map(StoragePlace::Directory)
    };
    match place {
        Some(place) => Ok(StorageConfig { name, place, files }),
        None => Err(section.error("prefix", format!("found {prefix:?}; accepted: {ACCEPTED}"))),
    }
}

/// Whether tables may lie at `warehouse`: on local disk, or in a bucket that a section describes.
///
/// # Errors
/// What was found and what is accepted, without the key.
pub(super) fn check_warehouse(storage: &[StorageConfig], warehouse: &str) -> Result<(), String> {
    let Some((scheme, rest)) = warehouse.split_once("://") else { return Ok(()) };
    match scheme {
        "file" => Ok(()),
        "s3" if bucket(&format!("{}/", warehouse.trim_end_matches('/'))).is_some() => {
            let below = |store: &StorageConfig| {
                format!("{}/", warehouse.trim_end_matches('/')).starts_with(&store.prefix())
            };
            let Some(store) = storage.iter().filter(|s| below(s)).max_by_key(|s| s.prefix().len())
            else {
                let bucket = rest.split('/').next().unwrap_or_default();
                return Err(format!(
                    "found {warehouse:?}, which no section [storage.NAME] covers; add one with prefix = \"s3://{bucket}/\" that says how the bucket is reached"
                ));
            };
            if store.files {
                return Err(format!(
                    "found {warehouse:?} below storage.{}, whose files statements may name; accepted: a prefix of its own",
                    store.name
                ));
            }
            Ok(())
        }
        _ => Err(format!(
            "found {warehouse:?}; accepted: a local path, file://…, or s3://bucket/… in plain characters"
        )),
    }
}

/// The bucket of `s3://bucket/` or `s3://bucket/prefix/`.
fn bucket(prefix: &str) -> Option<String> {
    let inside = prefix.strip_prefix("s3://")?.strip_suffix('/')?;
    let mut parts = inside.split('/');
    let bucket = parts.next()?;
    let is_bucket = (3..=63).contains(&bucket.len())
        && bucket.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        && bucket.starts_with(|c: char| c.is_ascii_alphanumeric());
    (is_bucket && parts.all(is_plain)).then(|| bucket.to_owned())
}

fn directory(prefix: &str) -> Option<PathBuf> {
    let path = prefix.strip_prefix("file://").unwrap_or(prefix);
    // Not the root: that would be every file of the machine.
    let inside = path.strip_prefix('/')?.strip_suffix('/')?;
    inside.split('/').all(is_plain).then(|| PathBuf::from(format!("/{inside}")))
}

fn is_plain(part: &str) -> bool {
    !matches!(part, "" | "." | "..")
        && !part
            .contains(|c: char| c.is_control() || matches!(c, '*' | '?' | '[' | '{' | '#' | '\\'))
}

fn s3(
    section: &mut Section<'_>,
    prefix: String,
    bucket: String,
) -> Result<StoragePlace, ConfigError> {
    let endpoint = section.text("endpoint")?;
    if let Some(endpoint) = &endpoint {
        check_endpoint(endpoint).map_err(|e| section.error("endpoint", e.message()))?;
    }
    // Elsewhere nobody asks the machine's cloud unless told to: the answer would be late and wrong.
    let is_aws = endpoint.as_ref().is_none_or(|endpoint| endpoint.contains("amazonaws.com"));
    let mut options = S3Options::new(bucket, credentials(section, is_aws)?);
    options.endpoint = endpoint;
    let region = ["AWS_REGION", "AWS_DEFAULT_REGION"];
    options.region = section.text("region")?.or_else(|| {
        // What the machine says is meant for AWS.
        region.into_iter().filter(|_| is_aws).find_map(environment::variable)
    });
    options.path_style = section.boolean("path_style")?;
    if let Some(time) = section.duration("attempt_time")? {
        if time.is_zero() {
            return Err(section.error("attempt_time", "accepted: more than 0, such as \"30s\""));
        }
        options.attempt_time = time;
    }
    Ok(StoragePlace::S3 { prefix, options: Box::new(options) })
}

fn credentials(section: &mut Section<'_>, is_aws: bool) -> Result<S3Credentials, ConfigError> {
    const ACCEPTED: &str = "\"environment\" (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), \"instance\" (what the machine is given by its cloud), \"anonymous\"; or the keys access_key_id and secret_access_key";
    let source = section.text("credentials")?;
    let access_key_id = section.text_or_secret("access_key_id")?;
    let secret_access_key = section.secret("secret_access_key")?;
    let session_token = section.secret("session_token")?;
    let has_keys =
        access_key_id.is_some() || secret_access_key.is_some() || session_token.is_some();
    if has_keys {
        if source.is_some() {
            let problem = format!("stands beside keys; accepted: one of {ACCEPTED}");
            return Err(section.error("credentials", problem));
        }
        return match (access_key_id, secret_access_key) {
            (Some(access_key_id), Some(secret_access_key)) => {
                Ok(S3Credentials::Keys { access_key_id, secret_access_key, session_token })
            }
            (None, _) => Err(section.error("access_key_id", "is missing beside the secret")),
            (_, None) => {
                let problem = "is missing beside access_key_id; accepted: { env = \"VARIABLE\" } or { file = \"PATH\" }";
                Err(section.error("secret_access_key", problem))
            }
        };
    }
    match source.as_deref() {
        None => match from_environment() {
            Some(keys) => Ok(keys),
            None if is_aws => Ok(S3Credentials::Instance(instance())),
            None => Err(section.error("access_key_id", format!("is missing; accepted: {ACCEPTED}"))),
        },
        Some("environment") => from_environment().ok_or_else(|| {
            let problem = "found \"environment\", where AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set";
            section.error("credentials", problem)
        }),
        Some("instance") => Ok(S3Credentials::Instance(instance())),
        Some("anonymous") => Ok(S3Credentials::Anonymous),
        Some(other) => {
            Err(section.error("credentials", format!("found {other:?}; accepted: {ACCEPTED}")))
        }
    }
}

fn from_environment() -> Option<S3Credentials> {
    Some(S3Credentials::Keys {
        access_key_id: environment::variable("AWS_ACCESS_KEY_ID")?,
        secret_access_key: Secret::new(environment::variable("AWS_SECRET_ACCESS_KEY")?),
        session_token: environment::variable("AWS_SESSION_TOKEN").map(Secret::new),
    })
}

fn instance() -> Instance {
    let variable = environment::variable;
    Instance {
        web_identity_token_file: variable("AWS_WEB_IDENTITY_TOKEN_FILE"),
        role_arn: variable("AWS_ROLE_ARN"),
        role_session_name: variable("AWS_ROLE_SESSION_NAME"),
        container_credentials_relative_uri: variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        container_credentials_full_uri: variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        container_authorization_token_file: variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::parse;

    fn message(text: &str) -> String {
        parse(text.as_bytes(), "f").unwrap_err().to_string()
    }

    #[test]
    fn local_directories_are_read() {
        let config =
            parse(b"[storage.x]\nprefix = \"file:///srv/in/\"\nfiles = true", "f").unwrap();
        let place = StoragePlace::Directory("/srv/in".into());
        assert_eq!(config.storage, [StorageConfig { name: "x".into(), place, files: true }]);
        assert_eq!(config.storage[0].prefix(), "file:///srv/in/");
        let config = parse(b"[storage.x]\nprefix = \"/srv/in/\"", "f").unwrap();
        assert!(!config.storage[0].files);
        for prefix in [
            "/",
            "file:///",
            "/a",
            "a/",
            "/a/../b/",
            "/a//b/",
            "/a/*/",
            "file://host/",
            "/a\u{0}/",
            "gs://b/",
            "s3://",
            "s3:///",
            "s3://b",
            "s3://ab/",
            "s3://lake/a",
            "s3://lake//",
            "s3://lake/../x/",
            "s3://la ke/",
            "s3://key@lake/",
            "s3://lake:9000/",
            "S3://lake/",
            "s3://lake/a?b/",
            "s3://lake/*/",
        ] {
            let found = message(&format!("[storage.x]\nprefix = {}", toml::Value::from(prefix)));
            assert!(found.contains("storage.x.prefix: found"), "{prefix}: {found}");
        }
    }

    #[test]
    fn a_bucket_is_read_with_all_its_keys() {
        let text = "[storage.minio]\nprefix = \"s3://lake/warehouse/\"\nendpoint = \"http://127.0.0.1:9000\"\nregion = \"eu-central-1\"\npath_style = false\nattempt_time = \"5s\"\naccess_key_id = \"AKIA\"\nsecret_access_key = { env = \"PATH\" }\nsession_token = { env = \"PATH\" }\n[catalog.iceberg]\ntype = \"embedded\"\nwarehouse = \"s3://lake/warehouse\"";
        let config = parse(text.as_bytes(), "f").unwrap();
        let StoragePlace::S3 { prefix, options } = &config.storage[0].place else { panic!() };
        assert_eq!(prefix, "s3://lake/warehouse/");
        assert_eq!(options.bucket, "lake");
        assert_eq!(options.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!(options.region.as_deref(), Some("eu-central-1"));
        assert_eq!(
            (options.path_style, options.attempt_time),
            (Some(false), Duration::from_secs(5))
        );
        assert!(
            matches!(&options.credentials, S3Credentials::Keys { access_key_id, .. } if access_key_id == "AKIA")
        );
        let text = "[storage.x]\nprefix = \"s3://lake/\"\ncredentials = \"anonymous\"";
        let config = parse(text.as_bytes(), "f").unwrap();
        let StoragePlace::S3 { options, .. } = &config.storage[0].place else { panic!() };
        assert_eq!(options.credentials, S3Credentials::Anonymous);
        assert_eq!(options.path_style, None);
    }

    #[test]
    fn what_is_wrong_with_a_storage_is_said_by_its_key() {
        let s3 = "[storage.x]\nprefix = \"s3://lake/\"\n";
        let warehouse = "[catalog.iceberg]\ntype = \"embedded\"\nwarehouse = ";
        for (text, expected) in [
            ("[storage.x]".to_owned(), "storage.x.prefix: is missing"),
            (
                "[storage.x]\nprefix = \"/a/\"\nfiles = 1".into(),
                "storage.x.files: found the number 1",
            ),
            (
                "[storage.x]\nprefix = \"/a/\"\nendpoint = \"e\"".into(),
                "storage.x.endpoint: unknown key",
            ),
            (
                format!("{s3}endpont = \"e\""),
                "storage.x.endpont: unknown key; accepted here: access_key_id",
            ),
            (
                format!("{s3}endpoint = \"e\""),
                "storage.x.endpoint: the endpoint of a store is not a URL",
            ),
            (
                format!("{s3}secret_access_key = \"canary\""),
                "storage.x.secret_access_key: found a value",
            ),
            (format!("{s3}access_key_id = \"a\""), "storage.x.secret_access_key: is missing"),
            (
                format!("{s3}secret_access_key = {{ env = \"PATH\" }}"),
                "storage.x.access_key_id: is missing",
            ),
            (format!("{s3}credentials = \"magic\""), "storage.x.credentials: found \"magic\""),
            (
                format!("{s3}credentials = \"anonymous\"\naccess_key_id = \"a\""),
                "stands beside keys",
            ),
            (format!("{s3}attempt_time = \"0s\""), "storage.x.attempt_time: "),
            (
                format!("{s3}[storage.y]\nprefix = \"s3://lake/\""),
                "storage.y.prefix: is the prefix of storage.x too",
            ),
            (
                format!("{s3}{warehouse}\"s3://other/w\""),
                "catalog.iceberg.warehouse: found \"s3://other/w\", which no section",
            ),
            (
                format!("{s3}files = true\n{warehouse}\"s3://lake/w\""),
                "whose files statements may name",
            ),
            (
                format!("{warehouse}\"gs://lake/w\""),
                "catalog.iceberg.warehouse: found \"gs://lake/w\"; accepted",
            ),
            (format!("{s3}{warehouse}\"s3://lake/../w\""), "accepted: a local path"),
        ] {
            let found = message(&text);
            assert!(found.contains(expected), "{text}\n{found}");
            assert!(!found.contains("canary"), "{found}");
        }
    }

    #[test]
    fn a_bucket_elsewhere_does_not_ask_the_cloud_of_this_machine() {
        let text = "[storage.x]\nprefix = \"s3://lake/\"\nendpoint = \"http://h\"";
        match environment::variable("AWS_ACCESS_KEY_ID") {
            Some(_) => assert!(parse(text.as_bytes(), "f").is_ok()),
            None => assert!(message(text).contains("storage.x.access_key_id: is missing")),
        }
        parse(format!("{text}\ncredentials = \"instance\"").as_bytes(), "f").unwrap();
    }

    #[test]
    fn every_key_is_documented() {
        let guide = include_str!("../../../docs/storage.md");
        for key in S3_KEYS {
            assert!(guide.contains(&format!("| `{key}` |")), "{key}");
        }
    }
}
