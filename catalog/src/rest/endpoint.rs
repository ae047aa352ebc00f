//! Where a catalog's resources are, as its configuration says.
//!
//! Source: the Iceberg REST specification, `GET /v1/config`; Nessie's documentation of its prefix.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;
use url::Url;

use super::options::RestOptions;
use super::origin;
use crate::error::{Error, ErrorKind, Result};
use crate::name::Namespace;

/// Between the levels of a namespace in a path, before it is encoded.
const LEVEL_SEPARATOR: &str = "\u{1f}";
/// What a part of a path keeps as it is.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What was negotiated.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    root: Url,
    /// Encoded, without slashes at its ends.
    prefix: String,
    /// What holds for Nessie alone.
    pub(super) nessie: Option<Nessie>,
    /// Where the server puts tables, if it says.
    pub(super) warehouse: Option<String>,
    /// Whether requests may carry a key by which the server knows a repetition.
    pub(super) takes_idempotency_keys: bool,
    /// What the server offers; empty when it does not say.
    offers: Vec<String>,
}

/// A Nessie server's catalog: everything is at a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nessie {
    pub(super) reference: String,
    warehouse: Option<String>,
    /// The root of Nessie's own API, version 2.
    api: Option<Url>,
}

impl Nessie {
    /// The prefix at `reference`, or at one commit of it.
    fn prefix(&self, reference: &str, hash: Option<&str>) -> String {
        let mut text = reference.to_owned();
        if let Some(hash) = hash {
            text.push('@');
            text.push_str(hash);
        }
        if let Some(warehouse) = &self.warehouse {
            text.push('|');
            text.push_str(warehouse);
        }
        encode(&text)
    }
}

impl Endpoint {
    /// Reads the answer to `/v1/config`. What the server overrides beats what was configured, and
    /// that beats its defaults.
    ///
    /// # Errors
    /// `PermissionDenied` when it tells to go to another server.
    pub(super) fn negotiate(uri: &Url, options: &RestOptions, answer: &Value) -> Result<Self> {
        let texts = |key: &str| -> BTreeMap<String, String> {
            let entries = answer.get(key).and_then(Value::as_object).into_iter().flatten();
            entries.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
        };
        let (defaults, overrides) = (texts("defaults"), texts("overrides"));
        let told = |key: &str| overrides.get(key).or_else(|| defaults.get(key));
        let root = match overrides.get("uri") {
            Some(text) => origin::told(uri, text)?,
            None => uri.clone(),
        };
        let configured = options.prefix.as_ref();
        let prefix = overrides.get("prefix").or(configured).or_else(|| defaults.get("prefix"));
        // It comes encoded already where it needs to be.
        let prefix = prefix.map(|p| p.trim_matches('/').to_owned()).unwrap_or_default();
        let is_nessie = told("nessie.is-nessie-catalog").is_some_and(|v| v == "true");
        let api = told("nessie.core-base-uri").filter(|_| is_nessie);
        let api = api.map(|text| origin::told(uri, text)).transpose()?;
        let nessie = is_nessie.then(|| nessie(&prefix, options, api));
        if options.reference.is_some() && nessie.is_none() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the catalog is no Nessie server, so there is no reference to choose; remove `reference`",
            ));
        }
        let prefix = match &nessie {
            Some(nessie) => nessie.prefix(&nessie.reference, None),
            None => prefix,
        };
        let offers = answer.get("endpoints").and_then(Value::as_array).into_iter().flatten();
        Ok(Self {
            root,
            prefix,
            nessie,
            warehouse: told("warehouse").filter(|w| w.contains("://")).cloned(),
            takes_idempotency_keys: answer.get("idempotency-key-lifetime").is_some()
                || told("idempotency-key-lifetime").is_some(),
            offers: offers.filter_map(|o| Some(o.as_str()?.to_owned())).collect(),
        })
    }

    /// The same at another reference of Nessie's, or at one commit of it (`dev@<hash>`).
    ///
    /// # Errors
    /// `InvalidArgument` for what cannot be a reference's name: a `|` in it would lead to another
    /// warehouse.
    pub(super) fn at(&self, reference: &str) -> Result<Self> {
        let Some(nessie) = &self.nessie else { return Ok(self.clone()) };
        if reference.is_empty() || reference.contains(['|', '\u{1f}']) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("{reference:?} is no name of a branch or tag"),
            ));
        }
        let nessie = Nessie { reference: reference.to_owned(), ..nessie.clone() };
        let prefix = nessie.prefix(reference, None);
        Ok(Self { prefix, nessie: Some(nessie), ..self.clone() })
    }

    /// `…/trees/<reference>/<path>` of Nessie's own API; `None` where the server tells none.
    pub(super) fn tree(&self, reference: &str, path: &str) -> Result<Option<Url>> {
        let Some(api) = self.nessie.as_ref().and_then(|nessie| nessie.api.as_ref()) else {
            return Ok(None);
        };
        let root = api.as_str().trim_end_matches('/');
        let text = format!("{root}/v2/trees/{}{path}", encode(reference));
        Url::parse(&text).map(Some).map_err(no_url)
    }

    /// Whether the server has `endpoint` (`GET /v1/{prefix}/…`), as far as it says.
    pub(super) fn offers(&self, endpoint: &str) -> bool {
        self.offers.is_empty() || self.offers.iter().any(|offered| offered == endpoint)
    }

    /// `…/v1/<prefix>/<path>`; the parts of `path` are encoded already.
    pub(super) fn url(&self, path: &str) -> Result<Url> {
        self.url_at(&self.prefix, path)
    }

    /// The same at a commit of a reference (Nessie).
    pub(super) fn url_pinned(&self, reference: &str, hash: &str, path: &str) -> Result<Url> {
        match &self.nessie {
            Some(nessie) => self.url_at(&nessie.prefix(reference, Some(hash)), path),
            None => self.url(path),
        }
    }

    fn url_at(&self, prefix: &str, path: &str) -> Result<Url> {
        let root = self.root.as_str().trim_end_matches('/');
        let parts = ["v1", prefix, path].into_iter().filter(|part| !part.is_empty());
        let text = parts.fold(root.to_owned(), |text, part| format!("{text}/{part}"));
        Url::parse(&text).map_err(no_url)
    }
}

fn no_url(e: url::ParseError) -> Error {
    Error::new(ErrorKind::InvalidArgument, "the catalog's address makes no URL").with_source(e)
}

fn nessie(prefix: &str, options: &RestOptions, api: Option<Url>) -> Nessie {
    let decoded = percent_decode_str(prefix).decode_utf8_lossy().into_owned();
    let (reference, warehouse) = match decoded.split_once('|') {
        Some((reference, warehouse)) => (reference.to_owned(), Some(warehouse.to_owned())),
        None => (decoded, None),
    };
    let reference = options.reference.clone().unwrap_or(reference);
    Nessie { reference, warehouse: warehouse.or_else(|| options.warehouse.clone()), api }
}

/// One part of a path.
pub(super) fn encode(part: &str) -> String {
    utf8_percent_encode(part, PART).to_string()
}

/// A namespace as one part of a path.
pub(super) fn encode_namespace(namespace: &Namespace) -> String {
    encode(&namespace.levels().join(LEVEL_SEPARATOR))
}

/// A namespace as the value of `parent`.
pub(super) fn parent(namespace: &Namespace) -> String {
    namespace.levels().join(LEVEL_SEPARATOR)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::address;
    use crate::storage::Storage;

    fn negotiate(options: &RestOptions, answer: &Value) -> Result<Endpoint> {
        Endpoint::negotiate(&address::of_server("uri", &options.uri)?, options, answer)
    }

    #[test]
    fn an_encoded_prefix_and_a_uri_with_a_slash_are_taken_as_they_are() {
        let options = RestOptions::new("http://127.0.0.1:1/iceberg", Storage::local());
        let answer = json!({
            "defaults": {"prefix": "wrong", "warehouse": "s3://lake/w"},
            "overrides": {"prefix": "/a%7Cb/", "uri": "http://127.0.0.1:1/iceberg/"},
        });
        let endpoint = negotiate(&options, &answer).unwrap();
        let namespace = Namespace::new(["a b", "größe"]).unwrap();
        let path = format!("namespaces/{}", encode_namespace(&namespace));
        assert_eq!(
            endpoint.url(&path).unwrap().as_str(),
            "http://127.0.0.1:1/iceberg/v1/a%7Cb/namespaces/a%20b%1Fgr%C3%B6%C3%9Fe"
        );
        assert_eq!(endpoint.warehouse.as_deref(), Some("s3://lake/w"));
    }

    #[test]
    fn nessies_references_are_prefixes() {
        let mut options = RestOptions::new("http://127.0.0.1:1/iceberg", Storage::local());
        let answer = json!({
            "defaults": {"prefix": "main%7Cwarehouse"},
            "overrides": {"nessie.is-nessie-catalog": "true"},
        });
        let endpoint = negotiate(&options, &answer).unwrap();
        assert!(endpoint.url("x").unwrap().as_str().ends_with("/v1/main%7Cwarehouse/x"));
        let pinned = endpoint.url_pinned("main", "0a1b", "x").unwrap();
        assert!(pinned.as_str().ends_with("/v1/main%400a1b%7Cwarehouse/x"));
        options.reference = Some("feature/x".to_owned());
        let endpoint = negotiate(&options, &answer).unwrap();
        assert!(endpoint.url("x").unwrap().as_str().ends_with("/v1/feature%2Fx%7Cwarehouse/x"));
        let at = endpoint.at("dev@0a1b").unwrap();
        assert!(at.url("x").unwrap().as_str().ends_with("/v1/dev%400a1b%7Cwarehouse/x"));
        let error = negotiate(&options, &json!({})).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }

    /// Hazard: the name of a reference is a part of the prefix, in which a `|` would lead to another
    /// warehouse than the configured one.
    #[test]
    fn a_reference_does_not_lead_to_another_warehouse() {
        let options = RestOptions::new("http://127.0.0.1:1/iceberg", Storage::local());
        let answer = json!({
            "defaults": {"prefix": "main%7Cwarehouse"},
            "overrides": {"nessie.is-nessie-catalog": "true"},
        });
        let endpoint = negotiate(&options, &answer).unwrap();
        for name in ["main|other", "|", "", "main@0a1b|other"] {
            assert_eq!(endpoint.at(name).unwrap_err().kind(), ErrorKind::InvalidArgument, "{name}");
        }
    }

    #[test]
    fn d5_a_configuration_that_leads_elsewhere_is_refused() {
        let options = RestOptions::new("http://127.0.0.1:1/iceberg", Storage::local());
        let answer = json!({"overrides": {"uri": "http://evil.example/"}});
        assert_eq!(negotiate(&options, &answer).unwrap_err().kind(), ErrorKind::PermissionDenied);
        // The address of tokens that a server tells is not followed at all.
        let answer = json!({"overrides": {"oauth2-server-uri": "http://evil.example/"}});
        negotiate(&options, &answer).unwrap();
    }
}
