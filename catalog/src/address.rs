//! Addresses of servers from configuration, checked where they enter.

use url::Url;

use crate::error::{Error, ErrorKind, Result};

/// The address of a server that speaks HTTP. `what` it is of begins the message.
///
/// # Errors
/// `InvalidArgument` for anything else, and for one that carries credentials, which are not repeated.
pub(crate) fn of_server(what: &str, text: &str) -> Result<Url> {
    let wrong = |problem: &str| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("{what} {problem}; accepted: http(s)://host, with a port and a path or not"),
        )
    };
    let url = Url::parse(text).map_err(|e| wrong("is not a URL").with_source(e))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("is not an address of a server"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("has credentials in it"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a query or a fragment"));
    }
    Ok(url)
}
