//! Session options: the settings of a session, `catalog` and `schema` among them, as messages.

use std::collections::HashMap;

use tidemill_engine::{ErrorKind, Session, Subject};

use super::caller::Caller;
use super::door::Door;
use super::failure::Result;
use super::messages::{
    CloseSessionResult, CloseSessionStatus, GetSessionOptionsResult, OptionValue, SessionOptionValue,
    SetSessionOptionError, SetSessionOptionErrorValue, SetSessionOptionsRequest, SetSessionOptionsResult,
};

/// Sets the options one by one; the answer names those that were not set, and why.
pub(crate) fn set(
    door: &Door,
    caller: &mut Caller,
    request: SetSessionOptionsRequest,
) -> Result<SetSessionOptionsResult> {
    caller.keep_session(door)?;
    let mut errors = HashMap::new();
    let mut options: Vec<_> = request.session_options.into_iter().collect();
    // By name, for a schema is looked up in the catalog.
    options.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (name, value) in options {
        if let Err(value) = set_one(caller.session(), &name, value) {
            errors.insert(name, SetSessionOptionError { value: value.into() });
        }
    }
    Ok(SetSessionOptionsResult { errors })
}

fn set_one(session: &Session, name: &str, value: SessionOptionValue) -> Result<(), SetSessionOptionErrorValue> {
    let text = match value.option_value {
        None => None,
        Some(OptionValue::String(text)) => Some(text),
        Some(OptionValue::Bool(truth)) => Some(truth.to_string()),
        Some(OptionValue::Int64(number)) => Some(number.to_string()),
        Some(OptionValue::Double(number)) => Some(number.to_string()),
        Some(OptionValue::StringList(list)) => Some(list.values.join(",")),
    };
    let outcome = match text {
        Some(text) => session.set(name, &text),
        None => session.reset(name),
    };
    outcome.map_err(|error| match error.kind() {
        ErrorKind::NotFound if error.subject() == Some(Subject::Setting) => SetSessionOptionErrorValue::InvalidName,
        ErrorKind::NotFound | ErrorKind::Invalid => SetSessionOptionErrorValue::InvalidValue,
        _ => SetSessionOptionErrorValue::Error,
    })
}

/// All options of the session, by each of the names that they can be set by.
pub(crate) fn get(caller: &Caller) -> GetSessionOptionsResult {
    let mut session_options = HashMap::new();
    for setting in caller.session().setting_list() {
        let value = SessionOptionValue { option_value: Some(OptionValue::String(setting.value)) };
        let aliases = setting.aliases.iter().map(|alias| ((*alias).to_owned(), value.clone()));
        session_options.extend(aliases);
        session_options.insert(setting.name, value);
    }
    GetSessionOptionsResult { session_options }
}

/// Closes the session and cancels its queries. A session that ends with the call anyway is closed.
pub(crate) fn close(door: &Door, caller: &Caller) -> Result<CloseSessionResult> {
    if caller.has_named_session() {
        door.engine.sessions().close(&caller.principal, caller.session().id())?;
        door.prepared.close_session(caller.session().id());
    }
    Ok(CloseSessionResult { status: CloseSessionStatus::Closed.into() })
}
