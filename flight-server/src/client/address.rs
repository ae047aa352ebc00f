//! Where a server is: `grpc://HOST:PORT`, or `grpc+tls://HOST:PORT`.

use std::fmt;

use url::Url;

/// Where `fjord serve` listens unless told otherwise.
const DEFAULT_PORT: u16 = 32_010;
const ACCEPTED: &str = "grpc://HOST:PORT or grpc+tls://HOST:PORT";

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// A name or an IP address; IPv6 without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
}

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// What was found and what is accepted. A password inside is not repeated.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text)
            .map_err(|e| format!("found something that is no URL ({e}); accepted: {ACCEPTED}"))?;
        let is_tls = match url.scheme() {
            "grpc" | "grpc+tcp" => false,
            "grpc+tls" => true,
            other => return Err(format!("found scheme {other:?}; accepted: {ACCEPTED}")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("found a user in the URL, which other processes can see: use --user, and \
                        FJORD_PASSWORD or --password-file"
                .to_owned());
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("found more than a host and a port; accepted: {ACCEPTED}"));
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(format!("found no host; accepted: {ACCEPTED}"));
        }
        Ok(Self { host, port: url.port().unwrap_or(DEFAULT_PORT), is_tls })
    }

    /// The same place under the other protocol, for advice.
    pub(super) fn with_tls(&self, is_tls: bool) -> Self {
        Self { is_tls, ..self.clone() }
    }

    /// As HTTP libraries spell it.
    pub(super) fn http_uri(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "grpc+tls" } else { "grpc" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_written_alike() {
        for (text, shown, http) in [
            ("grpc://localhost:32010", "grpc://localhost:32010", "http://localhost:32010"),
            ("grpc+tcp://10.0.0.1:1/", "grpc://10.0.0.1:1", "http://10.0.0.1:1"),
            (
                "grpc+tls://lake.example",
                "grpc+tls://lake.example:32010",
                "https://lake.example:32010",
            ),
            ("grpc://[::1]:7", "grpc://[::1]:7", "http://[::1]:7"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.to_string().as_str(), address.http_uri().as_str()), (shown, http));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_is_accepted() {
        for (text, expected) in [
            ("localhost:32010", "found scheme \"localhost\"; accepted: grpc://HOST:PORT"),
            ("http://localhost:8080", "found scheme \"http\"; accepted"),
            ("lake", "no URL"),
            ("grpc://", "found"),
            ("grpc://h:1/db", "more than a host and a port"),
            ("grpc://h:1?x=1", "more than a host and a port"),
        ] {
            let problem = Address::parse(text).unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
        let problem = Address::parse("grpc://ann:hunter2@h:1").unwrap_err();
        assert!(problem.contains("FJORD_PASSWORD") && !problem.contains("hunter2"), "{problem}");
    }
}
