//! The engine's error: what a statement's author can act on.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is not SQL, or not the SQL that Fjord reads.
    Syntax,
    /// Parsed, but it cannot mean anything here: unknown columns, wrong types, bad options.
    Invalid,
    /// A catalog, schema, table, view, column or file is missing.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// Understood and not supported; the message says what to do instead.
    Unsupported,
    /// A concurrent commit won and the statement cannot be rebased on it.
    Conflict,
    /// The commit's outcome is not known; nothing was deleted.
    CommitUnknown,
    /// A file or a catalog is damaged.
    Corrupt,
    /// Memory, depth or size went over its limit; the message names the operator or the limit.
    LimitExceeded,
    /// Policy forbids it.
    PermissionDenied,
    /// The statement was cancelled.
    Cancelled,
    /// Evaluating a row failed: division by zero, a cast out of range.
    Execution,
    /// A store or a catalog could not be reached.
    Unavailable,
    /// An invariant of ours or of a library did not hold.
    Bug,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::Syntax,
        Self::Invalid,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Unsupported,
        Self::Conflict,
        Self::CommitUnknown,
        Self::Corrupt,
        Self::LimitExceeded,
        Self::PermissionDenied,
        Self::Cancelled,
        Self::Execution,
        Self::Unavailable,
        Self::Bug,
    ];

    /// Its name in `system.queries` and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Unsupported => "unsupported",
            Self::Conflict => "conflict",
            Self::CommitUnknown => "commit_unknown",
            Self::Corrupt => "corrupt",
            Self::LimitExceeded => "limit_exceeded",
            Self::PermissionDenied => "permission_denied",
            Self::Cancelled => "cancelled",
            Self::Execution => "execution",
            Self::Unavailable => "unavailable",
            Self::Bug => "bug",
        }
    }
}

/// A statement's failure.
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync + 'static>>,
    retryable: bool,
}

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, retryable: false }
    }

    /// Shorthand for [`ErrorKind::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// Shorthand for [`ErrorKind::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
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

    /// Says where it happened, before what happened.
    #[must_use]
    pub(crate) fn within(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// What to switch on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same statement may succeed later.
    #[must_use]
    pub(crate) fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// Whether the same statement may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)?;
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

impl From<fjord_catalog::Error> for Error {
    fn from(e: fjord_catalog::Error) -> Self {
        use fjord_catalog::ErrorKind as C;
        let kind = match e.kind() {
            C::NotFound => ErrorKind::NotFound,
            C::AlreadyExists => ErrorKind::AlreadyExists,
            C::InvalidArgument => ErrorKind::Invalid,
            C::Unsupported => ErrorKind::Unsupported,
            C::Conflict | C::Stale => ErrorKind::Conflict,
            C::CommitUnknown => ErrorKind::CommitUnknown,
            C::Corrupt => ErrorKind::Corrupt,
            C::Unavailable | C::Storage => ErrorKind::Unavailable,
            C::PermissionDenied => ErrorKind::PermissionDenied,
            C::LimitExceeded => ErrorKind::LimitExceeded,
            _ => ErrorKind::Bug,
        };
        let retryable = e.is_retryable();
        let message = e.to_string();
        Self { kind, message, source: Some(Box::new(e)), retryable }
    }
}

impl From<fjord_connectors::ErrorKind> for ErrorKind {
    fn from(kind: fjord_connectors::ErrorKind) -> Self {
        use fjord_connectors::ErrorKind as C;
        match kind {
            C::Invalid => Self::Invalid,
            C::NotFound => Self::NotFound,
            C::Corrupt => Self::Corrupt,
            C::Unavailable => Self::Unavailable,
            C::LimitExceeded => Self::LimitExceeded,
            C::AlreadyExists => Self::AlreadyExists,
            C::Unsupported => Self::Unsupported,
            C::PermissionDenied => Self::PermissionDenied,
            C::Conflict => Self::Conflict,
            C::Value => Self::Execution,
            _ => Self::Bug,
        }
    }
}

impl From<&fjord_connectors::Error> for Error {
    fn from(e: &fjord_connectors::Error) -> Self {
        Error::new(e.kind().into(), e.to_string())
    }
}

/// What precedes the name of a kind where an error has left its process.
const KIND_TAG: &str = "fjord-error-kind:";

/// Whether errors of this process leave it as texts: what a worker's operators raise.
static TRAVELS: AtomicBool = AtomicBool::new(false);

/// From now on errors carry their kind in a form that survives the way to another process.
pub(crate) fn tag_kinds() {
    TRAVELS.store(true, Ordering::Relaxed);
    fjord_connectors::error::tag_kinds(|kind| {
        format!("{KIND_TAG}{}", ErrorKind::from(kind).name())
    });
}

/// Whether `e` is an error of ours that has left its process, or is about to.
pub(crate) fn has_travelled(e: &(dyn std::error::Error + 'static)) -> bool {
    let e = e.downcast_ref::<DataFusionError>();
    matches!(e, Some(DataFusionError::Context(tag, _)) if tag.starts_with(KIND_TAG))
}

impl From<Error> for DataFusionError {
    fn from(mut e: Error) -> Self {
        if !TRAVELS.load(Ordering::Relaxed) {
            return DataFusionError::External(Box::new(e));
        }
        // A library's error that is only passed on travels as what it is: that another worker was
        // lost is still to be seen.
        let source = e.source.take().map(|source| source.downcast::<DataFusionError>());
        match source {
            Some(Ok(library)) if without_wrapping(&library) == e.message => return *library,
            Some(Ok(library)) => e.source = Some(library),
            Some(Err(other)) => e.source = Some(other),
            None => {}
        }
        let tag = format!("{KIND_TAG}{}", e.kind.name());
        DataFusionError::Context(tag, Box::new(DataFusionError::External(Box::new(e))))
    }
}

/// An error of ours that another process raised: its kind, and its message as it was.
fn find_travelled(e: &DataFusionError) -> Option<Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(e);
    while let Some(inner) = cause {
        if let Some(DataFusionError::Context(tag, text)) = inner.downcast_ref::<DataFusionError>()
            && let Some(name) = tag.strip_prefix(KIND_TAG)
        {
            let kind = ErrorKind::ALL.into_iter().find(|kind| kind.name() == name);
            let message = match text.as_ref() {
                DataFusionError::External(text) => text.to_string(),
                other => other.to_string(),
            };
            return Some(Error::new(kind.unwrap_or(ErrorKind::Execution), message));
        }
        cause = inner.source();
    }
    None
}

impl From<DataFusionError> for Error {
    /// An error of ours that travelled through DataFusion comes back as it was.
    fn from(e: DataFusionError) -> Self {
        if let Some(ours) = find_ours(&e).or_else(|| find_travelled(&e)) {
            return ours;
        }
        let kind = match e.find_root() {
            DataFusionError::SQL(..) => ErrorKind::Syntax,
            DataFusionError::Plan(_)
            | DataFusionError::SchemaError(..)
            | DataFusionError::Configuration(_) => ErrorKind::Invalid,
            DataFusionError::NotImplemented(_) => ErrorKind::Unsupported,
            DataFusionError::ResourcesExhausted(_) => ErrorKind::LimitExceeded,
            DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => ErrorKind::Unavailable,
            DataFusionError::ParquetError(_) => ErrorKind::Corrupt,
            DataFusionError::Internal(_) => ErrorKind::Bug,
            _ => ErrorKind::Execution,
        };
        let message = match e.find_root() {
            DataFusionError::ResourcesExhausted(text) => exhausted(text),
            _ => without_wrapping(&e),
        };
        Self { kind, message, source: Some(Box::new(e)), retryable: false }
    }
}

/// What went wrong, without the names of the rules and libraries that it passed on its way.
fn without_wrapping(e: &DataFusionError) -> String {
    let text = match e {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            return without_wrapping(inner);
        }
        DataFusionError::Shared(inner) => return without_wrapping(inner),
        DataFusionError::Plan(text)
        | DataFusionError::Execution(text)
        | DataFusionError::NotImplemented(text) => text.clone(),
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::CastError(text)
            | ArrowError::ComputeError(text)
            | ArrowError::InvalidArgumentError(text)
            | ArrowError::ParseError(text)
            | ArrowError::ArithmeticOverflow(text) => text.clone(),
            other => other.to_string(),
        },
        other => return other.strip_backtrace(),
    };
    let text = text.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or_default();
    lowercase(text.trim_end_matches('.'))
}

/// The text as a part of a sentence; names in capitals stay.
fn lowercase(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain([second]).chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

/// Which limit was met, and what to raise. The pool's text names the operators that hold most.
fn exhausted(text: &str) -> String {
    let advice = if text.contains("query_memory") {
        "out of memory: raise query_memory, or let fewer rows meet in one operator"
    } else if text.contains("max_temp_directory_size") || text.contains("disk") {
        "the spill directory is full: give it more room, or raise --memory-limit to spill less"
    } else {
        "out of memory: raise --memory-limit, or let fewer rows meet in one operator"
    };
    format!("{advice}; {text}")
}

fn find_ours(e: &DataFusionError) -> Option<Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(e);
    while let Some(inner) = cause {
        if let Some(ours) = inner.downcast_ref::<Error>() {
            return Some(Error {
                kind: ours.kind,
                message: ours.message.clone(),
                source: None,
                retryable: ours.retryable,
            });
        }
        if let Some(catalog) = inner.downcast_ref::<fjord_catalog::Error>() {
            let copy = fjord_catalog::Error::new(catalog.kind(), catalog.to_string())
                .with_retryable(catalog.is_retryable());
            return Some(copy.into());
        }
        if let Some(connector) = inner.downcast_ref::<fjord_connectors::Error>() {
            return Some(connector.into());
        }
        cause = inner.source();
    }
    None
}
