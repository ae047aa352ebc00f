//! Named places where a test may stop the process (`reliability` K0 to K10).
//!
//! Compiled to nothing without the feature `failpoints`, which no shipped binary has.

/// Stops here when `FJORD_FAILPOINT` names this point.
///
/// The process writes the file that `FJORD_FAILPOINT_REACHED` names, so that a test can prove that
/// the point was reached, and then waits to be killed. A count may be appended (`K2:3`): the point
/// is passed that many times first.
#[cfg(feature = "failpoints")]
#[expect(clippy::disallowed_methods, reason = "a test's own variable, in no shipped binary")]
pub async fn hit(point: &str) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSED: AtomicU64 = AtomicU64::new(0);

    let Ok(wanted) = std::env::var("FJORD_FAILPOINT") else { return };
    let (name, skip) = match wanted.split_once(':') {
        Some((name, n)) => (name, n.parse().unwrap_or(0)),
        None => (wanted.as_str(), 0),
    };
    if name != point || PASSED.fetch_add(1, Ordering::SeqCst) < skip {
        return;
    }
    if let Ok(marker) = std::env::var("FJORD_FAILPOINT_REACHED") {
        // The test waits for this file; without it the run counts as not having got here.
        let _written = std::fs::write(marker, point);
    }
    std::future::pending::<()>().await;
}

/// Does nothing: failpoints are not compiled in.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub async fn hit(_point: &str) {}
