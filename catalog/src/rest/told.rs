//! What a server's answer says of the files of a table: keys by prefix, and how long they hold.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use object_store::aws::AwsCredential;
use serde_json::Value;

/// How long before they expire credentials are asked for anew, at most: those that hold shortly, for
/// the last quarter of that.
const MARGIN_MAX: Duration = Duration::from_secs(60);
const MARGIN_PART: u32 = 4;
/// Credentials that one table may come with.
const CREDENTIALS_MAX: usize = 100;

/// What an answer says of the files of a table.
#[derive(Default)]
pub(super) struct Told {
    pub(super) config: BTreeMap<String, String>,
    /// By prefix.
    pub(super) credentials: Vec<(String, BTreeMap<String, String>)>,
}

/// Keys, and until when they hold.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) credential: Arc<AwsCredential>,
    expires: Option<SystemTime>,
    /// How long before that they are asked for anew.
    margin: Duration,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Told {
    pub(super) fn of(answer: &Value) -> Self {
        let credentials = answer.get("storage-credentials").and_then(Value::as_array);
        let credentials = credentials.into_iter().flatten().take(CREDENTIALS_MAX);
        let of_prefix = |one: &Value| {
            let prefix = one.get("prefix")?.as_str()?.to_owned();
            Some((prefix, texts(one.get("config"))))
        };
        Self {
            config: texts(answer.get("config")),
            credentials: credentials.filter_map(of_prefix).collect(),
        }
    }

    /// Keys by prefix: those that are vended for prefixes, else the table's own.
    pub(super) fn keys(&self, table_location: &str) -> Vec<(String, Keys)> {
        let vended = self.credentials.iter().filter(|(prefix, _)| is_s3(prefix));
        let vended: Vec<_> =
            vended.filter_map(|(prefix, config)| Some((prefix.clone(), keys(config)?))).collect();
        if vended.is_empty() && is_s3(table_location) {
            return keys(&self.config)
                .map(|k| (table_location.to_owned(), k))
                .into_iter()
                .collect();
        }
        vended
    }
}

fn texts(object: Option<&Value>) -> BTreeMap<String, String> {
    let entries = object.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn is_s3(uri: &str) -> bool {
    let scheme = uri.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    scheme.is_some_and(|scheme| matches!(scheme.as_str(), "s3" | "s3a" | "s3n"))
}

fn keys(config: &BTreeMap<String, String>) -> Option<Keys> {
    let text = |key: &str| config.get(key).filter(|value| !value.is_empty()).cloned();
    let credential = AwsCredential {
        key_id: text("s3.access-key-id")?,
        secret_key: text("s3.secret-access-key")?,
        token: text("s3.session-token"),
    };
    let expires = text("s3.session-token-expires-at-ms").and_then(|millis| millis.parse().ok());
    let expires = expires.map(|millis| UNIX_EPOCH + Duration::from_millis(millis));
    let left = expires.and_then(|expires| expires.duration_since(SystemTime::now()).ok());
    let margin = left.unwrap_or_default() / MARGIN_PART;
    Some(Keys { credential: Arc::new(credential), expires, margin: margin.min(MARGIN_MAX) })
}

impl Keys {
    /// Whether they hold for long enough not to be asked for anew.
    pub(super) fn are_fresh(&self) -> bool {
        self.hold_for(self.margin)
    }

    pub(super) fn hold_for(&self, time: Duration) -> bool {
        self.expires.is_none_or(|expires| SystemTime::now() + time < expires)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(id: &str) -> Value {
        json!({"s3.access-key-id": id, "s3.secret-access-key": "canary", "s3.session-token": "canary"})
    }

    #[test]
    fn keys_hold_until_shortly_before_they_expire() {
        let at = |time: SystemTime| {
            let millis = time.duration_since(UNIX_EPOCH).unwrap().as_millis();
            let config = key("k");
            let mut config = texts(Some(&config));
            config.insert("s3.session-token-expires-at-ms".to_owned(), millis.to_string());
            keys(&config).unwrap()
        };
        let now = SystemTime::now();
        let long = at(now + Duration::from_secs(3_600));
        assert!(long.are_fresh() && long.margin == MARGIN_MAX);
        let short = at(now + Duration::from_secs(40));
        assert!(short.are_fresh() && short.margin <= Duration::from_secs(10));
        let over = at(now - Duration::from_secs(1));
        assert!(!over.are_fresh() && !over.hold_for(Duration::ZERO));
        assert!(keys(&texts(Some(&key("k")))).unwrap().are_fresh(), "no end was told");
        assert!(keys(&texts(Some(&json!({"s3.access-key-id": "k"})))).is_none());
    }
}
