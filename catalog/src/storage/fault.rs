//! Object-store failures as errors of this crate, with the full URI.

use std::error::Error as StdError;
use std::io;

use crate::error::{Error, ErrorKind};

/// Characters of a store's answer that messages repeat.
const REASON_CHARS_MAX: usize = 300;

/// What `doing` (`"read"`, `"write"` …) to `uri` met.
pub fn store_error(doing: &str, uri: &str, error: object_store::Error) -> Error {
    store_error_of("file", doing, uri, error)
}

/// The same of `what` (`"manifest list"` …).
pub(crate) fn store_error_of(
    what: &str,
    doing: &str,
    uri: &str,
    error: object_store::Error,
) -> Error {
    use object_store::Error as Store;
    // The source would say it again, in markup.
    let is_told = matches!(error, Store::PermissionDenied { .. } | Store::Unauthenticated { .. });
    let (kind, problem) = match &error {
        Store::NotFound { .. } => match code(&error).as_deref() {
            Some("NoSuchBucket") => (ErrorKind::NotFound, "there is no such bucket".to_owned()),
            _ => (ErrorKind::NotFound, "not found".to_owned()),
        },
        Store::AlreadyExists { .. } => (ErrorKind::AlreadyExists, "exists already".to_owned()),
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => {
            let said = code(&error).map(|code| format!(": the store answered {code}"));
            let said = said.unwrap_or_default();
            let place =
                "check the credentials of the [storage] section for it, or of the environment";
            let text = format!("cannot {doing} it: permission denied{said}; {place}");
            (ErrorKind::PermissionDenied, text)
        }
        Store::Precondition { .. } => {
            (ErrorKind::Storage, format!("cannot {doing} it: it changed meanwhile"))
        }
        Store::InvalidPath { .. } => {
            (ErrorKind::InvalidArgument, "no store can hold such a path".to_owned())
        }
        Store::NotSupported { .. } | Store::NotImplemented { .. } => {
            (ErrorKind::Unsupported, format!("the store cannot {doing} it"))
        }
        other => from_cause(doing, other),
    };
    let told = Error::new(kind, format!("{what} {uri:?}: {problem}"));
    if is_told { told } else { told.with_source(error) }
}

/// Local disk reports everything but absence as generic; the operating system's reason is inside.
fn from_cause(doing: &str, error: &object_store::Error) -> (ErrorKind, String) {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(e) = cause {
        if let Some(io) = e.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::NotFound => (ErrorKind::NotFound, "not found".to_owned()),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    (ErrorKind::PermissionDenied, format!("cannot {doing} it: {io}"))
                }
                _ => (ErrorKind::Storage, format!("cannot {doing} it: {io}")),
            };
        }
        cause = e.source();
    }
    (ErrorKind::Storage, format!("cannot {doing} it: {}", reason(error)))
}

fn innermost(error: &object_store::Error) -> String {
    let mut innermost: &(dyn StdError + 'static) = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

/// The code that a store over the network gave its error.
fn code(error: &object_store::Error) -> Option<String> {
    let text = innermost(error);
    let code = element(&text, "Code")?;
    Some(code.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect())
}

/// What a store over the network said, or what kept it from saying anything.
fn reason(error: &object_store::Error) -> String {
    let text = innermost(error);
    let said = match (element(&text, "Code"), element(&text, "Message")) {
        (Some(code), Some(message)) => format!("the store answered {code}: {message}"),
        (Some(code), None) => format!("the store answered {code}"),
        // A page of HTML is of no use to anybody.
        _ => text.split('<').next().unwrap_or_default().trim().to_owned(),
    };
    said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_CHARS_MAX).collect()
}

/// The text of the first `<name>…</name>`.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = xml.split_once(&format!("<{name}>"))?;
    after.split_once('<').map(|(text, _)| text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(source: &str) -> String {
        let error = object_store::Error::Generic { store: "S3", source: source.into() };
        store_error("read", "s3://b/f", error).to_string()
    }

    #[test]
    fn a_stores_own_words_are_told_without_its_markup() {
        let xml = "status 503: <?xml?><Error><Code>SlowDown</Code><Message>less, please</Message></Error>";
        assert_eq!(
            told(xml),
            "file \"s3://b/f\": cannot read it: the store answered SlowDown: less, please"
        );
        let html = "status 502: <html><body>a page\nof a proxy</body></html>";
        assert_eq!(told(html), "file \"s3://b/f\": cannot read it: status 502:");
        assert!(told(&"x".repeat(100_000)).len() < 1_000);
    }
}
