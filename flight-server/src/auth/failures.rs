//! How often somebody may be wrong: allowances per user and address, and per address.
//!
//! An attempt is paid for before it is made and given back when it succeeds, so that a thousand
//! guesses at once are no better than a thousand in a row.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::sync::Cache;

use super::keyed::Keyed;

/// Wrong passwords in a row for one user from one address, and how long until one is forgiven.
const PER_USER: Allowance = Allowance { most: 10.0, refill: Duration::from_secs(6) };
/// The same for one address, whoever it claims to be: an office may sit behind it.
const PER_ADDRESS: Allowance = Allowance { most: 100.0, refill: Duration::from_millis(600) };
/// Allowances that are remembered.
const REMEMBERED_MAX: u64 = 200_000;
/// How long one is remembered that nobody uses: longer than it takes to be full again.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug)]
struct Allowance {
    most: f64,
    refill: Duration,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Allowance {
    /// Takes one; else how long until there is one.
    fn take(self, bucket: &mut Bucket, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(bucket.at);
        bucket.at = now;
        let refilled = passed.as_secs_f64() / self.refill.as_secs_f64();
        bucket.left = (bucket.left + refilled).min(self.most);
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        Err(self.refill.mul_f64(1.0 - bucket.left))
    }

    fn give_back(self, bucket: &mut Bucket) {
        bucket.left = (bucket.left + 1.0).min(self.most);
    }
}

type Shared = Arc<Mutex<Bucket>>;

/// Failed logins, as far as they are remembered.
#[derive(Debug)]
pub(super) struct Failures {
    buckets: Cache<[u8; 32], Shared>,
}

/// An attempt that was paid for.
#[derive(Debug)]
pub(super) struct Attempt {
    paid: [(Allowance, Shared); 2],
}

impl Attempt {
    /// It was right: it cost nothing.
    pub(super) fn succeeded(self) {
        for (allowance, bucket) in &self.paid {
            allowance.give_back(&mut bucket.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Failures {
    pub(super) fn new() -> Self {
        let buckets =
            Cache::builder().max_capacity(REMEMBERED_MAX).time_to_idle(REMEMBERED_FOR).build();
        Self { buckets }
    }

    /// Begins an attempt of `user` from `address`; else how long to wait.
    pub(super) fn begin(
        &self,
        keyed: &Keyed,
        user: &str,
        address: Option<IpAddr>,
        now: Instant,
    ) -> Result<Attempt, Duration> {
        let address = address.map(|a| a.to_string()).unwrap_or_default();
        let by_user = keyed.hash(&[b"user", user.as_bytes(), address.as_bytes()]);
        let by_address = keyed.hash(&[b"address", address.as_bytes()]);
        let by_user = (PER_USER, self.bucket(by_user, PER_USER, now));
        let by_address = (PER_ADDRESS, self.bucket(by_address, PER_ADDRESS, now));
        take(&by_address, now)?;
        if let Err(wait) = take(&by_user, now) {
            // What was refused for its user is not held against the others at the address.
            by_address
                .0
                .give_back(&mut by_address.1.lock().unwrap_or_else(PoisonError::into_inner));
            return Err(wait);
        }
        Ok(Attempt { paid: [by_user, by_address] })
    }

    fn bucket(&self, key: [u8; 32], allowance: Allowance, now: Instant) -> Shared {
        self.buckets
            .get_with(key, || Arc::new(Mutex::new(Bucket { left: allowance.most, at: now })))
    }
}

fn take((allowance, bucket): &(Allowance, Shared), now: Instant) -> Result<(), Duration> {
    allowance.take(&mut bucket.lock().unwrap_or_else(PoisonError::into_inner), now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn h2_guesses_run_out_per_user_and_address_and_come_back_with_time() {
        let (failures, keyed, start) = (Failures::new(), Keyed::new(), Instant::now());
        for _ in 0..10 {
            failures.begin(&keyed, "ada", at(1), start).unwrap();
        }
        let wait = failures.begin(&keyed, "ada", at(1), start).unwrap_err();
        assert!(wait <= Duration::from_secs(6), "{wait:?}");
        // Others, and the same user elsewhere, are not locked out.
        assert!(failures.begin(&keyed, "bob", at(1), start).is_ok());
        assert!(failures.begin(&keyed, "ada", at(2), start).is_ok());
        let later = start + Duration::from_secs(7);
        assert!(failures.begin(&keyed, "ada", at(1), later).is_ok());
        assert!(failures.begin(&keyed, "ada", at(1), later).is_err());
    }

    #[test]
    fn one_address_does_not_guess_for_ever_under_new_names() {
        let (failures, keyed, start) = (Failures::new(), Keyed::new(), Instant::now());
        let let_in = (0..10_000)
            .filter(|i| failures.begin(&keyed, &format!("user{i}"), at(1), start).is_ok())
            .count();
        assert_eq!(let_in, 100);
    }

    #[test]
    fn who_is_right_is_never_held_up() {
        let (failures, keyed, start) = (Failures::new(), Keyed::new(), Instant::now());
        for _ in 0..10_000 {
            failures.begin(&keyed, "ada", at(1), start).unwrap().succeeded();
        }
    }
}
