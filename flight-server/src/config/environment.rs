//! Environment variables that are no flag's: secrets, which a command line would show to others.

/// The variable's value; `None` when it is not set or not UTF-8.
#[expect(clippy::disallowed_methods, reason = "this is the rim where the environment is read")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
