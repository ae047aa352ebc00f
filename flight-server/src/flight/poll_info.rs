//! PollFlightInfo: a query is ready at once, for its rows come as they are read; DDL and DML run in
//! the background while their client polls.

use std::sync::Arc;

use arrow_flight::sql::Any;
use arrow_flight::{FlightDescriptor, FlightInfo, PollInfo};
use bytes::Bytes;
use chrono::Utc;
use fjord_engine::queries::QueryKind;
use prost::Message;
use prost_types::Timestamp;
use serde::{Deserialize, Serialize};
use tonic::Status;
use uuid::Uuid;

use super::caller::Caller;
use super::core::Core;
use super::seal::Purpose;
use super::statement::{self, Ask, outcome_schema};
use super::status::status_of;
use super::{egress::schema_bytes, info};

/// The type of descriptors that stand for a statement under way.
const TYPE_URL: &str = "type.googleapis.com/fjord.StatementUnderWay";
/// Seconds for which such a descriptor is honoured after each answer.
const DESCRIPTOR_SECONDS: i64 = 600;

/// What such a descriptor seals.
#[derive(Debug, Serialize, Deserialize)]
struct UnderWay {
    id: Uuid,
    user: String,
}

/// The id in a descriptor that stands for a statement under way of this user.
pub(crate) fn polled(
    core: &Core,
    caller: &Caller,
    descriptor: Option<&FlightDescriptor>,
) -> Option<Uuid> {
    let any = Any::decode(&*descriptor?.cmd).ok().filter(|any| any.type_url == TYPE_URL)?;
    let plain = core.sealer.open(Purpose::Query, &any.value)?;
    let under_way: UnderWay = serde_json::from_slice(&plain).ok()?;
    (under_way.user == *caller.identity.user).then_some(under_way.id)
}

/// Answers one poll.
pub(crate) async fn poll(
    core: &Arc<Core>,
    caller: Caller,
    descriptor: FlightDescriptor,
) -> Result<PollInfo, Status> {
    if let Some(id) = polled(core, &caller, Some(&descriptor)) {
        let (news, gauge) = core.polls.news(&caller.identity.user, id).await?;
        return Ok(match news {
            Some(info) => complete(info),
            None => under_way(descriptor, gauge.progress()),
        });
    }
    let runs_long = match info::ask(core, &caller, &descriptor)? {
        Some(ask) => changes_something(&ask)?,
        None => false,
    };
    if !runs_long {
        return Ok(complete(info::of(core, &caller, descriptor).await?));
    }
    let (user, gauge) = (Arc::clone(&caller.identity.user), caller.gauge.clone());
    let kept = caller.wanted.while_kept();
    let shared = Arc::clone(core);
    let work = async move { info::of(&shared, &caller, descriptor).await };
    let id = core.polls.start(&user, gauge.clone(), kept, work)?;
    let (news, _) = core.polls.news(&user, id).await?;
    match news {
        Some(info) => Ok(complete(info)),
        None => Ok(under_way(descriptor_of(core, id, &user)?, gauge.progress())),
    }
}

fn changes_something(ask: &Ask) -> Result<bool, Status> {
    let statements = statement::parse(ask)?;
    let told = |e| status_of(&e, None);
    for statement in &statements {
        if ask.session.kind(statement).map_err(told)? != QueryKind::Query {
            return Ok(true);
        }
    }
    Ok(false)
}

fn descriptor_of(core: &Core, id: Uuid, user: &str) -> Result<FlightDescriptor, Status> {
    let under_way = UnderWay { id, user: user.to_owned() };
    let plain = serde_json::to_vec(&under_way)
        .map_err(|_| Status::internal("the descriptor cannot be written"))?;
    let value = Bytes::from(core.sealer.seal(Purpose::Query, &plain));
    let any = Any { type_url: TYPE_URL.to_owned(), value };
    Ok(FlightDescriptor::new_cmd(any.encode_to_vec()))
}

fn complete(info: FlightInfo) -> PollInfo {
    PollInfo {
        info: Some(info),
        flight_descriptor: None,
        progress: Some(1.0),
        expiration_time: None,
    }
}

fn under_way(descriptor: FlightDescriptor, progress: Option<f64>) -> PollInfo {
    let info = FlightInfo {
        schema: schema_bytes(&outcome_schema(true)),
        flight_descriptor: Some(descriptor.clone()),
        endpoint: Vec::new(),
        total_records: -1,
        total_bytes: -1,
        ordered: true,
        app_metadata: Bytes::new(),
    };
    let seconds = Utc::now().timestamp().saturating_add(DESCRIPTOR_SECONDS);
    PollInfo {
        info: Some(info),
        flight_descriptor: Some(descriptor),
        progress,
        expiration_time: Some(Timestamp { seconds, nanos: 0 }),
    }
}
