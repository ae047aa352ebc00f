//! `[catalog.NAME]` of type "rest": a server that speaks the Iceberg REST protocol, Nessie too.

use fjord_catalog::rest::{OAuth2, Rest, RestAuth, RestOptions, SigV4};
use fjord_catalog::storage::Storage;

use super::error::ConfigError;
use super::reader::Section;

/// The keys of such a section, beside `type`.
pub(super) const KEYS: &[&str] = &[
    "access_key_id",
    "client_id",
    "client_secret",
    "location",
    "prefix",
    "reference",
    "scope",
    "secret_access_key",
    "session_token",
    "signing_region",
    "signing_service",
    "token",
    "token_uri",
    "uri",
    "vended_credentials",
    "warehouse",
];
const REGION: &str = "us-east-1";

/// A catalog behind the REST protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestConfig {
    /// The root of the protocol, without `/v1`.
    pub uri: String,
    /// Which of the server's warehouses.
    pub warehouse: Option<String>,
    /// The part of each path that the server would tell.
    pub prefix: Option<String>,
    /// Nessie alone: the branch or tag to work on.
    pub reference: Option<String>,
    /// Where new tables go, if the server does not tell.
    pub location: Option<String>,
    /// Whether files are reached with credentials that the server gives.
    pub vended_credentials: bool,
    /// Who asks.
    pub auth: RestAuth,
}

impl RestConfig {
    /// The options of a client whose files are in `storage`.
    pub fn options(&self, storage: Storage) -> RestOptions {
        let mut options = RestOptions::new(self.uri.clone(), storage);
        options.warehouse.clone_from(&self.warehouse);
        options.prefix.clone_from(&self.prefix);
        options.reference.clone_from(&self.reference);
        options.auth = self.auth.clone();
        options
    }
}

pub(super) fn parse(section: &mut Section<'_>) -> Result<RestConfig, ConfigError> {
    let Some(uri) = section.text("uri")? else {
        let problem = "is missing; accepted: http(s)://HOST:PORT/PATH, without /v1";
        return Err(section.error("uri", problem));
    };
    let config = RestConfig {
        uri,
        warehouse: section.text("warehouse")?,
        prefix: section.text("prefix")?,
        reference: section.text("reference")?,
        location: section.text("location")?,
        vended_credentials: section.boolean("vended_credentials")?.unwrap_or(false),
        auth: auth(section)?,
    };
    // What a client makes of it, so that it is known before anything starts.
    Rest::try_new(config.options(Storage::local()))
        .map_err(|e| section.error("uri", e.message()))?;
    Ok(config)
}

fn auth(section: &mut Section<'_>) -> Result<RestAuth, ConfigError> {
    let token = section.secret("token")?;
    let client_id = section.text_or_secret("client_id")?;
    let access_key_id = section.text_or_secret("access_key_id")?;
    let client_secret = section.secret("client_secret")?;
    let secret_access_key = section.secret("secret_access_key")?;
    let token_uri = section.text("token_uri")?;
    let scope = section.text("scope")?;
    let session_token = section.secret("session_token")?;
    let region = section.text("signing_region")?;
    let service = section.text("signing_service")?;
    let ways = [token.is_some(), client_id.is_some(), access_key_id.is_some()];
    if ways.iter().filter(|way| **way).count() > 1 {
        let problem =
            "goes with none of the others; accepted: one of token, client_id, access_key_id";
        let key = if token.is_some() { "token" } else { "client_id" };
        return Err(section.error(key, problem));
    }
    // What belongs to a way that was not taken would be dropped without a word.
    let strays = [
        ("client_secret", client_secret.is_some() && client_id.is_none(), "client_id"),
        ("token_uri", token_uri.is_some() && client_id.is_none(), "client_id"),
        ("scope", scope.is_some() && client_id.is_none(), "client_id"),
        (
            "secret_access_key",
            secret_access_key.is_some() && access_key_id.is_none(),
            "access_key_id",
        ),
        ("session_token", session_token.is_some() && access_key_id.is_none(), "access_key_id"),
        ("signing_region", region.is_some() && access_key_id.is_none(), "access_key_id"),
        ("signing_service", service.is_some() && access_key_id.is_none(), "access_key_id"),
    ];
    if let Some((key, _, beside)) = strays.iter().find(|(_, is_stray, _)| *is_stray) {
        return Err(section.error(key, format!("means nothing without {beside}")));
    }
    if let Some(token) = token {
        return Ok(RestAuth::Bearer(token));
    }
    if let Some(client_id) = client_id {
        let Some(client_secret) = client_secret else {
            return Err(section.error("client_secret", "is missing beside client_id"));
        };
        return Ok(RestAuth::OAuth2(OAuth2 { token_uri, client_id, client_secret, scope }));
    }
    let Some(access_key_id) = access_key_id else { return Ok(RestAuth::Nobody) };
    let (Some(secret_access_key), Some(service)) = (secret_access_key, service) else {
        let problem = "secret_access_key and signing_service (\"s3tables\", \"glue\") go with it";
        return Err(section.error("access_key_id", problem));
    };
    let region = region.unwrap_or_else(|| REGION.to_owned());
    Ok(RestAuth::SigV4(SigV4 { access_key_id, secret_access_key, session_token, region, service }))
}

#[cfg(test)]
mod tests {
    use toml::Table;

    use super::*;

    fn config(text: &str) -> Result<RestConfig, ConfigError> {
        let table: Table = text.parse().unwrap();
        parse(&mut Section::new("f", "catalog.x", table, KEYS).unwrap())
    }

    #[test]
    fn an_address_and_one_way_to_say_who_asks() {
        let uri = "uri = 'http://127.0.0.1:19120/iceberg'\n";
        assert_eq!(config(uri).unwrap().auth, RestAuth::Nobody);
        let path = super::super::environment::variable("PATH").unwrap();
        for auth in [
            "token = { env = 'PATH' }",
            "client_id = 'me'\nclient_secret = { env = 'PATH' }",
            "access_key_id = 'me'\nsecret_access_key = { env = 'PATH' }\nsigning_service = 's3tables'",
        ] {
            let parsed = config(&format!("{uri}{auth}")).unwrap();
            assert!(!format!("{parsed:?}").contains(&path), "{parsed:?}");
        }
        for (text, expected) in [
            ("", "catalog.x.uri: is missing"),
            ("uri = 'thrift://h:1'", "catalog.x.uri: uri is not an address"),
            ("uri = 'http://me:canary@h'", "has credentials in it"),
            ("uri = 'http://h'\ntoken = 'canary'", "secrets do not stand in this file"),
            ("uri = 'http://h'\nclient_id = 'me'", "client_secret: is missing"),
            ("uri = 'http://h'\nscope = 'x'", "scope: means nothing without client_id"),
            (
                "uri = 'http://h'\ntoken = { env = 'PATH' }\nclient_id = 'x'",
                "token: goes with none",
            ),
        ] {
            let error = config(text).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("canary"), "{text}: {error}");
        }
    }
}
