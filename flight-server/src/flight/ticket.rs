//! Tickets and prepared handles: everything a server needs to know, sealed, so that any server with
//! the key honours them.
//!
//! ```text
//! sealed( length of head │ head as JSON │ bound parameters as IPC )
//! ```

use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use fjord_engine::session::{Pins, Place};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tonic::Status;
use uuid::Uuid;

use super::egress::Profile;
use super::seal::{Purpose, Sealer};
use super::takes::Takes;

/// How long a ticket is honoured.
pub(crate) const TICKET_LIFE: Duration = Duration::from_hours(1);
/// How long a prepared handle is honoured: longer than a pool keeps a connection.
pub(crate) const HANDLE_LIFE: Duration = Duration::from_hours(7 * 24);

/// What a ticket of DoGet stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct QueryTicket {
    /// The query's id, which it will have in `system.queries`.
    pub(crate) id: Uuid,
    /// Who may use it.
    pub(crate) user: String,
    /// Seconds since the epoch.
    expires: i64,
    /// What DoGet does.
    pub(crate) work: Work,
}

/// What DoGet does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Runs a query, as it was pinned.
    Query(Box<QueryWork>),
    /// Tells how many rows a statement changed that has run.
    Affected(u64),
    /// Tells that a statement has run.
    Done,
}

/// A query with all that its answer depends on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct QueryWork {
    pub(crate) sql: String,
    /// Current catalog, schema and settings.
    pub(crate) place: Place,
    /// What its names stood for.
    pub(crate) pins: Pins,
    /// What `now()` says, in microseconds since the epoch.
    pub(crate) now_micros: Option<i64>,
    /// The profile's name.
    profile: String,
}

impl QueryWork {
    pub(crate) fn new(
        sql: String,
        place: Place,
        pins: Pins,
        now_micros: Option<i64>,
        profile: Profile,
    ) -> Self {
        Self { sql, place, pins, now_micros, profile: profile.name().to_owned() }
    }

    pub(crate) fn profile(&self) -> Profile {
        Profile::by_name(&self.profile).unwrap_or_default()
    }
}

impl QueryTicket {
    pub(crate) fn new(id: Uuid, user: &str, work: Work) -> Self {
        Self { id, user: user.to_owned(), expires: expiry(TICKET_LIFE), work }
    }

    /// When it ends, in seconds since the epoch.
    pub(crate) fn expires(&self) -> i64 {
        self.expires
    }

    /// The same ticket, to be honoured anew for its whole life.
    pub(crate) fn renewed(mut self) -> Self {
        self.expires = expiry(TICKET_LIFE);
        self
    }

    /// Seals it, with the parameters' rows.
    pub(crate) fn seal(&self, sealer: &Sealer, parameters: &[u8]) -> Result<Bytes, Status> {
        seal(sealer, Purpose::Ticket, self, parameters)
    }

    /// Opens a ticket of `user`, with its parameters.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`, in the same words for every ticket that is not honoured but one: an
    /// expired one says so to the user whose it was.
    pub(crate) fn open(
        sealer: &Sealer,
        sealed: &[u8],
        user: &str,
    ) -> Result<(Self, Bytes), Status> {
        let refused = || Status::permission_denied("the ticket is not valid for this user");
        let (ticket, parameters): (Self, Bytes) =
            open(sealer, Purpose::Ticket, sealed).ok_or_else(refused)?;
        if ticket.user != user {
            return Err(refused());
        }
        if ticket.expires <= Utc::now().timestamp() {
            return Err(Status::permission_denied("the ticket has expired: run the query again"));
        }
        Ok((ticket, parameters))
    }
}

/// What a prepared handle stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PreparedHandle {
    /// The user that prepared it.
    user: String,
    /// Seconds since the epoch.
    expires: i64,
    pub(crate) sql: String,
    /// Where it was prepared, for servers that do not know the session.
    pub(crate) place: Place,
    pub(crate) takes: Takes,
}

impl PreparedHandle {
    pub(crate) fn new(user: &str, sql: String, place: Place, takes: Takes) -> Self {
        Self { user: user.to_owned(), expires: expiry(HANDLE_LIFE), sql, place, takes }
    }

    pub(crate) fn seal(&self, sealer: &Sealer, parameters: &[u8]) -> Result<Bytes, Status> {
        seal(sealer, Purpose::Prepared, self, parameters)
    }

    /// Opens a handle of `user`, with the parameters that were bound to it.
    ///
    /// # Errors
    /// `NOT_FOUND` for every handle that is not honoured.
    pub(crate) fn open(
        sealer: &Sealer,
        sealed: &[u8],
        user: &str,
    ) -> Result<(Self, Bytes), Status> {
        open(sealer, Purpose::Prepared, sealed)
            .filter(|(handle, _): &(Self, Bytes)| {
                handle.user == user && handle.expires > Utc::now().timestamp()
            })
            .ok_or_else(|| Status::not_found("prepared statement not found: prepare it again"))
    }
}

fn expiry(life: Duration) -> i64 {
    Utc::now().timestamp().saturating_add(i64::try_from(life.as_secs()).unwrap_or(i64::MAX))
}

fn seal(
    sealer: &Sealer,
    purpose: Purpose,
    head: &impl Serialize,
    parameters: &[u8],
) -> Result<Bytes, Status> {
    let unwritable = |_| Status::internal("the ticket cannot be written");
    let head = serde_json::to_vec(head).map_err(unwritable)?;
    let length = u32::try_from(head.len())
        .map_err(|_| Status::resource_exhausted("the statement is too long for a ticket"))?;
    let mut plain = Vec::with_capacity(4 + head.len() + parameters.len());
    plain.extend_from_slice(&length.to_le_bytes());
    plain.extend_from_slice(&head);
    plain.extend_from_slice(parameters);
    Ok(sealer.seal(purpose, &plain).into())
}

fn open<T: DeserializeOwned>(
    sealer: &Sealer,
    purpose: Purpose,
    sealed: &[u8],
) -> Option<(T, Bytes)> {
    let mut plain = Bytes::from(sealer.open(purpose, sealed)?);
    let length = plain.first_chunk::<4>().map(|n| u32::from_le_bytes(*n))?;
    let _length = plain.split_to(4);
    let length = usize::try_from(length).ok().filter(|n| *n <= plain.len())?;
    let head = plain.split_to(length);
    Some((serde_json::from_slice(&head).ok()?, plain))
}
