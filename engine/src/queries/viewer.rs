//! Who looks at queries, and whose they may see and end.

/// The person behind a session, as far as queries are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// The user; `None` where nobody logs in.
    pub user: Option<String>,
    /// Whether other users' queries are seen and ended too.
    pub is_admin: bool,
}

impl Default for Viewer {
    /// The person at the machine.
    fn default() -> Self {
        Self { user: None, is_admin: true }
    }
}

impl Viewer {
    /// The name of who has none.
    pub const NOBODY: &'static str = "local";

    /// The viewer of an identity that somebody has proven.
    pub fn of(user: &str, is_admin: bool) -> Self {
        Self { user: Some(user.to_owned()), is_admin }
    }

    /// Whether queries of `owner` are this viewer's business.
    pub fn sees(&self, owner: &str) -> bool {
        self.is_admin || self.user.as_deref() == Some(owner)
    }

    /// The name under which this viewer's own queries run.
    pub fn name(&self) -> &str {
        self.user.as_deref().unwrap_or(Self::NOBODY)
    }
}
