//! `[auth]`, `[role.NAME]`, `[user.NAME]`: who may connect to a server, and what they may do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use toml::Table;
use url::Url;

use super::error::ConfigError;
use super::grant::{self, Grant, RoleName};
use super::reader::{Section, join};
use super::tls::TlsConfig;

/// The most roles, and the most users with a section of their own.
const NAMES_MAX: usize = 10_000;
/// The longest name of a user or role.
const NAME_BYTES_MAX: usize = 256;
/// How long a token lives that nobody uses.
const TOKEN_IDLE: Duration = Duration::from_secs(24 * 3_600);
/// How long a token lives at most.
const TOKEN_LIFE: Duration = Duration::from_secs(7 * 86_400);
/// The most that clocks may differ.
const LEEWAY_MAX: Duration = Duration::from_secs(60);
/// Signatures that are understood. HMAC is not among them: whoever can verify it can forge it.
const ALGORITHMS: &[&str] = &["RS256", "ES256", "EdDSA"];

/// Who may connect, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthConfig {
    /// A file of `user:hash` lines.
    pub passwords: Option<PathBuf>,
    /// Tokens of an identity provider.
    pub jwt: Option<JwtConfig>,
    /// Client certificates.
    pub mtls: Option<MtlsConfig>,
    /// How long a session's token lives that nobody uses.
    pub token_idle: Duration,
    /// How long a session's token lives at most.
    pub token_life: Duration,
    /// What they may do whom nothing else says anything of; `None`: they are not let in.
    pub default_role: Option<Grant>,
    /// The built-in `reader` and `admin`, and every `[role.NAME]`.
    pub roles: BTreeMap<String, Grant>,
    /// Every `[user.NAME]`.
    pub users: BTreeMap<String, Grant>,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            passwords: None,
            jwt: None,
            mtls: None,
            token_idle: TOKEN_IDLE,
            token_life: TOKEN_LIFE,
            default_role: None,
            roles: built_in(),
            users: BTreeMap::new(),
        }
    }
}

impl AuthConfig {
    /// Whether anybody has to say who they are.
    pub fn is_on(&self) -> bool {
        self.passwords.is_some() || self.jwt.is_some() || self.mtls.is_some()
    }
}

/// `[auth.jwt]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtConfig {
    /// The `iss` that tokens must have.
    pub issuer: String,
    /// Tokens must have one of these as `aud`.
    pub audience: Vec<String>,
    /// Where the keys come from.
    pub keys: JwtKeys,
    /// Accepted signatures, among `RS256`, `ES256` and `EdDSA`.
    pub algorithms: Vec<String>,
    /// The claim that names the user.
    pub principal_claim: String,
    /// The claim that lists roles or groups; dots lead into objects.
    pub roles_claim: Option<String>,
    /// What each value of that claim allows.
    pub roles: BTreeMap<String, Grant>,
    /// How far clocks may differ.
    pub leeway: Duration,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtKeys {
    /// A JSON Web Key Set behind a URL.
    Url(Url),
    /// Public keys as PEM files.
    Files(Vec<PathBuf>),
}

/// `[auth.mtls]`: a client certificate's subject names the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MtlsConfig {
    /// Whether nobody connects without a certificate.
    pub required: bool,
}

/// Reads everything about who may do what.
pub(super) fn parse(
    file: &str,
    top: &mut Section<'_>,
    tls: Option<&TlsConfig>,
) -> Result<AuthConfig, ConfigError> {
    let roles = roles(file, top.tables("role")?)?;
    let users = users(file, top.tables("user")?, &roles)?;
    let has_table = top.table("auth")?;
    let is_said = has_table.is_some();
    let mut auth = parse_auth(file, has_table.unwrap_or_default(), roles)?;
    auth.users = users;
    let has_client_ca = tls.is_some_and(|tls| tls.client_ca.is_some());
    if auth.mtls.is_some() && !has_client_ca {
        let problem = "needs the certificates that clients are verified with: set tls.client_ca";
        return Err(ConfigError::new(file, "auth.mtls", problem));
    }
    if auth.mtls.is_none() && has_client_ca {
        let problem = "is of no use without a section [auth.mtls]: add one, or leave this out";
        return Err(ConfigError::new(file, "tls.client_ca", problem));
    }
    if !auth.is_on() {
        let useless = if is_said { Some("auth".to_owned()) } else { None };
        let useless = useless.or_else(|| auth.users.keys().next().map(|u| join("user", u)));
        if let Some(key) = useless {
            let problem = "says nothing of how users prove who they are; accepted: auth.passwords = \"FILE\", a section [auth.jwt], a section [auth.mtls]";
            return Err(ConfigError::new(file, key, problem));
        }
    }
    Ok(auth)
}

fn built_in() -> BTreeMap<String, Grant> {
    BTreeMap::from([("reader".to_owned(), Grant::Reader), ("admin".to_owned(), Grant::Admin)])
}

fn check_name(file: &str, kind: &str, name: &str) -> Result<(), ConfigError> {
    let is_good = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.contains(|c: char| c == ':' || c.is_control());
    if is_good {
        return Ok(());
    }
    let problem = format!(
        "not a {kind}'s name; accepted: up to {NAME_BYTES_MAX} bytes without ':' and control characters"
    );
    Err(ConfigError::new(file, join(kind, name), problem))
}

fn check_count(file: &str, key: &str, count: usize) -> Result<(), ConfigError> {
    if count <= NAMES_MAX {
        return Ok(());
    }
    let problem = format!("found {count} sections; accepted: at most {NAMES_MAX}");
    Err(ConfigError::new(file, key, problem))
}

fn roles(
    file: &str,
    sections: Vec<(String, Table)>,
) -> Result<BTreeMap<String, Grant>, ConfigError> {
    check_count(file, "role", sections.len())?;
    let mut roles = built_in();
    for (name, table) in sections {
        check_name(file, "role", &name)?;
        let path = join("role", &name);
        if matches!(name.as_str(), "reader" | "writer" | "admin") {
            let problem = "is built in; accepted: another name";
            return Err(ConfigError::new(file, path, problem));
        }
        let mut section = Section::new(file, path, table, &["role", "write"])?;
        match grant::take(&mut section)? {
            RoleName::Is(grant) => roles.insert(name, grant),
            RoleName::Named(other) => {
                let problem = format!(
                    "found {other:?}; accepted: \"reader\", \"writer\" with a list write = […], \"admin\""
                );
                return Err(section.error("role", problem));
            }
        };
    }
    Ok(roles)
}

fn users(
    file: &str,
    sections: Vec<(String, Table)>,
    roles: &BTreeMap<String, Grant>,
) -> Result<BTreeMap<String, Grant>, ConfigError> {
    check_count(file, "user", sections.len())?;
    let mut users = BTreeMap::new();
    for (name, table) in sections {
        check_name(file, "user", &name)?;
        let mut section = Section::new(file, join("user", &name), table, &["role", "write"])?;
        let grant = match grant::take(&mut section)? {
            RoleName::Is(grant) => grant,
            RoleName::Named(role) => named(&section, "role", &role, roles)?,
        };
        users.insert(name, grant);
    }
    Ok(users)
}

/// The grant behind a role's name.
fn named(
    section: &Section<'_>,
    key: &str,
    role: &str,
    roles: &BTreeMap<String, Grant>,
) -> Result<Grant, ConfigError> {
    roles.get(role).cloned().ok_or_else(|| {
        let known: Vec<&str> = roles.keys().map(String::as_str).collect();
        let hint = if role == "writer" {
            "; \"writer\" needs a list write = […], which a [role.NAME] or [user.NAME] gives it"
        } else {
            ""
        };
        section.error(key, format!("found {role:?}; accepted: {}{hint}", known.join(", ")))
    })
}

fn parse_auth(
    file: &str,
    table: Table,
    roles: BTreeMap<String, Grant>,
) -> Result<AuthConfig, ConfigError> {
    const KEYS: &[&str] = &["default_role", "jwt", "mtls", "passwords", "token_idle", "token_life"];
    let mut section = Section::new(file, "auth", table, KEYS)?;
    let passwords = section.text("passwords")?.map(PathBuf::from);
    let token_life = section.duration("token_life")?.unwrap_or(TOKEN_LIFE);
    let token_idle = section.duration("token_idle")?.unwrap_or(TOKEN_IDLE.min(token_life));
    if token_idle.is_zero() || token_idle > token_life {
        return Err(section.error("token_idle", "accepted: more than 0 and at most token_life"));
    }
    let default_role = match section.text("default_role")? {
        None => None,
        Some(role) => Some(named(&section, "default_role", &role, &roles)?),
    };
    let jwt = match section.table("jwt")? {
        None => None,
        Some(table) => Some(parse_jwt(file, table, &roles)?),
    };
    let mtls = match section.table("mtls")? {
        None => None,
        Some(table) => {
            let mut section = Section::new(file, "auth.mtls", table, &["required"])?;
            Some(MtlsConfig { required: section.boolean("required")?.unwrap_or(false) })
        }
    };
    let users = BTreeMap::new();
    Ok(AuthConfig { passwords, jwt, mtls, token_idle, token_life, default_role, roles, users })
}

fn parse_jwt(
    file: &str,
    table: Table,
    known: &BTreeMap<String, Grant>,
) -> Result<JwtConfig, ConfigError> {
    const KEYS: &[&str] = &[
        "algorithms",
        "audience",
        "issuer",
        "jwks_url",
        "leeway",
        "principal_claim",
        "public_keys",
        "roles",
        "roles_claim",
    ];
    let mut section = Section::new(file, "auth.jwt", table, KEYS)?;
    let missing = |section: &Section<'_>, key: &str, what: &str| {
        section.error(key, format!("is missing; accepted: {what}"))
    };
    let issuer = section.text("issuer")?;
    let issuer =
        issuer.ok_or_else(|| missing(&section, "issuer", "the \"iss\" that tokens must have"))?;
    let audience = section.texts("audience")?;
    let audience = audience.ok_or_else(|| {
        missing(&section, "audience", "the \"aud\" that tokens must have, or a list")
    })?;
    let keys = jwt_keys(&mut section)?;
    let algorithms = section.texts("algorithms")?;
    let algorithms =
        algorithms.unwrap_or_else(|| ALGORITHMS.iter().map(|a| (*a).to_owned()).collect());
    if let Some(other) = algorithms.iter().find(|a| !ALGORITHMS.contains(&a.as_str())) {
        let problem = format!("found {other:?}; accepted: {}", ALGORITHMS.join(", "));
        return Err(section.error("algorithms", problem));
    }
    let principal_claim = section.text("principal_claim")?.unwrap_or_else(|| "sub".to_owned());
    let roles_claim = section.text("roles_claim")?;
    let leeway = section.duration("leeway")?.unwrap_or(LEEWAY_MAX);
    if leeway > LEEWAY_MAX {
        return Err(section.error("leeway", "accepted: at most \"60s\""));
    }
    let roles = jwt_roles(file, section.table("roles")?, known)?;
    if roles_claim.is_none() != roles.is_empty() {
        let problem = "goes with a section [auth.jwt.roles] that says what each value allows, and the other way round";
        return Err(section.error("roles_claim", problem));
    }
    Ok(JwtConfig {
        issuer,
        audience,
        keys,
        algorithms,
        principal_claim,
        roles_claim,
        roles,
        leeway,
    })
}

fn jwt_roles(
    file: &str,
    table: Option<Table>,
    known: &BTreeMap<String, Grant>,
) -> Result<BTreeMap<String, Grant>, ConfigError> {
    let table = table.unwrap_or_default();
    check_count(file, "auth.jwt.roles", table.len())?;
    let section = Section::new(file, "auth.jwt.roles", Table::new(), &[])?;
    let mut roles = BTreeMap::new();
    for (value, role) in table {
        let toml::Value::String(role) = role else {
            return Err(section.wrong_type(&value, &role, "the name of a role"));
        };
        let grant = named(&section, &value, &role, known)?;
        roles.insert(value, grant);
    }
    Ok(roles)
}

fn jwt_keys(section: &mut Section<'_>) -> Result<JwtKeys, ConfigError> {
    let url = section.text("jwks_url")?;
    let files = section.texts("public_keys")?;
    match (url, files) {
        (Some(text), None) => {
            // Over plain HTTP anybody on the way may put in a key of their own.
            let url = Url::parse(&text).ok().filter(|url| {
                url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
            });
            url.map(JwtKeys::Url).ok_or_else(|| {
                let problem =
                    format!("found {text:?}; accepted: an https URL, or http on this machine");
                section.error("jwks_url", problem)
            })
        }
        (None, Some(files)) => Ok(JwtKeys::Files(files.into_iter().map(PathBuf::from).collect())),
        (None, None) => {
            let problem =
                "is missing; accepted: jwks_url = \"https://…\" or public_keys = [\"FILE.pem\", …]";
            Err(section.error("jwks_url", problem))
        }
        (Some(_), Some(_)) => {
            Err(section.error("jwks_url", "stands beside public_keys; accepted: one of them"))
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::grant::WriteScope;
    use crate::config::parse;

    #[test]
    fn a_full_description_is_read() {
        let text = r#"
[tls]
certificate = "server.pem"
key = "server.key"
client_ca = "ca.pem"
[auth]
passwords = "users"
token_idle = "12h"
default_role = "reader"
[auth.mtls]
required = true
[auth.jwt]
issuer = "https://id.example"
audience = "fjord"
jwks_url = "https://id.example/keys"
algorithms = ["RS256"]
principal_claim = "email"
roles_claim = "realm.roles"
leeway = "30s"
[auth.jwt.roles]
engineers = "team"
bosses = "admin"
[role.team]
role = "writer"
write = ["Iceberg.Silver", "nessie"]
[user.grafana]
role = "reader"
[user.etl]
role = "team"
[user."a b"]
role = "writer"
write = "*"
"#;
        let config = parse(text.as_bytes(), "fjord.toml").unwrap();
        let auth = config.auth;
        assert!(auth.is_on());
        assert_eq!(auth.token_idle, Duration::from_secs(12 * 3600));
        assert_eq!(auth.token_life, TOKEN_LIFE);
        let team = Grant::Writer(vec![
            WriteScope::Schema { catalog: "iceberg".into(), schema: "silver".into() },
            WriteScope::Catalog("nessie".into()),
        ]);
        assert_eq!(auth.users["etl"], team);
        assert_eq!(auth.users["a b"], Grant::Writer(vec![WriteScope::Everything]));
        assert_eq!(auth.default_role, Some(Grant::Reader));
        let jwt = auth.jwt.unwrap();
        assert_eq!(jwt.roles["engineers"], team);
        assert_eq!(jwt.leeway, Duration::from_secs(30));
        assert_eq!(auth.mtls, Some(MtlsConfig { required: true }));
    }

    #[test]
    fn every_mistake_names_its_key_and_what_is_accepted() {
        let jwt = "[auth.jwt]\nissuer = \"i\"\naudience = \"a\"\n";
        for (text, expected) in [
            ("[auth]".to_owned(), "auth: says nothing of how users prove"),
            ("[user.x]\nrole = \"admin\"".into(), "user.x: says nothing of how users prove"),
            (
                "[auth]\npassword = \"x\"".into(),
                "auth.password: unknown key; accepted here: default_role",
            ),
            ("[auth]\npasswords = 7".into(), "auth.passwords: found the number 7"),
            (
                "[auth]\npasswords = \"f\"\ntoken_idle = \"8d\"".into(),
                "auth.token_idle: accepted: more than 0 and at most token_life",
            ),
            (
                "[auth]\npasswords = \"f\"\ntoken_life = 7".into(),
                "auth.token_life: found \"7\"; accepted: a time with its unit",
            ),
            (
                "[auth]\npasswords = \"f\"\ntoken_life = \"99999999999999999999d\"".into(),
                "auth.token_life: found \"9999",
            ),
            (
                "[auth]\npasswords = \"f\"\ndefault_role = \"root\"".into(),
                "auth.default_role: found \"root\"; accepted: admin, reader",
            ),
            ("[auth]\npasswords = \"f\"\ndefault_role = \"writer\"".into(), "needs a list write"),
            (
                "[user.x]\nrole = \"writer\"".into(),
                "user.x.write: is missing; accepted: a list of catalogs",
            ),
            (
                "[user.x]\nrole = \"writer\"\nwrite = [\"a.\"]".into(),
                "user.x.write: found \"a.\"; accepted",
            ),
            (
                "[user.x]\nrole = \"writer\"\nwrite = [\"a.*\"]".into(),
                "user.x.write: found \"a.*\"; accepted",
            ),
            (
                "[user.x]\nrole = \"writer\"\nwrite = []".into(),
                "user.x.write: found a list; accepted",
            ),
            (
                "[user.x]\nrole = \"reader\"\nwrite = [\"a\"]".into(),
                "user.x.write: goes with role = \"writer\" alone",
            ),
            (
                "[user.x]\nrole = \"chief\"".into(),
                "user.x.role: found \"chief\"; accepted: admin, reader",
            ),
            ("[user.x]".into(), "user.x.role: is missing; accepted: \"reader\""),
            ("[user.\"a:b\"]\nrole = \"admin\"".into(), "user.\"a:b\": not a user's name"),
            ("[role.admin]\nrole = \"admin\"".into(), "role.admin: is built in"),
            (
                "[role.a]\nrole = \"b\"\n[role.b]\nrole = \"admin\"".into(),
                "role.a.role: found \"b\"; accepted: \"reader\"",
            ),
            ("[auth.mtls]".into(), "auth.mtls: needs the certificates"),
            (
                "[tls]\ncertificate = \"c\"\nkey = \"k\"\nclient_ca = \"a\"".into(),
                "tls.client_ca: is of no use without",
            ),
            ("[tls]\nkey = \"k\"".into(), "tls.certificate: is missing"),
            ("[auth.jwt]\naudience = \"a\"".into(), "auth.jwt.issuer: is missing"),
            ("[auth.jwt]\nissuer = \"i\"".into(), "auth.jwt.audience: is missing"),
            (jwt.into(), "auth.jwt.jwks_url: is missing; accepted: jwks_url"),
            (
                format!("{jwt}jwks_url = \"http://id.example/k\""),
                "auth.jwt.jwks_url: found \"http://id.example/k\"; accepted: an https URL",
            ),
            (
                format!("{jwt}jwks_url = \"https://a/\"\npublic_keys = [\"b\"]"),
                "stands beside public_keys",
            ),
            (
                format!("{jwt}public_keys = [\"b\"]\nalgorithms = [\"HS256\"]"),
                "auth.jwt.algorithms: found \"HS256\"; accepted: RS256, ES256, EdDSA",
            ),
            (
                format!("{jwt}public_keys = [\"b\"]\nalgorithms = [\"none\"]"),
                "auth.jwt.algorithms: found \"none\"",
            ),
            (
                format!("{jwt}public_keys = [\"b\"]\nleeway = \"61s\""),
                "auth.jwt.leeway: accepted: at most",
            ),
            (
                format!("{jwt}public_keys = [\"b\"]\nroles_claim = \"g\""),
                "auth.jwt.roles_claim: goes with",
            ),
            (
                format!(
                    "{jwt}public_keys = [\"b\"]\nroles_claim = \"g\"\n[auth.jwt.roles]\na = \"boss\""
                ),
                "auth.jwt.roles.a: found \"boss\"; accepted: admin, reader",
            ),
        ] {
            let found = parse(text.as_bytes(), "fjord.toml").unwrap_err().to_string();
            assert!(
                found.starts_with("fjord.toml: ") && found.contains(expected),
                "{text}\n{found}"
            );
        }
    }
}
