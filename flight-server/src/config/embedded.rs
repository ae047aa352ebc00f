//! `[catalog.NAME]` of type "embedded": where its pointers are.

use fjord_catalog::embedded::PostgresOptions;

use super::error::ConfigError;
use super::reader::Section;

/// The keys of such a section, beside `type`.
pub(super) const KEYS: &[&str] = &["password", "url", "warehouse"];

/// Takes `url` and `password`; `None`: SQLite in the data directory.
pub(super) fn postgres(section: &mut Section<'_>) -> Result<Option<PostgresOptions>, ConfigError> {
    let password = section.secret("password")?;
    match section.text("url")? {
        Some(url) => PostgresOptions::try_new(&url, password)
            .map(Some)
            .map_err(|e| section.error("url", e.message())),
        None if password.is_some() => Err(section.error(
            "password",
            "there is no `url` that it could be for; accepted: postgres://USER@HOST:PORT/DATABASE",
        )),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use toml::Table;

    use super::*;

    fn parse(text: &str) -> Result<Option<PostgresOptions>, ConfigError> {
        let table: Table = text.parse().unwrap();
        postgres(&mut Section::new("f", "catalog.x", table, KEYS).unwrap())
    }

    #[test]
    fn a_url_is_checked_and_its_password_comes_by_reference() {
        assert_eq!(parse("").unwrap(), None);
        let url = "url = 'postgres://me@127.0.0.1:5432/lake?sslmode=verify-full'";
        assert!(parse(url).unwrap().is_some());
        let with = format!("{url}\npassword = {{ env = 'PATH' }}");
        let path = super::super::environment::variable("PATH").unwrap();
        let parsed = parse(&with).unwrap();
        assert!(parsed.is_some() && !format!("{parsed:?}").contains(&path), "{parsed:?}");
        for (text, expected) in [
            ("password = { env = 'PATH' }", "catalog.x.password: there is no `url`"),
            ("url = 'mysql://h/d'", "catalog.x.url: database url: accepted: postgres://"),
            ("url = 'nonsense'", "catalog.x.url: database url: not a URL"),
            ("url = 'postgres://me:canary@h/d'", "it holds a password"),
            ("url = 'postgres://me@h/d?password=canary'", "it holds a password"),
            ("url = 'postgres://me@h/d?sslmode=canary'", "not understood"),
            ("url = 7", "catalog.x.url: found the number 7"),
            ("url = 'postgres://h/d'\npassword = 'canary'", "secrets do not stand in this file"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("canary"), "{text}: {error}");
        }
    }
}
