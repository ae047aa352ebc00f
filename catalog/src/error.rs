//! The one error type of this crate: a kind to switch on, context to act on, and whether a retry may help.

use std::fmt;

/// What went wrong, in terms a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The namespace, table, view, snapshot or file does not exist.
    NotFound,
    /// The name is taken, by a table or by a view.
    AlreadyExists,
    /// The caller asked for something malformed.
    InvalidArgument,
    /// Well-formed, but not supported here; the message says what to do instead.
    Unsupported,
    /// Another commit won and the operation cannot be rebased on it.
    Conflict,
    /// A compare-and-set of the metadata location lost; rebase and try again.
    Stale,
    /// The request was sent and its outcome could not be learnt. Nothing may be deleted.
    CommitUnknown,
    /// A file is damaged or contradicts the specification; the message names the file.
    Corrupt,
    /// The catalog or the storage cannot be reached or is busy.
    Unavailable,
    /// Reading or writing bytes failed.
    Storage,
    /// Policy or credentials forbid it.
    PermissionDenied,
    /// A size, depth or count went over its limit.
    LimitExceeded,
    /// An invariant of ours did not hold.
    Bug,
}

/// A failure of the catalog layer.
///
/// Messages are lowercase, name the object in quotes and have no final stop.
pub struct Error {
    kind: ErrorKind,
    message: String,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn std::error::Error + Send + Sync + 'static>>,
    retryable: bool,
}

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind`; `message` says what was wrong and, where it helps, what would be right.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let retryable = matches!(kind, ErrorKind::Stale | ErrorKind::Unavailable);
        Self { kind, message: message.into(), context: Vec::new(), source: None, retryable }
    }

    /// Adds one key and value that helps the reader find the place.
    #[must_use]
    pub fn with_context(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.context.push((key, value.into()));
        self
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

    /// Overrides whether a retry may succeed.
    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// What to switch on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message without context and cause.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for (i, (key, value)) in self.context.iter().enumerate() {
            write!(f, "{}{key}: {value}", if i == 0 { " (" } else { ", " })?;
        }
        if !self.context.is_empty() {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)?;
        let mut cause = std::error::Error::source(self);
        while let Some(e) = cause {
            write!(f, "; caused by: {e}")?;
            cause = e.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn std::error::Error + 'static))
    }
}

impl From<iceberg::Error> for Error {
    /// The format library's kinds, as ours. Its `Unexpected` covers I/O and bad data alike, so a
    /// cause of ours underneath (our storage raised it) keeps its own kind.
    fn from(e: iceberg::Error) -> Self {
        let mut cause = std::error::Error::source(&e);
        while let Some(inner) = cause {
            if let Some(ours) = inner.downcast_ref::<Error>() {
                let mut error = Error::new(ours.kind, ours.message.clone());
                error.context = ours.context.clone();
                error.retryable = ours.retryable;
                return error.with_source(e);
            }
            cause = inner.source();
        }
        let kind = match e.kind() {
            iceberg::ErrorKind::DataInvalid => ErrorKind::Corrupt,
            iceberg::ErrorKind::FeatureUnsupported => ErrorKind::Unsupported,
            iceberg::ErrorKind::NamespaceNotFound | iceberg::ErrorKind::TableNotFound => {
                ErrorKind::NotFound
            }
            iceberg::ErrorKind::NamespaceAlreadyExists | iceberg::ErrorKind::TableAlreadyExists => {
                ErrorKind::AlreadyExists
            }
            iceberg::ErrorKind::PreconditionFailed => ErrorKind::InvalidArgument,
            iceberg::ErrorKind::CatalogCommitConflicts => ErrorKind::Stale,
            _ => ErrorKind::Corrupt,
        };
        Error::new(kind, e.message().to_owned()).with_source(e)
    }
}
