//! Which errors mean that a worker was lost, and which that the statement is wrong.

use std::error::Error as StdError;

use datafusion::error::DataFusionError;
use tonic::{Code, Status};

use crate::error::{Error, has_travelled};

/// What the transport says when the other side is gone. A worker that reads from another one tells
/// of it in words alone.
const LOST: [&str; 14] = [
    "h2 protocol error",
    "broken pipe",
    "connection reset",
    "connection refused",
    "transport error",
    "tcp connect error",
    "error reading a body from connection",
    "stream closed because of a broken pipe",
    "keep-alive timed out",
    "keepalivetimedout",
    "the service is currently unavailable",
    "timed-out while waiting for the plan to be set",
    "operation was canceled",
    "connection closed",
];

/// Whether `error` says that a worker, or the way to it, is gone: the same plan may succeed on others.
pub(super) fn is_lost_worker(error: &DataFusionError) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    let mut is_ours = false;
    while let Some(inner) = cause {
        if let Some(status) = inner.downcast_ref::<Status>() {
            let is_lost = match status.code() {
                Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded => true,
                Code::Unknown | Code::Internal => is_told(status.message()),
                _ => false,
            };
            if is_lost {
                return true;
            }
        }
        // An error of the statement may quote anything.
        is_ours |=
            inner.is::<Error>() || inner.is::<fjord_connectors::Error>() || has_travelled(inner);
        cause = inner.source();
    }
    !is_ours && is_told(&error.to_string())
}

fn is_told(text: &str) -> bool {
    let text = text.to_lowercase();
    LOST.iter().any(|sign| text.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_lost_worker_is_told_from_a_bad_statement() {
        let lost = [
            DataFusionError::External(Box::new(Status::unavailable("x"))),
            DataFusionError::External(Box::new(Status::unknown(
                "h2 protocol error: error reading a body from connection",
            ))),
            DataFusionError::Execution(
                "Worker::execute_task timed-out while waiting for the plan to be set by the \
                 coordinator. (x)"
                    .to_owned(),
            ),
        ];
        // What tonic and hyper were seen to say of a worker that was stopped or killed.
        let said = [
            "KeepAliveTimedOut",
            "operation was canceled: connection closed",
            "tcp connect error: Connection refused (os error 111)",
        ];
        let said = said.map(|text| DataFusionError::External(Box::new(Status::unknown(text))));
        for e in lost.into_iter().chain(said) {
            let shared = DataFusionError::Shared(std::sync::Arc::new(e));
            assert!(is_lost_worker(&shared.context("within")));
        }
        let wrong = [
            DataFusionError::Execution("division by zero".to_owned()),
            DataFusionError::External(Box::new(Status::unauthenticated("no secret"))),
            Error::new(ErrorKind::Execution, "cannot cast 'broken pipe' to int").into(),
            fjord_connectors::Error::new(
                fjord_connectors::ErrorKind::Unavailable,
                "catalog \"pg\": connection closed",
            )
            .into(),
            // As it comes from a worker: a database of it is down, not the worker.
            DataFusionError::Context(
                "fjord-error-kind:unavailable".to_owned(),
                Box::new(DataFusionError::External("catalog \"pg\": connection refused".into())),
            ),
        ];
        for e in wrong {
            assert!(!is_lost_worker(&e), "{e}");
        }
    }
}
