//! The flags that name a server and say who one is there.

use std::path::{Path, PathBuf};

use clap::Args;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::address::Address;
use super::credentials::{Credentials, Secret};
use crate::config::{ConfigError, environment};

const URL: &str = "--url (or FJORD_URL)";
const PASSWORD_VARIABLE: &str = "FJORD_PASSWORD";
/// A file with a password or a key is short; a device or a mistake is not.
const SMALL_FILE_BYTES_MAX: u64 = 1 << 20;

/// Flags of commands that may talk to a server.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "On a server")]
pub(crate) struct RemoteArgs {
    /// A server to work on, instead of a data directory: grpc://HOST:PORT or grpc+tls://HOST:PORT
    #[arg(long, env = "FJORD_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Whom to log in as; the password is asked for, or comes from FJORD_PASSWORD
    #[expect(clippy::doc_markdown, reason = "this is shown to people at a terminal")]
    #[arg(long, env = "FJORD_USER", value_name = "NAME", requires = "url")]
    user: Option<String>,
    /// The file whose first line is the password
    #[arg(long, env = "FJORD_PASSWORD_FILE", value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// A bearer token instead of a user; better in FJORD_TOKEN, where other processes do not see it
    #[expect(clippy::doc_markdown, reason = "this is shown to people at a terminal")]
    #[arg(
        long,
        env = "FJORD_TOKEN",
        value_name = "TOKEN",
        requires = "url",
        conflicts_with = "user",
        hide_env_values = true
    )]
    token: Option<Secret>,
    /// Certificates (PEM) of the authorities to trust, instead of the system's
    #[arg(long, env = "FJORD_TLS_CA", value_name = "FILE", requires = "url")]
    tls_ca: Option<PathBuf>,
    /// The certificate (PEM) to show to the server
    #[arg(
        long,
        env = "FJORD_TLS_CLIENT_CERT",
        value_name = "FILE",
        requires_all = ["url", "tls_client_key"]
    )]
    tls_client_cert: Option<PathBuf>,
    /// The key (PEM) of that certificate
    #[arg(
        long,
        env = "FJORD_TLS_CLIENT_KEY",
        value_name = "FILE",
        requires_all = ["url", "tls_client_cert"]
    )]
    tls_client_key: Option<PathBuf>,
    /// The name that the server's certificate must have, where it is not the URL's host
    #[arg(long, env = "FJORD_TLS_SERVER_NAME", value_name = "NAME", requires = "url")]
    tls_server_name: Option<String>,
}

/// Where to connect, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct RemoteOptions {
    pub(crate) address: Address,
    pub(crate) credentials: Credentials,
    pub(crate) tls: TlsOptions,
}

/// What a client checks of a server, and shows of itself.
#[derive(Clone, Default)]
pub(crate) struct TlsOptions {
    /// PEM; `None`: the system's authorities.
    pub(crate) authorities: Option<Vec<u8>>,
    /// Certificate and key, PEM.
    pub(crate) identity: Option<(Vec<u8>, Vec<u8>)>,
    /// `None`: the URL's host.
    pub(crate) server_name: Option<String>,
}

impl std::fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsOptions").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl RemoteArgs {
    /// What the flags amount to; `None` without a URL. Asks for the password where a person is
    /// there to answer.
    ///
    /// # Errors
    /// For flags that contradict each other and files that cannot be read.
    pub(crate) fn options(
        &self,
        data_dir: Option<&Path>,
    ) -> Result<Option<RemoteOptions>, ConfigError> {
        // An empty variable is how a shell script says "not set".
        let Some(url) = self.url.as_deref().filter(|url| !url.is_empty()) else { return Ok(None) };
        let address = Address::parse(url).map_err(|p| ConfigError::new(URL, "", p))?;
        if let Some(data_dir) = data_dir {
            let problem = format!(
                "runs statements on the server {address}, and --data-dir (or FJORD_DATA_DIR) runs \
                 them in this process on {:?}: leave one of them out",
                data_dir.display()
            );
            return Err(ConfigError::new(URL, "", problem));
        }
        let tls = self.tls(&address)?;
        Ok(Some(RemoteOptions { credentials: self.credentials(&address)?, tls, address }))
    }

    fn tls(&self, address: &Address) -> Result<TlsOptions, ConfigError> {
        let given = [
            ("--tls-ca", self.tls_ca.is_some()),
            ("--tls-client-cert", self.tls_client_cert.is_some()),
            ("--tls-server-name", self.tls_server_name.is_some()),
        ];
        if let Some((flag, _)) = given.iter().find(|(_, is_given)| *is_given && !address.is_tls) {
            let problem = format!(
                "is for encrypted connections, and {address} is none: use {}",
                address.with_tls(true)
            );
            return Err(ConfigError::new(*flag, "", problem));
        }
        let authorities = match &self.tls_ca {
            Some(path) => Some(read_certificates("--tls-ca", path)?),
            None => None,
        };
        let identity = match (&self.tls_client_cert, &self.tls_client_key) {
            (Some(certificate), Some(key)) => Some((
                read_certificates("--tls-client-cert", certificate)?,
                read_small("--tls-client-key", key)?,
            )),
            _ => None,
        };
        Ok(TlsOptions { authorities, identity, server_name: self.tls_server_name.clone() })
    }

    fn credentials(&self, address: &Address) -> Result<Credentials, ConfigError> {
        if let Some(token) = &self.token {
            return Ok(Credentials::Token(token.clone()));
        }
        let Some(user) = &self.user else { return Ok(Credentials::Anonymous) };
        let password = match &self.password_file {
            Some(path) => first_line("--password-file", &read_small("--password-file", path)?)?,
            None => match environment::variable(PASSWORD_VARIABLE) {
                Some(password) => Secret::new(password),
                None => ask(user, address)?,
            },
        };
        Ok(Credentials::Password { user: user.clone(), password })
    }
}

/// Asks at the terminal, without an echo, even where standard input is a script.
fn ask(user: &str, address: &Address) -> Result<Secret, ConfigError> {
    rpassword::prompt_password(format!("password of {user:?} at {address}: "))
        .map(Secret::new)
        .map_err(|_no_terminal| {
            let problem = "has no password, and there is no terminal to ask at: set \
                           FJORD_PASSWORD or give --password-file";
            ConfigError::new(format!("--user {user:?}"), "", problem)
        })
}

fn read_certificates(flag: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    let bytes = read_small(flag, path)?;
    match CertificateDer::pem_slice_iter(&bytes).next() {
        Some(Ok(_)) => Ok(bytes),
        _ => Err(ConfigError::new(
            flag,
            "",
            format!("found no PEM certificate in {:?}", path.display()),
        )),
    }
}

fn read_small(flag: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    let read = || {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path)?;
        std::io::Read::read_to_end(
            &mut std::io::Read::take(file, SMALL_FILE_BYTES_MAX),
            &mut bytes,
        )?;
        Ok(bytes)
    };
    read().map_err(|e: std::io::Error| {
        ConfigError::new(flag, "", format!("{:?} cannot be read: {e}", path.display()))
    })
}

fn first_line(flag: &str, bytes: &[u8]) -> Result<Secret, ConfigError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_bytes| ConfigError::new(flag, "", "found something that is not UTF-8"))?;
    Ok(Secret::new(text.lines().next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(url: &str) -> RemoteArgs {
        RemoteArgs { url: Some(url.to_owned()), ..RemoteArgs::default() }
    }

    #[test]
    fn a_url_and_a_data_directory_exclude_each_other() {
        let error = arguments("grpc://h:1").options(Some(Path::new("lake"))).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("--url (or FJORD_URL): runs statements on the server"), "{text}");
        assert!(text.contains("--data-dir") && text.contains("\"lake\""), "{text}");
        assert!(RemoteArgs::default().options(Some(Path::new("lake"))).unwrap().is_none());
    }

    #[test]
    fn tls_flags_want_a_tls_url() {
        let mut given = arguments("grpc://h:1");
        given.tls_server_name = Some("lake".to_owned());
        let text = given.options(None).unwrap_err().to_string();
        assert!(text.contains("--tls-server-name") && text.contains("grpc+tls://h:1"), "{text}");
    }

    #[test]
    fn a_password_file_counts_to_its_first_line_break() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        std::fs::write(&path, "s3 cret \nrest").unwrap();
        let mut given = arguments("grpc://h:1");
        given.user = Some("ann".to_owned());
        given.password_file = Some(path);
        let options = given.options(None).unwrap().unwrap();
        assert!(matches!(
            options.credentials,
            Credentials::Password { password, .. } if password == Secret::new("s3 cret ")
        ));
    }

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        std::fs::write(&path, "not a certificate").unwrap();
        let mut given = arguments("grpc+tls://h:1");
        given.tls_ca = Some(path);
        let text = given.options(None).unwrap_err().to_string();
        assert!(text.starts_with("--tls-ca: found no PEM certificate in"), "{text}");
    }
}
