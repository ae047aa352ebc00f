//! The three session actions: options set and read, sessions closed.

use std::collections::HashMap;

use fjord_engine::ErrorKind;
use tonic::Status;

use super::caller::Caller;
use super::core::Core;
use super::egress::Profile;
use super::session_proto::{
    CloseSessionResult, CloseStatus, ErrorValue, GetSessionOptionsResult, OptionError, OptionValue,
    SessionOptionValue, SetSessionOptionsRequest, SetSessionOptionsResult,
};
use super::sessions::SessionKey;

const CATALOG: &str = "catalog";
const SCHEMA: &str = "schema";
const PROFILE: &str = "output_profile";
/// Options that one call sets at most.
const OPTIONS_MAX: usize = 100;

/// Sets options one by one; those that are refused are named, the others are set.
pub(crate) async fn set(
    core: &Core,
    caller: &Caller,
    request: SetSessionOptionsRequest,
) -> Result<SetSessionOptionsResult, Status> {
    if request.session_options.len() > OPTIONS_MAX {
        let problem = format!("more than {OPTIONS_MAX} session options in one call");
        return Err(Status::invalid_argument(problem));
    }
    let mut options: Vec<_> = request.session_options.into_iter().collect();
    // A catalog moves the schema: it comes first.
    options.sort_by_key(|(name, _)| (name != CATALOG, name != SCHEMA, name.clone()));
    let mut errors = HashMap::new();
    for (name, value) in options {
        if let Err(refused) = set_one(caller, &name, value).await {
            errors.insert(name, OptionError { value: refused as i32 });
        }
    }
    caller.keep(core);
    Ok(SetSessionOptionsResult { errors })
}

async fn set_one(caller: &Caller, name: &str, value: SessionOptionValue) -> Result<(), ErrorValue> {
    let value = text(value)?;
    let session = &caller.kept.engine;
    match name {
        CATALOG => {
            let catalog = value.unwrap_or_else(|| caller.kept.beginning.0.clone());
            session.use_schema(Some(&catalog), None).await.map_err(|_| ErrorValue::InvalidValue)
        }
        SCHEMA => {
            let schema = value.unwrap_or_else(|| caller.kept.beginning.1.clone());
            session.use_schema(None, Some(&schema)).await.map_err(|_| ErrorValue::InvalidValue)
        }
        PROFILE => {
            let profile = match value {
                Some(name) => Some(Profile::by_name(&name).ok_or(ErrorValue::InvalidValue)?),
                None => None,
            };
            caller.kept.choose_profile(profile);
            Ok(())
        }
        other => session.set(other, value.as_deref()).map_err(|e| match e.kind() {
            ErrorKind::NotFound | ErrorKind::PermissionDenied => ErrorValue::InvalidName,
            _ => ErrorValue::InvalidValue,
        }),
    }
}

fn text(value: SessionOptionValue) -> Result<Option<String>, ErrorValue> {
    match value.option_value {
        None => Ok(None),
        Some(OptionValue::Text(text)) => Ok(Some(text)),
        Some(OptionValue::Bool(value)) => Ok(Some(value.to_string())),
        Some(OptionValue::Integer(value)) => Ok(Some(value.to_string())),
        Some(OptionValue::Double(value)) => Ok(Some(value.to_string())),
        Some(OptionValue::TextList(_)) => Err(ErrorValue::InvalidValue),
    }
}

/// The options of the session: where it is, its profile, and what was changed.
pub(crate) fn get(caller: &Caller) -> GetSessionOptionsResult {
    let place = caller.session.place();
    let text = |text: String| SessionOptionValue { option_value: Some(OptionValue::Text(text)) };
    let mut options: HashMap<String, SessionOptionValue> =
        place.settings.into_iter().map(|(name, value)| (name, text(value))).collect();
    options.insert(CATALOG.to_owned(), text(place.catalog));
    options.insert(SCHEMA.to_owned(), text(place.schema));
    options.insert(PROFILE.to_owned(), text(caller.profile.name().to_owned()));
    GetSessionOptionsResult { session_options: options }
}

/// Closes the session, and ends the token that it belongs to.
pub(crate) fn close(core: &Core, caller: &Caller) -> CloseSessionResult {
    core.sessions.close(&caller.identity.user, &caller.key);
    if let Some(token) = caller.identity.token {
        core.sessions.close(&caller.identity.user, &SessionKey::Token(token));
        core.authenticator.forget(token);
    }
    CloseSessionResult { status: CloseStatus::Closed as i32 }
}
