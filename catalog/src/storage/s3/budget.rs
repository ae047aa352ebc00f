//! The budget of retries that all requests to one store share.
//!
//! ```text
//! object_store's client ── attempt ──▶ Budgeted ──▶ the network
//!   (waits, tries again)  ◀── answer ──┘ a failure costs, a success earns;
//!                                        nothing left: the failure is made final
//! ```

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};

/// What a store may owe before failures are final: 100 failures in a row.
const BUDGET_POINTS_MAX: u32 = 1_000;
/// What a failed attempt costs. With what a success earns, one failure in three is borne for ever.
const FAILURE_POINTS: u32 = 10;
/// What an attempt that was answered earns.
const SUCCESS_POINTS: u32 = 5;

/// Statuses that are worth another attempt.
const TOO_MANY_REQUESTS: u16 = 429;
const REQUEST_TIMEOUT: u16 = 408;

/// Makes clients whose attempts share one budget.
#[derive(Debug, Default)]
pub(super) struct BudgetedConnector {
    transport: ReqwestConnector,
}

impl HttpConnector for BudgetedConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let transport = self.transport.connect(options)?;
        Ok(HttpClient::new(Budgeted { transport, budget: Budget::default() }))
    }
}

#[derive(Debug)]
struct Budgeted {
    transport: HttpClient,
    budget: Budget,
}

#[async_trait]
impl HttpService for Budgeted {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let outcome = self.transport.execute(request).await;
        let status = outcome.as_ref().ok().map(|response| response.status().as_u16());
        let is_answered = status.is_some_and(|status| {
            status < 500 && !matches!(status, TOO_MANY_REQUESTS | REQUEST_TIMEOUT)
        });
        if is_answered {
            self.budget.earn();
            return outcome;
        }
        if self.budget.spend() {
            return outcome;
        }
        // Of this kind the client repeats nothing.
        Err(HttpError::new(HttpErrorKind::Unknown, Exhausted { status, cause: outcome.err() }))
    }
}

/// Points left. Racing threads may misjudge it by a few: it is a brake, not an account.
#[derive(Debug)]
struct Budget {
    points: AtomicU32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { points: AtomicU32::new(BUDGET_POINTS_MAX) }
    }
}

impl Budget {
    fn earn(&self) {
        let more = |points: u32| Some((points + SUCCESS_POINTS).min(BUDGET_POINTS_MAX));
        let _always = self.points.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    fn spend(&self) -> bool {
        let less = |points: u32| points.checked_sub(FAILURE_POINTS);
        self.points.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// An attempt failed, and too many others have lately.
#[derive(Debug, thiserror::Error)]
struct Exhausted {
    status: Option<u16>,
    #[source]
    cause: Option<HttpError>,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store fails too often, so requests are not repeated for now")?;
        match self.status {
            Some(status) => write!(f, "; it answered with status {status}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many attempts a store sees for each request when `fails(attempt)` says which fail and
    /// every failure would be repeated `retries` times.
    fn amplification(fails: impl Fn(u32) -> bool, requests: u32, retries: u32) -> f64 {
        let budget = Budget::default();
        let mut attempts = 0;
        for _ in 0..requests {
            for _ in 0..=retries {
                attempts += 1;
                if !fails(attempts) {
                    budget.earn();
                    break;
                }
                if !budget.spend() {
                    break;
                }
            }
        }
        f64::from(attempts) / f64::from(requests)
    }

    #[test]
    fn a_third_of_failures_is_borne_and_an_outage_is_not_hammered() {
        let some = amplification(|attempt| attempt % 10 < 3, 10_000, 8);
        assert!((1.3..1.6).contains(&some), "{some}");
        let outage = amplification(|_| true, 10_000, 8);
        assert!((1.0..1.02).contains(&outage), "{outage}");
    }
}
