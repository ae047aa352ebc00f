//! What all calls of the service share.

use std::sync::Arc;

use fjord_engine::engine::Engine;
use fjord_engine::queries::{Lane, QueryHandle, QueryKind, QueryRequest, Viewer};
use fjord_engine::session::{PlannedQuery, Session, SessionOptions};
use fjord_engine::sql::files::FilePolicy;
use fjord_engine::sql::statement::Statement;
use moka::sync::Cache;
use tonic::Status;
use uuid::Uuid;

use super::caller::Caller;
use super::polls::Polls;
use super::seal::Sealer;
use super::sessions::Sessions;
use super::status::status_of;
use super::ticket::TICKET_LIFE;
use crate::auth::{Authenticator, Identity};
use crate::cluster::Desk;
use crate::telemetry::Metrics;

/// Plans that wait for their DoGet. One that had to go is planned again from its ticket.
const PLANS_MAX: u64 = 1_024;

/// What a client asks for, as the registry of queries shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) text: &'a str,
    pub(crate) kind: QueryKind,
    pub(crate) lane: Lane,
}

impl<'a> From<&'a Statement> for Asked<'a> {
    fn from(statement: &'a Statement) -> Self {
        Self { text: &statement.text, kind: statement.query_kind(), lane: statement.lane() }
    }
}

/// What all calls share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) engine: Engine,
    pub(crate) files: Arc<dyn FilePolicy>,
    pub(crate) authenticator: Authenticator,
    pub(crate) sealer: Sealer,
    pub(crate) sessions: Sessions,
    /// Plans by the id of their ticket.
    pub(crate) plans: Cache<Uuid, Arc<PlannedQuery>>,
    pub(crate) polls: Polls,
    pub(crate) metrics: Arc<Metrics>,
    /// Where workers register.
    pub(crate) desk: Option<Desk>,
}

impl Core {
    pub(crate) fn new(
        engine: Engine,
        files: Arc<dyn FilePolicy>,
        authenticator: Authenticator,
        sealer: Sealer,
        metrics: Arc<Metrics>,
    ) -> Self {
        let plans = Cache::builder().max_capacity(PLANS_MAX).time_to_live(TICKET_LIFE).build();
        let (sessions, polls) = (Sessions::default(), Polls::default());
        let desk = None;
        Self { engine, files, authenticator, sealer, sessions, plans, polls, metrics, desk }
    }

    /// The same with a desk for workers.
    #[must_use]
    pub(crate) fn with_desk(mut self, desk: Desk) -> Self {
        self.desk = Some(desk);
        self
    }

    /// A new session of the engine for somebody.
    pub(crate) fn open_session(&self, identity: &Identity) -> Session {
        self.engine.session(SessionOptions {
            catalog: None,
            schema: None,
            files: Some(Arc::clone(&self.files)),
            access: Some(Arc::clone(&identity.access)),
            viewer: Viewer::of(&identity.user, identity.is_admin),
        })
    }

    /// Waits for a statement's turn.
    pub(crate) async fn admit(
        &self,
        caller: &Caller,
        asked: Asked<'_>,
        id: Option<Uuid>,
    ) -> Result<QueryHandle, Status> {
        let request = QueryRequest {
            id,
            user: caller.identity.user.to_string(),
            client: caller.client.clone(),
            session: caller.session.id().to_owned(),
            text: asked.text.to_owned(),
            kind: asked.kind,
            lane: asked.lane,
            wanted: caller.wanted.clone(),
        };
        self.engine.queries().admit(request).await.map_err(|e| status_of(&e, id))
    }
}
