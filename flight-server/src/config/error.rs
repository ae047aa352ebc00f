//! What is wrong with the configuration: where, what was found, what is accepted.

use std::fmt;

/// Bad configuration. The process ends with status 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, flag or variable it came from.
    pub origin: String,
    /// The dotted key, or the place in the file; empty when the whole is meant.
    pub key: String,
    /// What was found and what is accepted.
    pub problem: String,
}

impl ConfigError {
    pub(crate) fn new(
        origin: impl Into<String>,
        key: impl Into<String>,
        problem: impl Into<String>,
    ) -> Self {
        Self { origin: origin.into(), key: key.into(), problem: problem.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for ConfigError {}
