//! What a PostgreSQL catalog is opened with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::connector::{ConnectorOptions, Secret};
use crate::error::{Error, ErrorKind};

pub(super) const KIND: &str = "postgres";

const PASSWORD: &str = "password";
const ACCEPTED: &[&str] = &[
    "url",
    "user",
    PASSWORD,
    "database",
    "sslmode",
    "sslrootcert",
    "connections_max",
    "scan_connections_max",
    "queue_max",
    "connect_timeout_seconds",
    "statement_timeout_seconds",
    "metadata_ttl_seconds",
    "numeric",
    "infinite",
    "pushdown",
    "pass_through",
    "writes",
];
const CONNECTIONS_DEFAULT: usize = 8;
const SCAN_CONNECTIONS_DEFAULT: usize = 4;
const CONNECTIONS_LIMIT: usize = 1000;
const QUEUE_DEFAULT: usize = 1000;
const QUEUE_LIMIT: usize = 100_000;
const CONNECT_SECONDS_DEFAULT: usize = 5;
/// A database that is down is reported within ten seconds.
const CONNECT_SECONDS_LIMIT: usize = 10;
const STATEMENT_SECONDS_DEFAULT: usize = 3600;
const STATEMENT_SECONDS_LIMIT: usize = 7 * 86_400;
const TTL_SECONDS_LIMIT: usize = 86_400;
const PORT: u16 = 5432;

/// Rules that would be wrong, for tests that must notice them. All are off.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Compares `char(n)` as if trailing blanks counted.
    pub bpchar_as_text: bool,
    /// Orders text by the database's collation.
    pub text_by_collation: bool,
    /// Leaves the place of NULLs to the database.
    pub nulls_anywhere: bool,
}

/// How much of TLS is asked for; the names are those of libpq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// What becomes of `numeric` without a precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumericMode {
    /// `decimal(38, 9)`; a value that does not fit is an error.
    Decimal,
    /// The digits as text, NaN and the infinities too.
    Text,
}

/// What becomes of the dates and timestamps `infinity` and `-infinity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InfiniteMode {
    Error,
    Null,
}

/// Checked options.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) catalog: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    pub(super) database: String,
    pub(super) ssl_mode: SslMode,
    pub(super) ssl_root_cert: Option<PathBuf>,
    pub(super) connections_max: usize,
    pub(super) scan_connections_max: usize,
    pub(super) queue_max: usize,
    pub(super) connect_timeout: Duration,
    pub(super) statement_timeout: Duration,
    pub(super) metadata_ttl: Duration,
    pub(super) numeric: NumericMode,
    pub(super) infinite: InfiniteMode,
    pub(super) pushdown: bool,
    /// What of the allow-list is taken for proven.
    pub(super) rules: Rules,
    pub(super) pass_through: bool,
    pub(super) writes: bool,
    /// The options as SHOW CREATE CATALOG may show them.
    pub(super) shown: Vec<(String, String)>,
}

impl Settings {
    /// Where the database is, for messages.
    pub(super) fn place(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.database)
    }

    /// The database, and as whom it is read: what is seen of rows depends on that.
    pub(super) fn identity(&self) -> String {
        format!("{KIND}://{}@{}", self.user, self.place())
    }

    pub(super) fn try_new(given: ConnectorOptions, rules: Rules) -> Result<Self, Error> {
        let ConnectorOptions { catalog, options, mut secrets, metadata_ttl } = given;
        let reader = Reader { catalog: &catalog, options: &options };
        reader.check_names(options.keys().chain(secrets.keys()))?;
        if let Some(name) = secrets.keys().find(|name| *name != PASSWORD) {
            return Err(reader.refused(name, "a secret", "plain text: only `password` is secret"));
        }
        if options.contains_key(PASSWORD) {
            return Err(reader.refused(PASSWORD, "plain text", "a reference such as env('NAME')"));
        }
        let url = reader.url()?;
        let user = reader.either("user", decoded(url.username()))?;
        let database = reader.either("database", decoded(url.path().trim_start_matches('/')))?;
        let connections_max =
            reader.count("connections_max", CONNECTIONS_DEFAULT, 1, CONNECTIONS_LIMIT)?;
        let scan_default = SCAN_CONNECTIONS_DEFAULT.min(connections_max.div_ceil(2));
        let mut shown: Vec<_> = options.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        shown.extend(secrets.iter().map(|(k, v)| (k.clone(), v.reference.clone())));
        shown.sort();
        Ok(Self {
            host: url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(PORT),
            user,
            database,
            ssl_mode: reader.one_of(
                "sslmode",
                &[
                    ("prefer", SslMode::Prefer),
                    ("disable", SslMode::Disable),
                    ("require", SslMode::Require),
                    ("verify-ca", SslMode::VerifyCa),
                    ("verify-full", SslMode::VerifyFull),
                ],
            )?,
            ssl_root_cert: options.get("sslrootcert").map(PathBuf::from),
            connections_max,
            scan_connections_max: reader.count(
                "scan_connections_max",
                scan_default,
                1,
                connections_max,
            )?,
            queue_max: reader.count("queue_max", QUEUE_DEFAULT, 0, QUEUE_LIMIT)?,
            connect_timeout: reader.seconds(
                "connect_timeout_seconds",
                CONNECT_SECONDS_DEFAULT,
                1,
                CONNECT_SECONDS_LIMIT,
            )?,
            statement_timeout: reader.seconds(
                "statement_timeout_seconds",
                STATEMENT_SECONDS_DEFAULT,
                1,
                STATEMENT_SECONDS_LIMIT,
            )?,
            metadata_ttl: match options.get("metadata_ttl_seconds") {
                None => metadata_ttl,
                Some(_) => reader.seconds("metadata_ttl_seconds", 0, 0, TTL_SECONDS_LIMIT)?,
            },
            numeric: reader.one_of(
                "numeric",
                &[("decimal", NumericMode::Decimal), ("text", NumericMode::Text)],
            )?,
            infinite: reader.one_of(
                "infinite",
                &[("error", InfiniteMode::Error), ("null", InfiniteMode::Null)],
            )?,
            pushdown: reader.one_of("pushdown", &[("true", true), ("false", false)])?,
            pass_through: reader.one_of("pass_through", &[("false", false), ("true", true)])?,
            writes: reader.one_of("writes", &[("true", true), ("false", false)])?,
            rules,
            password: secrets.remove(PASSWORD),
            shown,
            catalog,
        })
    }
}

fn decoded(part: &str) -> String {
    url::form_urlencoded::parse(part.replace('+', "%2B").as_bytes())
        .next()
        .map(|(name, _)| name.into_owned())
        .unwrap_or_default()
}

struct Reader<'a> {
    catalog: &'a str,
    options: &'a BTreeMap<String, String>,
}

impl Reader<'_> {
    fn refused(&self, name: &str, found: &str, accepted: &str) -> Error {
        let message = format!(
            "catalog {:?}: option `{name}` is {found}; accepted is {accepted}",
            self.catalog
        );
        Error::new(ErrorKind::Invalid, message)
    }

    fn check_names<'n>(&self, names: impl Iterator<Item = &'n String>) -> Result<(), Error> {
        for name in names {
            if !ACCEPTED.contains(&name.as_str()) {
                let message = format!(
                    "catalog {:?}: there is no option `{name}` for {KIND}; there are {}",
                    self.catalog,
                    ACCEPTED.join(", ")
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        Ok(())
    }

    fn url(&self) -> Result<Url, Error> {
        const ACCEPTED: &str = "postgres://USER@HOST:PORT/DATABASE";
        let Some(text) = self.options.get("url") else {
            return Err(self.refused("url", "missing", ACCEPTED));
        };
        // What was given may hold a password: it is not repeated.
        let url = Url::parse(text).map_err(|e| self.refused("url", &e.to_string(), ACCEPTED))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(self.refused("url", &format!("of scheme {:?}", url.scheme()), ACCEPTED));
        }
        if url.password().is_some() {
            let accepted = format!("{ACCEPTED}, and the option `password` for the password");
            return Err(self.refused("url", "one that holds a password", &accepted));
        }
        if url.query().is_some() || url.fragment().is_some() {
            let accepted = format!("{ACCEPTED}; what else there is to say are options");
            return Err(self.refused("url", "one with parameters", &accepted));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(self.refused("url", "without a host", ACCEPTED));
        }
        Ok(url)
    }

    /// An option that the address may hold instead.
    fn either(&self, name: &str, in_url: String) -> Result<String, Error> {
        match self.options.get(name) {
            Some(value) if !in_url.is_empty() && *value != in_url => {
                let found = format!("{value:?}, and {in_url:?} in the url");
                Err(self.refused(name, &found, "one of them"))
            }
            Some(value) if !value.is_empty() => Ok(value.clone()),
            _ if in_url.is_empty() => Err(self.refused(name, "missing", "a name")),
            _ => Ok(in_url),
        }
    }

    fn count(&self, name: &str, default: usize, min: usize, max: usize) -> Result<usize, Error> {
        let Some(text) = self.options.get(name) else { return Ok(default) };
        text.parse()
            .ok()
            .filter(|count| (min..=max).contains(count))
            .ok_or_else(|| self.refused(name, &format!("{text:?}"), &format!("{min} to {max}")))
    }

    fn seconds(&self, name: &str, or: usize, min: usize, max: usize) -> Result<Duration, Error> {
        Ok(Duration::from_secs(self.count(name, or, min, max)? as u64))
    }

    /// The first choice is the default.
    fn one_of<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<T, Error> {
        let text = self.options.get(name).map(String::as_str);
        choices
            .iter()
            .find(|(choice, _)| text.is_none_or(|text| text.eq_ignore_ascii_case(choice)))
            .map(|(_, value)| *value)
            .ok_or_else(|| {
                let accepted: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
                self.refused(name, &format!("{:?}", text.unwrap_or_default()), &accepted.join(", "))
            })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::{Rules, Settings};
    use crate::connector::{ConnectorOptions, Secret};

    fn open(options: &[(&str, &str)]) -> Result<Settings, String> {
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let secret = Secret { value: "hidden".into(), reference: "env('P')".into() };
        let given = ConnectorOptions {
            catalog: "sales".into(),
            options,
            secrets: BTreeMap::from([("password".to_owned(), secret)]),
            metadata_ttl: Duration::from_secs(60),
        };
        Settings::try_new(given, Rules::default()).map_err(|e| e.to_string())
    }

    #[test]
    fn an_address_is_taken_apart() {
        let found = open(&[("url", "postgres://a%40b@[::1]:6543/my%20db")]).unwrap();
        let place = (found.user.as_str(), found.host.as_str(), found.port, found.database.as_str());
        assert_eq!(place, ("a@b", "::1", 6543, "my db"));
        let found = open(&[("url", "postgresql://h"), ("user", "u"), ("database", "d")]).unwrap();
        assert_eq!((found.port, found.user.as_str(), found.connections_max), (5432, "u", 8));
        assert_eq!(found.shown.iter().find(|(k, _)| k == "password").unwrap().1, "env('P')");
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_right() {
        /// Options, and the parts of what is said of them.
        type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
        let url = ("url", "postgres://u@h/d");
        let cases: &[Case<'_>] = &[
            (&[], &["`url` is missing"]),
            (&[("url", "mysql://h/d")], &["mysql", "postgres://"]),
            (&[("url", "postgres://u:topsecret@h/d")], &["holds a password", "`password`"]),
            (&[("url", "postgres://u@h/d?sslmode=require")], &["parameters", "options"]),
            (&[("url", "postgres://h/d")], &["`user` is missing"]),
            (&[("url", "postgres://u@h")], &["`database` is missing"]),
            (&[url, ("sslmod", "x")], &["no option `sslmod`", "sslmode"]),
            (&[url, ("sslmode", "allow")], &["\"allow\"", "verify-full"]),
            (&[url, ("connections_max", "0")], &["`connections_max`", "1 to 1000"]),
            (&[url, ("connect_timeout_seconds", "11")], &["1 to 10"]),
            (&[url, ("numeric", "float")], &["decimal, text"]),
            (&[url, ("password", "x")], &["plain text", "env("]),
        ];
        for (options, pieces) in cases {
            let error = open(options).unwrap_err();
            for piece in *pieces {
                assert!(error.contains(piece), "{options:?}: {error}");
            }
            assert!(!error.contains("topsecret") && !error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn verifying_needs_certificates() {
        let (url, nowhere) = (("url", "postgres://u@h/d"), ("sslrootcert", "/no/such/file"));
        for mode in ["verify-ca", "verify-full"] {
            let settings = open(&[url, ("sslmode", mode), nowhere]).unwrap();
            let error = super::super::tls::connector(&settings).err().unwrap().to_string();
            assert!(error.contains("sslrootcert") && error.contains("/no/such/file"), "{error}");
            // Without a file, those whom the system trusts; a machine may have none.
            let settings = open(&[url, ("sslmode", mode)]).unwrap();
            if let Err(e) = super::super::tls::connector(&settings) {
                assert!(e.to_string().contains("the system trusts nobody"), "{e}");
            }
        }
        let settings = open(&[url, ("sslmode", "require")]).unwrap();
        assert!(super::super::tls::connector(&settings).is_ok());
    }
}
