//! The error of this crate: what a foreign system or a file refused, and which one.

use std::fmt;
use std::sync::OnceLock;

use datafusion::error::DataFusionError;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The statement asked for something malformed: an unknown option, contradicting files.
    Invalid,
    /// No file is there.
    NotFound,
    /// A file is damaged or is not what it was taken for.
    Corrupt,
    /// A store could not be reached or refused the request.
    Unavailable,
    /// A count or size went over its limit.
    LimitExceeded,
    /// Something of that name is there.
    AlreadyExists,
    /// What was asked for is not supported.
    Unsupported,
    /// The foreign system does not allow it to the user that we are there.
    PermissionDenied,
    /// Somebody else changed what the statement was planned on.
    Conflict,
    /// A value, or a whole type, has no place in what it should become.
    Value,
}

/// A failure of a connector. Its `Display` includes the cause, because it crosses layers as text.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync + 'static>>,
}

impl Error {
    /// An error of `kind`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Keeps the cause.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What to switch on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The failure of reading `file`: whose fault it is follows from the cause.
    pub(crate) fn reading(file: &str, cause: DataFusionError) -> DataFusionError {
        if is_ours(&cause) {
            return cause;
        }
        let kind = match cause.find_root() {
            DataFusionError::ObjectStore(e) => match e.as_ref() {
                object_store::Error::NotFound { .. } => ErrorKind::NotFound,
                e => match refusal(e) {
                    Some(why) => {
                        let message = format!("file {file:?} cannot be read: {why}");
                        return Self::new(ErrorKind::PermissionDenied, message).into();
                    }
                    None => ErrorKind::Unavailable,
                },
            },
            DataFusionError::ResourcesExhausted(_) => return cause,
            _ => ErrorKind::Corrupt,
        };
        Self::new(kind, format!("file {file:?} cannot be read")).with_source(cause).into()
    }
}

/// Why a store does not show what is there to these credentials; `None` where it is something else.
fn refusal(e: &object_store::Error) -> Option<String> {
    use object_store::Error as Store;
    let text = e.to_string();
    let is_refused = matches!(e, Store::PermissionDenied { .. } | Store::Unauthenticated { .. })
        // Listing does not tell it from other failures.
        || text.contains("403 Forbidden")
        || text.contains("401 Unauthorized");
    let code = text.split_once("<Code>").and_then(|(_, after)| after.split('<').next());
    let said = code.map(|code| format!(": the store answered {code}")).unwrap_or_default();
    is_refused.then(|| {
        format!(
            "permission denied{said}; check the credentials of the [storage] section for it, or of \
             the environment"
        )
    })
}

fn is_ours(e: &DataFusionError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(e);
    while let Some(inner) = cause {
        if inner.is::<Error>() {
            return true;
        }
        cause = inner.source();
    }
    false
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn std::error::Error + 'static))
    }
}

/// What is put before an error that leaves its process as text.
static TAG: OnceLock<fn(ErrorKind) -> String> = OnceLock::new();

/// From now on the errors of this process carry what `tag` says of their kind, as context: another
/// process gets them as texts.
pub fn tag_kinds(tag: fn(ErrorKind) -> String) {
    // The first one stays: whoever calls again means the same.
    let _set = TAG.set(tag);
}

impl From<Error> for DataFusionError {
    fn from(e: Error) -> Self {
        let tag = TAG.get().map(|tag| tag(e.kind));
        let e = DataFusionError::External(Box::new(e));
        match tag {
            Some(tag) => DataFusionError::Context(tag, Box::new(e)),
            None => e,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_refuses_credentials_is_told_from_one_that_fails() {
        let told = |source: &str| {
            let error = object_store::Error::Generic { store: "S3", source: source.into() };
            Error::reading("s3://b/*", DataFusionError::ObjectStore(Box::new(error))).to_string()
        };
        let refused = told(
            "Server returned non-2xx status code: 403 Forbidden: <Error><Code>InvalidAccessKeyId\
             </Code><Message>no such key</Message></Error>",
        );
        assert!(
            refused.contains(
                "file \"s3://b/*\" cannot be read: permission denied: the store answered \
                 InvalidAccessKeyId; check the credentials of the [storage] section"
            ),
            "{refused}"
        );
        assert!(!refused.contains('<'), "{refused}");
        assert!(told("503 Service Unavailable").contains("503 Service Unavailable"));
    }
}
