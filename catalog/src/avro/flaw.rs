//! What is wrong with an Avro file, and where in it.

use std::error::Error as StdError;

use crate::error::{Error, ErrorKind};

/// What a check found; boxed, because the checks return far more often than they fail.
pub(super) type Sound<T> = Result<T, Box<Flaw>>;

/// Something that the reader must not meet.
#[derive(Debug)]
pub(super) struct Flaw {
    kind: ErrorKind,
    problem: String,
    /// Names of fields, the innermost first.
    path: Vec<String>,
    place: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Flaw {
    fn new(kind: ErrorKind, problem: String) -> Box<Self> {
        Box::new(Self { kind, problem, path: Vec::new(), place: None, source: None })
    }

    /// The file contradicts itself or the specification.
    pub(super) fn corrupt(problem: impl Into<String>) -> Box<Self> {
        Self::new(ErrorKind::Corrupt, problem.into())
    }

    /// The file asks for more than is given.
    pub(super) fn limit(problem: impl Into<String>) -> Box<Self> {
        Self::new(ErrorKind::LimitExceeded, problem.into())
    }

    /// The file is sound, and cannot be read here.
    pub(super) fn unsupported(problem: impl Into<String>) -> Box<Self> {
        Self::new(ErrorKind::Unsupported, problem.into())
    }

    /// Keeps the cause.
    pub(super) fn with_source(
        mut self: Box<Self>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Box<Self> {
        self.source = Some(source.into());
        self
    }

    /// The flaw is inside `field`. Only a failing walk pays for its path.
    pub(super) fn within(mut self: Box<Self>, field: &str) -> Box<Self> {
        self.path.push(field.to_owned());
        self
    }

    /// Where in the file, if nobody has said it yet.
    pub(super) fn at(mut self: Box<Self>, place: impl FnOnce() -> String) -> Box<Self> {
        self.place.get_or_insert_with(place);
        self
    }

    /// The error that a reader of the file `uri`, which is a `what`, gets to see.
    pub(super) fn into_error(self, what: &str, uri: &str) -> Error {
        let mut place = self.place.unwrap_or_else(|| "header".to_owned());
        if !self.path.is_empty() {
            let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
            place = format!("{place}, field {:?}", path.join("."));
        }
        let message = format!("{what} {uri:?} cannot be decoded: {place}: {}", self.problem);
        let error = Error::new(self.kind, message);
        match self.source {
            Some(source) => error.with_source(source),
            None => error,
        }
    }
}
