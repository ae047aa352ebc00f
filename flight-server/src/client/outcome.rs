//! What a server says that a statement came to, before any of its rows.

use arrow_flight::FlightInfo;
use serde::Deserialize;

use super::address::Address;
use super::failure::Failure;

/// What kind of answer follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OutcomeKind {
    /// Rows, to be fetched.
    Rows,
    /// The statement has changed rows.
    Affected,
    /// The statement has run.
    Done,
}

/// What stands in `FlightInfo.app_metadata`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) kind: OutcomeKind,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) query_id: Option<String>,
}

impl Outcome {
    pub(super) fn of(address: &Address, info: &FlightInfo) -> Result<Self, Failure> {
        if info.app_metadata.is_empty() {
            let problem = "it does not say what the statement came to; is it a Fjord server?";
            return Err(Failure::protocol(address, problem));
        }
        serde_json::from_slice(&info.app_metadata).map_err(|e| Failure::protocol(address, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_read_and_anything_else_is_said() {
        let address = Address::parse("grpc://h:1").unwrap();
        let of = |text: &'static str| {
            Outcome::of(&address, &FlightInfo::new().with_app_metadata(text.as_bytes()))
        };
        let done = of(r#"{"kind":"done","message":"created table t","query_id":"7"}"#).unwrap();
        assert_eq!((done.kind, done.message.as_str()), (OutcomeKind::Done, "created table t"));
        assert_eq!(of(r#"{"kind":"rows"}"#).unwrap().query_id, None);
        for text in ["", "{}", "\u{1}", r#"{"kind":"other"}"#] {
            assert!(of(text).unwrap_err().to_string().contains("grpc://h:1 answered"), "{text}");
        }
    }
}
